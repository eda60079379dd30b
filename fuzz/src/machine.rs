//! The state machine in a world that plays by the loop's rules: any plan, any
//! order of signals, ends and time.

use std::collections::VecDeque;
use std::time::Duration;

use drain_init::drain::{Action, Drain, Event, Helper, Message, Plan, Status, WaitAll};
use drain_init::signal::{Rewrites, Signal, SignalSet};

/// Bytes as choices; zeros once they are used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn signal(&mut self) -> Signal {
        Signal::new(i32::from(self.next() % 64) + 1).expect("1 to 64")
    }

    fn duration(&mut self) -> Option<Duration> {
        match self.next() {
            0..=63 => None,
            // As late as time can be: sums must not overflow.
            255 => Some(Duration::MAX),
            more => Some(Duration::from_millis(u64::from(more - 63) * 10)),
        }
    }

    fn plan(&mut self) -> Plan {
        let flags = self.next();
        let mut stop_signals = SignalSet::of(&[Signal::TERM]);
        if flags & 1 != 0 {
            stop_signals.insert(self.catchable());
        }
        let mut rewrites = Rewrites::default();
        for _ in 0..self.next() % 4 {
            let (received, delivered) = (self.signal(), self.next() % 65);
            rewrites.set(received, Signal::new(delivered.into()));
        }
        Plan {
            delay: self.duration(),
            drain_signal: (flags & 2 != 0).then(|| self.signal()),
            drain_cmd: flags & 4 != 0,
            stop_cmd: flags & 8 != 0,
            kill_after: self.duration(),
            stop_signals,
            rewrites,
            group: flags & 16 != 0,
            wait_all: match flags >> 5 & 3 {
                0 | 1 => None,
                2 => Some(WaitAll::Namespace),
                _ => Some(WaitAll::Children),
            },
        }
    }

    /// What the loop can receive: neither KILL, STOP nor CHLD.
    fn catchable(&mut self) -> Signal {
        let signal = self.signal();
        match signal {
            Signal::KILL | Signal::STOP | Signal::CHLD => Signal::QUIT,
            signal => signal,
        }
    }
}

struct World {
    drain: Drain,
    plan: Plan,
    now: Duration,
    /// How COMMAND ended.
    ended: Option<Status>,
    /// Which helpers run, by `Helper`.
    running: [bool; 2],
    /// Whether each could be started, if asked for.
    starts: [bool; 2],
    started: [u32; 2],
    first_stop: Option<Signal>,
    /// Whether COMMAND was told to stop, in whatever way.
    told: bool,
    drain_signals: u32,
    kills: u32,
    exited: Option<Status>,
}

impl World {
    fn feed(&mut self, event: Event) {
        let mut queue = VecDeque::from([event]);
        while let Some(event) = queue.pop_front() {
            assert_eq!(self.exited, None, "an event after the exit");
            let mut actions: Vec<Action> = Vec::new();
            self.drain.step(event, &|| self.now, &mut |action| actions.push(action));
            let mut starts = 0;
            for action in actions {
                if let Action::Start(..) = action {
                    starts += 1;
                }
                queue.extend(self.carry_out(event, action));
            }
            assert!(starts <= 1, "the loop carries out one start in a step");
        }
        if let (Event::Time, Some(deadline)) = (event, self.drain.deadline()) {
            assert!(deadline > self.now, "a deadline that has passed would make the loop spin");
        }
    }

    fn carry_out(&mut self, event: Event, action: Action) -> Option<Event> {
        let stops = |signal: &Signal| self.plan.stop_signals.contains(*signal);
        match action {
            Action::Deliver(signal) => {
                assert_eq!(self.ended, None, "a delivery to a COMMAND that has ended");
                match event {
                    Event::Time if signal == Signal::KILL && self.told => self.kills += 1,
                    Event::Received(received) if !stops(&received) => {
                        assert_eq!(self.plan.rewrites.apply(received), Some(signal));
                    }
                    _ => self.told = true,
                }
            }
            Action::DeliverToCommand(signal) => {
                assert_eq!((self.ended, Some(signal)), (None, self.plan.drain_signal));
                self.drain_signals += 1;
            }
            Action::DeliverToRest { .. } => assert!(self.ended.is_some() && self.plan.group),
            Action::SignalHelper(..) => {}
            Action::SignalNamespace(signal) => {
                assert_eq!(self.plan.wait_all, Some(WaitAll::Namespace));
                assert!(signal == Signal::KILL || (self.ended.is_some() && !self.running[1]));
            }
            Action::Start(helper, received) => {
                assert_eq!(self.ended, None);
                assert_eq!(Some(received), self.first_stop);
                self.started[helper as usize] += 1;
                self.told |= helper == Helper::Stop;
                if !self.starts[helper as usize] {
                    return Some(Event::HelperNotStarted(helper));
                }
                self.running[helper as usize] = true;
            }
            Action::Suspend => assert!(matches!(
                event,
                Event::Received(Signal::TSTP | Signal::TTIN | Signal::TTOU)
            )),
            Action::Report(Message::Stopping {
                then: drain_init::drain::Stop::Nothing(_), ..
            }) => {
                self.told = true;
            }
            Action::Report(Message::NotDelivered(signal)) if stops(&signal) => self.told = true,
            Action::Report(_) => {}
            Action::Exit(status) => {
                assert_eq!(Some(status), self.ended, "COMMAND's status, once it has one");
                assert!(!self.running[1], "the stop command still runs");
                self.exited = Some(status);
            }
        }
        None
    }

    /// What the loop does after every wake.
    fn wake(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.feed(event);
        }
        if self.exited.is_none() && self.ended.is_some() && self.running == [false; 2] {
            self.feed(Event::NoChildren);
        }
        if self.exited.is_none() {
            self.feed(Event::Time);
        }
    }

    fn receive(&mut self, signal: Signal) {
        self.wake(None);
        if self.exited.is_some() {
            return;
        }
        if self.plan.stop_signals.contains(signal) && self.ended.is_none() {
            self.first_stop.get_or_insert(signal);
        }
        self.feed(Event::Received(signal));
    }

    fn end_command(&mut self, status: Status) {
        if self.ended.is_none() && self.exited.is_none() {
            self.ended = Some(status);
            self.wake(Some(Event::CommandEnded(status)));
        }
    }

    fn end_helper(&mut self, helper: Helper, status: Status) {
        let runs = std::mem::take(&mut self.running[helper as usize]);
        if runs && self.exited.is_none() {
            self.wake(Some(Event::HelperEnded(helper, status)));
        }
    }
}

/// A plan, then moves, all of them chosen by bytes.
pub fn drain(data: &[u8]) {
    let mut bytes = Bytes(data);
    let plan = bytes.plan();
    let starts = bytes.next();
    let mut world = World {
        drain: Drain::new(plan.clone()),
        plan,
        now: Duration::from_millis(7),
        ended: None,
        running: [false; 2],
        starts: [starts & 1 == 0, starts & 2 == 0],
        started: [0; 2],
        first_stop: None,
        told: false,
        drain_signals: 0,
        kills: 0,
        exited: None,
    };
    while !bytes.0.is_empty() && world.exited.is_none() {
        let status = |byte: u8| match Signal::new(i32::from(byte) - 128) {
            Some(signal) if byte & 1 != 0 => Status::Killed(signal),
            _ => Status::Exited(byte),
        };
        match bytes.next() % 8 {
            0 => world.end_command(status(bytes.next())),
            1 => world.end_helper(Helper::Drain, status(bytes.next())),
            2 => world.end_helper(Helper::Stop, status(bytes.next())),
            3 => {
                world.now += Duration::from_millis(bytes.next().into());
                world.wake(None);
            }
            // Exactly to the deadline, as the loop's wait does.
            4 => {
                if let Some(deadline) = world.drain.deadline().filter(|d| *d < Duration::MAX) {
                    world.now = world.now.max(deadline);
                }
                world.wake(None);
            }
            5 => world.receive(Signal::TERM),
            _ => {
                let signal = bytes.catchable();
                world.receive(signal);
            }
        }
    }
    // Then all takes its course: the drain command ends, every deadline comes.
    world.end_helper(Helper::Drain, Status::Exited(0));
    for _ in 0..3 {
        if world.exited.is_none() {
            let deadline = world.drain.deadline().filter(|deadline| *deadline < Duration::MAX);
            world.now = world.now.max(deadline.unwrap_or(Duration::ZERO));
            world.wake(None);
        }
    }
    let endless = world.plan.delay == Some(Duration::MAX);
    if world.first_stop.is_some() && world.ended.is_none() && !endless {
        assert!(world.told, "the stop signal was lost");
        if world.plan.kill_after.is_some_and(|after| after < Duration::MAX)
            && world.plan.wait_all != Some(WaitAll::Namespace)
        {
            assert_eq!(world.kills, 1, "--kill-after kills once");
        }
    }
    world.end_helper(Helper::Stop, Status::Exited(1));
    world.end_command(Status::Exited(3));
    world.end_helper(Helper::Drain, Status::Exited(0));
    world.end_helper(Helper::Stop, Status::Exited(0));
    assert!(world.exited.is_some() && world.exited == world.ended, "it must end with COMMAND");
    assert!(world.drain_signals <= 1 && world.started[0] <= 1 && world.started[1] <= 1);
}
