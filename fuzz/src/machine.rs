//! The state machine in a world that plays by the loop's rules: any plan, any
//! order of signals, ends and time. The rules themselves are those of the
//! exhaustive search among the unit tests, which knows fewer plans and every
//! order.

use std::time::Duration;

use drain_init::drain::{Action, Drain, Event, Helper, Job, Message, Plan, WaitAll};
use drain_init::signal::{Rewrites, Signal, SignalSet};
use drain_init::status::Status;

#[path = "../../src/drain/world.rs"]
#[allow(dead_code, reason = "the search looks closer at the states")]
mod world;

use world::{COMMAND, DRAIN_CMD, Move, STOP_CMD, Turn, World};

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

    fn status(&mut self) -> Status {
        let byte = self.next();
        match Signal::new(i32::from(byte) - 128) {
            Some(signal) if byte & 1 != 0 => Status::Killed(signal),
            _ => Status::Exited(byte),
        }
    }

    /// Who ends, of those who are there; all before the next look.
    fn ends(&mut self, world: &World) -> Move {
        let who = self.next();
        let mut end =
            |bit: u8, whom: usize| (who & bit != 0 && world.who[whom].alive).then(|| self.status());
        Move::End {
            command: end(1, COMMAND),
            drain_cmd: end(2, DRAIN_CMD),
            stop_cmd: end(4, STOP_CMD),
            rest: who & 8 != 0,
            others: who & 16 != 0,
        }
    }

    /// Whoever stops COMMAND, with STOP or from a terminal.
    fn suspends(&mut self, world: &World) -> Move {
        let byte = self.next();
        let signals = [Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU];
        let signal = signals[usize::from(byte % 4)];
        let job = if byte & 4 != 0 { Job::Own } else { Job::Shells };
        let by_terminal = world.on_terminal && signal.is_of_job_control();
        Move::Suspend(signal, by_terminal.then_some(job))
    }

    fn turn(&mut self, world: &World) -> Turn {
        let choice = self.next();
        let alive = world.who[COMMAND].alive;
        let what = match choice % 8 {
            0 => self.ends(world),
            1 => Move::Adopt,
            2 if alive => self.suspends(world),
            3 if alive => Move::Continue,
            4 => Move::Receive(Signal::TERM),
            5 => Move::Receive(self.catchable()),
            _ => Move::Nothing,
        };
        let passed = match choice >> 3 & 3 {
            0 => Duration::from_millis(self.next().into()),
            // Exactly to the deadline, as the loop's wait does.
            1 => {
                let deadline = world.drain.deadline().filter(|at| *at < Duration::MAX);
                deadline.unwrap_or(world.now).saturating_sub(world.now)
            }
            _ => Duration::from_millis(1),
        };
        let (drain_cmd_fails, stop_cmd_fails) = (choice & 64 != 0, choice & 128 != 0);
        Turn { passed, what, drain_cmd_fails, stop_cmd_fails }
    }
}

/// A plan, a world, then turns, all of them chosen by bytes.
pub fn drain(data: &[u8]) {
    let mut bytes = Bytes(data);
    let plan = bytes.plan();
    let around = bytes.next();
    let [on_terminal, rest, others] = [1, 2, 4].map(|bit| around & bit != 0);
    let mut world = World::new(&plan, on_terminal, rest, others);
    let mut turns = vec![];
    while !bytes.0.is_empty() && world.exited.is_none() {
        let turn = bytes.turn(&world);
        turns.push(turn);
        if let Err(sentence) = world.play(turn) {
            panic!("not kept: {sentence}\n{plan:?}\n{turns:?}");
        }
    }
    if world.exited.is_none()
        && let Err(sentence) = world.it_can_always_exit()
    {
        panic!("not kept: {sentence}\n{plan:?}\n{turns:?}, then everybody ends");
    }
}
