//! What to do when: the state machine of a stop.
//!
//! Pure: an event and the time go in, actions come out. It makes no system call and
//! allocates nothing. A new system call is an [`Action`], which `init.rs` carries out with
//! `sys`; a new message is a [`Message`], whose text is in `wording.rs`. Times are [`Duration`]s since a fixed moment.
//!
//! ```text
//! Running ─ stop signal ─► Draining ─ drain ends ─► Stopping ─ COMMAND exits ─► Ended ─► exit
//! ```
//!
//! The manual page's section STOP SEQUENCE has the table of states and events.

use crate::signal::{Rewrites, Signal, SignalSet};
use crate::status::Status;
use crate::time::Duration;

/// If COMMAND exits this soon after a signal that bypassed the drain, the sender probably
/// meant that signal to stop it, which is reported.
const SOON: Duration = Duration::from_secs(10);

/// What the command line asks of a stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Plan {
    /// `--delay-term`. Never zero.
    pub delay: Option<Duration>,
    /// `--drain-signal`.
    pub drain_signal: Option<Signal>,
    /// Whether there is a `--drain-file`.
    pub drain_file: bool,
    /// Whether there is a `--drain-cmd`.
    pub drain_cmd: bool,
    /// `--measure-drain`.
    pub measure: bool,
    /// Whether there is a `--stop-cmd`.
    pub stop_cmd: bool,
    /// `--kill-after`. Never zero.
    pub kill_after: Option<Duration>,
    /// `--stop-signal`.
    pub stop_signals: SignalSet,
    /// `--rewrite`.
    pub rewrites: Rewrites,
    /// Whether signals go to COMMAND's process group: not with `--single-child`.
    pub group: bool,
    /// `--wait-all`.
    pub wait_all: Option<WaitAll>,
}

/// Which processes `--wait-all` stops before it waits for every child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitAll {
    /// As PID 1, every process of the PID namespace.
    Namespace,
    /// Otherwise every child, including those that it adopts later.
    Children,
}

impl Plan {
    /// Whether a stop signal starts a drain.
    #[must_use]
    pub const fn drains(&self) -> bool {
        self.drain_lasts() || self.drain_signal.is_some() || self.drain_file || self.stop_cmd
    }

    /// Whether something holds the stop back. Otherwise a drain ends at once.
    #[must_use]
    pub const fn drain_lasts(&self) -> bool {
        self.delay.is_some() || self.drain_cmd
    }
}

/// A command that drain-init runs during a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// The drain command.
    Drain,
    /// The stop command.
    Stop,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A signal was received. Never CHLD.
    Received {
        /// The signal.
        signal: Signal,
        /// Whether it is about the controlling terminal: TSTP, TTIN, TTOU, CONT or
        /// WINCH, and drain-init has a controlling terminal.
        about_terminal: bool,
    },
    /// Time has passed, and a deadline with it.
    Time,
    /// COMMAND has exited and was reaped.
    CommandExited {
        /// How.
        status: Status,
        /// Whether its process group has members.
        group_remains: bool,
    },
    /// COMMAND was suspended by a signal.
    CommandSuspended {
        /// The signal.
        signal: Signal,
        /// What can continue it. `None` if no terminal's job control suspended it.
        continuer: Option<Continuer>,
    },
    /// COMMAND was continued.
    CommandContinued,
    /// After COMMAND's exit, another member of its group was suspended by a signal.
    MemberSuspended {
        /// The signal.
        signal: Signal,
        /// As above.
        continuer: Option<Continuer>,
    },
    /// COMMAND's group is gone.
    GroupGone,
    /// COMMAND's group has members, none of which drain-init may signal.
    GroupForbidden,
    /// Every remaining member of COMMAND's group ignores all of the signals that
    /// [`Drain::sent_to_group`] returns.
    GroupIgnores,
    /// A drain or stop command has exited and was reaped.
    HelperExited(Helper, Status),
    /// A drain or stop command could not be started. That was reported.
    HelperNotStarted(Helper),
    /// It is time to look for further processes: a child was reaped, or a second has passed
    /// since the last time.
    Scan,
    /// No child remains.
    NoChildren,
}

/// What can continue a job that a terminal has suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuer {
    /// Only drain-init.
    Init,
    /// The shell that started drain-init.
    Shell,
}

/// Which of COMMAND's processes a signal goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// COMMAND alone.
    Command,
    /// COMMAND's process group.
    Group,
}

/// A step of measuring a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The drain begins.
    Begin,
    /// No figure was taken for so many seconds, because drain-init woke late. The next
    /// figure includes them.
    Missed(u64),
    /// Take a figure: a second has passed, or the drain has ended.
    Figure,
    /// The drain has ended: report the figures.
    End,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a signal to COMMAND or its group.
    Send(Signal, Recipient),
    /// After COMMAND's exit, send a signal to the remaining members of its group.
    SendToRemaining {
        /// The signal to send.
        signal: Signal,
        /// The received signal that is forwarded. If no member remains, report that it
        /// was dropped.
        received: Option<Signal>,
    },
    /// Send a signal to the group of a drain or stop command, if it exists.
    SendToHelper(Helper, Signal),
    /// Send a signal to all of the processes that `--wait-all` stops, except
    /// those that received one this way before. KILL is sent again.
    SendToAll {
        /// The signal to send.
        signal: Signal,
        /// Leave out COMMAND's group, which was signalled.
        spare_command: bool,
        /// Leave out the drain command's group, which was signalled.
        spare_drain_cmd: bool,
    },
    /// Make COMMAND's group the terminal's foreground group, if drain-init's own group
    /// is.
    PassTerminal,
    /// Make COMMAND's group the terminal's foreground group. If that succeeds, send it
    /// CONT.
    ContinueInForeground,
    /// Create the drain file.
    CreateDrainFile,
    /// Count new connections.
    Measure(Measure),
    /// Start the drain or stop command. The signal is the received one.
    Start(Helper, Signal),
    /// Stop drain-init itself until CONT comes.
    SuspendSelf,
    /// Report this.
    Report(Message),
    /// Exit with COMMAND's status.
    Exit(Status),
}

/// What follows a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterDrain {
    /// The stop command is run.
    StopCommand,
    /// This signal is sent.
    Signal(Signal),
    /// Nothing is sent: this received signal is rewritten to 0.
    Nothing(Signal),
}

/// What to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A signal was received. (Verbose.)
    Received(Signal),
    /// It is not sent: it is rewritten to 0. (Verbose.)
    NotSent(Signal),
    /// A drain begins.
    Draining {
        /// The stop signal.
        received: Signal,
        /// The delay. Without one the drain lasts as long as the drain command runs.
        delay: Option<Duration>,
        /// What follows.
        then: AfterDrain,
    },
    /// A stop signal was ignored during the drain.
    IgnoredDraining(Signal),
    /// A stop signal was ignored while the stop command runs.
    IgnoredStopping(Signal),
    /// A stop begins.
    Stopping {
        /// The stop signal.
        received: Signal,
        /// How long the drain lasted, unless it ended at once.
        drained: Option<Duration>,
        /// What is done now.
        then: AfterDrain,
    },
    /// A drain or stop command has exited with 0. (Verbose.)
    HelperSucceeded(Helper),
    /// The drain command has failed.
    DrainCommandFailed(Status),
    /// The stop command has failed.
    StopCommandFailed {
        /// How, if it was started at all.
        status: Option<Status>,
        /// The signal that is sent instead, if any.
        instead: Option<Signal>,
    },
    /// COMMAND has exited.
    Exited {
        /// How.
        status: Status,
        /// During which phase. If the stop was reported, this is too.
        during: Phase,
        /// When.
        now: Duration,
        /// What drain-init still waits for.
        waiting_for: WaitingFor,
    },
    /// COMMAND has exited soon after a signal that bypassed the drain. The set has
    /// the stop signals.
    BypassedDrain(Signal, SignalSet),
    /// The remaining processes cannot be signalled, and are not waited for.
    GroupForbidden,
    /// The time of `--kill-after` has passed.
    Killing(Duration),
    /// A signal was received when no process remained to receive it.
    Dropped(Signal),
}

/// What asked COMMAND to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The signal that was sent, or the received one if it is rewritten to 0.
    Signal(Signal),
    /// The stop command.
    StopCommand,
}

/// How far the stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No stop signal was received.
    Running {
        /// The last signal that bypassed the drain, and when.
        bypassed: Option<(Signal, Duration)>,
    },
    /// The stop signal is held back.
    Draining {
        /// The stop signal.
        received: Signal,
        /// When the drain began.
        since: Duration,
        /// When it ends. Without a delay it ends with the drain command.
        ends: Option<Duration>,
        /// How many seconds of it were measured, with `--measure-drain`.
        measured: Option<u64>,
    },
    /// The drain has ended: COMMAND was asked to stop, unless the signal is rewritten to 0.
    Stopping {
        /// The stop signal.
        received: Signal,
        /// When COMMAND was last asked.
        since: Duration,
        /// What asked it.
        cause: Cause,
        /// Whether the stop command is running.
        stop_command: bool,
        /// Whether the stop was reported: it follows a drain, or KILL was sent.
        reported: bool,
    },
    /// COMMAND has exited.
    Ended {
        /// How.
        status: Status,
        /// What drain-init still waits for.
        waiting_for: WaitingFor,
    },
}

/// What drain-init waits for after COMMAND's exit. It exits when the set is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingFor {
    /// The remaining members of COMMAND's group.
    pub group: bool,
    /// Every child, for `--wait-all`.
    pub children: bool,
    /// The stop command.
    pub stop_command: bool,
}

impl WaitingFor {
    const fn is_empty(self) -> bool {
        !self.group && !self.children && !self.stop_command
    }
}

/// The clock of `--kill-after`, which is started once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KillClock {
    Unset,
    Due(Duration),
    Fired,
}

/// Whether COMMAND is suspended, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspended {
    No,
    /// COMMAND was suspended by STOP.
    Command,
    /// COMMAND was suspended by a signal with which a terminal suspends a whole group.
    Group,
}

/// The drain command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainCommand {
    NotRunning,
    Running,
    /// It was still running when COMMAND exited, and was signalled.
    Signalled,
}

/// Receives a step's actions, one by one in their order.
struct Actions<'a>(&'a mut dyn FnMut(Action));

impl Actions<'_> {
    fn push(&mut self, action: Action) {
        (self.0)(action);
    }

    fn report(&mut self, message: Message) {
        self.push(Action::Report(message));
    }
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The state of a stop.
#[derive(Clone, Debug)]
#[allow(clippy::struct_field_names, reason = "a drain command is part of a drain")]
pub struct Drain {
    plan: Plan,
    phase: Phase,
    kill_clock: KillClock,
    /// The stop signals that were sent to COMMAND's group.
    sent_to_group: SignalSet,
    /// Whether `--wait-all` sends TERM to the group's members, too.
    sent_to_all: bool,
    suspended: Suspended,
    drain_command: DrainCommand,
}

impl Drain {
    /// The state in which COMMAND was just started.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self {
            plan,
            phase: Phase::Running { bypassed: None },
            kill_clock: KillClock::Unset,
            sent_to_group: SignalSet::EMPTY,
            sent_to_all: false,
            suspended: Suspended::No,
            drain_command: DrainCommand::NotRunning,
        }
    }

    /// When [`Event::Time`] is due next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let (drain_ends, figure_due) = match self.phase {
            Phase::Draining { since, ends, measured, .. } => {
                let due = |seconds| since.saturating_add(Duration::from_secs(seconds + 1));
                (ends, measured.map(due))
            }
            _ => (None, None),
        };
        let kill_due = match self.kill_clock {
            KillClock::Due(at) => Some(at),
            KillClock::Unset | KillClock::Fired => None,
        };
        earlier(earlier(drain_ends, figure_due), kill_due)
    }

    /// What drain-init waits for after COMMAND's exit. While that includes the group,
    /// the events about the group are wanted.
    #[must_use]
    pub const fn waiting_for(&self) -> WaitingFor {
        match self.phase {
            Phase::Ended { waiting_for, .. } => waiting_for,
            _ => WaitingFor { group: false, children: false, stop_command: false },
        }
    }

    /// The stop signals that COMMAND's group was sent. If all remaining members ignore
    /// all of them, the group gets TERM. `None` if it was sent TERM or nothing, or if
    /// `--kill-after` has sent KILL.
    #[must_use]
    pub fn sent_to_group(&self) -> Option<SignalSet> {
        let sent = self.sent_to_group;
        let has_term = sent.contains(Signal::TERM) || self.sent_to_all || self.was_killed();
        (self.group_was_signalled() && !has_term).then_some(sent)
    }

    fn group_was_signalled(&self) -> bool {
        self.sent_to_group != SignalSet::EMPTY
    }

    /// Whether `--kill-after` has sent KILL.
    #[must_use]
    pub const fn was_killed(&self) -> bool {
        matches!(self.kill_clock, KillClock::Fired)
    }

    /// Takes in an event that happened at the time `now`, and passes the actions that
    /// follow to `act`. If a drain or stop command cannot be started, that is the next
    /// event.
    pub fn step(&mut self, event: Event, now: Duration, act: &mut dyn FnMut(Action)) {
        let actions = &mut Actions(act);
        match event {
            Event::Received { signal, about_terminal } => {
                self.received(signal, about_terminal, now, actions);
            }
            Event::Time => self.time(now, actions),
            Event::CommandExited { status, group_remains } => {
                self.command_exited(status, group_remains, now, actions);
            }
            Event::CommandSuspended { signal, continuer }
            | Event::MemberSuspended { signal, continuer } => {
                self.was_suspended(signal, continuer, actions);
            }
            Event::CommandContinued => self.suspended = Suspended::No,
            Event::GroupGone => self.stop_waiting_for_group(actions),
            Event::GroupForbidden => {
                // --wait-all still waits for them if they are children.
                if !self.waiting_for().children {
                    actions.report(Message::GroupForbidden);
                }
                self.stop_waiting_for_group(actions);
            }
            Event::GroupIgnores => {
                if self.waiting_for().group && self.sent_to_group().is_some() {
                    self.stop_remaining(Signal::TERM, None, actions);
                }
            }
            Event::HelperExited(Helper::Drain, status) => {
                self.drain_command_exited(Some(status), now, actions);
            }
            Event::HelperNotStarted(Helper::Drain) => self.drain_command_exited(None, now, actions),
            Event::HelperExited(Helper::Stop, status) => {
                self.stop_command_exited(Some(status), now, actions);
            }
            Event::HelperNotStarted(Helper::Stop) => self.stop_command_exited(None, now, actions),
            Event::Scan => self.signal_all(actions),
            Event::NoChildren => self.no_children(actions),
        }
    }

    // ------------------------------------------------------------ received signals

    fn received(
        &mut self,
        signal: Signal,
        about_terminal: bool,
        now: Duration,
        actions: &mut Actions,
    ) {
        actions.report(Message::Received(signal));
        let suspends = about_terminal && signal.is_of_job_control();
        let forwarded = if suspends && self.plan.group {
            // COMMAND's group may be orphaned, and there the three have no effect.
            self.plan.rewrites.apply_or(signal, Signal::STOP)
        } else {
            self.plan.rewrites.apply(signal)
        };
        if about_terminal && signal == Signal::CONT {
            // The shell that continues the job has made drain-init's group the
            // foreground group.
            actions.push(Action::PassTerminal);
        }
        let asks_to_stop = self.plan.stop_signals.contains(signal);
        match self.phase {
            Phase::Running { .. } if asks_to_stop => self.stop_requested(signal, now, actions),
            Phase::Draining { .. } if asks_to_stop => {
                // Runtimes send it twice, which must not cut the drain short.
                actions.report(Message::IgnoredDraining(signal));
            }
            Phase::Stopping { stop_command, .. } if asks_to_stop => {
                if stop_command {
                    actions.report(Message::IgnoredStopping(signal));
                } else {
                    self.stop_again(signal, forwarded, now, actions);
                }
            }
            Phase::Running { .. } => {
                self.note_bypass(signal, forwarded, about_terminal, now);
                self.forward(signal, forwarded, actions);
            }
            Phase::Draining { .. } | Phase::Stopping { .. } => {
                self.forward(signal, forwarded, actions);
            }
            Phase::Ended { .. } => self.forward_to_remaining(signal, forwarded, actions),
        }
        // The shell that suspends the job waits for drain-init to stop as well.
        if suspends {
            actions.push(Action::SuspendSelf);
        }
    }

    /// Notes a signal that may end COMMAND without the drain that was asked for.
    fn note_bypass(
        &mut self,
        signal: Signal,
        forwarded: Option<Signal>,
        about_terminal: bool,
        now: Duration,
    ) {
        // WINCH is Apache's stop signal, unless a window was resized.
        let may_stop = signal.ends_by_default() || (signal == Signal::WINCH && !about_terminal);
        if may_stop && self.plan.drains() && forwarded.is_some() {
            self.phase = Phase::Running { bypassed: Some((signal, now)) };
        }
    }

    /// Forwards a signal that does not ask to stop.
    fn forward(&mut self, received: Signal, forwarded: Option<Signal>, actions: &mut Actions) {
        let Some(signal) = forwarded else {
            actions.report(Message::NotSent(received));
            return;
        };
        let recipient = self.recipient(signal);
        self.note_suspension(signal);
        actions.push(Action::Send(signal, recipient));
    }

    /// Forwards a signal after COMMAND's exit.
    fn forward_to_remaining(
        &mut self,
        received: Signal,
        forwarded: Option<Signal>,
        actions: &mut Actions,
    ) {
        match forwarded {
            None => actions.report(Message::NotSent(received)),
            Some(_) if !self.plan.group => actions.report(Message::Dropped(received)),
            Some(signal) if self.plan.stop_signals.contains(received) => {
                self.stop_remaining(signal, Some(received), actions);
            }
            Some(signal) => {
                self.note_suspension(signal);
                actions.push(Action::SendToRemaining { signal, received: Some(received) });
            }
        }
    }

    /// The recipient of a signal. CONT goes to the whole group if a terminal has suspended
    /// it.
    fn recipient(&self, signal: Signal) -> Recipient {
        if self.plan.group || signal == Signal::CONT && self.suspended == Suspended::Group {
            Recipient::Group
        } else {
            Recipient::Command
        }
    }

    // ---------------------------------------------------------------- drain and stop

    /// The first stop signal.
    fn stop_requested(&mut self, received: Signal, now: Duration, actions: &mut Actions) {
        if !self.plan.drains() {
            self.begin_stop(received, None, now, actions);
            return;
        }
        let delay = self.plan.delay;
        let ends = delay.map(|delay| now.saturating_add(delay));
        let measured = (self.plan.measure && self.plan.drain_lasts()).then_some(0);
        self.phase = Phase::Draining { received, since: now, ends, measured };
        if self.plan.drain_lasts() {
            let then = self.after_drain(received);
            actions.report(Message::Draining { received, delay, then });
        }
        if measured.is_some() {
            actions.push(Action::Measure(Measure::Begin));
        }
        // It must exist before the drain signal or the drain command.
        if self.plan.drain_file {
            actions.push(Action::CreateDrainFile);
        }
        if let Some(signal) = self.plan.drain_signal {
            actions.push(Action::Send(signal, Recipient::Command));
        }
        if self.plan.drain_cmd {
            self.drain_command = DrainCommand::Running;
            actions.push(Action::Start(Helper::Drain, received));
        }
        if !self.plan.drain_lasts() {
            self.begin_stop(received, None, now, actions);
        }
    }

    /// What follows the drain.
    fn after_drain(&self, received: Signal) -> AfterDrain {
        if self.plan.stop_cmd {
            return AfterDrain::StopCommand;
        }
        match self.plan.rewrites.apply(received) {
            Some(signal) => AfterDrain::Signal(signal),
            None => AfterDrain::Nothing(received),
        }
    }

    /// Ends a drain that lasted for `drained`, or stops without one.
    fn begin_stop(
        &mut self,
        received: Signal,
        drained: Option<Duration>,
        now: Duration,
        actions: &mut Actions,
    ) {
        self.measure(true, now, actions);
        let then = self.after_drain(received);
        let reported = self.plan.drains();
        if reported {
            actions.report(Message::Stopping { received, drained, then });
        } else if let AfterDrain::Nothing(signal) = then {
            actions.report(Message::NotSent(signal));
        }
        let cause = match then {
            AfterDrain::StopCommand => {
                self.continue_command(actions);
                actions.push(Action::Start(Helper::Stop, received));
                Cause::StopCommand
            }
            AfterDrain::Signal(signal) => {
                // The drain signal was sent just now: if it suspends, CONT would discard it.
                let suspends = |signal: Signal| signal.stops_by_default();
                let just_suspended =
                    drained.is_none() && self.plan.drain_signal.is_some_and(suspends);
                self.send_stop(signal, just_suspended, actions);
                Cause::Signal(signal)
            }
            AfterDrain::Nothing(signal) => Cause::Signal(signal),
        };
        let stop_command = cause == Cause::StopCommand;
        self.phase = Phase::Stopping { received, since: now, cause, stop_command, reported };
        self.start_kill_clock(now);
    }

    /// A further stop signal.
    fn stop_again(
        &mut self,
        received: Signal,
        forwarded: Option<Signal>,
        now: Duration,
        actions: &mut Actions,
    ) {
        let Some(signal) = forwarded else {
            actions.report(Message::NotSent(received));
            return;
        };
        if let Phase::Stopping { since, cause, .. } = &mut self.phase {
            (*since, *cause) = (now, Cause::Signal(signal));
        }
        self.send_stop(signal, false, actions);
    }

    /// Sends COMMAND what stops it, and CONT: a suspended process acts on no signal but
    /// KILL.
    fn send_stop(&mut self, signal: Signal, just_suspended: bool, actions: &mut Actions) {
        actions.push(Action::Send(signal, self.recipient(signal)));
        if self.plan.group {
            self.sent_to_group.insert(signal);
        }
        let recipient = self.recipient(Signal::CONT);
        if self.continues_after(signal, just_suspended) {
            actions.push(Action::Send(Signal::CONT, recipient));
        }
    }

    /// Sends the remaining processes of COMMAND's group what stops them, and CONT.
    fn stop_remaining(&mut self, signal: Signal, received: Option<Signal>, actions: &mut Actions) {
        self.sent_to_group.insert(signal);
        actions.push(Action::SendToRemaining { signal, received });
        if self.continues_after(signal, false) {
            actions.push(Action::SendToRemaining { signal: Signal::CONT, received: None });
        }
    }

    /// Whether CONT follows a stop signal; then nothing is suspended any more. If
    /// drain-init waits for remaining processes it does, because any of them may be
    /// suspended. Otherwise only if COMMAND is known to be.
    fn continues_after(&mut self, signal: Signal, just_suspended: bool) -> bool {
        let waits = self.plan.drains() || self.plan.wait_all.is_some();
        let is_suspended = self.suspended != Suspended::No;
        // CONT would discard a signal that suspends.
        let continues = (is_suspended || waits && !just_suspended) && !signal.stops_by_default();
        if continues {
            self.suspended = Suspended::No;
        }
        continues
    }

    /// Lets a suspended COMMAND respond to the stop command.
    fn continue_command(&mut self, actions: &mut Actions) {
        if self.suspended != Suspended::No {
            actions.push(Action::Send(Signal::CONT, self.recipient(Signal::CONT)));
            self.suspended = Suspended::No;
        }
    }

    // ------------------------------------------------------- drain and stop commands

    /// The drain command has exited with this status, or could not be started.
    fn drain_command_exited(
        &mut self,
        status: Option<Status>,
        now: Duration,
        actions: &mut Actions,
    ) {
        match status {
            Some(Status::Exited(0)) => actions.report(Message::HelperSucceeded(Helper::Drain)),
            // After COMMAND's exit it was ended by drain-init.
            Some(status) if !matches!(self.phase, Phase::Ended { .. }) => {
                actions.report(Message::DrainCommandFailed(status));
            }
            _ => {}
        }
        if self.drain_command == DrainCommand::Running {
            self.drain_command = DrainCommand::NotRunning;
        }
        if let Phase::Draining { received, since, ends: None, .. } = self.phase {
            self.begin_stop(received, Some(now.saturating_sub(since)), now, actions);
        }
    }

    /// The stop command has exited with this status, or could not be started.
    fn stop_command_exited(
        &mut self,
        status: Option<Status>,
        now: Duration,
        actions: &mut Actions,
    ) {
        let succeeded = status == Some(Status::Exited(0));
        let was_killed = self.was_killed();
        let mut instead = None;
        match &mut self.phase {
            Phase::Stopping { received, since, cause, stop_command, .. } => {
                *stop_command = false;
                if !succeeded && !was_killed {
                    let signal = self.plan.rewrites.apply(*received).unwrap_or(*received);
                    (*since, *cause) = (now, Cause::Signal(signal));
                    instead = Some(signal);
                }
            }
            Phase::Ended { waiting_for, .. } => waiting_for.stop_command = false,
            Phase::Running { .. } | Phase::Draining { .. } => {}
        }
        if succeeded {
            actions.report(Message::HelperSucceeded(Helper::Stop));
        } else if status.is_some() || instead.is_some() {
            actions.report(Message::StopCommandFailed { status, instead });
        }
        if let Some(signal) = instead {
            self.send_stop(signal, false, actions);
        }
        if let Phase::Ended { .. } = self.phase {
            self.signal_all(actions);
            self.exit_if_done(actions);
        }
    }

    // --------------------------------------------------------------------- deadlines

    fn time(&mut self, now: Duration, actions: &mut Actions) {
        match self.phase {
            Phase::Draining { received, since, ends: Some(ends), .. } if now >= ends => {
                self.begin_stop(received, Some(now.saturating_sub(since)), now, actions);
            }
            _ => self.measure(false, now, actions),
        }
        if matches!(self.kill_clock, KillClock::Due(at) if now >= at) {
            self.kill(actions);
        }
    }

    /// With `--measure-drain`, takes a figure for each second that has passed, and at the
    /// end of the drain for the incomplete last one.
    fn measure(&mut self, ends: bool, now: Duration, actions: &mut Actions) {
        let Phase::Draining { since, measured: Some(measured), .. } = &mut self.phase else {
            return;
        };
        let passed = now.saturating_sub(*since).as_secs();
        let late = passed.saturating_sub(*measured);
        *measured = passed;
        if late > 1 {
            actions.push(Action::Measure(Measure::Missed(late)));
        }
        if late == 1 || ends {
            actions.push(Action::Measure(Measure::Figure));
        }
        if ends {
            actions.push(Action::Measure(Measure::End));
        }
    }

    fn start_kill_clock(&mut self, now: Duration) {
        if let (KillClock::Unset, Some(kill_after)) = (self.kill_clock, self.plan.kill_after) {
            self.kill_clock = KillClock::Due(now.saturating_add(kill_after));
        }
    }

    fn kill(&mut self, actions: &mut Actions) {
        self.kill_clock = KillClock::Fired;
        actions.report(Message::Killing(self.plan.kill_after.unwrap_or_default()));
        if let Phase::Stopping { reported, .. } = &mut self.phase {
            *reported = true;
        }
        // As PID 1 with --wait-all, one kill(2) reaches all of the following.
        if self.plan.wait_all != Some(WaitAll::Namespace) {
            if !matches!(self.phase, Phase::Ended { .. }) {
                actions.push(Action::Send(Signal::KILL, self.recipient(Signal::KILL)));
            } else if self.plan.group {
                actions.push(Action::SendToRemaining { signal: Signal::KILL, received: None });
            }
            for helper in [Helper::Drain, Helper::Stop] {
                actions.push(Action::SendToHelper(helper, Signal::KILL));
            }
        }
        self.signal_all(actions);
    }

    // --------------------------------------------------------- COMMAND's exit, and after

    fn command_exited(
        &mut self,
        status: Status,
        group_remains: bool,
        now: Duration,
        actions: &mut Actions,
    ) {
        self.measure(true, now, actions);
        let during = self.phase;
        let children = self.plan.wait_all.is_some();
        // npm and shells die of TERM at once, while the server under them, which received
        // TERM in the same instant, still answers.
        let stops = self.plan.drains() && matches!(during, Phase::Stopping { .. });
        let waiting_for = WaitingFor {
            group: self.plan.group && group_remains && (stops || children),
            children,
            stop_command: matches!(during, Phase::Stopping { stop_command: true, .. }),
        };
        actions.report(Message::Exited { status, during, now, waiting_for });
        if let Phase::Running { bypassed: Some((signal, when)) } = during {
            if now.saturating_sub(when) < SOON {
                actions.report(Message::BypassedDrain(signal, self.plan.stop_signals));
            }
        }
        self.phase = Phase::Ended { status, waiting_for };
        self.start_kill_clock(now);

        let all_follow = self.signals_all() && self.plan.wait_all == Some(WaitAll::Namespace);
        if self.drain_command == DrainCommand::Running && !all_follow {
            self.drain_command = DrainCommand::Signalled;
            let (signal, ..) = self.signal_for_remaining();
            actions.push(Action::SendToHelper(Helper::Drain, signal));
        }
        if let Some(signal) = self.signal_for_group(all_follow) {
            self.stop_remaining(signal, None, actions);
        }
        self.signal_all(actions);
        self.exit_if_done(actions);
    }

    /// The signal that remaining processes get, and whether COMMAND's and the drain
    /// command's groups are left out: each process receives one stop signal, because
    /// many programs treat a second TERM as "quit now".
    fn signal_for_remaining(&self) -> (Signal, bool, bool) {
        if self.was_killed() {
            (Signal::KILL, false, false)
        } else {
            let drain_command = matches!(self.drain_command, DrainCommand::Signalled);
            (Signal::TERM, self.group_was_signalled(), drain_command)
        }
    }

    /// The signal that the remaining members of COMMAND's group get at its exit, if
    /// any. `all_follow`: every process is about to be sent one.
    fn signal_for_group(&self, all_follow: bool) -> Option<Signal> {
        let (signal, spare_command, _) = self.signal_for_remaining();
        // A plain command line does as dumb-init does, and sends TERM again.
        let is_plain = !self.plan.drains() && self.plan.wait_all.is_none();
        if !self.plan.group || spare_command && !is_plain {
            return None;
        }
        let rewritten =
            if signal == Signal::TERM { self.plan.rewrites.apply(signal)? } else { signal };
        (!all_follow || rewritten != signal).then_some(rewritten)
    }

    /// Whether the processes that `--wait-all` waits for are to be signalled, and
    /// [`Event::Scan`] is wanted. The stop command is one of them, and may finish first.
    #[must_use]
    pub const fn signals_all(&self) -> bool {
        let waiting_for = self.waiting_for();
        waiting_for.children && !waiting_for.stop_command
            || self.was_killed() && self.plan.wait_all.is_some()
    }

    /// Signals the processes that `--wait-all` waits for, if it is time to.
    fn signal_all(&mut self, actions: &mut Actions) {
        if !self.signals_all() {
            return;
        }
        let (signal, spare_command, spare_drain_cmd) = self.signal_for_remaining();
        self.sent_to_all |= !spare_command;
        actions.push(Action::SendToAll { signal, spare_command, spare_drain_cmd });
    }

    fn no_children(&mut self, actions: &mut Actions) {
        let Phase::Ended { waiting_for, .. } = &mut self.phase else { return };
        // While the stop command runs, there is a child again.
        if waiting_for.children && !waiting_for.stop_command {
            // A member of the group is a child, or descends from one.
            *waiting_for = WaitingFor::default();
            self.exit_if_done(actions);
        }
    }

    fn stop_waiting_for_group(&mut self, actions: &mut Actions) {
        if let Phase::Ended { waiting_for, .. } = &mut self.phase {
            waiting_for.group = false;
        }
        self.exit_if_done(actions);
    }

    fn exit_if_done(&self, actions: &mut Actions) {
        let Phase::Ended { status, waiting_for } = self.phase else { return };
        if waiting_for.is_empty() {
            actions.push(Action::Exit(status));
        }
    }

    // ------------------------------------------------------------------- job control

    /// COMMAND or a remaining process was suspended. If a terminal's job control did
    /// that, some process must continue it.
    fn was_suspended(
        &mut self,
        signal: Signal,
        continuer: Option<Continuer>,
        actions: &mut Actions,
    ) {
        if !signal.is_of_job_control() {
            self.suspended = Suspended::Command;
            return;
        }
        self.suspended = Suspended::Group;
        match continuer {
            None => {}
            Some(Continuer::Shell) => actions.push(Action::SuspendSelf),
            Some(Continuer::Init) if signal == Signal::TSTP => {
                self.suspended = Suspended::No;
                // The terminal has suspended the whole group.
                actions.push(match self.phase {
                    Phase::Ended { .. } => {
                        Action::SendToRemaining { signal: Signal::CONT, received: None }
                    }
                    _ => Action::Send(Signal::CONT, Recipient::Group),
                });
            }
            // In the background its next read or write would suspend it again.
            Some(Continuer::Init) => actions.push(Action::ContinueInForeground),
        }
    }

    /// Notes what a forwarded signal does to COMMAND.
    const fn note_suspension(&mut self, forwarded: Signal) {
        match forwarded {
            Signal::STOP => self.suspended = Suspended::Command,
            Signal::CONT => self.suspended = Suspended::No,
            _ => {}
        }
    }
}

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;
#[cfg(test)]
mod world;
