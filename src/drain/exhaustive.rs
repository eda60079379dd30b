//! Every kind of plan and every order of events: a breadth-first search that visits each
//! state once.
//!
//! Two states are the same if they differ only in how much time has passed, because the
//! machine checks only whether a deadline has passed and whether a signal arrived within
//! the last ten seconds. Each plan therefore has only a few hundred states. A search that
//! finds no new state has seen every order of events, however long.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::world::{
    COMMAND, DRAIN_CMD, KillClock, Move, OTHERS, Phase, Process, REMAINING, STOP_CMD, Turn, World,
};
use super::*;

/// The depth of the search in turns without FULL=1, so that it takes only a few seconds.
const DEPTH: usize = 3;
/// Without FULL=1, the search takes every third plan. Any four choices still occur in every
/// combination, because `plans` counts through the choices in a mixed radix.
const STEP: usize = 3;

const TICK: Duration = Duration::from_millis(1);
/// One full second and part of the next.
const LATER: Duration = Duration::from_millis(1500);

/// Every kind of plan, with and without a terminal.
fn plans() -> Vec<(Plan, bool)> {
    let plan = |mut number: usize| {
        let mut choose = |kinds: usize| {
            let choice = number % kinds;
            number /= kinds;
            choice
        };
        let mut plan = Plan {
            delay: (choose(2) > 0).then_some(LATER),
            drain_signal: (choose(2) > 0).then_some(Signal::TSTP),
            drain_file: false,
            drain_cmd: choose(2) > 0,
            measure: false,
            stop_cmd: choose(2) > 0,
            kill_after: (choose(2) > 0).then_some(LATER),
            stop_signals: SignalSet::of(&[Signal::TERM, Signal::QUIT][..=choose(2)]),
            rewrites: Rewrites::default(),
            group: choose(2) > 0,
            wait_all: [None, Some(WaitAll::Namespace), Some(WaitAll::Children)][choose(3)],
        };
        let term = [Some(Signal::TERM), Some(Signal::INT), None][choose(3)];
        plan.rewrites.set(Signal::TERM, term);
        // Only with -c. In that mode a delay or a drain command makes no other difference.
        plan.measure = !plan.group;
        // Together with the drain signal, so that the number of plans stays the same.
        plan.drain_file = plan.drain_signal.is_some();
        let on_terminal = choose(2) > 0;
        (number == 0).then_some((plan, on_terminal))
    };
    (0..).map_while(plan).collect()
}

/// The signals that are received. Any other signal is like QUIT when QUIT is not a stop
/// signal. TTIN and TTOU are like TSTP.
const SIGNALS: [Signal; 5] =
    [Signal::TERM, Signal::QUIT, Signal::TSTP, Signal::CONT, Signal::WINCH];

/// Every turn that is possible in this world.
fn turns(world: &World) -> Vec<Turn> {
    let mut turns = vec![];
    let turn = |passed, what| Turn { passed, what, cannot_start: [false; 2], blind: false };
    let mut push = |passed, what| turns.push(turn(passed, what));
    let until_due = world.drain.deadline().map(|deadline| deadline.saturating_sub(world.now));
    for signal in SIGNALS {
        push(TICK, Move::Receive(signal));
    }
    push(TICK, Move::Nothing);
    push(until_due.unwrap_or(SOON), Move::Nothing);
    push(TICK, Move::Adopt);
    let command = world.processes[COMMAND];
    if command.alive {
        if command.suspended {
            push(TICK, Move::Continue);
        }
        push(TICK, Move::Suspend(Signal::STOP, None));
        push(TICK, Move::Suspend(Signal::TSTP, None));
        for signal in [Signal::TSTP, Signal::TTIN] {
            for it in [Continuer::Init, Continuer::Shell].into_iter().filter(|_| world.on_terminal)
            {
                push(TICK, Move::Suspend(signal, Some(it)));
            }
        }
    }
    if world.processes[REMAINING].alive {
        if world.plan.drains() {
            push(TICK, Move::SuspendUnseen);
        }
        if !command.alive && world.on_terminal {
            for it in [Continuer::Init, Continuer::Shell] {
                push(TICK, Move::SuspendRemaining(Signal::TSTP, it));
            }
        }
    }
    // Any of the processes end together, before a deadline or just when it passes.
    let well = Status::Exited(0);
    let failed = Status::Exited(1);
    let mut together = vec![[None; 5]];
    for (it, statuses) in [
        (COMMAND, &[Status::Killed(Signal::TERM)][..]),
        (DRAIN_CMD, &[well]),
        (STOP_CMD, &[well, failed]),
        (REMAINING, &[well]),
        (OTHERS, &[well]),
    ] {
        for ends in together.clone() {
            for &status in statuses.iter().filter(|_| world.processes[it].alive) {
                let mut ends = ends;
                ends[it] = Some(status);
                together.push(ends);
            }
        }
    }
    for ends in together {
        turns.push(turn(TICK, Move::End(ends)));
        if ends[REMAINING].is_some() {
            turns.push(Turn { blind: true, ..turn(TICK, Move::End(ends)) });
        }
        if let Some(until_due) = until_due {
            turns.push(turn(until_due, Move::End(ends)));
        }
    }
    // These statuses make a difference only if no other process ends.
    for (it, status) in
        [(COMMAND, well), (DRAIN_CMD, failed), (DRAIN_CMD, Status::Killed(Signal::KILL))]
    {
        if world.processes[it].alive {
            let mut ends = [None; 5];
            ends[it] = Some(status);
            turns.push(turn(TICK, Move::End(ends)));
        }
    }
    turns
}

/// Facts, packed into one number.
struct Key(u128);

impl Key {
    fn one_of(&mut self, kinds: u128, value: u128) {
        assert!(value < kinds);
        self.0 = self.0.checked_mul(kinds).expect("the key has room for the facts") + value;
    }

    fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        let value = flags.into_iter().fold(0, |value, flag| value << 1 | u128::from(flag));
        self.one_of(1 << N, value);
    }

    fn signal(&mut self, signal: Option<Signal>) {
        let place = |signal| SIGNALS.iter().position(|it| *it == signal).expect("one of SIGNALS");
        self.one_of(6, signal.map_or(0, |signal| 1 + place(signal) as u128));
    }
}

/// Everything that distinguishes two states of a plan. It names every field, so a new field
/// does not compile until it is added here. A time matters only as set or unset, because
/// it is not due yet. Fields that serve only messages do not matter.
fn key(world: &World) -> u128 {
    let mut key = Key(0);
    let World {
        drain,
        plan: _,
        on_terminal: _,
        now,
        phase,
        kill_clock,
        measured,
        processes,
        adopted,
        first_stop,
        drain_signal_sent,
        started,
        stop_cmd_succeeded,
        stop_delivered,
        awaits_group,
        exited,
        unusual: _,
        step: _,
    } = world;
    let Drain {
        plan: _,
        phase: state,
        kill_clock: clock,
        sent_to_group,
        sent_to_all,
        suspended,
        drain_command,
    } = drain;

    let (kind, signal, flags) = match state {
        super::Phase::Running { bypassed } => {
            let fresh = bypassed.filter(|(_, when)| now.saturating_sub(*when) < SOON);
            (0, fresh.map(|(signal, _)| signal), [false; 3])
        }
        super::Phase::Draining { received, since: _, ends, measured } => {
            // It matters which deadline comes next.
            let ends_next = drain.deadline() == *ends;
            (1, Some(*received), [ends.is_some(), measured.is_some(), ends_next])
        }
        super::Phase::Stopping { received, since: _, by: _, stop_command, reported: _ } => {
            (2, Some(*received), [*stop_command, false, false])
        }
        super::Phase::Ended { status: _, waiting_for } => {
            let WaitingFor { group, children, stop_command } = *waiting_for;
            (3, None, [group, children, stop_command])
        }
    };
    key.one_of(4, kind);
    key.signal(signal);
    key.flags(flags);
    key.one_of(
        3,
        match clock {
            super::KillClock::Unset => 0,
            super::KillClock::Due(_) => 1,
            super::KillClock::Fired => 2,
        },
    );
    // All signals except TERM are alike.
    key.flags([
        *sent_to_group != SignalSet::EMPTY,
        sent_to_group.contains(Signal::TERM),
        *sent_to_all,
    ]);
    key.one_of(3, *suspended as u128);
    key.one_of(3, *drain_command as u128);

    for process in processes.iter().chain([adopted]) {
        let Process { alive, signalled, signalled_with_all, killed, suspended, ignores, forbidden } =
            *process;
        key.flags([alive, signalled, signalled_with_all, killed, suspended, ignores, forbidden]);
    }
    let (kind, status) = match phase {
        Phase::Running => (0, 0),
        Phase::Draining { ends: _ } => (1, 0),
        Phase::Stopping => (2, 0),
        Phase::Ended(status) => (3, status.code()),
    };
    key.one_of(4, kind);
    key.one_of(256, status.into());
    key.one_of(
        3,
        match kill_clock {
            KillClock::Unset => 0,
            KillClock::Due(_) => 1,
            KillClock::Fired => 2,
        },
    );
    key.signal(*first_stop);
    key.flags(*started);
    key.flags([
        measured.is_some(),
        *drain_signal_sent,
        *stop_cmd_succeeded,
        *stop_delivered,
        *awaits_group,
        exited.is_some(),
    ]);
    key.0
}

/// A broken rule, and the shortest sequence of turns that breaks it.
type Broken = (&'static str, String);

/// The states of one plan.
#[derive(Default)]
struct Search<'a> {
    seen: HashSet<u128>,
    /// Every world that was found, with the turn and the world that first led to it.
    worlds: Vec<(World<'a>, Option<(usize, Turn)>)>,
    /// How many turns were played.
    turns: usize,
    /// How many turns it takes to reach the last world.
    depth: usize,
}

impl<'a> Search<'a> {
    /// Finds every world that can be reached in `depth` turns.
    fn explore(plan: &'a Plan, on_terminal: bool, depth: usize) -> Result<Self, Broken> {
        let mut search = Self::default();
        let usual = Process::default();
        let ignores = Process { ignores: true, ..usual };
        let forbidden = Process { forbidden: true, ..usual };
        for (remaining, others) in [
            (None, false),
            (None, true),
            (Some(usual), false),
            (Some(usual), true),
            (Some(ignores), false),
            (Some(forbidden), true),
        ] {
            search.find(World::new(plan, on_terminal, remaining, others), None)?;
        }
        let mut next = 0;
        for _ in 0..depth {
            let end = search.worlds.len();
            for from in next..end {
                search.play(from)?;
            }
            if search.worlds.len() == end {
                break;
            }
            search.depth += 1;
            next = end;
        }
        Ok(search)
    }

    /// Plays every turn that is possible in a world.
    fn play(&mut self, from: usize) -> Result<(), Broken> {
        let before = self.worlds[from].0.clone();
        if before.exited.is_some() {
            return Ok(());
        }
        for turn in turns(&before) {
            for cannot_start in [[false, false], [true, false], [false, true], [true, true]] {
                let turn = Turn { cannot_start, ..turn };
                let mut world = before.clone();
                world.play(turn).map_err(|sentence| self.broken(sentence, Some((from, turn))))?;
                self.turns += 1;
                let starts = world.started != before.started;
                self.find(world, Some((from, turn)))?;
                if !starts {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Keeps a world if it is new.
    fn find(&mut self, world: World<'a>, way: Option<(usize, Turn)>) -> Result<(), Broken> {
        if self.seen.insert(key(&world)) {
            let kept = world.check_exit();
            self.worlds.push((world, way));
            kept.map_err(|sentence| self.broken(sentence, way))?;
        }
        Ok(())
    }

    fn broken(&self, sentence: &'static str, mut way: Option<(usize, Turn)>) -> Broken {
        let (mut turns, mut first) = (vec![], self.worlds.len() - 1);
        while let Some((from, turn)) = way {
            turns.push(turn);
            (first, way) = (from, self.worlds[from].1);
        }
        turns.reverse();
        (sentence, self.worlds[first].0.tell(&turns))
    }
}

#[test]
fn in_every_order_of_events_every_plan_keeps_the_rules() {
    let full = std::env::var_os("FULL").is_some_and(|value| !value.is_empty());
    let (longest, step) = if full { (usize::MAX, 1) } else { (DEPTH, STEP) };
    let plans: Vec<_> = plans().into_iter().step_by(step).collect();
    let next = AtomicUsize::new(0);
    let (states, turns, depth) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let broken = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some((plan, on_terminal)) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            match Search::explore(plan, *on_terminal, longest) {
                Ok(search) => {
                    states.fetch_add(search.worlds.len(), Ordering::Relaxed);
                    turns.fetch_add(search.turns, Ordering::Relaxed);
                    depth.fetch_max(search.depth, Ordering::Relaxed);
                }
                Err((sentence, way)) => {
                    broken.lock().unwrap().entry(sentence).or_insert((0, way)).0 += 1;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let broken = broken.into_inner().unwrap();
    for (sentence, (plans, way)) in &broken {
        println!("broken in {plans} plans: {sentence}\n{way}");
    }
    let (plans, states) = (plans.len(), states.into_inner());
    println!(
        "{plans} plans, {states} states, {turns:?} turns; the last new state is {depth:?} turns away"
    );
    assert!(broken.is_empty(), "a rule is not kept in every order of events");
    let expected = if full { 2304 } else { 768 };
    assert!(plans == expected && states > 450_000, "the search has shrunk");
}
