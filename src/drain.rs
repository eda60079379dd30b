//! What to do when: the state machine of a stop.
//!
//! Pure: an event and the time go in, actions come out. It makes no system call and allocates
//! nothing. `init.rs` carries out an [`Action`], and `wording.rs` has the text of a [`Message`].
//! Times are [`Duration`]s since a fixed moment.
//!
//! ```text
//! Running ─ stop signal ─► Draining ─ drain ends ─► Stopping ─ COMMAND exits ─► Ended ─► exit
//! ```
//!
//! The manual page's section STOP SEQUENCE has the table of states and events.
#![allow(missing_docs, reason = "a type's or a variant's comment says what its fields are")]

use crate::signal::{Rewrites, Signal, SignalSet};
use crate::status::Status;
use crate::time::Duration;

/// If COMMAND exits this soon after a signal bypassed the drain, the signal probably ended it.
const SOON: Duration = Duration::from_secs(10);

/// What the command line asks of a stop. Most fields have an option's name. No duration is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Plan {
    pub delay: Option<Duration>,
    pub drain_signal: Option<Signal>,
    pub drain_file: bool,
    pub drain_cmd: bool,
    pub measure: bool,
    pub stop_cmd: bool,
    pub kill_after: Option<Duration>,
    pub stop_signals: SignalSet,
    pub rewrites: Rewrites,
    /// Whether signals go to COMMAND's process group: not with `--single-child`.
    pub group: bool,
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
    /// Whether a stop is more than passing on the stop signal.
    pub const fn drains(&self) -> bool {
        self.drain_lasts() || self.drain_signal.is_some() || self.drain_file || self.stop_cmd
    }

    /// Whether something holds the stop back. Otherwise a drain ends at once.
    pub const fn drain_lasts(&self) -> bool {
        self.delay.is_some() || self.drain_cmd
    }

    /// Whether drain-init waits for COMMAND alone, as dumb-init does.
    const fn is_plain(&self) -> bool {
        !self.drains() && self.wait_all.is_none()
    }

    fn stop_by(&self, received: Signal) -> StopBy {
        match self.rewrites.apply(received) {
            _ if self.stop_cmd => StopBy::Command,
            Some(signal) => StopBy::Signal(signal),
            None => StopBy::Nothing(received),
        }
    }
}

/// What asks COMMAND to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopBy {
    Command,
    Signal(Signal),
    /// Nothing: this received signal is rewritten to 0.
    Nothing(Signal),
}

/// A command that drain-init runs during a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    Drain,
    Stop,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A signal other than CHLD was received. `about_terminal`: it is TSTP, TTIN, TTOU, CONT or
    /// WINCH, and drain-init has a controlling terminal.
    Received { signal: Signal, about_terminal: bool },
    /// Time has passed, and a deadline with it.
    Time,
    /// COMMAND has exited and was reaped. Whether its process group has members.
    CommandExited { status: Status, group_remains: bool },
    /// This signal suspended COMMAND or, after COMMAND's exit, another member of its group.
    /// `continuer`: what can continue it, if a terminal's job control suspended it.
    Suspended { signal: Signal, continuer: Option<Continuer> },
    /// COMMAND was continued.
    CommandContinued,
    /// COMMAND's group is gone.
    GroupGone,
    /// COMMAND's group has members, none of which drain-init may signal.
    GroupForbidden,
    /// Every remaining member of COMMAND's group ignores all of [`Drain::sent_to_group`].
    GroupIgnores,
    /// A drain or stop command has exited. Without a status its start failed, which was reported.
    HelperEnded(Helper, Option<Status>),
    /// It is time to look for further processes: after a reap, or a second after the last scan.
    Scan,
    /// No child remains.
    NoChildren,
}

/// What can continue a job that a terminal has suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuer {
    Init,
    /// The shell that started drain-init.
    Shell,
}

/// What a signal goes to: COMMAND alone, or its process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Process,
    Group,
}

/// The stop signal for processes that remain after COMMAND. Each process receives one,
/// because many programs treat a second TERM as "quit now".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalForRemaining {
    /// TERM, or KILL once the time of `--kill-after` has passed.
    pub signal: Signal,
    /// Leave out COMMAND's group, which was signalled.
    pub spare_command: bool,
    /// Leave out the drain command's group, which was signalled.
    pub spare_drain_cmd: bool,
}

/// A step of measuring a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The drain begins.
    Begin,
    /// So many seconds have passed since the last step: one, unless drain-init woke late. With
    /// `ends`, the drain has ended: take the incomplete second's figure, and report.
    Passed { secs: u64, ends: bool },
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a signal to COMMAND or its group.
    Send(Signal, Target),
    /// After COMMAND's exit, send a signal to the remaining members of its group. If that
    /// forwards a received one and no member remains, report that it was dropped.
    SendToRemaining { signal: Signal, received: Option<Signal> },
    /// Send a signal to the group of a drain or stop command, if it exists.
    SendToHelper(Helper, Signal),
    /// Send a signal to the processes that `--wait-all` stops: TERM once each, KILL repeatedly.
    SendToAll(SignalForRemaining),
    /// Make COMMAND's group the terminal's foreground group, if drain-init's own group is.
    PassTerminal,
    /// Make COMMAND's group the terminal's foreground group. If that succeeds, send it CONT.
    ContinueInForeground,
    /// Create the drain file.
    CreateDrainFile,
    /// Count new connections.
    Measure(Measure),
    /// Start the drain or stop command. The signal is the received one.
    Start(Helper, Signal),
    /// Suspend drain-init itself until CONT comes.
    SuspendSelf,
    /// Report this.
    Report(Message),
    /// Exit with COMMAND's status.
    Exit(Status),
}

/// What to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A signal was received. (Verbose.)
    Received(Signal),
    /// The received signal is not sent, because it is rewritten to 0. (Verbose.)
    NotSent(Signal),
    /// A drain begins. Without a delay it lasts as long as the drain command runs.
    Draining { received: Signal, delay: Option<Duration>, then: StopBy },
    /// A stop signal was ignored during the drain.
    IgnoredDraining(Signal),
    /// A stop signal was ignored while the stop command runs.
    IgnoredStopping(Signal),
    /// A stop begins, after a drain of this length unless that ended at once.
    Stopping { received: Signal, drained: Option<Duration>, by: StopBy },
    /// A drain or stop command has exited with 0. (Verbose.)
    HelperSucceeded(Helper),
    /// The drain command has failed.
    DrainCommandFailed(Status),
    /// The stop command has failed, or without a status could not be started. `instead` is sent.
    StopCommandFailed { status: Option<Status>, instead: Option<Signal> },
    /// COMMAND has exited in this phase. (Verbose, unless the stop was reported.)
    Exited { status: Status, during: Phase, now: Duration, waiting_for: WaitingFor },
    /// COMMAND has exited soon after a signal that bypassed the drain. The set: its stop signals.
    BypassedDrain(Signal, SignalSet),
    /// The remaining processes cannot be signalled, and are not waited for.
    GroupForbidden,
    /// The time of `--kill-after` has passed.
    Killing(Duration),
    /// A signal was received when drain-init had no process left to send it to.
    Dropped(Signal),
}

/// How far the stop is. `received` is the stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No stop signal was received. The last signal that bypassed the drain, and when.
    Running { bypassed: Option<(Signal, Duration)> },
    /// The stop signal is held back until `ends` or, without a delay, until the drain command has
    /// ended. `measured`: the whole seconds that have passed, with `--measure-drain`.
    Draining { received: Signal, since: Duration, ends: Option<Duration>, measured: Option<u64> },
    /// COMMAND was last asked to stop at `since`. `stop_command`: that is still running.
    /// `reported`: a message told of the stop, or of KILL.
    Stopping { received: Signal, since: Duration, by: StopBy, stop_command: bool, reported: bool },
    /// COMMAND has exited with this status.
    Ended { status: Status, waiting_for: WaitingFor },
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
    const NOTHING: Self = Self { group: false, children: false, stop_command: false };
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
    /// It, or after its exit another member, was suspended by STOP.
    Command,
    /// By a job-control signal, which a terminal sends to the whole group.
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainCommand {
    NotRunning,
    Running,
    /// It was still running when COMMAND exited, and was signalled.
    Signalled,
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
    /// Whether `--wait-all` has sent TERM or KILL to the group's members, too.
    sent_to_all: bool,
    suspended: Suspended,
    drain_command: DrainCommand,
}

impl Drain {
    /// The state in which COMMAND was just started.
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

    /// Takes in an event that happened at `now`, and passes the actions that follow to `act`, in
    /// their order. If a drain or stop command cannot be started, that is the next event.
    pub fn step(&mut self, event: Event, now: Duration, act: &mut dyn FnMut(Action)) {
        Step { drain: self, now, act, just_suspended: false }.take_in(event);
    }

    /// When [`Event::Time`] is due next.
    pub fn deadline(&self) -> Option<Duration> {
        let mut due = [None; 3];
        if let Phase::Draining { since, ends, measured, .. } = self.phase {
            let figure = |seconds| since.saturating_add(Duration::from_secs(seconds + 1));
            due = [ends, measured.map(figure), None];
        }
        if let KillClock::Due(at) = self.kill_clock {
            due[2] = Some(at);
        }
        due.into_iter().flatten().min()
    }

    /// What drain-init still waits for. With `group`, the events about the group are wanted.
    pub const fn waiting_for(&self) -> WaitingFor {
        match self.phase {
            Phase::Ended { waiting_for, .. } => waiting_for,
            _ => WaitingFor::NOTHING,
        }
    }

    /// The stop signals that COMMAND's group was sent. If all remaining members ignore all of
    /// them, the group gets TERM. `None` if it was sent TERM or nothing, or after KILL.
    pub fn sent_to_group(&self) -> Option<SignalSet> {
        let sent = self.sent_to_group;
        let has_term = sent.contains(Signal::TERM) || self.sent_to_all || self.was_killed();
        (sent != SignalSet::EMPTY && !has_term).then_some(sent)
    }

    /// Whether `--kill-after` has sent KILL.
    pub const fn was_killed(&self) -> bool {
        matches!(self.kill_clock, KillClock::Fired)
    }

    /// Whether to signal all for `--wait-all`, and [`Event::Scan`] is wanted: after COMMAND's exit,
    /// but not before the stop command has ended; and always once KILL was sent.
    pub const fn signals_all(&self) -> bool {
        let waiting_for = self.waiting_for();
        waiting_for.children && !waiting_for.stop_command
            || self.was_killed() && self.plan.wait_all.is_some()
    }

    const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// The signal for remaining processes, and which of them it spares.
    fn signal_for_remaining(&self) -> SignalForRemaining {
        let killed = self.was_killed();
        SignalForRemaining {
            signal: if killed { Signal::KILL } else { Signal::TERM },
            spare_command: !killed && self.sent_to_group != SignalSet::EMPTY,
            spare_drain_cmd: !killed && self.drain_command == DrainCommand::Signalled,
        }
    }

    /// The signal for the remaining members, or none. `all_follow`: `SendToAll` comes next.
    fn signal_for_group(&self, all_follow: bool) -> Option<Signal> {
        let SignalForRemaining { signal, spare_command, .. } = self.signal_for_remaining();
        // A plain command line sends TERM again.
        if !self.plan.group || spare_command && !self.plan.is_plain() {
            return None;
        }
        let rewritten =
            if signal == Signal::TERM { self.plan.rewrites.apply(signal)? } else { signal };
        (!all_follow || rewritten != signal).then_some(rewritten)
    }
}

/// The state while it takes in an event.
struct Step<'a> {
    drain: &'a mut Drain,
    now: Duration,
    act: &'a mut dyn FnMut(Action),
    /// Whether the drain signal was sent in this step and suspends: CONT would discard it.
    just_suspended: bool,
}

impl Step<'_> {
    fn take_in(&mut self, event: Event) {
        match event {
            Event::Received { signal, about_terminal } => self.received(signal, about_terminal),
            Event::Time => self.time(),
            Event::CommandExited { status, group_remains } => {
                self.command_exited(status, group_remains);
            }
            Event::Suspended { signal, continuer } => self.suspended(signal, continuer),
            Event::CommandContinued => self.drain.suspended = Suspended::No,
            Event::GroupGone | Event::GroupForbidden => {
                let waiting_for = self.drain.waiting_for();
                // --wait-all still waits for them if they are children.
                if event == Event::GroupForbidden && !waiting_for.children {
                    self.report(Message::GroupForbidden);
                }
                self.wait_for(WaitingFor { group: false, ..waiting_for });
            }
            Event::GroupIgnores => {
                if self.drain.waiting_for().group && self.drain.sent_to_group().is_some() {
                    self.send_stop(Signal::TERM, None);
                }
            }
            Event::HelperEnded(Helper::Drain, status) => self.drain_command_ended(status),
            Event::HelperEnded(Helper::Stop, status) => self.stop_command_ended(status),
            Event::Scan => self.signal_all(),
            Event::NoChildren => {
                let waiting_for = self.drain.waiting_for();
                // While the stop command runs, there is a child again. A member of the group is
                // a child, or descends from one.
                if waiting_for.children && !waiting_for.stop_command {
                    self.wait_for(WaitingFor::NOTHING);
                }
            }
        }
    }

    fn push(&mut self, action: Action) {
        (self.act)(action);
    }

    fn report(&mut self, message: Message) {
        self.push(Action::Report(message));
    }

    // ------------------------------------------------------------ received signals

    fn received(&mut self, received: Signal, about_terminal: bool) {
        self.report(Message::Received(received));
        let plan = &self.drain.plan;
        let suspends = about_terminal && received.is_of_job_control();
        let rewritten = if suspends && plan.group {
            // In an orphaned group, as COMMAND's may be, TSTP, TTIN and TTOU have no effect.
            plan.rewrites.apply_or(received, Signal::STOP)
        } else {
            plan.rewrites.apply(received)
        };
        let asks_to_stop = plan.stop_signals.contains(received);
        if about_terminal && received == Signal::CONT {
            // A shell's fg has made drain-init's group the foreground group; bg has not.
            self.push(Action::PassTerminal);
        }
        match self.drain.phase {
            Phase::Running { .. } if asks_to_stop => self.begin_drain(received),
            // Runtimes send it twice, which must not cut the drain short.
            Phase::Draining { .. } if asks_to_stop => {
                self.report(Message::IgnoredDraining(received));
            }
            Phase::Stopping { stop_command: true, .. } if asks_to_stop => {
                self.report(Message::IgnoredStopping(received));
            }
            _ => match rewritten {
                Some(signal) => self.forward(signal, received, about_terminal),
                None => self.report(Message::NotSent(received)),
            },
        }
        // The shell that started the job waits until drain-init is suspended as well.
        if suspends {
            self.push(Action::SuspendSelf);
        }
    }

    /// Sends a received signal on, as `signal`.
    fn forward(&mut self, signal: Signal, received: Signal, about_terminal: bool) {
        let plan = &self.drain.plan;
        let asks_to_stop = plan.stop_signals.contains(received);
        // WINCH is Apache's stop signal, unless a window was resized.
        let may_stop = received.ends_by_default() || received == Signal::WINCH && !about_terminal;
        match &mut self.drain.phase {
            Phase::Running { bypassed } if may_stop && plan.drains() => {
                *bypassed = Some((received, self.now));
            }
            Phase::Stopping { since, by, .. } if asks_to_stop => {
                (*since, *by) = (self.now, StopBy::Signal(signal));
            }
            Phase::Ended { .. } if !plan.group => {
                self.report(Message::Dropped(received));
                return;
            }
            _ => {}
        }
        if asks_to_stop {
            self.send_stop(signal, Some(received));
            return;
        }
        self.send(signal, Some(received));
        match signal {
            Signal::STOP => self.drain.suspended = Suspended::Command,
            Signal::CONT => self.drain.suspended = Suspended::No,
            _ => {}
        }
    }

    /// Sends a signal to COMMAND or its group, or after COMMAND's exit to the remaining members.
    fn send(&mut self, signal: Signal, received: Option<Signal>) {
        // If a terminal has suspended the whole group, all of it is continued.
        let to_group = self.drain.plan.group
            || signal == Signal::CONT && self.drain.suspended == Suspended::Group;
        self.push(if self.drain.has_ended() {
            Action::SendToRemaining { signal, received }
        } else {
            Action::Send(signal, if to_group { Target::Group } else { Target::Process })
        });
    }

    /// Sends a stop signal, and CONT: a suspended process acts only on that and KILL.
    fn send_stop(&mut self, signal: Signal, received: Option<Signal>) {
        self.send(signal, received);
        if self.drain.plan.group {
            self.drain.sent_to_group.insert(signal);
        }
        // COMMAND's state is known. Any other process that drain-init waits for may be suspended.
        let may_be_suspended = self.drain.suspended != Suspended::No
            || !self.drain.plan.is_plain() && !self.just_suspended;
        // CONT would discard a signal that suspends.
        if may_be_suspended && !signal.suspends_by_default() {
            self.send_cont();
        }
    }

    fn send_cont(&mut self) {
        self.send(Signal::CONT, None);
        self.drain.suspended = Suspended::No;
    }

    // ---------------------------------------------------------------- drain and stop

    /// Begins the drain, and if nothing holds the stop back, the stop as well.
    fn begin_drain(&mut self, received: Signal) {
        let (now, plan) = (self.now, &self.drain.plan);
        let (delay, lasts, then) = (plan.delay, plan.drain_lasts(), plan.stop_by(received));
        let ends = delay.map(|delay| now.saturating_add(delay));
        let measured = (plan.measure && lasts).then_some(0);
        self.drain.phase = Phase::Draining { received, since: now, ends, measured };
        if lasts {
            self.report(Message::Draining { received, delay, then });
        }
        if measured.is_some() {
            self.push(Action::Measure(Measure::Begin));
        }
        // The file must exist before the drain signal or the drain command.
        if self.drain.plan.drain_file {
            self.push(Action::CreateDrainFile);
        }
        if let Some(signal) = self.drain.plan.drain_signal {
            self.just_suspended = signal.suspends_by_default();
            self.push(Action::Send(signal, Target::Process));
        }
        if self.drain.plan.drain_cmd {
            self.drain.drain_command = DrainCommand::Running;
            self.push(Action::Start(Helper::Drain, received));
        }
        if !lasts {
            self.begin_stop();
        }
    }

    /// Ends the drain and asks COMMAND to stop.
    fn begin_stop(&mut self) {
        let Phase::Draining { received, since, .. } = self.drain.phase else { return };
        self.measure(true);
        let (now, plan) = (self.now, &self.drain.plan);
        let (by, reported) = (plan.stop_by(received), plan.drains());
        if reported {
            let drained = plan.drain_lasts().then(|| now.saturating_sub(since));
            self.report(Message::Stopping { received, drained, by });
        } else if let StopBy::Nothing(signal) = by {
            self.report(Message::NotSent(signal));
        }
        match by {
            StopBy::Command => {
                // A suspended COMMAND could not respond to the stop command.
                if self.drain.suspended != Suspended::No {
                    self.send_cont();
                }
                self.push(Action::Start(Helper::Stop, received));
            }
            StopBy::Signal(signal) => self.send_stop(signal, None),
            StopBy::Nothing(_) => {}
        }
        let stop_command = by == StopBy::Command;
        self.drain.phase = Phase::Stopping { received, since: now, by, stop_command, reported };
        self.start_kill_clock();
    }

    fn drain_command_ended(&mut self, status: Option<Status>) {
        match status {
            Some(Status::Exited(0)) => self.report(Message::HelperSucceeded(Helper::Drain)),
            // After COMMAND's exit it was ended by drain-init.
            Some(status) if !self.drain.has_ended() => {
                self.report(Message::DrainCommandFailed(status));
            }
            _ => {}
        }
        if self.drain.drain_command == DrainCommand::Running {
            self.drain.drain_command = DrainCommand::NotRunning;
        }
        if let Phase::Draining { ends: None, .. } = self.drain.phase {
            self.begin_stop();
        }
    }

    fn stop_command_ended(&mut self, status: Option<Status>) {
        let succeeded = status == Some(Status::Exited(0));
        let sends_instead = !succeeded && !self.drain.was_killed();
        let mut instead = None;
        if let Phase::Stopping { received, since, by, stop_command, .. } = &mut self.drain.phase {
            *stop_command = false;
            if sends_instead {
                let signal = self.drain.plan.rewrites.apply(*received).unwrap_or(*received);
                (*since, *by) = (self.now, StopBy::Signal(signal));
                instead = Some(signal);
            }
        }
        if succeeded {
            self.report(Message::HelperSucceeded(Helper::Stop));
        } else if status.is_some() || instead.is_some() {
            self.report(Message::StopCommandFailed { status, instead });
        }
        if let Some(signal) = instead {
            self.send_stop(signal, None);
        }
        if self.drain.has_ended() {
            self.wait_for(WaitingFor { stop_command: false, ..self.drain.waiting_for() });
            self.signal_all();
        }
    }

    // --------------------------------------------------------------------- deadlines

    fn time(&mut self) {
        match self.drain.phase {
            Phase::Draining { ends: Some(ends), .. } if self.now >= ends => self.begin_stop(),
            _ => self.measure(false),
        }
        if matches!(self.drain.kill_clock, KillClock::Due(at) if self.now >= at) {
            self.kill();
        }
    }

    /// With `--measure-drain`, takes a figure for each second, and for the incomplete last one.
    fn measure(&mut self, ends: bool) {
        let Phase::Draining { since, measured: Some(last), .. } = &mut self.drain.phase else {
            return;
        };
        let passed = self.now.saturating_sub(*since).as_secs();
        let secs = passed.saturating_sub(core::mem::replace(last, passed));
        if secs > 0 || ends {
            self.push(Action::Measure(Measure::Passed { secs, ends }));
        }
    }

    fn start_kill_clock(&mut self) {
        if let (KillClock::Unset, Some(after)) = (self.drain.kill_clock, self.drain.plan.kill_after)
        {
            self.drain.kill_clock = KillClock::Due(self.now.saturating_add(after));
        }
    }

    fn kill(&mut self) {
        self.drain.kill_clock = KillClock::Fired;
        self.report(Message::Killing(self.drain.plan.kill_after.unwrap_or_default()));
        if let Phase::Stopping { reported, .. } = &mut self.drain.phase {
            *reported = true;
        }
        // As PID 1 with --wait-all, one kill(2) reaches all of the following.
        if self.drain.plan.wait_all != Some(WaitAll::Namespace) {
            if self.drain.plan.group || !self.drain.has_ended() {
                self.send(Signal::KILL, None);
            }
            for helper in [Helper::Drain, Helper::Stop] {
                self.push(Action::SendToHelper(helper, Signal::KILL));
            }
        }
        self.signal_all();
    }

    // --------------------------------------------------------- COMMAND's exit, and after

    fn command_exited(&mut self, status: Status, group_remains: bool) {
        self.measure(true);
        let (during, now, plan) = (self.drain.phase, self.now, &self.drain.plan);
        let stop_signals = plan.stop_signals;
        let children = plan.wait_all.is_some();
        // npm and shells die of TERM at once. The server under them, signalled too, still answers.
        let stops = plan.drains() && matches!(during, Phase::Stopping { .. });
        let waiting_for = WaitingFor {
            group: plan.group && group_remains && (stops || children),
            children,
            stop_command: matches!(during, Phase::Stopping { stop_command: true, .. }),
        };
        self.report(Message::Exited { status, during, now, waiting_for });
        if let Phase::Running { bypassed: Some((signal, when)) } = during {
            if now.saturating_sub(when) < SOON {
                self.report(Message::BypassedDrain(signal, stop_signals));
            }
        }
        self.drain.phase = Phase::Ended { status, waiting_for };
        self.start_kill_clock();

        let namespace = self.drain.plan.wait_all == Some(WaitAll::Namespace);
        let all_follow = namespace && self.drain.signals_all();
        if self.drain.drain_command == DrainCommand::Running && !all_follow {
            self.drain.drain_command = DrainCommand::Signalled;
            let signal = self.drain.signal_for_remaining().signal;
            self.push(Action::SendToHelper(Helper::Drain, signal));
        }
        if let Some(signal) = self.drain.signal_for_group(all_follow) {
            self.send_stop(signal, None);
        }
        self.signal_all();
        self.wait_for(waiting_for);
    }

    /// Signals the processes that `--wait-all` waits for, if it is time to.
    fn signal_all(&mut self) {
        if self.drain.signals_all() {
            let signal = self.drain.signal_for_remaining();
            self.drain.sent_to_all |= !signal.spare_command;
            self.push(Action::SendToAll(signal));
        }
    }

    /// After COMMAND's exit, waits only for these from now on.
    fn wait_for(&mut self, these: WaitingFor) {
        if let Phase::Ended { status, waiting_for } = &mut self.drain.phase {
            let status = *status;
            *waiting_for = these;
            if these == WaitingFor::NOTHING {
                self.push(Action::Exit(status));
            }
        }
    }

    // ------------------------------------------------------------------- job control

    /// COMMAND or a remaining process was suspended. If a terminal's job control did
    /// that, some process must continue it.
    fn suspended(&mut self, signal: Signal, continuer: Option<Continuer>) {
        if !signal.is_of_job_control() {
            self.drain.suspended = Suspended::Command;
            return;
        }
        self.drain.suspended = Suspended::Group;
        match continuer {
            None => {}
            Some(Continuer::Shell) => self.push(Action::SuspendSelf),
            Some(Continuer::Init) if signal == Signal::TSTP => self.send_cont(),
            // In the background its next read or write would suspend it again.
            Some(Continuer::Init) => self.push(Action::ContinueInForeground),
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
