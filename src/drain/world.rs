//! A model of the world around the state machine: which processes run, which signals each
//! was sent, which deadlines are set. It feeds the machine as the loop in `init.rs` does,
//! works out independently what the machine should do, and names a rule that was broken.
//!
//! The exhaustive search, the random walk and the fuzz target share it. The fuzz
//! target includes this file by its path, so it uses only what `drain.rs` makes
//! public.
//!
//! To add a fact to the model, add a field to [`Process`] or [`World`], let a [`Move`]
//! change it, feed the machine the event that the loop would see in [`World::play`], and
//! write the rule into `check_step`, `check_stop` or `check_turn`. The compiler then
//! requires the field in `exhaustive.rs`. Let `turns` there and `turn` in `walk.rs` make
//! the move.

use super::{
    Action, Continuer, Drain, Duration, Event, Helper, Measure, Message, Plan, Signal,
    SignalForRemaining, Status, Target, WaitAll,
};

/// The rule that was broken, as a sentence.
pub type Kept = Result<(), &'static str>;

const fn rule(kept: bool, sentence: &'static str) -> Kept {
    if kept { Ok(()) } else { Err(sentence) }
}

// The processes of the model, as indices.

pub const COMMAND: usize = 0;
pub const DRAIN_CMD: usize = 1;
pub const STOP_CMD: usize = 2;
/// The other members of COMMAND's process group, as one. Once COMMAND has exited,
/// they are the remaining processes.
pub const REMAINING: usize = 3;
/// drain-init's other children, as one. Each has a process group of its own.
pub const OTHERS: usize = 4;

const ALL: [usize; 5] = [COMMAND, DRAIN_CMD, STOP_CMD, REMAINING, OTHERS];

const fn index(helper: Helper) -> usize {
    match helper {
        Helper::Drain => DRAIN_CMD,
        Helper::Stop => STOP_CMD,
    }
}

/// A process, or several that always change together. A process that does not run has
/// none of these properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Process {
    pub alive: bool,
    /// It received a stop signal.
    pub signalled: bool,
    /// `SendToAll` reached it, which signals each process once.
    pub signalled_with_all: bool,
    /// It received KILL as a stop.
    pub killed: bool,
    /// A signal suspended it, and no CONT has come since.
    pub suspended: bool,
    /// It ignores every stop signal except TERM.
    pub ignores: bool,
    /// It belongs to another user: drain-init may not signal it.
    pub forbidden: bool,
}

/// The progress of a stop, as the world sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    /// `ends` is the end of the delay, if there is one.
    Draining {
        ends: Option<Duration>,
    },
    Stopping,
    /// COMMAND has ended, with this status.
    Ended(Status),
}

/// When `--kill-after` sends KILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillClock {
    Unset,
    Due(Duration),
    Fired,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// Only time passes.
    Nothing,
    Receive(Signal),
    /// Processes end before drain-init reaps again. Those without a status keep running.
    End([Option<Status>; ALL.len()]),
    /// An orphan becomes drain-init's child, because its parent ended.
    Adopt,
    /// A signal suspends COMMAND.
    Suspend(Signal, Option<Continuer>),
    /// COMMAND is continued.
    Continue,
    /// A signal suspends the other members of COMMAND's group, which drain-init does not
    /// notice.
    SuspendUnseen,
    /// A terminal suspends the remaining processes.
    SuspendRemaining(Signal, Continuer),
}

/// A move and its circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// How much time passes before it.
    pub passed: Duration,
    pub what: Move,
    /// Whether the drain command and the stop command fail to start in this turn.
    pub cannot_start: [bool; 2],
    /// Whether /proc cannot show the group's remaining members in this turn.
    pub blind: bool,
}

impl Turn {
    /// Nothing happens, except that /proc can show the group again.
    const LAST: Self = Self {
        passed: Duration::from_millis(1),
        what: Move::Nothing,
        cannot_start: [false; 2],
        blind: false,
    };
}

/// What the machine must do and may do in answer to one event.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Step {
    /// It may forward one stop signal from outside.
    forwards: bool,
    /// It must send the drain signal, if there is one.
    begins_drain: bool,
    /// It sent a signal that suspends, which CONT would discard.
    suspends: bool,
    /// It must ignore the stop signal and report that.
    ignores: bool,
    ignored: bool,
    /// A suspended process received a stop signal, and must get CONT.
    owes_cont: bool,
    starts: u8,
    /// The drain file was created.
    marks: bool,
}

/// The world, with the machine in it.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct World<'a> {
    pub drain: Drain,
    pub plan: &'a Plan,
    /// Whether drain-init has a controlling terminal.
    pub on_terminal: bool,
    pub now: Duration,
    pub phase: Phase,
    pub kill_clock: KillClock,
    /// While a drain is measured: when it began, and how many seconds were accounted for.
    pub measured: Option<(Duration, u64)>,
    pub processes: [Process; ALL.len()],
    /// The state of an orphan when drain-init adopts it. It has received the signals that
    /// were sent to the whole namespace.
    pub adopted: Process,
    /// The signal that began the stop.
    pub first_stop: Option<Signal>,
    pub drain_signal_sent: bool,
    /// Which of the drain and stop commands drain-init has started, or failed to.
    pub started: [bool; 2],
    pub stop_cmd_succeeded: bool,
    /// Whether COMMAND was sent a stop signal.
    pub stop_delivered: bool,
    /// Whether drain-init waits for the remaining processes of the group.
    pub awaits_group: bool,
    /// The status that drain-init exits with.
    pub exited: Option<Status>,
    /// Whether a stop signal of this plan suspends, continues or kills a process. The
    /// rules about signalling do not cover that.
    pub unusual: bool,
    pub step: Step,
}

impl<'a> World<'a> {
    /// A world in which COMMAND has just been started.
    pub fn new(
        plan: &'a Plan,
        on_terminal: bool,
        remaining: Option<Process>,
        others: bool,
    ) -> Self {
        let started = |alive| Process { alive, ..Process::default() };
        let mut stop_signals = plan.stop_signals;
        stop_signals.insert(Signal::TERM);
        let unusual = |signal: Signal| {
            let delivered = plan.rewrites.apply(signal);
            signal.is_of_job_control()
                || matches!(delivered, Some(Signal::KILL | Signal::CONT | Signal::STOP))
        };
        let mut processes = [true, false, false, false, others].map(started);
        if let Some(remaining) = remaining {
            processes[REMAINING] = Process { alive: true, ..remaining };
        }
        Self {
            drain: Drain::new(plan.clone()),
            plan,
            on_terminal,
            now: Duration::from_millis(7),
            phase: Phase::Running,
            kill_clock: KillClock::Unset,
            measured: None,
            processes,
            adopted: started(true),
            first_stop: None,
            drain_signal_sent: false,
            started: [false; 2],
            stop_cmd_succeeded: false,
            stop_delivered: false,
            awaits_group: false,
            exited: None,
            unusual: stop_signals.iter().any(unusual),
            step: Step::default(),
        }
    }

    /// This world and the turns played in it, as readable text.
    pub fn tell(&self, turns: &[Turn]) -> String {
        let Self { plan, on_terminal, processes, .. } = self;
        let rewrites = (1..=64).filter_map(Signal::new).map(|it| (it, plan.rewrites.apply(it)));
        let rewrites: Vec<_> = rewrites.filter(|(it, sent)| *sent != Some(*it)).collect();
        let turns: Vec<_> = turns.iter().map(|turn| format!("{turn:?}")).collect();
        format!(
            "{plan:?}\nrewrites {rewrites:?}, terminal {on_terminal}\n{processes:?}\n{}",
            turns.join("\n")
        )
    }

    // ---- the loop ----

    /// One wake of the loop: reap, check the deadline, look at the group, act on the
    /// signal.
    pub fn play(&mut self, turn: Turn) -> Kept {
        self.now = self.now.saturating_add(turn.passed);
        match turn.what {
            Move::Nothing | Move::Receive(_) => {}
            Move::Suspend(signal, continuer) => {
                self.feed(Event::Suspended { signal, continuer }, turn)?;
            }
            Move::SuspendUnseen => self.processes[REMAINING].suspended = true,
            Move::SuspendRemaining(signal, continuer) => {
                let continuer = Some(continuer);
                self.feed(Event::Suspended { signal, continuer }, turn)?;
            }
            Move::Continue => self.feed(Event::CommandContinued, turn)?,
            Move::Adopt => {
                let others = &mut self.processes[OTHERS];
                // The others count as one process, so a new one that was not signalled
                // replaces one that was.
                if !others.alive || !(self.adopted.signalled || self.adopted.killed) {
                    *others = self.adopted;
                }
            }
            Move::End(statuses) => {
                for ended in [REMAINING, OTHERS] {
                    if statuses[ended].is_some() {
                        self.processes[ended] = Process::default();
                    }
                }
                if let Some(status) = statuses[COMMAND] {
                    let group_remains = self.processes[REMAINING].alive;
                    self.feed(Event::CommandExited { status, group_remains }, turn)?;
                }
                for helper in [Helper::Drain, Helper::Stop] {
                    if let Some(status) = statuses[index(helper)] {
                        self.feed(Event::HelperEnded(helper, Some(status)), turn)?;
                    }
                }
            }
        }
        if !ALL.into_iter().any(|it| self.processes[it].alive) {
            self.feed(Event::NoChildren, turn)?;
        }
        // The loop feeds this event only when it is due, but an early one must do no harm.
        if matches!(turn.what, Move::Nothing) || self.is_due() {
            self.feed(Event::Time, turn)?;
            rule(
                !self.is_due() || self.now == Duration::MAX,
                "a deadline that has passed is acted on, and the loop sleeps",
            )?;
        }
        self.look_at_group(turn)?;
        if self.drain.signals_all() && !matches!(turn.what, Move::Receive(_)) {
            self.feed(Event::Scan, turn)?;
        }
        match turn.what {
            Move::Receive(signal) if self.exited.is_none() => {
                let about_terminal = self.on_terminal
                    && (signal.is_of_job_control()
                        || matches!(signal, Signal::CONT | Signal::WINCH));
                self.feed(Event::Received { signal, about_terminal }, turn)?;
            }
            _ => {}
        }
        self.check_turn(turn)
    }

    fn look_at_group(&mut self, turn: Turn) -> Kept {
        if !self.drain.waiting_for().group {
            return Ok(());
        }
        let remaining = self.processes[REMAINING];
        if !remaining.alive && !turn.blind {
            self.feed(Event::GroupGone, turn)
        } else if remaining.forbidden {
            self.feed(Event::GroupForbidden, turn)
        } else if remaining.ignores && !turn.blind && self.drain.sent_to_group().is_some() {
            self.feed(Event::GroupIgnores, turn)
        } else {
            Ok(())
        }
    }

    fn is_due(&self) -> bool {
        self.drain.deadline().is_some_and(|deadline| self.now >= deadline)
    }

    /// Feeds the machine an event, and the failed starts that it leads to.
    fn feed(&mut self, event: Event, turn: Turn) -> Kept {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.happens(event);
            let mut actions = Vec::new();
            self.drain.step(event, self.now, &mut |action| actions.push(action));
            for action in actions {
                self.act(event, action)?;
                if let Action::Start(helper, _) = action {
                    if turn.cannot_start[helper as usize] {
                        next = Some(Event::HelperEnded(helper, None));
                    } else {
                        self.processes[index(helper)].alive = true;
                    }
                }
            }
            self.check_step()?;
        }
        self.check_stop()
    }

    // ---- the world's own view ----

    /// The effect of an event on the world, independent of the machine.
    fn happens(&mut self, event: Event) {
        self.step = Step::default();
        match event {
            Event::Received { signal, .. } => {
                if self.plan.stop_signals.contains(signal) {
                    self.receives_stop_signal(signal);
                }
            }
            Event::CommandExited { status, .. } => {
                self.awaits_group =
                    self.plan.group && self.plan.drains() && self.phase == Phase::Stopping;
                self.phase = Phase::Ended(status);
                self.processes[COMMAND] = Process::default();
                self.start_kill_clock();
            }
            Event::Suspended { signal, .. } if self.processes[COMMAND].alive => {
                self.processes[COMMAND].suspended = true;
                // Ctrl-Z suspends the whole group.
                let group = signal.is_of_job_control() && self.plan.group;
                self.processes[REMAINING].suspended |= group && self.processes[REMAINING].alive;
            }
            Event::CommandContinued => {
                self.processes[COMMAND].suspended = false;
                self.processes[REMAINING].suspended = false;
            }
            Event::Suspended { signal, continuer } => {
                let remaining = &mut self.processes[REMAINING];
                remaining.suspended = true;
                self.step.owes_cont = continuer == Some(Continuer::Init)
                    && signal == Signal::TSTP
                    && !remaining.forbidden;
            }
            Event::HelperEnded(helper, status) => {
                self.processes[index(helper)] = Process::default();
                self.stop_cmd_succeeded |=
                    helper == Helper::Stop && status == Some(Status::Exited(0));
                if helper == Helper::Drain && self.phase == (Phase::Draining { ends: None }) {
                    self.begin_stop();
                }
            }
            Event::Time => {
                if matches!(self.phase, Phase::Draining { ends: Some(ends) } if self.now >= ends) {
                    self.begin_stop();
                }
                if matches!(self.kill_clock, KillClock::Due(at) if self.now >= at) {
                    self.kill_clock = KillClock::Fired;
                }
            }
            Event::GroupGone
            | Event::GroupForbidden
            | Event::GroupIgnores
            | Event::Scan
            | Event::NoChildren => {}
        }
    }

    fn receives_stop_signal(&mut self, signal: Signal) {
        self.step.ignores = match self.phase {
            Phase::Draining { .. } => true,
            Phase::Stopping => self.processes[STOP_CMD].alive,
            Phase::Running | Phase::Ended(_) => false,
        };
        self.step.forwards = !self.step.ignores;
        if self.phase == Phase::Running {
            self.step.begins_drain = true;
            self.first_stop = Some(signal);
            let ends = self.plan.delay.map(|delay| self.now.saturating_add(delay));
            self.phase = Phase::Draining { ends };
            if ends.is_none() && !self.plan.drain_cmd {
                self.begin_stop();
            }
        }
    }

    fn begin_stop(&mut self) {
        self.phase = Phase::Stopping;
        self.start_kill_clock();
    }

    fn start_kill_clock(&mut self) {
        if self.kill_clock != KillClock::Unset {
            return;
        }
        if let Some(kill_after) = self.plan.kill_after {
            self.kill_clock = KillClock::Due(self.now.saturating_add(kill_after));
        }
    }

    /// Whether drain-init must not exit before this process: COMMAND, the stop
    /// command, the group after a stop with a drain, and every child with
    /// `--wait-all`.
    fn awaits(&self, it: usize) -> bool {
        let Process { alive, forbidden, .. } = self.processes[it];
        alive
            && (it == COMMAND
                || it == STOP_CMD
                || (it == REMAINING && self.awaits_group && !forbidden)
                || self.plan.wait_all.is_some())
    }

    // ---- the machine's actions ----

    fn act(&mut self, event: Event, action: Action) -> Kept {
        let command = self.processes[COMMAND];
        match action {
            Action::Send(signal, target) => {
                self.check_alive(COMMAND)?;
                self.send(event, signal, target)?;
            }
            Action::SendToRemaining { signal, received } => {
                rule(!command.alive, "remaining processes are signalled once COMMAND has ended")?;
                rule(
                    self.plan.group || signal == Signal::CONT,
                    "remaining processes are signalled in group mode",
                )?;
                let is_stop = received.is_none_or(|it| self.plan.stop_signals.contains(it));
                self.check_cont(signal, received.is_none())?;
                self.signal(REMAINING, signal, is_stop, received.is_some())?;
            }
            Action::SendToHelper(helper, signal) => {
                // KILL also goes to a helper's group that outlives the helper.
                if signal != Signal::KILL {
                    self.check_alive(index(helper))?;
                }
                self.signal(index(helper), signal, true, false)?;
            }
            Action::SendToAll(sent) => self.signal_all(sent)?,
            Action::Start(helper, received) => {
                self.check_alive(COMMAND)?;
                self.step.starts += 1;
                let again = core::mem::replace(&mut self.started[helper as usize], true);
                rule(
                    !again && Some(received) == self.first_stop,
                    "a helper is started once, for the signal that began the stop",
                )?;
                rule(
                    helper == Helper::Drain || !command.suspended,
                    "CONT goes before the stop command",
                )?;
            }
            Action::Measure(step) => self.measure(step)?,
            Action::CreateDrainFile => {
                let marked = core::mem::replace(&mut self.step.marks, true);
                let first = self.step.begins_drain && self.step.starts == 0 && !marked;
                rule(
                    first && !self.drain_signal_sent,
                    "the drain file is created once, before the drain signal and command",
                )?;
            }
            Action::SuspendSelf => rule(
                match event {
                    Event::Received { signal, about_terminal } => {
                        about_terminal && signal.is_of_job_control()
                    }
                    Event::Suspended { continuer, .. } => continuer == Some(Continuer::Shell),
                    _ => false,
                },
                "drain-init suspends itself only on a terminal, as part of a shell's job",
            )?,
            Action::PassTerminal => rule(
                event == Event::Received { signal: Signal::CONT, about_terminal: true },
                "the terminal is handed on when the job is continued",
            )?,
            Action::ContinueInForeground => rule(
                matches!(event, Event::Suspended { continuer: Some(Continuer::Init), .. }),
                "the group is continued if no shell is there to do it",
            )?,
            Action::Report(Message::IgnoredDraining(signal) | Message::IgnoredStopping(signal)) => {
                self.step.ignored = true;
                rule(
                    matches!(event, Event::Received { signal: it, .. } if it == signal),
                    "the signal that is reported as ignored is the one received",
                )?;
            }
            Action::Report(_) => {}
            Action::Exit(status) => {
                rule(self.phase == Phase::Ended(status), "drain-init exits with COMMAND's status")?;
                rule(
                    !ALL.into_iter().any(|it| self.awaits(it)),
                    "drain-init does not exit before a process that it waits for",
                )?;
                self.exited = Some(status);
            }
        }
        Ok(())
    }

    /// The steps of a measured drain are its seconds.
    fn measure(&mut self, step: Measure) -> Kept {
        let Measure::Passed { secs, ends } = step else {
            let begins = self.step.begins_drain && self.measured.is_none() && self.plan.measure;
            self.measured = Some((self.now, 0));
            return rule(begins, "a drain is measured once, from its beginning");
        };
        let Some((since, measured)) = &mut self.measured else {
            return rule(false, "only a drain that has begun and not ended is measured");
        };
        *measured += secs;
        rule(
            *measured == self.now.saturating_sub(*since).as_secs(),
            "a measured drain counts each second once",
        )?;
        rule(secs > 0 || ends, "a figure is taken when a second has passed, or the drain ends")?;
        let in_drain = matches!(self.phase, Phase::Draining { .. });
        rule(ends != in_drain, "the figures are reported when the drain has ended")?;
        if ends {
            self.measured = None;
        }
        Ok(())
    }

    fn send(&mut self, event: Event, signal: Signal, target: Target) -> Kept {
        let is_drain_signal = self.step.begins_drain
            && !self.drain_signal_sent
            && self.plan.drain_signal == Some(signal)
            && target == Target::Process;
        if is_drain_signal {
            self.drain_signal_sent = true;
            self.step.suspends |= signal.suspends_by_default();
            return Ok(());
        }
        rule(
            self.plan.group == (target == Target::Group) || signal == Signal::CONT,
            "signals go to the group, and with -c to COMMAND alone",
        )?;
        let received = match event {
            Event::Received { signal, .. } => Some(signal),
            _ => None,
        };
        let is_stop = match event {
            Event::Received { signal, .. } => self.plan.stop_signals.contains(signal),
            Event::Suspended { .. } => false,
            _ => true,
        };
        self.check_cont(
            signal,
            received != Some(Signal::CONT)
                && received.is_none_or(|it| self.plan.rewrites.apply(it) != Some(Signal::CONT)),
        )?;
        let outside = core::mem::take(&mut self.step.forwards);
        self.stop_delivered |= is_stop;
        self.signal(COMMAND, signal, is_stop, outside)?;
        if target == Target::Group {
            self.signal(REMAINING, signal, is_stop, outside)?;
        }
        self.step.suspends |= is_stop && signal.suspends_by_default();
        Ok(())
    }

    /// Checks `signal` if it is a CONT that the machine sends by itself.
    fn check_cont(&self, signal: Signal, by_itself: bool) -> Kept {
        rule(
            signal != Signal::CONT
                || !by_itself
                || !self.step.suspends
                || self.processes[COMMAND].suspended,
            "CONT does not discard a signal that suspends",
        )
    }

    /// What a signal does to a process. `is_stop`: it asks the process to stop.
    /// `outside`: drain-init forwards it.
    fn signal(&mut self, it: usize, signal: Signal, is_stop: bool, outside: bool) -> Kept {
        let process = &mut self.processes[it];
        if !process.alive || process.forbidden {
            return Ok(());
        }
        match signal {
            Signal::KILL => {
                rule(
                    self.kill_clock == KillClock::Fired || self.unusual || !is_stop,
                    "no process is killed before its time",
                )?;
                process.killed |= is_stop;
            }
            Signal::CONT => {
                process.suspended = false;
                self.step.owes_cont = false;
            }
            Signal::STOP => process.suspended = true,
            _ if is_stop && process.ignores && signal != Signal::TERM => {}
            _ if is_stop && !self.unusual => {
                // With a plain dumb-init command line, the remaining processes get TERM in
                // any case.
                let as_dumb_init = !self.plan.drains() && self.plan.wait_all.is_none();
                rule(
                    outside || !process.signalled || (it == REMAINING && as_dumb_init),
                    "a process receives the stop signal only once from drain-init itself",
                )?;
                process.signalled = true;
                // CONT for the group would discard a drain signal that has just suspended
                // COMMAND.
                self.step.owes_cont |= process.suspended
                    && !signal.suspends_by_default()
                    && (it == COMMAND || !self.step.suspends);
            }
            _ => {}
        }
        Ok(())
    }

    fn signal_all(&mut self, sent: SignalForRemaining) -> Kept {
        let SignalForRemaining { signal, spare_command, spare_drain_cmd } = sent;
        rule(self.plan.wait_all.is_some(), "all processes are signalled for --wait-all alone")?;
        let namespace = self.plan.wait_all == Some(WaitAll::Namespace);
        let kill = signal == Signal::KILL;
        for it in ALL {
            let spared = match it {
                COMMAND => spare_command,
                // Its parent is COMMAND, until that has ended.
                REMAINING => spare_command || (!namespace && self.processes[COMMAND].alive),
                DRAIN_CMD => spare_drain_cmd,
                _ => false,
            };
            let Process { alive, signalled_with_all, .. } = self.processes[it];
            if alive && !spared && (kill || !signalled_with_all) {
                rule(kill || it != STOP_CMD, "the stop command may finish")?;
                rule(kill || it != COMMAND, "all are signalled once COMMAND has ended")?;
                self.signal(it, signal, true, false)?;
                // A suspended process gets CONT at once.
                self.processes[it].suspended = false;
                self.step.owes_cont = false;
                self.processes[it].signalled_with_all |= !kill;
            }
        }
        if namespace {
            self.adopted.signalled |= !kill;
            self.adopted.signalled_with_all |= !kill;
            self.adopted.killed |= kill;
        }
        Ok(())
    }

    // ---- the rules ----

    /// The kernel may have reused the ID of a process that has ended.
    fn check_alive(&self, it: usize) -> Kept {
        rule(self.processes[it].alive, "nothing is sent to a process that has ended")
    }

    /// Checks the rules after an event.
    fn check_step(&self) -> Kept {
        let Step {
            forwards: _,
            begins_drain,
            suspends: _,
            ignores,
            ignored,
            owes_cont,
            starts,
            marks,
        } = self.step;
        rule(
            marks == (begins_drain && self.plan.drain_file),
            "a drain begins with the drain file, and nothing else creates it",
        )?;
        rule(
            !begins_drain || self.drain_signal_sent || self.plan.drain_signal.is_none(),
            "the drain begins with the drain signal",
        )?;
        rule(starts <= 1, "no step starts two helpers")?;
        rule(!owes_cont, "a suspended process that receives a stop signal gets CONT")?;
        rule(
            ignores == ignored,
            "a stop signal is ignored in a drain and while the stop command runs, and only then",
        )?;
        let ends = if let Phase::Draining { ends } = self.phase { ends } else { None };
        let kill_at = if let KillClock::Due(at) = self.kill_clock { Some(at) } else { None };
        let is_draining = matches!(self.phase, Phase::Draining { .. });
        rule(
            self.measured.is_some() == (is_draining && self.plan.measure),
            "with --measure-drain each drain is measured to its end",
        )?;
        let figure_at = self
            .measured
            .map(|(since, seconds)| since.saturating_add(Duration::from_secs(seconds + 1)));
        rule(
            self.drain.deadline() == ends.into_iter().chain(kill_at).chain(figure_at).min(),
            "each deadline is set once and never moves",
        )
    }

    /// Checks the rules after an event and the failed starts that it led to.
    fn check_stop(&self) -> Kept {
        // A signal that is rewritten to 0 asks for nothing.
        let nothing_to_do = !self.plan.stop_cmd
            && self.first_stop.is_none_or(|signal| self.plan.rewrites.apply(signal).is_none());
        rule(
            self.phase != Phase::Stopping
                || self.stop_delivered
                || self.processes[STOP_CMD].alive
                || self.stop_cmd_succeeded
                || self.kill_clock == KillClock::Fired
                || nothing_to_do,
            "a stop ends in a delivery or the stop command",
        )
    }

    /// Checks the rules after a turn.
    fn check_turn(&self, turn: Turn) -> Kept {
        let [command, drain_cmd, stop_cmd, _, _] = self.processes;
        rule(
            !matches!(self.phase, Phase::Draining { ends: None }) || drain_cmd.alive,
            "a drain comes to its end",
        )?;

        let group = self.plan.group;
        let all = self.plan.wait_all.is_some();
        let namespace = self.plan.wait_all == Some(WaitAll::Namespace);
        let gets_kill = |it: usize| match it {
            OTHERS => all,
            REMAINING => group || namespace || (all && !command.alive),
            _ => true,
        };
        let survives = |it: &usize| {
            let Process { alive, killed, forbidden, .. } = self.processes[*it];
            alive && !killed && !forbidden && gets_kill(*it)
        };
        rule(
            self.kill_clock != KillClock::Fired || self.unusual || !ALL.iter().any(survives),
            "every remaining process is killed once the time of --kill-after has passed",
        )?;

        // Not if TERM is rewritten to 0, which means that the group gets nothing. With
        // --wait-all the stop command may finish before the others are signalled.
        let group_gets_term = group && self.plan.rewrites.apply(Signal::TERM).is_some();
        let all_get_term = all && !stop_cmd.alive;
        let gets_term = |it: usize| match it {
            REMAINING => group_gets_term || all_get_term,
            DRAIN_CMD | OTHERS => all_get_term,
            _ => false,
        };
        let waits_in_vain = |it: &usize| {
            let Process { signalled, killed, forbidden, ignores, .. } = self.processes[*it];
            let cannot_be = forbidden || ignores && turn.blind;
            self.awaits(*it) && gets_term(*it) && !signalled && !killed && !cannot_be
        };
        rule(
            !matches!(self.phase, Phase::Ended(_))
                || self.unusual
                || !ALL.iter().any(waits_in_vain),
            "every process that is waited for was signalled",
        )?;
        rule(
            self.exited.is_some()
                || ALL.into_iter().any(|it| self.awaits(it))
                || turn.blind && self.drain.waiting_for().group,
            "drain-init exits as soon as it waits for nothing",
        )
    }

    /// Checks that drain-init exits if all processes end from here, at once or one after
    /// another. Other orders are checked from other states.
    pub fn check_exit(&self) -> Kept {
        for at_once in [1, ALL.len()] {
            let mut world = self.clone();
            for these in ALL.chunks(at_once) {
                world.end(these)?;
            }
            // The end of the drain command may have started the stop command.
            world.end(&[STOP_CMD])?;
            if world.exited.is_none() {
                world.play(Turn::LAST)?;
            }
            rule(world.exited.is_some(), "when all processes have ended drain-init exits")?;
        }
        Ok(())
    }

    /// Ends these processes, if they run.
    fn end(&mut self, these: &[usize]) -> Kept {
        let ends = |it: usize| these.contains(&it) && self.processes[it].alive;
        if self.exited.is_some() || !ALL.into_iter().any(ends) {
            return Ok(());
        }
        // The stop command fails, and COMMAND's status differs from all others.
        let statuses = [3, 0, 1, 0, 0].map(Status::Exited);
        let what = Move::End(ALL.map(|it| ends(it).then_some(statuses[it])));
        self.play(Turn { what, ..Turn::LAST })
    }
}
