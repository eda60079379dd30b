//! The loop: wait for a signal or the deadline, reap, ask the state machine
//! what to do, do it. Allocates nothing.

use nix::errno::Errno;
use nix::unistd::{self, Pid};

use crate::config::Config;
use crate::drain::{Action, Cause, Drain, Event, Helper, Message, Status, Stop};
use crate::report::{Level, Line, Reporter};
use crate::signal::{Signal, SignalSet};
use crate::spawn::{self, Inheritance};
use crate::sys::{self, Reaped};

/// A process that drain-init started, and the group that it leads, if so.
struct Started {
    pid: Pid,
    leads_group: bool,
    reaped: bool,
    /// Whether its group was once seen to be gone: from then on its number may
    /// be another's.
    gone: bool,
}

impl Started {
    const fn new(pid: Pid, leads_group: bool) -> Self {
        Self { pid, leads_group, reaped: false, gone: false }
    }

    /// Notes whether it was reaped: then its number stays its own only as its
    /// group's, which may be gone by now.
    fn note(&mut self, reaped: bool) {
        if reaped {
            self.reaped = true;
            self.gone = !self.leads_group;
        }
        self.look_for_group();
    }

    /// Notes where nothing is left of the group that it led.
    fn look_for_group(&mut self) {
        if self.reaped && !self.gone {
            self.gone = sys::kill(self.group(), None) == Err(Errno::ESRCH);
        }
    }

    /// The group, as kill(2) takes it.
    fn group(&self) -> Pid {
        Pid::from_raw(-self.pid.as_raw())
    }

    /// Signals the group, or the process where it leads none.
    #[inline(always)]
    fn signal(&mut self, signal: Signal) -> nix::Result<()> {
        self.look_for_group();
        if self.gone {
            return Err(Errno::ESRCH);
        }
        if !self.leads_group {
            return sys::kill(self.pid, Some(signal));
        }
        match sys::kill(self.group(), Some(signal)) {
            // Between fork and setsid there is no group yet. The signal waits
            // in the child, which has blocked it, for the exec.
            Err(Errno::ESRCH) if !self.reaped => sys::kill(self.pid, Some(signal)),
            done => done,
        }
    }

    /// Signals the process alone.
    fn signal_alone(&self, signal: Signal) -> nix::Result<()> {
        if self.reaped {
            return Err(Errno::ESRCH);
        }
        sys::kill(self.pid, Some(signal))
    }
}

/// The init, once COMMAND has been started.
pub struct Init<'a> {
    /// Decides.
    drain: Drain,
    /// Do what it decides.
    hands: Hands<'a>,
}

impl<'a> Init<'a> {
    /// An init whose COMMAND has that process ID.
    #[must_use]
    pub fn new(
        config: &'a Config,
        given: &'a Inheritance,
        reporter: Reporter<'a>,
        command: Pid,
    ) -> Self {
        let hands = Hands {
            config,
            given,
            reporter,
            command: Started::new(command, config.plan.group),
            drain_cmd: None,
            stop_cmd: None,
            exit: None,
        };
        Self { drain: Drain::new(config.plan.clone()), hands }
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
            if let Some(status) = self.hands.exit {
                return status;
            }
            if let Some(signal) = received {
                self.feed(Event::Received(signal));
            }
            received = self.wait();
        }
    }

    /// Sleeps until a signal or the deadline comes. Returns a signal to act on.
    fn wait(&self) -> Option<Signal> {
        let deadline = self.drain.deadline();
        let timeout = deadline.map(|deadline| deadline.saturating_sub(sys::now()));
        match sys::wait_for_signal(SignalSet::ALL, timeout) {
            Ok(signal) => Some(signal).filter(|signal| *signal != Signal::CHLD),
            Err(_) => None,
        }
    }

    /// Reaps all that has ended, and lets COMMAND's end count first.
    fn reap(&mut self) {
        let dead = self.hands.reap();
        if let Some(status) = dead.command {
            self.feed(Event::CommandEnded(status));
        }
        if let Some(status) = dead.drain_cmd {
            self.feed(Event::HelperEnded(Helper::Drain, status));
        }
        if let Some(status) = dead.stop_cmd {
            self.feed(Event::HelperEnded(Helper::Stop, status));
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

/// Who has ended since the last look.
struct Dead {
    command: Option<Status>,
    drain_cmd: Option<Status>,
    stop_cmd: Option<Status>,
    /// Whether no child is left.
    no_children: bool,
}

/// The processes, and what is done to them.
struct Hands<'a> {
    config: &'a Config,
    given: &'a Inheritance,
    reporter: Reporter<'a>,
    command: Started,
    drain_cmd: Option<Started>,
    stop_cmd: Option<Started>,
    exit: Option<Status>,
}

impl Hands<'_> {
    /// Reaps all that has ended.
    fn reap(&mut self) -> Dead {
        let mut dead = Dead { command: None, drain_cmd: None, stop_cmd: None, no_children: false };
        let mut reaped_any = false;
        loop {
            let (pid, status) = match sys::reap() {
                Reaped::Child(pid, status) => (pid, status),
                Reaped::NoneYet => break,
                Reaped::NoChildren => {
                    dead.no_children = true;
                    break;
                }
            };
            reaped_any = true;
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
        if reaped_any {
            for (status, started) in [
                (dead.command, Some(&mut self.command)),
                (dead.drain_cmd, self.drain_cmd.as_mut()),
                (dead.stop_cmd, self.stop_cmd.as_mut()),
            ] {
                if let Some(started) = started {
                    started.note(status.is_some());
                }
            }
        }
        dead
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
                self.report_delivery(signal, result);
            }
            Action::DeliverToCommand(signal) => {
                let result = self.command.signal_alone(signal);
                self.report_delivery(signal, result);
            }
            Action::DeliverToRest { signal, received } => {
                match (self.command.signal(signal), received) {
                    (Err(Errno::ESRCH), None) => {}
                    (Err(Errno::ESRCH), Some(received)) => self.report(Message::Dropped(received)),
                    (result, _) => self.report_delivery(signal, result),
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
            Action::SignalNamespace(signal) => {
                // From any other process this would reach half of the system.
                if unistd::getpid().as_raw() == 1 {
                    let _ = sys::kill(Pid::from_raw(-1), Some(signal));
                    self.reporter.say(Level::Verbose, &|line| {
                        line.signal(signal).text(b" to every process");
                    });
                }
            }
            Action::Start(helper, received) => return self.start(helper, received),
            Action::Suspend => {
                // PID 1 would not stop, and yet a CONT that waits would be
                // lost: a STOP takes it out even where it is ignored.
                let pid = unistd::getpid();
                if pid.as_raw() != 1 {
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
    fn report_delivery(&self, signal: Signal, result: nix::Result<()>) {
        match result {
            Ok(()) => self.reporter.say(Level::Verbose, &|line| {
                line.text(b"delivered ");
                self.signal_to_target(line, signal);
            }),
            Err(error) => self.reporter.say(Level::Notice, &|line| {
                line.text(b"could not deliver ");
                self.signal_to_target(line, signal).text(b": ").error(error);
            }),
        }
    }

    /// `TERM to process group 7`.
    fn signal_to_target<'l>(&self, line: &'l mut Line, signal: Signal) -> &'l mut Line {
        let target: &[u8] =
            if self.command.leads_group { b" to process group " } else { b" to process " };
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
            Message::Ended { status, drained, stopped, .. } => {
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
