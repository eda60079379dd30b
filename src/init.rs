//! The loop: wait for a signal or the deadline, reap, ask the state machine
//! what to do, do it. Allocates nothing.

use core::time::Duration;

use nix::errno::Errno;
use nix::unistd::{self, Pid};

use crate::config::Config;
use crate::drain::{Action, Cause, Drain, Event, Helper, Job, Message, Status, Stop, WaitAll};
use crate::processes::{self, Started};
use crate::report::{Level, Line, Reporter};
use crate::signal::{Signal, SignalSet};
use crate::spawn::{self, Inheritance};
use crate::sys::{self, Reaped};

/// How often what is left of COMMAND's group is looked for: a member's parent may
/// be another living process, to whom its CHLD goes.
const LOOK: Duration = Duration::from_secs(1);

/// The init, once COMMAND has been started.
pub struct Init<'a> {
    /// Decides.
    drain: Drain,
    /// Do what it decides.
    hands: Hands<'a>,
    /// Whether it was said that signals cannot be waited for.
    said: bool,
}

impl<'a> Init<'a> {
    /// An init whose COMMAND was just started.
    #[must_use]
    pub fn new(
        config: &'a Config,
        given: &'a Inheritance,
        reporter: Reporter<'a>,
        command: &spawn::Command,
    ) -> Self {
        let hands = Hands {
            config,
            given,
            reporter,
            command: Started::new(command.pid, config.plan.group),
            has_terminal: command.has_terminal,
            drain_cmd: None,
            stop_cmd: None,
            exit: None,
        };
        Self { drain: Drain::new(config.plan.clone()), hands, said: false }
    }

    /// Runs until COMMAND has ended, and what is to be waited for. Returns
    /// COMMAND's status.
    #[must_use]
    pub fn run(mut self) -> Status {
        let mut received = None;
        loop {
            // Whatever woke us, the dead come first: sigtimedwait hands out the
            // lowest signal, not the oldest, and TERM comes before CHLD. Where
            // another signal woke us and no CHLD waits, nobody has ended: asking
            // that costs less than a look at all the children.
            if received.is_none()
                || sys::pending_signals().is_none_or(|pending| pending.contains(Signal::CHLD))
            {
                self.reap();
            }
            if self.drain.deadline().is_some_and(|deadline| sys::now() >= deadline) {
                self.feed(Event::Time);
            }
            if self.drain.waits_for_group() && !self.hands.is_group_left() {
                self.feed(Event::GroupGone);
            }
            if let Some(status) = self.hands.exit {
                self.hands.take_terminal_back();
                return status;
            }
            if let Some(signal) = received {
                let event = if may_be_the_terminals(signal) && sys::with_terminal(|_| ()).is_some()
                {
                    Event::ReceivedOnTerminal(signal)
                } else {
                    Event::Received(signal)
                };
                self.feed(event);
            }
            received = self.wait();
        }
    }

    /// Sleeps until a signal or the deadline comes. Returns a signal to act on.
    fn wait(&mut self) -> Option<Signal> {
        let deadline = self.drain.deadline();
        let mut timeout = deadline.map(|deadline| deadline.saturating_sub(sys::now()));
        if self.drain.waits_for_group() {
            timeout = Some(timeout.map_or(LOOK, |timeout| timeout.min(LOOK)));
        }
        match sys::wait_for_signal(SignalSet::ALL, timeout) {
            Ok(signal) => Some(signal).filter(|signal| *signal != Signal::CHLD),
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(error) => self.look(error),
        }
    }

    /// Where a filter does not let it wait for a signal, looks whether one has come,
    /// a tenth of a second after the last look.
    #[cold]
    #[inline(never)]
    fn look(&mut self, error: Errno) -> Option<Signal> {
        if !self.said {
            self.said = true;
            self.hands.reporter.say(Level::Error, &|line| {
                line.text(b"cannot wait for signals, will look for them: ").error(error);
            });
        }
        sys::sleep(100);
        // CHLD says nothing: the dead are looked for every time, and must not be
        // lost while it is ignored.
        let signal = sys::pending_signals()?.iter().find(|signal| *signal != Signal::CHLD)?;
        sys::discard(signal);
        Some(signal)
    }

    /// Reaps all that has ended, and lets COMMAND's end count first.
    fn reap(&mut self) {
        let dead = self.hands.reap();
        if let Some(event) = dead.job {
            self.feed(event);
        }
        if let Some(status) = dead.command {
            let group_left = self.drain.asks_for_group() && self.hands.command.is_group_left();
            self.feed(Event::CommandEnded { status, group_left });
        }
        if let Some(status) = dead.drain_cmd {
            self.feed(Event::HelperEnded(Helper::Drain, status));
        }
        if let Some(status) = dead.stop_cmd {
            self.feed(Event::HelperEnded(Helper::Stop, status));
        }
        if dead.any {
            self.feed(Event::Reaped);
        }
        if dead.no_children {
            self.feed(Event::NoChildren);
        }
    }

    /// Tells the state machine what happened, and does what it says.
    fn feed(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.drain.step(event, &sys::now, &mut |action| {
                // Only a start can fail in a way that the machine must know of,
                // and no step has two of them.
                if let Some(failure) = self.hands.carry_out(action) {
                    next = Some(failure);
                }
            });
        }
    }
}

/// Whether a terminal may have sent it, or its job control is about it.
fn may_be_the_terminals(signal: Signal) -> bool {
    signal.is_of_job_control() || matches!(signal, Signal::CONT | Signal::WINCH)
}

/// Who has ended since the last look.
#[derive(Default)]
struct Dead {
    /// Whether COMMAND was stopped or continued before.
    job: Option<Event>,
    command: Option<Status>,
    drain_cmd: Option<Status>,
    stop_cmd: Option<Status>,
    /// Whether anybody has ended.
    any: bool,
    /// Whether no child is left.
    no_children: bool,
}

/// The processes, and what is done to them.
struct Hands<'a> {
    config: &'a Config,
    given: &'a Inheritance,
    reporter: Reporter<'a>,
    command: Started,
    /// Whether COMMAND's group was given the terminal.
    has_terminal: bool,
    drain_cmd: Option<Started>,
    stop_cmd: Option<Started>,
    exit: Option<Status>,
}

impl Hands<'_> {
    /// Reaps all that has ended.
    fn reap(&mut self) -> Dead {
        let mut dead = Dead::default();
        loop {
            let (pid, status) = match sys::reap() {
                Reaped::Child(pid, status) => (pid, status),
                Reaped::Stopped(pid, signal) => {
                    if is_running(Some(&self.command), pid) {
                        dead.job = Some(Event::CommandStopped { signal, job: job(signal) });
                    }
                    continue;
                }
                Reaped::Continued(pid) => {
                    if is_running(Some(&self.command), pid) {
                        dead.job = Some(Event::CommandContinued);
                    }
                    continue;
                }
                Reaped::NoneYet => break,
                Reaped::NoChildren => {
                    dead.no_children = true;
                    break;
                }
            };
            dead.any = true;
            processes::forget(pid);
            if is_running(Some(&self.command), pid) {
                dead.command = Some(status);
            } else if is_running(self.drain_cmd.as_ref(), pid) {
                dead.drain_cmd = Some(status);
            } else if is_running(self.stop_cmd.as_ref(), pid) {
                dead.stop_cmd = Some(status);
            } else {
                self.report_orphan(pid, status);
            }
        }
        if dead.any {
            for (status, started) in [
                (dead.command, Some(&mut self.command)),
                (dead.drain_cmd, self.drain_cmd.as_mut()),
                (dead.stop_cmd, self.stop_cmd.as_mut()),
            ] {
                if let Some(started) = started {
                    if status.is_some() {
                        started.mark_as_reaped();
                    }
                    started.is_group_left();
                }
            }
        }
        dead
    }

    /// Whether somebody is left of COMMAND's group who is no zombie.
    fn is_group_left(&mut self) -> bool {
        self.command.is_group_left() && !processes::is_dead(self.command.pid)
    }

    /// Whoever shares drain-init's group had the terminal before.
    fn take_terminal_back(&self) {
        if self.has_terminal {
            sys::with_terminal(|terminal| {
                if sys::foreground_group(terminal) == Some(self.command.pid) {
                    let _ = sys::set_foreground_group(terminal, unistd::getpgrp());
                }
            });
        }
    }

    fn report_orphan(&self, pid: Pid, status: Status) {
        let level = if self.config.warn_on_reap { Level::Notice } else { Level::Verbose };
        self.reporter.say(level, &|line| {
            line.text(b"reaped the orphan ").pid(pid).text(b", which ").status(status);
        });
    }

    fn carry_out(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Deliver(signal) => {
                let result = self.command.signal(signal);
                self.report_delivery(signal, self.command.by_group, result);
            }
            Action::DeliverToCommand(signal) => {
                let result = self.command.signal_alone(signal);
                self.report_delivery(signal, false, result);
            }
            Action::DeliverToRest { signal, received } => {
                match (self.command.signal(signal), received) {
                    (Err(Errno::ESRCH), None) => {}
                    (Err(Errno::ESRCH), Some(received)) => self.report(Message::Dropped(received)),
                    (result, _) => self.report_delivery(signal, self.command.by_group, result),
                }
            }
            Action::SignalHelper(helper, signal) => {
                let started = match helper {
                    Helper::Drain => &mut self.drain_cmd,
                    Helper::Stop => &mut self.stop_cmd,
                };
                if let Some(started) = started {
                    // Where it is gone there is nothing to do.
                    let _ = started.signal(signal);
                }
            }
            Action::SignalAll { signal, spare_command, spare_drain_cmd } => {
                self.signal_all(signal, spare_command, spare_drain_cmd);
            }
            Action::HandTerminalOn => {
                if !self.command.reaped {
                    sys::with_terminal(|terminal| {
                        if sys::foreground_group(terminal) == Some(unistd::getpgrp()) {
                            let _ = sys::set_foreground_group(terminal, self.command.pid);
                        }
                    });
                }
            }
            Action::ContinueInForeground => {
                let pid = self.command.pid;
                let done = sys::with_terminal(|it| sys::set_foreground_group(it, pid).is_ok());
                if done == Some(true) {
                    let result = self.command.signal(Signal::CONT);
                    self.report_delivery(Signal::CONT, self.command.by_group, result);
                }
            }
            Action::Start(helper, received) => return self.start(helper, received),
            Action::Suspend => {
                // PID 1 would not stop. A STOP takes a CONT that waits out, even
                // where it is ignored; that one came later, and counts.
                let pid = unistd::getpid();
                let continued =
                    || sys::pending_signals().is_some_and(|them| them.contains(Signal::CONT));
                if pid.as_raw() != 1 && !continued() {
                    let _ = sys::kill(pid, Some(Signal::STOP));
                }
            }
            Action::Report(message) => self.report(message),
            Action::Exit(status) => self.exit = Some(status),
        }
        None
    }

    /// Signals whom `--wait-all` is there for.
    fn signal_all(&mut self, signal: Signal, spare_command: bool, spare_drain_cmd: bool) {
        let children = self.config.plan.wait_all == Some(WaitAll::Children);
        let group = |spare: bool, started: Option<&mut Started>| {
            started.filter(|_| spare).and_then(|it| it.is_group_left().then_some(it.pid))
        };
        let spared = [
            group(spare_command, Some(&mut self.command)),
            group(spare_drain_cmd, self.drain_cmd.as_mut()),
        ];
        // From any other process than PID 1 this would reach half of the system.
        let reaches_all = !children && unistd::getpid().as_raw() == 1;
        let at_once = reaches_all && signal == Signal::KILL;
        if at_once || (!processes::tell(signal, children, spared) && reaches_all) {
            let _ = sys::kill(Pid::from_raw(-1), Some(signal));
        }
        let whom: &[u8] = if children { b" to every child" } else { b" to every process" };
        self.reporter.say(Level::Verbose, &|line| {
            line.signal(signal).text(whom);
        });
    }

    /// Starts the drain or stop command; returns the event that it could not be.
    fn start(&mut self, helper: Helper, received: Signal) -> Option<Event> {
        let (cmd, started) = match helper {
            Helper::Drain => (&self.config.drain_cmd, &mut self.drain_cmd),
            Helper::Stop => (&self.config.stop_cmd, &mut self.stop_cmd),
        };
        let cmd = &cmd.as_ref()?.cmd;
        match spawn::helper(cmd, self.given, self.command.pid, received, self.reporter) {
            Ok(pid) => {
                *started = Some(Started::new(pid, true));
                None
            }
            Err(error) => {
                self.reporter.say(Level::Error, &|line| {
                    helper_name(line, helper).text(b" could not be started: ").error(error);
                });
                Some(Event::HelperNotStarted(helper))
            }
        }
    }

    #[inline(always)]
    fn report_delivery(&self, signal: Signal, by_group: bool, result: nix::Result<()>) {
        match result {
            Ok(()) => self.reporter.say(Level::Verbose, &|line| {
                line.text(b"delivered ");
                self.signal_to(line, signal, by_group);
            }),
            Err(error) => self.reporter.say(Level::Notice, &|line| {
                line.text(b"could not deliver ");
                self.signal_to(line, signal, by_group).text(b": ").error(error);
            }),
        }
    }

    /// `TERM to process group 7`.
    fn signal_to_target<'l>(&self, line: &'l mut Line, signal: Signal) -> &'l mut Line {
        self.signal_to(line, signal, self.command.by_group)
    }

    /// `TERM to process group 7`, or to COMMAND alone.
    fn signal_to<'l>(&self, line: &'l mut Line, signal: Signal, by_group: bool) -> &'l mut Line {
        let target: &[u8] = if by_group { b" to process group " } else { b" to process " };
        line.signal(signal).text(target).pid(self.command.pid)
    }

    fn report(&self, message: Message) {
        let level = match message {
            Message::HelperFailed(..) => Level::Error,
            Message::Received(_)
            | Message::NotDelivered(_)
            | Message::HelperSucceeded(_)
            | Message::Ended { step: false, .. } => Level::Verbose,
            _ => Level::Notice,
        };
        self.reporter.say(level, &|line| self.word(line, message));
    }

    fn word(&self, line: &mut Line, message: Message) {
        match message {
            Message::Received(signal) => {
                line.signal(signal).text(b": received");
            }
            Message::NotDelivered(signal) => {
                line.signal(signal).text(b": rewritten to 0, not delivered");
            }
            Message::Draining { received, delay, then } => {
                line.signal(received).text(b": draining ");
                match delay {
                    Some(delay) => line.text(b"for ").duration(delay),
                    None => line.text(b"until the drain command ends"),
                };
                line.text(b", then ");
                match then {
                    Stop::Command => line.text(b"the stop command"),
                    Stop::Signal(signal) => line.signal(signal),
                    Stop::Nothing(signal) => nothing(line, signal),
                };
                line.text(b" (the platform's grace period must be longer)");
            }
            Message::SwallowedDraining(signal) => {
                line.signal(signal).text(b": swallowed, still draining");
            }
            Message::SwallowedStopping(signal) => {
                line.signal(signal).text(b": swallowed, the stop command still runs");
            }
            Message::Stopping { received, drained, then } => {
                match drained {
                    Some(drained) => line.text(b"drained for ").elapsed(drained),
                    None => line.signal(received),
                };
                line.text(b": ");
                match then {
                    Stop::Command => line.text(b"running the stop command"),
                    Stop::Signal(signal) => self.signal_to_target(line, signal),
                    Stop::Nothing(signal) => nothing(line, signal),
                };
            }
            Message::HelperSucceeded(helper) => {
                helper_name(line, helper).text(b" exited with status 0");
            }
            Message::HelperFailed(helper, status) => {
                helper_name(line, helper).text(b" ").status(status);
            }
            Message::DeliveredAfterAll(signal) => {
                line.text(b"the stop command failed: ");
                self.signal_to_target(line, signal).text(b" after all");
            }
            Message::Ended { status, drained, stopped, waits, .. } => {
                line.text(b"process ").pid(self.command.pid).text(b" ").status(status);
                if let Some(drained) = drained {
                    line.text(b", ").elapsed(drained).text(b" into the drain");
                }
                if let Some((cause, elapsed)) = stopped {
                    line.text(b", ").elapsed(elapsed).text(b" after ");
                    match cause {
                        Cause::Signal(signal) => line.signal(signal),
                        Cause::StopCommand => line.text(b"the stop command's start"),
                    };
                }
                if waits {
                    line.text(b"; waiting for what is left of its group");
                }
            }
            Message::DeliveredWithoutDrain(signal, stop_signals) => {
                line.signal(signal)
                    .text(b" was delivered without a drain: the stop signal is ")
                    .signals(stop_signals)
                    .text(b" (see --stop-signal)");
            }
            Message::Killing(after) => {
                line.duration(after).text(b" are over: KILL to what is left (see --kill-after)");
            }
            Message::Dropped(signal) => {
                line.signal(signal).text(b": dropped, process ").pid(self.command.pid);
                line.text(b" has exited and left nobody to deliver it to");
            }
        }
    }
}

/// Who can continue a COMMAND that this signal has stopped, if a terminal's job
/// control did it.
fn job(signal: Signal) -> Option<Job> {
    if !signal.is_of_job_control() {
        return None;
    }
    let own_pid = unistd::getpid();
    let alone = own_pid.as_raw() == 1 || unistd::getsid(None) == Ok(own_pid);
    sys::with_terminal(|terminal| {
        // A shell that brings a running job to the foreground sends no CONT.
        let brought = || sys::foreground_group(terminal) == Some(unistd::getpgrp());
        if alone || (signal != Signal::TSTP && brought()) { Job::Own } else { Job::Shells }
    })
}

/// Whether that is the process, and it has not been reaped before.
fn is_running(started: Option<&Started>, pid: Pid) -> bool {
    started.is_some_and(|started| started.pid == pid && !started.reaped)
}

fn helper_name(line: &mut Line, helper: Helper) -> &mut Line {
    line.text(match helper {
        Helper::Drain => b"the drain command",
        Helper::Stop => b"the stop command",
    })
}

fn nothing(line: &mut Line, signal: Signal) -> &mut Line {
    line.text(b"nothing, as ").signal(signal).text(b" is rewritten to 0")
}
