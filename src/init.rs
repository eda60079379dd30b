//! The loop: wait for a signal or the deadline, reap, ask the state machine
//! what to do, do it. Allocates nothing.

use core::time::Duration;

use nix::errno::Errno;
use nix::unistd;

use crate::config::Config;
use crate::drain::{Action, Drain, Event, Helper, Message, WaitAll};
use crate::processes::{Ended, JobChange, Processes, Started};
use crate::report::{Level, Reporter};
use crate::signal::{Signal, SignalSet};
use crate::spawn::{self, Inheritance};
use crate::status::Status;
use crate::sys;
use crate::terminal;
use crate::wording::{self, Target};

/// How often what is left of COMMAND's group is looked for: a member's parent may
/// be another living process, to whom its CHLD goes.
const LOOK: Duration = Duration::from_secs(1);

/// The init, once COMMAND has been started.
pub struct Init<'a> {
    /// The state machine, which decides and does nothing.
    drain: Drain,
    /// What carries its decisions out.
    executor: Executor<'a>,
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
        let started = Started::new(command.pid, config.plan.group);
        let executor = Executor {
            config,
            given,
            reporter,
            processes: Processes::new(started),
            has_terminal: command.has_terminal,
            job_is_stopped: false,
            exit: None,
        };
        Self { drain: Drain::new(config.plan.clone()), executor, said: false }
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
                self.feed(Event::Time, sys::now());
            }
            if self.drain.waits_for_group() && !self.executor.processes.is_group_left() {
                self.feed(Event::GroupGone, sys::now());
            }
            if let Some(status) = self.executor.exit {
                self.executor.take_terminal_back();
                return status;
            }
            if let Some(signal) = received {
                let event = if terminal::may_have_sent(signal) {
                    Event::ReceivedOnTerminal(signal)
                } else {
                    Event::Received(signal)
                };
                self.feed(event, sys::now());
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
            self.executor.reporter.say(Level::Error, &|line| {
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
        let ended = self.executor.reap();
        if let Some(change) = ended.job {
            let event = match change {
                JobChange::Stopped(signal) => {
                    // Nobody has to continue a job that is no more.
                    let runs = ended.command.is_none();
                    let job = runs.then(|| terminal::job(signal)).flatten();
                    Event::CommandStopped { signal, job }
                }
                JobChange::Continued => Event::CommandContinued,
            };
            self.feed(event, sys::now());
        }
        // That no child is left was said when the last one ended.
        if !ended.any {
            return;
        }
        let now = sys::now();
        if let Some(status) = ended.command {
            let group_left = self.executor.processes.command.is_group_left();
            self.feed(Event::CommandEnded { status, group_left }, now);
        }
        if let Some(status) = ended.drain_cmd {
            self.feed(Event::HelperEnded(Helper::Drain, status), now);
        }
        if let Some(status) = ended.stop_cmd {
            self.feed(Event::HelperEnded(Helper::Stop, status), now);
        }
        self.feed(Event::Reaped, now);
        if ended.no_children {
            self.feed(Event::NoChildren, now);
        }
    }

    /// Tells the state machine what happened, and does what it says.
    fn feed(&mut self, event: Event, now: Duration) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.drain.step(event, now, &mut |action| {
                // Only a start can fail in a way that the machine must know of,
                // and no step has two of them.
                if let Some(failure) = self.executor.carry_out(action) {
                    next = Some(failure);
                }
            });
        }
    }
}

/// Carries out what the state machine decides.
struct Executor<'a> {
    config: &'a Config,
    given: &'a Inheritance,
    reporter: Reporter<'a>,
    processes: Processes,
    /// Whether COMMAND's group was given the terminal.
    has_terminal: bool,
    /// Whether a terminal's job control has stopped COMMAND.
    job_is_stopped: bool,
    /// What to exit with, once that is decided.
    exit: Option<Status>,
}

impl Executor<'_> {
    fn reap(&mut self) -> Ended {
        let (config, reporter) = (self.config, self.reporter);
        let ended = self.processes.reap(&|pid, status| {
            let level = if config.warn_on_reap { Level::Notice } else { Level::Verbose };
            reporter.say(level, &|line| {
                line.text(b"reaped the orphan ").pid(pid).text(b", which ").status(status);
            });
        });
        if let Some(JobChange::Stopped(signal)) = ended.job {
            self.job_is_stopped = signal.is_of_job_control();
        }
        ended
    }

    /// Whoever shares drain-init's group had the terminal before.
    fn take_terminal_back(&self) {
        if self.has_terminal {
            terminal::pass(self.processes.command.pid, unistd::getpgrp());
        }
    }

    /// Returns the event that something could not be done of which the state
    /// machine must know.
    fn carry_out(&mut self, action: Action) -> Option<Event> {
        let command = &mut self.processes.command;
        match action {
            Action::Deliver(signal) => {
                // The terminal has stopped the whole group: all of it goes on.
                let whole = signal == Signal::CONT && core::mem::take(&mut self.job_is_stopped);
                let by_group = whole || command.by_group;
                let result = command.signal(signal, by_group);
                self.report_delivery(signal, Target { by_group, ..self.target() }, result);
            }
            Action::DeliverToCommand(signal) => {
                let result = command.signal(signal, false);
                self.report_delivery(signal, Target { by_group: false, ..self.target() }, result);
            }
            Action::DeliverToRest { signal, received } => {
                match (command.signal(signal, command.by_group), received) {
                    (Err(Errno::ESRCH), None) => {}
                    (Err(Errno::ESRCH), Some(received)) => self.report(Message::Dropped(received)),
                    (result, _) => self.report_delivery(signal, self.target(), result),
                }
            }
            Action::SignalHelper(helper, signal) => {
                if let Some(started) = self.helper(helper) {
                    // Where it is gone there is nothing to do.
                    let _ = started.signal(signal, true);
                }
            }
            Action::SignalAll { signal, spare_command, spare_drain_cmd } => {
                let children = self.config.plan.wait_all == Some(WaitAll::Children);
                self.processes.tell_all(signal, children, [spare_command, spare_drain_cmd]);
                let whom: &[u8] = if children { b" to every child" } else { b" to every process" };
                self.reporter.say(Level::Verbose, &|line| {
                    line.signal(signal).text(whom);
                });
            }
            Action::HandTerminalOn => {
                if !command.reaped {
                    terminal::pass(unistd::getpgrp(), command.pid);
                }
            }
            Action::ContinueInForeground => {
                if terminal::give_to(command.pid) {
                    return self.carry_out(Action::Deliver(Signal::CONT));
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

    /// Starts the drain or stop command; returns the event that it could not be.
    fn start(&mut self, helper: Helper, received: Signal) -> Option<Event> {
        let cmd = match helper {
            Helper::Drain => &self.config.drain_cmd,
            Helper::Stop => &self.config.stop_cmd,
        };
        let (cmd, command) = (&cmd.as_ref()?.cmd, self.processes.command.pid);
        match spawn::start_helper(cmd, self.given, command, received, self.reporter) {
            Ok(pid) => {
                *self.helper(helper) = Some(Started::new(pid, true));
                None
            }
            Err(error) => {
                self.reporter.say(Level::Error, &|line| {
                    wording::helper_name(line, helper)
                        .text(b" could not be started: ")
                        .error(error);
                });
                Some(Event::HelperNotStarted(helper))
            }
        }
    }

    /// The drain or stop command, if it was started.
    const fn helper(&mut self, helper: Helper) -> &mut Option<Started> {
        match helper {
            Helper::Drain => &mut self.processes.drain_cmd,
            Helper::Stop => &mut self.processes.stop_cmd,
        }
    }

    const fn target(&self) -> Target {
        let command = &self.processes.command;
        Target { pid: command.pid, by_group: command.by_group }
    }

    fn report_delivery(&self, signal: Signal, target: Target, result: nix::Result<()>) {
        match result {
            Ok(()) => self.reporter.say(Level::Verbose, &|line| {
                wording::signal_to(line.text(b"delivered "), signal, target);
            }),
            Err(error) => self.reporter.say(Level::Notice, &|line| {
                line.text(b"could not deliver ");
                wording::signal_to(line, signal, target).text(b": ").error(error);
            }),
        }
    }

    fn report(&self, message: Message) {
        let target = self.target();
        self.reporter.say(wording::level(message), &|line| {
            wording::describe(line, message, target);
        });
    }
}
