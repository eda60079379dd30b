//! What to do when: the state machine of a stop.
//!
//! Pure: an event and the time go in, actions come out. No system call, no
//! allocation. Times are [`Duration`]s since a fixed moment.
//!
//! ```text
//! stop signal ──► Draining ──► Stopping ──► COMMAND exits ──► Ended ──► exit
//! ```

use core::time::Duration;

use crate::signal::{Rewrites, Signal, SignalSet};
use crate::status::Status;

/// A stop signal other than the one asked for is guessed at where COMMAND ends
/// so soon after another signal.
const SOON: Duration = Duration::from_secs(10);

/// What the command line asks of a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `--delay-term`: never zero.
    pub delay: Option<Duration>,
    /// `--drain-signal`.
    pub drain_signal: Option<Signal>,
    /// Whether there is a `--drain-cmd`.
    pub drain_cmd: bool,
    /// Whether there is a `--stop-cmd`.
    pub stop_cmd: bool,
    /// `--kill-after`: never zero.
    pub kill_after: Option<Duration>,
    /// The signals that ask to stop.
    pub stop_signals: SignalSet,
    /// What is delivered where a signal was received.
    pub rewrites: Rewrites,
    /// Whether signals go to COMMAND's process group.
    pub group: bool,
    /// `--wait-all`.
    pub wait_all: Option<WaitAll>,
}

/// Whom `--wait-all` stops before it waits for every child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitAll {
    /// As PID 1: every process of the PID namespace.
    Namespace,
    /// Otherwise: every child, those that it adopts later among them.
    Children,
}

impl Plan {
    /// Whether a stop signal starts a drain.
    #[must_use]
    pub const fn drains(&self) -> bool {
        self.delay.is_some() || self.drain_signal.is_some() || self.drain_cmd || self.stop_cmd
    }
}

/// One of the two commands that drain-init runs itself.
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
    /// COMMAND ended and was reaped.
    CommandEnded {
        /// How.
        status: Status,
        /// Whether its group has members that drain-init may signal.
        group_remains: bool,
    },
    /// COMMAND was stopped by a signal.
    CommandStopped {
        /// By which.
        signal: Signal,
        /// Who can continue it, where a terminal's job control stopped it.
        job: Option<Job>,
    },
    /// COMMAND was continued.
    CommandContinued,
    /// After COMMAND's end, another process of its group was stopped by a signal.
    MemberStopped {
        /// By which.
        signal: Signal,
        /// Who can continue it, where a terminal's job control stopped it.
        job: Option<Job>,
    },
    /// COMMAND's group has no members.
    GroupGone,
    /// COMMAND's group has members, none of which drain-init may signal.
    GroupForbidden,
    /// Every remaining process of COMMAND's group ignores the signal that
    /// [`Drain::sent_to_group`] returns.
    GroupIgnores,
    /// It is time to look for processes that were adopted or started: children were
    /// reaped, or a second has passed.
    Scan,
    /// A drain or stop command ended and was reaped.
    HelperEnded(Helper, Status),
    /// A drain or stop command could not be started.
    HelperNotStarted(Helper),
    /// No child is left.
    NoChildren,
    /// Time went by: a deadline may have passed.
    Time,
    /// A signal was received; never CHLD.
    Received(Signal),
    /// The same, where drain-init has a controlling terminal, of which the
    /// signal may speak: TSTP, TTIN, TTOU, CONT, WINCH.
    ReceivedOnTerminal(Signal),
}

/// Whose job COMMAND is on its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// drain-init's own: nobody else is there to continue it.
    Own,
    /// That of the shell which started drain-init.
    Shells,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Deliver a signal to COMMAND (its group, unless single).
    Deliver(Signal),
    /// Deliver a signal to COMMAND's process ID alone.
    DeliverToCommand(Signal),
    /// Signal what is left of COMMAND's group; of `received`, if that is the
    /// reason, say that it was dropped where nothing is left.
    DeliverToRest {
        /// What to deliver.
        signal: Signal,
        /// The received signal, where one is the reason.
        received: Option<Signal>,
    },
    /// Signal a drain or stop command's group, if it is still there.
    SignalHelper(Helper, Signal),
    /// CONT to COMMAND's whole group, which a terminal has stopped.
    ContinueGroup,
    /// Signal everybody for whom `--wait-all` is there: every process of the PID
    /// namespace, or every child. Nobody gets the same signal twice so.
    SignalAll {
        /// What to deliver.
        signal: Signal,
        /// Leave COMMAND's group out: it was told.
        spare_command: bool,
        /// Leave the drain command's group out: it was told.
        spare_drain_cmd: bool,
    },
    /// Give COMMAND's group the terminal, if drain-init's own group has it.
    HandTerminalOn,
    /// Give COMMAND's group the terminal, and where that can be done CONT.
    ContinueInForeground,
    /// Start the drain or stop command, telling it the received signal.
    Start(Helper, Signal),
    /// Stop oneself, until CONT comes.
    Suspend,
    /// Say it.
    Report(Message),
    /// Exit with that status of COMMAND's.
    Exit(Status),
}

/// What comes after a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The stop command is run.
    Command,
    /// A signal is delivered.
    Signal(Signal),
    /// Nothing: this signal is rewritten to 0.
    Nothing(Signal),
}

/// What to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A signal was received. (Said with `--verbose`.)
    Received(Signal),
    /// It is rewritten to 0. (Said with `--verbose`.)
    NotDelivered(Signal),
    /// A drain begins.
    Draining {
        /// The stop signal.
        received: Signal,
        /// For that long, or as long as the drain command runs.
        delay: Option<Duration>,
        /// What comes then.
        then: Stop,
    },
    /// A stop signal was swallowed in a drain.
    SwallowedDraining(Signal),
    /// A stop signal was swallowed while the stop command runs.
    SwallowedStopping(Signal),
    /// A stop begins.
    Stopping {
        /// The stop signal.
        received: Signal,
        /// How long the drain was, where there was one to wait for.
        drained: Option<Duration>,
        /// What comes now.
        then: Stop,
    },
    /// A helper ended well. (Said with `--verbose`.)
    HelperSucceeded(Helper),
    /// A helper ended with that failure.
    HelperFailed(Helper, Status),
    /// A failed stop command: this signal is delivered after all.
    DeliveredAfterAll(Signal),
    /// COMMAND ended.
    Ended {
        /// How.
        status: Status,
        /// In the drain, which is over so long after its beginning.
        drained: Option<Duration>,
        /// What stopped it, so long ago.
        stopped: Option<(Cause, Duration)>,
        /// Whether this is a step of a drain, or said with `--verbose` only.
        step: bool,
        /// Whether what is left of its group is waited for.
        waits: bool,
    },
    /// COMMAND ended soon after that signal, and never saw a drain.
    DeliveredWithoutDrain(Signal, SignalSet),
    /// The remaining processes cannot be signalled, and are not waited for.
    GroupForbidden,
    /// The time of `--kill-after` is over.
    Killing(Duration),
    /// A signal came when there was nobody to deliver it to.
    Dropped(Signal),
}

/// What COMMAND was last stopped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A delivered signal, or where that is rewritten to 0 the received one.
    Signal(Signal),
    /// The stop command.
    StopCommand,
}

/// Where a step's actions go, one by one in their order.
struct Actions<'a>(&'a mut dyn FnMut(Action));

impl Actions<'_> {
    fn push(&mut self, action: Action) {
        (self.0)(action);
    }

    fn report(&mut self, message: Message) {
        self.push(Action::Report(message));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No stop was asked for.
    Running {
        /// The last signal that was delivered without the drain that was asked
        /// for, and when.
        last: Option<(Signal, Duration)>,
    },
    /// A stop signal is held back.
    Draining {
        received: Signal,
        since: Duration,
        /// None where the drain command's end is waited for.
        ends: Option<Duration>,
    },
    /// COMMAND was told to stop.
    Stopping { received: Signal, since: Duration, cause: Cause },
    /// COMMAND has ended.
    Ended {
        status: Status,
        /// Whether its group is watched: it is waited for, or is part of what
        /// `--wait-all` waits for.
        group: bool,
        /// Whether every child is waited for.
        children: bool,
    },
}

/// The state of a stop.
#[derive(Clone, Debug)]
#[allow(clippy::struct_field_names, reason = "a drain command is part of a drain")]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Drain {
    plan: Plan,
    state: State,
    /// When SIGKILL is due. Set once.
    kill_at: Option<Duration>,
    /// Whether it has been sent.
    killed: bool,
    /// The stop signal that was last sent to COMMAND's group.
    sent_to_group: Option<Signal>,
    /// Whether COMMAND is stopped, as far as is known.
    suspended: bool,
    /// Whether a drain signal that suspends was sent in this step.
    drain_signal_suspends: bool,
    drain_cmd_runs: bool,
    /// Whether the drain command was sent TERM.
    drain_cmd_told: bool,
    stop_cmd_runs: bool,
}

impl Drain {
    /// COMMAND was just started.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self {
            plan,
            state: State::Running { last: None },
            kill_at: None,
            killed: false,
            sent_to_group: None,
            suspended: false,
            drain_signal_suspends: false,
            drain_cmd_runs: false,
            drain_cmd_told: false,
            stop_cmd_runs: false,
        }
    }

    /// When [`Event::Time`] is wanted next, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let drain_ends = match self.state {
            State::Draining { ends, .. } => ends,
            _ => None,
        };
        let kill_at = self.kill_at.filter(|_| !self.killed);
        match (drain_ends, kill_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whether it counts, when COMMAND ends, if somebody is left of its group.
    const fn asks_for_group(&self) -> bool {
        self.plan.group && self.plan.drains() && matches!(self.state, State::Stopping { .. })
    }

    /// Whether [`Event::GroupGone`], [`Event::GroupForbidden`] and
    /// [`Event::GroupIgnores`] are wanted.
    #[must_use]
    pub const fn watches_group(&self) -> bool {
        matches!(self.state, State::Ended { group: true, .. })
    }

    /// Whether [`Event::Scan`] is wanted.
    #[must_use]
    pub const fn watches_children(&self) -> bool {
        matches!(self.state, State::Ended { children: true, .. })
    }

    /// The stop signal that COMMAND's group has received, if its members may ignore it:
    /// they would get TERM instead.
    #[must_use]
    pub fn sent_to_group(&self) -> Option<Signal> {
        self.sent_to_group.filter(|&signal| signal != Signal::TERM && !self.killed)
    }

    /// Takes an event in, at the time that it is `now`, and hands out what to do.
    /// Takes none of it back: what fails is the next event.
    pub fn step(&mut self, event: Event, now: Duration, act: &mut dyn FnMut(Action)) {
        let actions = &mut Actions(act);
        match event {
            Event::CommandEnded { status, group_remains } => {
                self.command_ended(status, group_remains, now, actions);
            }
            Event::CommandStopped { signal, job } => {
                self.suspended = true;
                self.stopped(signal, job, actions);
            }
            Event::MemberStopped { signal, job } => self.stopped(signal, job, actions),
            Event::CommandContinued => self.suspended = false,
            Event::HelperEnded(helper, status) => {
                self.helper_ended(helper, Some(status), now, actions);
            }
            Event::HelperNotStarted(helper) => self.helper_ended(helper, None, now, actions),
            Event::GroupGone => self.group_done(actions),
            Event::GroupForbidden => {
                // With --wait-all they are waited for as children.
                if !self.watches_children() {
                    actions.report(Message::GroupForbidden);
                }
                self.group_done(actions);
            }
            Event::GroupIgnores => {
                if self.watches_group() && self.sent_to_group().is_some() {
                    self.stop_remaining(Signal::TERM, None, actions);
                }
            }
            Event::Scan => self.tell_all(actions),
            Event::NoChildren => {
                // The stop command would be one.
                if let State::Ended { group, children: children @ true, .. } = &mut self.state
                    && !self.stop_cmd_runs
                {
                    // A member of the group would be a child, or the child of one.
                    (*group, *children) = (false, false);
                    self.exit_if_done(actions);
                }
            }
            Event::Time => self.time(now, actions),
            Event::Received(signal) => self.received(signal, false, now, actions),
            Event::ReceivedOnTerminal(signal) => self.received(signal, true, now, actions),
        }
    }

    fn received(
        &mut self,
        signal: Signal,
        on_terminal: bool,
        now: Duration,
        actions: &mut Actions,
    ) {
        actions.report(Message::Received(signal));
        let suspends = on_terminal && signal.is_of_job_control();
        let delivered = if suspends && self.plan.group {
            // COMMAND's group may be an orphaned one, in which these three do
            // nothing (see dumb-init's README).
            self.plan.rewrites.apply_or(signal, Signal::STOP)
        } else {
            self.plan.rewrites.apply(signal)
        };
        if on_terminal && signal == Signal::CONT {
            // Whoever continues the job gave drain-init's group the terminal.
            actions.push(Action::HandTerminalOn);
        }
        match self.state {
            State::Running { .. } => {
                self.received_when_running(signal, delivered, on_terminal, now, actions);
            }
            State::Draining { .. } => self.received_when_draining(signal, delivered, actions),
            State::Stopping { .. } => {
                self.received_when_stopping(signal, delivered, now, actions);
            }
            State::Ended { .. } => self.received_when_ended(signal, delivered, actions),
        }
        // As dumb-init does: whoever suspends the job sees its init stop, too.
        if suspends {
            actions.push(Action::Suspend);
        }
    }

    /// A stop signal begins the stop, every other one is delivered at once.
    fn received_when_running(
        &mut self,
        signal: Signal,
        delivered: Option<Signal>,
        on_terminal: bool,
        now: Duration,
        actions: &mut Actions,
    ) {
        if !self.plan.stop_signals.contains(signal) {
            let may_end = signal.ends_by_default() || (signal == Signal::WINCH && !on_terminal);
            if may_end && self.plan.drains() && delivered.is_some() {
                self.state = State::Running { last: Some((signal, now)) };
            }
            self.deliver(signal, delivered, actions);
        } else if self.plan.drains() {
            self.begin_drain(signal, now, actions);
        } else {
            self.begin_stop(signal, None, now, actions);
        }
    }

    /// Runtimes do send a stop signal twice: it must not cut the drain short.
    fn received_when_draining(
        &mut self,
        signal: Signal,
        delivered: Option<Signal>,
        actions: &mut Actions,
    ) {
        if self.plan.stop_signals.contains(signal) {
            actions.report(Message::SwallowedDraining(signal));
        } else {
            self.deliver(signal, delivered, actions);
        }
    }

    /// The stop command must not be disturbed either; then stop signals are
    /// delivered.
    fn received_when_stopping(
        &mut self,
        signal: Signal,
        delivered: Option<Signal>,
        now: Duration,
        actions: &mut Actions,
    ) {
        if !self.plan.stop_signals.contains(signal) {
            self.deliver(signal, delivered, actions);
        } else if self.stop_cmd_runs {
            actions.report(Message::SwallowedStopping(signal));
        } else if let Some(delivered) = delivered
            && let State::Stopping { since, cause, .. } = &mut self.state
        {
            (*since, *cause) = (now, Cause::Signal(delivered));
            self.deliver_stop(delivered, actions);
        } else {
            actions.report(Message::NotDelivered(signal));
        }
    }

    /// Whoever is left of the group may still get a signal.
    fn received_when_ended(
        &mut self,
        received: Signal,
        delivered: Option<Signal>,
        actions: &mut Actions,
    ) {
        match delivered {
            None => actions.report(Message::NotDelivered(received)),
            Some(_) if !self.plan.group => actions.report(Message::Dropped(received)),
            Some(signal) if self.plan.stop_signals.contains(received) => {
                self.stop_remaining(signal, Some(received), actions);
            }
            Some(signal) => {
                self.suspends_or_continues(signal);
                actions.push(Action::DeliverToRest { signal, received: Some(received) });
            }
        }
    }

    /// Delivers a signal that does not ask to stop.
    fn deliver(&mut self, received: Signal, delivered: Option<Signal>, actions: &mut Actions) {
        match delivered {
            None => actions.report(Message::NotDelivered(received)),
            Some(signal) => {
                self.suspends_or_continues(signal);
                actions.push(Action::Deliver(signal));
            }
        }
    }

    const fn suspends_or_continues(&mut self, delivered: Signal) {
        match delivered {
            Signal::STOP => self.suspended = true,
            Signal::CONT => self.suspended = false,
            _ => {}
        }
    }

    /// COMMAND or a remaining process was stopped. If a terminal did it, some process
    /// must continue it.
    fn stopped(&mut self, signal: Signal, job: Option<Job>, actions: &mut Actions) {
        if !signal.is_of_job_control() {
            return;
        }
        match job {
            None => {}
            Some(Job::Shells) => actions.push(Action::Suspend),
            Some(Job::Own) if signal == Signal::TSTP => {
                self.suspended = false;
                actions.push(Action::ContinueGroup);
            }
            // It would stop again at once, as long as it is in the background.
            Some(Job::Own) => actions.push(Action::ContinueInForeground),
        }
    }

    /// Delivers what stops COMMAND, and CONT, as a suspended process would act on
    /// nothing but KILL.
    fn deliver_stop(&mut self, signal: Signal, actions: &mut Actions) {
        actions.push(Action::Deliver(signal));
        if self.plan.group {
            self.sent_to_group = Some(signal);
        }
        if self.continues_after(signal) {
            actions.push(Action::Deliver(Signal::CONT));
        }
    }

    /// Stops the remaining processes of COMMAND's group, as [`Drain::deliver_stop`]
    /// does with COMMAND; of `received`, if that is the reason, reports that it was
    /// dropped if none remains.
    fn stop_remaining(&mut self, signal: Signal, received: Option<Signal>, actions: &mut Actions) {
        self.sent_to_group = Some(signal);
        actions.push(Action::DeliverToRest { signal, received });
        if self.continues_after(signal) {
            actions.push(Action::DeliverToRest { signal: Signal::CONT, received: None });
        }
    }

    /// Whether CONT follows a stop signal: with a drain, as any member of the group may
    /// be suspended; without, if COMMAND is known to be. It would discard a signal that
    /// suspends.
    fn continues_after(&mut self, signal: Signal) -> bool {
        let suspended = core::mem::take(&mut self.suspended);
        let any_may_be = self.plan.drains() && !self.drain_signal_suspends;
        (any_may_be || suspended) && !signal.stops_by_default()
    }

    fn wake_command(&mut self, actions: &mut Actions) {
        if core::mem::take(&mut self.suspended) {
            actions.push(Action::Deliver(Signal::CONT));
        }
    }

    /// What a stop will do, or does.
    fn stop(&self, received: Signal) -> Stop {
        if self.plan.stop_cmd {
            Stop::Command
        } else {
            self.plan.rewrites.apply(received).map_or(Stop::Nothing(received), Stop::Signal)
        }
    }

    fn begin_drain(&mut self, received: Signal, now: Duration, actions: &mut Actions) {
        let delay = self.plan.delay;
        let waits = delay.is_some() || self.plan.drain_cmd;
        self.state = State::Draining {
            received,
            since: now,
            ends: delay.map(|delay| now.saturating_add(delay)),
        };
        if waits {
            let then = self.stop(received);
            actions.report(Message::Draining { received, delay, then });
        }
        if let Some(signal) = self.plan.drain_signal {
            actions.push(Action::DeliverToCommand(signal));
        }
        if self.plan.drain_cmd {
            self.drain_cmd_runs = true;
            actions.push(Action::Start(Helper::Drain, received));
        }
        if !waits {
            // CONT in the same step would discard it.
            self.drain_signal_suspends =
                self.plan.drain_signal.is_some_and(Signal::stops_by_default);
            self.begin_stop(received, None, now, actions);
            self.drain_signal_suspends = false;
        }
    }

    /// Ends the drain, or begins without one.
    fn begin_stop(
        &mut self,
        received: Signal,
        drained: Option<Duration>,
        now: Duration,
        actions: &mut Actions,
    ) {
        let then = self.stop(received);
        if self.plan.drains() {
            actions.report(Message::Stopping { received, drained, then });
        } else if let Stop::Nothing(signal) = then {
            actions.report(Message::NotDelivered(signal));
        }
        let cause = match then {
            Stop::Command => {
                self.wake_command(actions);
                self.stop_cmd_runs = true;
                actions.push(Action::Start(Helper::Stop, received));
                Cause::StopCommand
            }
            Stop::Signal(signal) => {
                self.deliver_stop(signal, actions);
                Cause::Signal(signal)
            }
            Stop::Nothing(signal) => Cause::Signal(signal),
        };
        self.state = State::Stopping { received, since: now, cause };
        self.start_kill_clock(now);
    }

    fn start_kill_clock(&mut self, now: Duration) {
        if self.kill_at.is_none() {
            self.kill_at = self.plan.kill_after.map(|kill_after| now.saturating_add(kill_after));
        }
    }

    /// A helper ended with that status, or could not be started.
    fn helper_ended(
        &mut self,
        helper: Helper,
        status: Option<Status>,
        now: Duration,
        actions: &mut Actions,
    ) {
        let failed = match status {
            Some(Status::Exited(0)) => {
                actions.report(Message::HelperSucceeded(helper));
                false
            }
            Some(status) => {
                // A drain command that COMMAND's end cut short did not fail.
                if !(helper == Helper::Drain && matches!(self.state, State::Ended { .. })) {
                    actions.report(Message::HelperFailed(helper, status));
                }
                true
            }
            // Whoever could not start it has said so.
            None => true,
        };
        match helper {
            Helper::Drain => {
                self.drain_cmd_runs = false;
                if let State::Draining { received, since, ends: None } = self.state {
                    let drained = now.saturating_sub(since);
                    self.begin_stop(received, Some(drained), now, actions);
                }
            }
            Helper::Stop => {
                self.stop_cmd_runs = false;
                match self.state {
                    State::Stopping { received, .. } if failed && !self.killed => {
                        let signal = self.plan.rewrites.apply(received).unwrap_or(received);
                        let cause = Cause::Signal(signal);
                        self.state = State::Stopping { received, since: now, cause };
                        actions.report(Message::DeliveredAfterAll(signal));
                        self.deliver_stop(signal, actions);
                    }
                    State::Ended { .. } => self.finish(actions),
                    _ => {}
                }
            }
        }
    }

    fn time(&mut self, now: Duration, actions: &mut Actions) {
        if let State::Draining { received, since, ends: Some(ends) } = self.state
            && now >= ends
        {
            let drained = now.saturating_sub(since);
            self.begin_stop(received, Some(drained), now, actions);
        }
        if let (Some(kill_at), Some(kill_after)) = (self.kill_at, self.plan.kill_after)
            && now >= kill_at
            && !self.killed
        {
            self.killed = true;
            actions.report(Message::Killing(kill_after));
            if self.plan.wait_all == Some(WaitAll::Namespace) {
                self.tell_all(actions);
                return;
            }
            if !matches!(self.state, State::Ended { .. }) {
                actions.push(Action::Deliver(Signal::KILL));
            } else if self.plan.group {
                actions.push(Action::DeliverToRest { signal: Signal::KILL, received: None });
            }
            // Their groups may outlive them.
            actions.push(Action::SignalHelper(Helper::Drain, Signal::KILL));
            actions.push(Action::SignalHelper(Helper::Stop, Signal::KILL));
            if self.plan.wait_all.is_some() {
                self.tell_all(actions);
            }
        }
    }

    fn command_ended(
        &mut self,
        status: Status,
        group_remains: bool,
        now: Duration,
        actions: &mut Actions,
    ) {
        let (drained, stopped) = match self.state {
            State::Draining { since, .. } => (Some(now.saturating_sub(since)), None),
            State::Stopping { since, cause, .. } => {
                (None, Some((cause, now.saturating_sub(since))))
            }
            State::Running { .. } | State::Ended { .. } => (None, None),
        };
        let step = drained.is_some() || stopped.is_some() && (self.plan.drains() || self.killed);
        // Behind npm or a shell, which die of TERM at once, the server that was
        // told in the same instant still answers.
        let waits = self.asks_for_group() && group_remains;
        actions.report(Message::Ended { status, drained, stopped, step, waits });
        if let State::Running { last: Some((signal, when)) } = self.state
            && now.saturating_sub(when) < SOON
        {
            actions.report(Message::DeliveredWithoutDrain(signal, self.plan.stop_signals));
        }
        let children = self.plan.wait_all.is_some();
        let group = waits || children && self.plan.group && group_remains;
        self.state = State::Ended { status, group, children };
        self.start_kill_clock(now);

        // What goes to the whole namespace in a moment need not go to its parts
        // as well: many programs take a second TERM for haste.
        let all_follows = !self.stop_cmd_runs && self.plan.wait_all == Some(WaitAll::Namespace);
        if self.drain_cmd_runs && !all_follows {
            self.drain_cmd_told = true;
            actions.push(Action::SignalHelper(Helper::Drain, self.ending(Signal::TERM)));
        }
        // A plain command line does as dumb-init does, and tells the rest again.
        let told = self.sent_to_group.is_some() && (self.plan.drains() || children) && !self.killed;
        if self.plan.group
            && !told
            && let Some(signal) = self.plan.rewrites.apply(Signal::TERM)
            && !(all_follows && signal == Signal::TERM)
        {
            self.stop_remaining(self.ending(signal), None, actions);
        }
        self.finish(actions);
    }

    /// The signal, or KILL once that was sent.
    const fn ending(&self, signal: Signal) -> Signal {
        if self.killed { Signal::KILL } else { signal }
    }

    /// COMMAND has ended, and perhaps the stop command: waits for the rest or
    /// exits.
    fn finish(&mut self, actions: &mut Actions) {
        self.tell_all(actions);
        self.exit_if_done(actions);
    }

    /// Tells everybody for whom `--wait-all` is there and who was not told yet;
    /// nobody without it.
    fn tell_all(&mut self, actions: &mut Actions) {
        // The stop command would be told, too.
        let waits =
            !self.stop_cmd_runs && matches!(self.state, State::Ended { children: true, .. });
        if waits || self.killed && self.plan.wait_all.is_some() {
            let spare_command = self.sent_to_group.is_some() && !self.killed;
            actions.push(Action::SignalAll {
                signal: self.ending(Signal::TERM),
                spare_command,
                spare_drain_cmd: self.drain_cmd_told && !self.killed,
            });
            // What is left of the group was suspended with COMMAND.
            if waits && !spare_command && self.plan.group && core::mem::take(&mut self.suspended) {
                actions.push(Action::DeliverToRest { signal: Signal::CONT, received: None });
            }
        }
    }

    /// COMMAND's group is not waited for any more.
    fn group_done(&mut self, actions: &mut Actions) {
        if let State::Ended { group, .. } = &mut self.state {
            *group = false;
        }
        self.exit_if_done(actions);
    }

    /// Exits when nobody is waited for any more.
    fn exit_if_done(&self, actions: &mut Actions) {
        if let State::Ended { status, group: false, children: false } = self.state
            && !self.stop_cmd_runs
        {
            actions.push(Action::Exit(status));
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
