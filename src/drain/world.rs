//! The world around the state machine, as far as it has been told: who is alive,
//! who was told, what is due. Plays by the loop's rules (see init.rs), works out
//! by itself what the machine should do, and says which rule was not kept.
//!
//! Shared by the exhaustive search and the fuzz target, which takes this file in
//! by its path: it uses what `drain.rs` makes public, and no more.

use std::time::Duration;

use super::{Action, Drain, Event, Helper, Job, Message, Plan, Signal, Status, WaitAll};

/// Which rule was broken, as a sentence.
pub type Kept = Result<(), &'static str>;

const fn rule(kept: bool, sentence: &'static str) -> Kept {
    if kept { Ok(()) } else { Err(sentence) }
}

/// COMMAND.
pub const COMMAND: usize = 0;
/// The rest of COMMAND's group.
pub const REST: usize = 1;
/// The drain command.
pub const DRAIN_CMD: usize = 2;
/// The stop command.
pub const STOP_CMD: usize = 3;
/// Children in sessions of their own.
pub const OTHERS: usize = 4;

const fn party(helper: Helper) -> usize {
    match helper {
        Helper::Drain => DRAIN_CMD,
        Helper::Stop => STOP_CMD,
    }
}

/// Somebody who can be told to stop.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Party {
    /// Neither ended nor still to be started.
    pub alive: bool,
    /// A stop was delivered.
    pub told: bool,
    /// It was told along with everybody: that looks who was told so before.
    pub told_with_all: bool,
    /// KILL was delivered.
    pub killed: bool,
    /// Stopped by a signal, until CONT comes.
    pub suspended: bool,
}

/// How far the stop is, as the world sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No stop signal came.
    Running,
    /// It is held back.
    Draining,
    /// COMMAND is to stop.
    Stopping,
    /// COMMAND has ended.
    Ended,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// Nothing but time going by.
    Nothing,
    /// A signal comes.
    Receive(Signal),
    /// These end, all before the next look.
    End {
        /// COMMAND.
        command: Option<Status>,
        /// The drain command.
        drain_cmd: Option<Status>,
        /// The stop command.
        stop_cmd: Option<Status>,
        /// What is left of COMMAND's group.
        rest: bool,
        /// The other children.
        others: bool,
    },
    /// A child ends, and a child of that child is now drain-init's.
    Adopt,
    /// COMMAND is stopped by a signal.
    Suspend(Signal, Option<Job>),
    /// COMMAND is continued.
    Continue,
}

/// A move, and when and how it goes.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// How much time goes by before.
    pub passed: Duration,
    /// What happens.
    pub what: Move,
    /// Whether the drain command cannot be started in this turn.
    pub drain_cmd_fails: bool,
    /// Whether the stop command cannot.
    pub stop_cmd_fails: bool,
}

/// What is asked of one step of the machine.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Step {
    /// A stop signal from outside may be delivered once.
    from_outside: bool,
    /// It must be swallowed.
    swallows: bool,
    swallowed: bool,
    /// A stop went to somebody who is suspended, and no CONT followed yet.
    owes_cont: bool,
    starts: u8,
}

/// The world, with the machine in it.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct World<'a> {
    /// The machine.
    pub drain: Drain,
    /// What it was asked for.
    pub plan: &'a Plan,
    /// Whether drain-init has a controlling terminal.
    pub on_terminal: bool,
    /// The clock.
    pub now: Duration,
    /// How far the stop is.
    pub phase: Phase,
    /// Who there is, by COMMAND, REST and so on.
    pub who: [Party; 5],
    /// The signal that began the stop.
    pub first_stop: Option<Signal>,
    /// Whether the drain signal was delivered.
    pub quieted: bool,
    /// Which helpers were started, or tried to, by `party`.
    pub tried: [bool; 2],
    /// Whether the stop command ended well.
    pub stop_cmd_did_it: bool,
    /// Whether COMMAND was sent a signal that asks it to stop.
    pub delivered: bool,
    /// Whether what is left of the group is waited for.
    pub awaits_group: bool,
    /// How COMMAND ended.
    pub status: Option<Status>,
    /// With which status drain-init exits.
    pub exited: Option<Status>,
    /// Whether everybody was told, and so was whoever is adopted later.
    pub all_told: bool,
    /// Whether everybody was sent KILL.
    pub all_killed: bool,
    /// Whether the clock of `--kill-after` has run out.
    pub kill_over: bool,
    drain_ends: Option<Duration>,
    kill_at: Option<Duration>,
    step: Step,
    odd: bool,
    /// Whether this turn started a helper, or tried to.
    pub has_started: bool,
}

impl<'a> World<'a> {
    /// COMMAND was just started, with others in its group and other children or
    /// without.
    #[must_use]
    pub fn new(plan: &'a Plan, on_terminal: bool, rest: bool, others: bool) -> Self {
        let mut who = [Party::default(); 5];
        who[COMMAND].alive = true;
        who[REST].alive = rest;
        who[OTHERS].alive = others;
        Self {
            drain: Drain::new(plan.clone()),
            plan,
            on_terminal,
            now: Duration::from_millis(7),
            phase: Phase::Running,
            who,
            first_stop: None,
            quieted: false,
            tried: [false; 2],
            stop_cmd_did_it: false,
            delivered: false,
            awaits_group: false,
            status: None,
            exited: None,
            all_told: false,
            all_killed: false,
            kill_over: false,
            drain_ends: None,
            kill_at: None,
            step: Step::default(),
            odd: Self::is_odd(plan),
            has_started: false,
        }
    }

    // ---- the loop ----

    /// One wake of the loop: the dead, then the time, then the group, then the
    /// signal.
    ///
    /// # Errors
    ///
    /// The rule that was not kept.
    pub fn play(&mut self, turn: Turn) -> Kept {
        self.now = self.now.saturating_add(turn.passed);
        self.has_started = false;
        let mut has_ended = false;
        match turn.what {
            Move::Nothing | Move::Receive(_) => {}
            Move::Suspend(signal, job) => {
                self.feed(Event::CommandStopped { signal, job }, turn)?;
            }
            Move::Continue => self.feed(Event::CommandContinued, turn)?,
            Move::Adopt => {
                has_ended = true;
                // In a namespace where all were told, it was.
                let others = &mut self.who[OTHERS];
                if !others.alive || (!self.all_told && !self.all_killed) {
                    *others = Party {
                        alive: true,
                        told: self.all_told,
                        told_with_all: self.all_told,
                        killed: self.all_killed,
                        suspended: false,
                    };
                }
            }
            Move::End { command, drain_cmd, stop_cmd, rest, others } => {
                has_ended = true;
                self.who[REST].alive &= !rest;
                self.who[OTHERS].alive &= !others;
                if let Some(status) = command {
                    let group_left = self.who[REST].alive;
                    self.feed(Event::CommandEnded { status, group_left }, turn)?;
                }
                if let Some(status) = drain_cmd {
                    self.feed(Event::HelperEnded(Helper::Drain, status), turn)?;
                }
                if let Some(status) = stop_cmd {
                    self.feed(Event::HelperEnded(Helper::Stop, status), turn)?;
                }
            }
        }
        if has_ended {
            self.feed(Event::Reaped, turn)?;
        }
        if !self.has_children() {
            self.feed(Event::NoChildren, turn)?;
        }
        // The loop asks only when it is due; a wake for nothing must do nothing.
        if matches!(turn.what, Move::Nothing)
            || self.drain.deadline().is_some_and(|deadline| self.now >= deadline)
        {
            self.feed(Event::Time, turn)?;
            let due = self.drain.deadline().is_some_and(|deadline| self.now >= deadline);
            let endless = self.now == Duration::MAX;
            rule(!due || endless, "a deadline that has passed is acted on, and the loop sleeps")?;
        }
        if self.drain.waits_for_group() && !self.who[REST].alive {
            self.feed(Event::GroupGone, turn)?;
        }
        if self.exited.is_none()
            && let Move::Receive(signal) = turn.what
        {
            let may_be_its =
                signal.is_of_job_control() || matches!(signal, Signal::CONT | Signal::WINCH);
            let event = if self.on_terminal && may_be_its {
                Event::ReceivedOnTerminal(signal)
            } else {
                Event::Received(signal)
            };
            self.feed(event, turn)?;
        }
        self.a_drain_comes_to_its_end()?;
        self.everybody_left_is_killed_once_the_clock_of_kill_after_has_run_out()?;
        self.whoever_is_waited_for_was_told()?;
        self.drain_init_exits_as_soon_as_nobody_is_waited_for()
    }

    /// Feeds an event, and what cannot be started in its course.
    fn feed(&mut self, event: Event, turn: Turn) -> Kept {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            self.happens(event);
            let mut actions = Vec::new();
            let now = self.now;
            self.drain.step(event, now, &mut |action| actions.push(action));
            for action in actions {
                self.act(event, action)?;
                if let Action::Start(helper, _) = action {
                    let fails = match helper {
                        Helper::Drain => turn.drain_cmd_fails,
                        Helper::Stop => turn.stop_cmd_fails,
                    };
                    if fails {
                        next = Some(Event::HelperNotStarted(helper));
                    } else {
                        self.who[party(helper)].alive = true;
                    }
                }
            }
            rule(self.step.starts <= 1, "no step starts two helpers")?;
            self.a_stop_reaches_who_is_suspended()?;
            self.a_stop_signal_is_swallowed_in_a_drain_and_while_the_stop_command_runs()?;
            self.each_deadline_is_set_once_and_never_moves()?;
        }
        self.a_stop_ends_in_a_delivery_or_the_stop_command()
    }

    // ---- what the world knows by itself ----

    /// What an event means, whatever the machine makes of it.
    fn happens(&mut self, event: Event) {
        self.step = Step::default();
        match event {
            Event::Received(signal) | Event::ReceivedOnTerminal(signal) => {
                if self.plan.stop_signals.contains(signal) {
                    self.stop_signal_comes(signal);
                }
            }
            Event::CommandEnded { status, .. } => {
                self.awaits_group =
                    self.plan.group && self.plan.drains() && self.phase == Phase::Stopping;
                self.phase = Phase::Ended;
                self.status = Some(status);
                self.who[COMMAND].alive = false;
                self.kill_clock_starts();
            }
            Event::CommandStopped { signal, .. } => {
                self.who[COMMAND].suspended = true;
                // Ctrl-Z stops the whole group.
                self.who[REST].suspended |= signal.is_of_job_control() && self.plan.group;
            }
            Event::CommandContinued => {
                self.who[COMMAND].suspended = false;
                self.who[REST].suspended = false;
            }
            Event::HelperEnded(helper, status) => {
                self.who[party(helper)].alive = false;
                self.stop_cmd_did_it |= helper == Helper::Stop && status == Status::Exited(0);
                self.drain_cmd_is_over(helper);
            }
            Event::HelperNotStarted(helper) => self.drain_cmd_is_over(helper),
            Event::Time => {
                if self.phase == Phase::Draining
                    && self.drain_ends.is_some_and(|ends| self.now >= ends)
                {
                    self.stop_begins();
                }
                self.kill_over |= self.kill_at.is_some_and(|kill_at| self.now >= kill_at);
            }
            Event::GroupGone | Event::Reaped | Event::NoChildren => {}
        }
    }

    fn stop_signal_comes(&mut self, signal: Signal) {
        self.step.swallows = self.phase == Phase::Draining
            || (self.phase == Phase::Stopping && self.who[STOP_CMD].alive);
        self.step.from_outside = !self.step.swallows;
        if self.phase == Phase::Running {
            self.first_stop = Some(signal);
            self.phase = Phase::Draining;
            self.drain_ends = self.plan.delay.map(|delay| self.now.saturating_add(delay));
            if self.drain_ends.is_none() && !self.plan.drain_cmd {
                self.stop_begins();
            }
        }
    }

    fn drain_cmd_is_over(&mut self, helper: Helper) {
        if helper == Helper::Drain && self.phase == Phase::Draining && self.drain_ends.is_none() {
            self.stop_begins();
        }
    }

    fn stop_begins(&mut self) {
        self.phase = Phase::Stopping;
        self.kill_clock_starts();
    }

    fn kill_clock_starts(&mut self) {
        if self.kill_at.is_none() {
            self.kill_at = self.plan.kill_after.map(|after| self.now.saturating_add(after));
        }
    }

    /// Whether drain-init has a child.
    #[must_use]
    pub fn has_children(&self) -> bool {
        self.who.iter().any(|party| party.alive)
    }

    /// Whether what stops COMMAND here is KILL, CONT or a suspension, which the
    /// rules about telling do not mean.
    fn is_odd(plan: &Plan) -> bool {
        let mut asking = plan.stop_signals;
        asking.insert(Signal::TERM);
        asking.iter().any(|signal| {
            signal.is_of_job_control()
                || matches!(
                    plan.rewrites.apply(signal),
                    Some(Signal::KILL | Signal::CONT | Signal::STOP)
                )
        })
    }

    /// Whether what is left of the group gets TERM again, as from dumb-init.
    fn is_plain(&self) -> bool {
        !self.plan.drains() && self.plan.wait_all.is_none()
    }

    // ---- what the machine does ----

    fn act(&mut self, event: Event, action: Action) -> Kept {
        match action {
            Action::Deliver(signal) => {
                self.nothing_goes_to_who_is_gone(COMMAND)?;
                let is_stop = match event {
                    Event::Received(received) | Event::ReceivedOnTerminal(received) => {
                        self.plan.stop_signals.contains(received)
                    }
                    Event::CommandStopped { .. } => false,
                    _ => true,
                };
                let outside = core::mem::take(&mut self.step.from_outside);
                self.delivered |= is_stop;
                self.signal(COMMAND, signal, is_stop, outside)?;
                if self.plan.group {
                    self.signal(REST, signal, is_stop, outside)?;
                }
            }
            Action::DeliverToCommand(signal) => {
                self.nothing_goes_to_who_is_gone(COMMAND)?;
                rule(
                    Some(signal) == self.plan.drain_signal && !self.quieted,
                    "the drain signal is delivered once",
                )?;
                self.quieted = true;
            }
            Action::DeliverToRest { signal, received } => {
                rule(
                    !self.who[COMMAND].alive && self.plan.group,
                    "the rest is signalled in group mode, once COMMAND has ended",
                )?;
                let is_stop = received.is_none_or(|it| self.plan.stop_signals.contains(it));
                self.signal(REST, signal, is_stop, received.is_some())?;
                // What comes from outside then is the sender's business.
                self.step.owes_cont &= received.is_none();
            }
            Action::SignalHelper(helper, signal) => {
                let helper = party(helper);
                // KILL goes to their groups, which may outlive them.
                if signal != Signal::KILL {
                    self.nothing_goes_to_who_is_gone(helper)?;
                }
                self.signal(helper, signal, true, false)?;
            }
            Action::SignalAll { signal, spare_command, spare_drain_cmd } => {
                rule(self.plan.wait_all.is_some(), "everybody is signalled for --wait-all alone")?;
                self.signal_all(signal, spare_command, spare_drain_cmd)?;
            }
            Action::Start(helper, received) => {
                self.nothing_goes_to_who_is_gone(COMMAND)?;
                self.step.starts += 1;
                self.has_started = true;
                let tried = core::mem::replace(&mut self.tried[helper as usize], true);
                rule(
                    !tried && Some(received) == self.first_stop,
                    "a helper is started once, for the signal that began the stop",
                )?;
                rule(
                    helper == Helper::Drain || !self.who[COMMAND].suspended,
                    "CONT goes before the stop command",
                )?;
            }
            Action::Suspend => rule(
                match event {
                    Event::ReceivedOnTerminal(signal) => signal.is_of_job_control(),
                    Event::CommandStopped { job, .. } => job == Some(Job::Shells),
                    _ => false,
                },
                "drain-init stops itself only on a terminal, as part of a shell's job",
            )?,
            Action::HandTerminalOn => rule(
                event == Event::ReceivedOnTerminal(Signal::CONT),
                "the terminal is handed on when the job is continued",
            )?,
            Action::ContinueInForeground => {
                self.nothing_goes_to_who_is_gone(COMMAND)?;
                rule(
                    matches!(event, Event::CommandStopped { job: Some(Job::Own), .. }),
                    "COMMAND is continued where nobody else is there to do it",
                )?;
            }
            Action::Report(Message::SwallowedDraining(_) | Message::SwallowedStopping(_)) => {
                self.step.swallowed = true;
            }
            Action::Report(_) => {}
            Action::Exit(status) => {
                self.drain_init_exits_with_commands_status(status)?;
                self.nobody_waited_for_is_left_behind()?;
                self.exited = Some(status);
            }
        }
        Ok(())
    }

    /// What a signal does to who is alive.
    fn signal(&mut self, whom: usize, signal: Signal, is_stop: bool, outside: bool) -> Kept {
        if !self.who[whom].alive {
            return Ok(());
        }
        match signal {
            Signal::KILL => {
                rule(self.kill_over || self.odd || !is_stop, "nobody is killed before the time")?;
                self.who[whom].killed |= is_stop;
            }
            Signal::CONT => {
                self.who[whom].suspended = false;
                self.step.owes_cont = false;
            }
            Signal::STOP => self.who[whom].suspended = true,
            _ if is_stop && !self.odd => {
                self.nobody_is_told_twice(whom, outside)?;
                self.who[whom].told = true;
                self.step.owes_cont |= self.who[whom].suspended;
            }
            _ => {}
        }
        Ok(())
    }

    fn signal_all(&mut self, signal: Signal, spare_command: bool, spare_drain_cmd: bool) -> Kept {
        let namespace = self.plan.wait_all == Some(WaitAll::Namespace);
        for whom in [COMMAND, REST, DRAIN_CMD, STOP_CMD, OTHERS] {
            let spared = match whom {
                COMMAND => spare_command,
                // It is COMMAND's child, as long as that lives.
                REST => spare_command || (!namespace && self.who[COMMAND].alive),
                DRAIN_CMD => spare_drain_cmd,
                _ => false,
            };
            let kill = signal == Signal::KILL;
            if spared || !self.who[whom].alive || (!kill && self.who[whom].told_with_all) {
                continue;
            }
            rule(kill || whom != STOP_CMD, "the stop command ends in peace")?;
            rule(kill || whom != COMMAND, "everybody is told when COMMAND has ended")?;
            self.signal(whom, signal, true, false)?;
            self.who[whom].told_with_all |= !kill;
        }
        self.all_told |= namespace && signal == Signal::TERM;
        self.all_killed |= namespace && signal == Signal::KILL;
        Ok(())
    }

    // ---- the rules ----

    /// Where a stop has come so far, the signal was delivered, or the stop
    /// command runs or did it. Not so where nothing is asked for: the signal is
    /// rewritten to 0, and there is no stop command; nor where --kill-after has
    /// killed. (COMMAND's own end is another phase.)
    fn a_stop_ends_in_a_delivery_or_the_stop_command(&self) -> Kept {
        let asked_for = self.plan.stop_cmd
            || self.first_stop.is_some_and(|signal| self.plan.rewrites.apply(signal).is_some());
        rule(
            self.phase != Phase::Stopping
                || self.delivered
                || self.who[STOP_CMD].alive
                || self.stop_cmd_did_it
                || self.kill_over
                || !asked_for,
            "a stop ends in a delivery or the stop command",
        )
    }

    /// In a drain there is a deadline, or a drain command that will end.
    fn a_drain_comes_to_its_end(&self) -> Kept {
        rule(
            self.phase != Phase::Draining
                || self.drain.deadline().is_some()
                || self.who[DRAIN_CMD].alive,
            "a drain comes to its end",
        )
    }

    /// Who was told is not told again by drain-init's own doing. A stop from
    /// outside is delivered as ever, and what is left of the group of a plain
    /// dumb-init command line gets TERM again.
    fn nobody_is_told_twice(&self, whom: usize, outside: bool) -> Kept {
        rule(
            outside || !self.who[whom].told || (whom == REST && self.is_plain()),
            "nobody is told twice by drain-init's own doing",
        )
    }

    /// Its number may be another's by now.
    fn nothing_goes_to_who_is_gone(&self, whom: usize) -> Kept {
        rule(self.who[whom].alive, "nothing goes to who is gone")
    }

    /// The machine's next deadline is the one that the world has worked out.
    fn each_deadline_is_set_once_and_never_moves(&self) -> Kept {
        let drain_ends = self.drain_ends.filter(|_| self.phase == Phase::Draining);
        let kill_at = self.kill_at.filter(|_| !self.kill_over);
        let next = drain_ends.into_iter().chain(kill_at).min();
        rule(self.drain.deadline() == next, "each deadline is set once and never moves")
    }

    fn drain_init_exits_with_commands_status(&self, status: Status) -> Kept {
        rule(Some(status) == self.status, "drain-init exits with COMMAND's status")
    }

    /// Neither a stop command, nor after a stop in a drain what is left of the
    /// group, nor with --wait-all any child.
    fn is_waited_for(&self, whom: usize) -> bool {
        self.who[whom].alive
            && (whom == STOP_CMD
                || whom == COMMAND
                || (whom == REST && self.awaits_group)
                || self.plan.wait_all.is_some())
    }

    fn nobody_waited_for_is_left_behind(&self) -> Kept {
        rule(
            (0..self.who.len()).all(|whom| !self.is_waited_for(whom)),
            "drain-init does not exit while somebody is waited for",
        )
    }

    fn drain_init_exits_as_soon_as_nobody_is_waited_for(&self) -> Kept {
        rule(
            self.exited.is_some() || (0..self.who.len()).any(|whom| self.is_waited_for(whom)),
            "drain-init exits as soon as nobody is waited for",
        )
    }

    /// Not where TERM is rewritten to 0: that is for the group not to be told.
    /// A stop command ends in peace, and the others are told when it has.
    fn whoever_is_waited_for_was_told(&self) -> Kept {
        let told = |whom: usize| self.who[whom].told || self.who[whom].killed;
        let untold = |whom: usize| self.is_waited_for(whom) && !told(whom);
        let silent = self.plan.rewrites.apply(Signal::TERM).is_none();
        let all = self.plan.wait_all.is_some() && !self.who[STOP_CMD].alive;
        rule(
            self.phase != Phase::Ended
                || self.odd
                || !((self.plan.group && !silent && untold(REST))
                    || (all && [REST, OTHERS, DRAIN_CMD].into_iter().any(untold))),
            "whoever is waited for was told",
        )
    }

    /// Whoever is suspended acts on a stop only once CONT has come.
    fn a_stop_reaches_who_is_suspended(&self) -> Kept {
        rule(!self.step.owes_cont, "a stop reaches who is suspended")
    }

    fn a_stop_signal_is_swallowed_in_a_drain_and_while_the_stop_command_runs(&self) -> Kept {
        rule(
            self.step.swallows == self.step.swallowed,
            "a stop signal is swallowed in a drain and while the stop command runs, and only then",
        )
    }

    /// COMMAND with its group unless it is single, the helpers, and with
    /// --wait-all everybody whom it is there for.
    fn everybody_left_is_killed_once_the_clock_of_kill_after_has_run_out(&self) -> Kept {
        let due = |whom: usize| match whom {
            OTHERS => self.plan.wait_all.is_some(),
            REST => {
                self.plan.group
                    || self.plan.wait_all == Some(WaitAll::Namespace)
                    || (self.plan.wait_all.is_some() && !self.who[COMMAND].alive)
            }
            _ => true,
        };
        rule(
            !self.kill_over
                || self.odd
                || (0..self.who.len())
                    .all(|whom| !self.who[whom].alive || !due(whom) || self.who[whom].killed),
            "everybody left is killed once the clock of --kill-after has run out",
        )
    }

    /// From here, when everybody ends, one after the other or all at once,
    /// drain-init exits. (Other orders are those from other states.)
    ///
    /// # Errors
    ///
    /// The rule that was not kept.
    pub fn it_can_always_exit(&self) -> Kept {
        let mut together = self.clone();
        together.end(&[COMMAND, REST, DRAIN_CMD, STOP_CMD, OTHERS])?;
        let mut apart = self.clone();
        for whom in [COMMAND, REST, DRAIN_CMD, STOP_CMD, OTHERS] {
            apart.end(&[whom])?;
        }
        for mut world in [together, apart] {
            // It may have been started by the drain command's end.
            world.end(&[STOP_CMD])?;
            rule(world.exited.is_some(), "when everybody has ended drain-init exits")?;
        }
        Ok(())
    }

    /// These end, as far as they are there.
    fn end(&mut self, whom: &[usize]) -> Kept {
        let there = |party| whom.contains(&party) && self.who[party].alive;
        if self.exited.is_some() || !(0..self.who.len()).any(there) {
            return Ok(());
        }
        let what = Move::End {
            command: there(COMMAND).then_some(Status::Exited(3)),
            drain_cmd: there(DRAIN_CMD).then_some(Status::Exited(0)),
            stop_cmd: there(STOP_CMD).then_some(Status::Exited(1)),
            rest: there(REST),
            others: there(OTHERS),
        };
        let passed = Duration::from_millis(1);
        self.play(Turn { passed, what, drain_cmd_fails: false, stop_cmd_fails: false })
    }
}
