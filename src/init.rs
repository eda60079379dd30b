//! The loop: wait for a signal or the deadline, reap, ask the state machine what to do,
//! and do it. It takes no memory from the allocator.

use nix::errno::Errno;
use nix::unistd;

use crate::config::Config;
use crate::drain::{Action, Drain, Event, Helper, Message, Target, WaitAll};
use crate::mark;
use crate::measure::Series;
use crate::processes::{self, Child, Processes, Remaining};
use crate::report::Level;
use crate::signal::{Signal, SignalSet};
use crate::spawn::{self, Inheritance};
use crate::status::Status;
use crate::sys::{self, Change};
use crate::terminal;
use crate::time::Duration;
use crate::wording;

/// How often the remaining processes are checked, and `--wait-all` looks for further ones. A
/// member's CHLD can go to another living process, and an orphan can be adopted without one.
const GROUP_POLL: Duration = Duration::from_secs(1);

/// How long to sleep between checks if signals cannot be waited for, in milliseconds.
const SIGNAL_POLL: i32 = 100;

/// The init, once COMMAND has been started.
struct Init<'a> {
    /// The state machine, which decides and does nothing.
    drain: Drain,
    /// What carries its decisions out.
    executor: Executor<'a>,
    /// When [`Event::Scan`] is due, if it is wanted.
    scan_due: Duration,
    /// Whether it was reported that signals cannot be waited for.
    said: bool,
}

/// Runs until COMMAND and all else to wait for have exited. Returns COMMAND's status.
pub fn run(config: &Config, given: &Inheritance, command: &spawn::Command) -> Status {
    let executor = Executor {
        config,
        given,
        processes: Processes::new(Child::new(command.pid)),
        series: Series::new(),
        has_terminal: command.has_terminal,
        exit: None,
    };
    let drain = Drain::new(config.plan.clone());
    Init { drain, executor, scan_due: Duration::ZERO, said: false }.run()
}

impl Init<'_> {
    fn run(mut self) -> Status {
        let mut received = None;
        loop {
            // Exited children come first: sigtimedwait returns the lowest signal, not
            // the oldest, and so TERM before CHLD. If another signal woke us and no CHLD
            // is pending, no child has exited; to ask that is cheaper than a waitpid.
            let may_reap = received.is_none()
                || sys::pending_signals().is_none_or(|pending| pending.contains(Signal::CHLD));
            let reaped = may_reap && self.handle_exits();
            if let Some(deadline) = self.drain.deadline() {
                let now = sys::now();
                if now >= deadline {
                    self.feed(Event::Time, now);
                }
            }
            if self.drain.waiting_for().group {
                self.check_group();
            }
            if self.drain.signals_all() {
                let now = sys::now();
                if reaped || now >= self.scan_due {
                    self.scan_due = now.saturating_add(GROUP_POLL);
                    self.feed(Event::Scan, now);
                }
            }
            if let Some(status) = self.executor.exit {
                if self.executor.has_terminal {
                    // drain-init's own group may be a script's, which continues now.
                    terminal::pass(self.executor.processes.command.pid, unistd::getpgrp());
                }
                return status;
            }
            if let Some(signal) = received {
                let about_terminal = terminal::may_have_sent(signal);
                self.feed(Event::Received { signal, about_terminal }, sys::now());
            }
            received = self.wait();
        }
    }

    /// Sleeps until a signal or the deadline comes. Returns a signal to act on.
    fn wait(&mut self) -> Option<Signal> {
        let deadline = self.drain.deadline();
        let mut timeout = deadline.map(|deadline| deadline.saturating_sub(sys::now()));
        if self.drain.waiting_for().group || self.drain.signals_all() {
            timeout = Some(timeout.map_or(GROUP_POLL, |timeout| timeout.min(GROUP_POLL)));
        }
        match sys::wait_for_signal(SignalSet::ALL, timeout) {
            Ok(signal) => Some(signal).filter(|signal| *signal != Signal::CHLD),
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(error) => self.poll_for_signal(error),
        }
    }

    /// Sleeps, then takes a pending signal, because a filter refuses to wait for one.
    #[cold]
    #[inline(never)]
    fn poll_for_signal(&mut self, error: Errno) -> Option<Signal> {
        sys::sleep(SIGNAL_POLL);
        // Every check reaps. Ignoring CHLD would lose the status of a child that exits meanwhile.
        let taken = if let Some(pending) = sys::pending_signals() {
            let signal = pending.iter().find(|signal| *signal != Signal::CHLD);
            signal.ok_or(Errno::EAGAIN).inspect(|&signal| sys::discard(signal))
        } else {
            sys::take_signal_by_descriptor()
        };
        let is_refused = taken.is_err_and(|error| error != Errno::EAGAIN);
        if !core::mem::replace(&mut self.said, true) {
            let what = if is_refused { wording::CANNOT_RECEIVE } else { wording::CANNOT_WAIT };
            self.executor
                .given
                .reporter
                .say(Level::Error, &|line| wording::because(line, what, error));
        }
        taken.ok().filter(|signal| *signal != Signal::CHLD)
    }

    /// Reaps every exited child, and handles COMMAND's exit first. Returns whether any was reaped.
    fn handle_exits(&mut self) -> bool {
        let Executor { config, given, processes, .. } = &mut self.executor;
        let summary = processes.reap(&|pid, status| {
            let level = if config.warn_on_reap { Level::Notice } else { Level::Verbose };
            given.reporter.say(level, &|line| wording::reaped_orphan(line, pid, status));
        });
        if !summary.any && summary.job.is_none() && summary.member_suspended.is_none() {
            return false;
        }
        let now = sys::now();
        match summary.job {
            Some(Change::Suspended(signal)) => {
                // After its end there is nothing to continue.
                let runs = summary.command.is_none();
                let continuer = runs.then(|| terminal::continuer(signal)).flatten();
                self.feed(Event::Suspended { signal, continuer }, now);
            }
            Some(Change::Continued) => self.feed(Event::CommandContinued, now),
            _ => {}
        }
        if let Some(status) = summary.command {
            let group_remains = self.executor.processes.command.group().is_some();
            self.feed(Event::CommandExited { status, group_remains }, now);
        }
        if let Some(signal) = summary.member_suspended {
            let continuer = terminal::continuer(signal);
            self.feed(Event::Suspended { signal, continuer }, now);
        }
        for helper in [Helper::Drain, Helper::Stop] {
            if let Some(status) = summary.helpers[helper as usize] {
                self.feed(Event::HelperEnded(helper, Some(status)), now);
            }
        }
        // It follows the last exit, and not each wake after it.
        if summary.any && summary.no_children {
            self.feed(Event::NoChildren, now);
        }
        summary.any
    }

    /// Checks what remains of COMMAND's group.
    fn check_group(&mut self) {
        let sent = self.drain.sent_to_group();
        let remaining = self.executor.processes.remaining(sent);
        let (event, needs_proof) = match remaining {
            Remaining::Running => return,
            Remaining::Gone => (Event::GroupGone, false),
            Remaining::Forbidden => (Event::GroupForbidden, false),
            Remaining::Zombies(_) => (Event::GroupGone, true),
            Remaining::Ignoring(_) => (Event::GroupIgnores, true),
        };
        if needs_proof {
            self.handle_exits();
            // After KILL, /proc may hide only what is about to exit.
            let is_proof = self.executor.processes.remaining(sent) == remaining
                && (self.drain.was_killed() || processes::proc_lists_all());
            if !is_proof {
                return;
            }
        }
        self.feed(event, sys::now());
    }

    /// Tells the state machine what happened, and does what it says.
    fn feed(&mut self, event: Event, now: Duration) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.drain.step(event, now, &mut |action| {
                // Only a start can fail in a way that matters, and no step has two of them.
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
    processes: Processes,
    /// The figures of `--measure-drain`.
    series: Series,
    /// Whether COMMAND's group was given the terminal.
    has_terminal: bool,
    /// What to exit with, once that is decided.
    exit: Option<Status>,
}

impl Executor<'_> {
    /// Does what an action says. Returns the event that follows if a helper cannot be started.
    fn carry_out(&mut self, action: Action) -> Option<Event> {
        let command = &mut self.processes.command;
        match action {
            Action::Send(signal, target) => {
                let result = match target {
                    Target::Process => command.signal(signal),
                    Target::Group => command.signal_group(signal),
                };
                self.report_sent(signal, target, result);
            }
            Action::SendToRemaining { signal, received } => {
                match (command.signal_group(signal), received) {
                    (Err(Errno::ESRCH), None) => {}
                    (Err(Errno::ESRCH), Some(received)) => self.report(Message::Dropped(received)),
                    (result, _) => self.report_sent(signal, Target::Group, result),
                }
            }
            Action::SendToHelper(helper, signal) => {
                if let Some(child) = &mut self.processes.helpers[helper as usize] {
                    // It may have exited.
                    let _ = child.signal_group(signal);
                }
            }
            Action::SendToAll(sent) => {
                let children = self.config.plan.wait_all == Some(WaitAll::Children);
                if self.processes.signal_all(sent, children) {
                    self.given.reporter.say(Level::Verbose, &|line| {
                        wording::sent_to_all(line, sent.signal, children)
                    });
                }
            }
            Action::PassTerminal => {
                if let Some(group) = command.group() {
                    terminal::pass(unistd::getpgrp(), group);
                }
            }
            Action::ContinueInForeground => {
                if terminal::give_to(command.pid) {
                    return self.carry_out(Action::Send(Signal::CONT, Target::Group));
                }
            }
            Action::Start(helper, received) => return self.start(helper, received),
            Action::CreateDrainFile => {
                if let Some(file) = self.config.drain_file {
                    mark::create(file.value, self.given.reporter);
                }
            }
            Action::Measure(step) => self.series.measure(step, self.given.reporter),
            Action::SuspendSelf => {
                // PID 1 cannot be suspended. If a CONT is pending, it came later than the signal
                // that asked for this, and STOP would discard it.
                let pid = unistd::getpid();
                if pid.as_raw() != 1
                    && !sys::pending_signals().is_some_and(|them| them.contains(Signal::CONT))
                {
                    let _ = sys::kill(pid, Some(Signal::STOP));
                }
            }
            Action::Report(message) => self.report(message),
            Action::Exit(status) => self.exit = Some(status),
        }
        None
    }

    /// Starts the drain or stop command. Returns the event that follows if that fails.
    fn start(&mut self, helper: Helper, received: Signal) -> Option<Event> {
        let cmd = match helper {
            Helper::Drain => &self.config.drain_cmd,
            Helper::Stop => &self.config.stop_cmd,
        };
        let (cmd, command) = (&cmd.as_ref()?.value, self.processes.command.pid);
        match spawn::start_helper(cmd, self.given, command, received) {
            Ok(pid) => {
                self.processes.helpers[helper as usize] = Some(Child::new(pid));
                None
            }
            Err(error) => {
                self.given
                    .reporter
                    .say(Level::Error, &|line| wording::cannot_start(line, helper, error));
                Some(Event::HelperEnded(helper, None))
            }
        }
    }

    fn report_sent(&self, signal: Signal, target: Target, result: nix::Result<()>) {
        let level = if result.is_ok() { Level::Verbose } else { Level::Notice };
        let to = (target, self.processes.command.pid);
        self.given.reporter.say(level, &|line| wording::sent(line, signal, to, result));
    }

    fn report(&self, message: Message) {
        let target = if self.config.plan.group { Target::Group } else { Target::Process };
        let to = (target, self.processes.command.pid);
        self.given
            .reporter
            .say(wording::level(message), &|line| wording::describe(line, message, to));
    }
}
