//! Every plan that differs in kind, and every order of events: a breadth-first
//! search, in which a state that was seen before is not looked at again.
//!
//! Two states are the same if nothing can tell them apart but how much time has
//! gone by: the machine only ever asks whether a deadline has passed, and whether
//! a signal came within the last ten seconds. So there are some hundreds
//! for each plan, and a search that finds no new one has seen every
//! order of events, however long.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::tests::plan;
use super::world::{COMMAND, DRAIN_CMD, Move, OTHERS, Phase, REST, STOP_CMD, Turn, World};
use super::*;

/// How many wakes long an order of events is in CI: what some seconds are enough
/// for in a build that is not optimised. With FULL=1 the search ends where it
/// finds no new state, which takes about four times as long.
const DEPTH: usize = 3;

/// How long the orders are that are counted with FULL=1; those that are searched
/// have no end.
const COUNTED: usize = 7;

const TICK: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_secs(1);

/// Every plan that differs in kind, each with and without a terminal.
fn plans() -> Vec<(Plan, bool)> {
    const BOTH: [bool; 2] = [false, true];
    let term = SignalSet::of(&[Signal::TERM]);
    let stop_signals = [term, SignalSet::of(&[Signal::TERM, Signal::QUIT])];
    let mut plans = vec![(plan(), false)];
    let mut vary = |kinds: usize, set: &dyn Fn(&mut (Plan, bool), usize)| {
        let vary_one = |plan: &(Plan, bool)| {
            let plan = plan.clone();
            (0..kinds).map(move |kind| {
                let mut plan = plan.clone();
                set(&mut plan, kind);
                plan
            })
        };
        plans = plans.iter().flat_map(vary_one).collect();
    };
    vary(2, &|(plan, _), kind| plan.delay = BOTH[kind].then_some(LATER));
    vary(2, &|(plan, _), kind| plan.drain_signal = BOTH[kind].then_some(Signal::TSTP));
    vary(2, &|(plan, _), kind| plan.drain_cmd = BOTH[kind]);
    vary(2, &|(plan, _), kind| plan.stop_cmd = BOTH[kind]);
    vary(2, &|(plan, _), kind| plan.kill_after = BOTH[kind].then_some(LATER));
    vary(2, &|(plan, _), kind| plan.group = BOTH[kind]);
    vary(2, &|(plan, _), kind| plan.stop_signals = stop_signals[kind]);
    vary(3, &|(plan, _), kind| {
        plan.wait_all = [None, Some(WaitAll::Namespace), Some(WaitAll::Children)][kind];
    });
    vary(3, &|(plan, _), kind| {
        if kind > 0 {
            plan.rewrites.set(Signal::TERM, (kind == 1).then_some(Signal::INT));
        }
    });
    vary(2, &|(_, on_terminal), kind| *on_terminal = BOTH[kind]);
    plans
}

/// Those that are received. Any other is like QUIT where that is no stop signal;
/// TTIN and TTOU are like TSTP.
const SIGNALS: [Signal; 5] =
    [Signal::TERM, Signal::QUIT, Signal::TSTP, Signal::CONT, Signal::WINCH];

/// What may happen in this world.
fn turns(world: &World, turns: &mut Vec<Turn>) {
    turns.clear();
    let mut push = |passed, what| {
        turns.push(Turn { passed, what, drain_cmd_fails: false, stop_cmd_fails: false });
    };
    for signal in SIGNALS {
        push(TICK, Move::Receive(signal));
    }
    let until_due = world.drain.deadline().map(|deadline| deadline.saturating_sub(world.now));
    push(TICK, Move::Nothing);
    push(until_due.unwrap_or(SOON), Move::Nothing);
    push(TICK, Move::Adopt);
    let alive = |whom: usize| world.who[whom].alive;
    if alive(COMMAND) {
        if world.who[COMMAND].suspended {
            push(TICK, Move::Continue);
        }
        push(TICK, Move::Suspend(Signal::STOP, None));
        push(TICK, Move::Suspend(Signal::TSTP, None));
        if world.on_terminal {
            for signal in [Signal::TSTP, Signal::TTIN] {
                push(TICK, Move::Suspend(signal, Some(Job::Own)));
                push(TICK, Move::Suspend(signal, Some(Job::Shells)));
            }
        }
    }
    // Any of them together, in time or just when a deadline passes.
    let ends = |whom: usize, how: &[Status]| -> Vec<Option<Status>> {
        let how = how.iter().copied().map(Some).filter(|_| alive(whom));
        core::iter::once(None).chain(how).collect()
    };
    let gone = |whom: usize| if alive(whom) { &[false, true][..] } else { &[false] };
    let helper = [Status::Exited(0), Status::Exited(1)];
    for &command in &ends(COMMAND, &[Status::Killed(Signal::TERM)]) {
        for &drain_cmd in &ends(DRAIN_CMD, &helper[..1]) {
            for &stop_cmd in &ends(STOP_CMD, &helper) {
                for &rest in gone(REST) {
                    for &others in gone(OTHERS) {
                        let what = Move::End { command, drain_cmd, stop_cmd, rest, others };
                        push(TICK, what);
                        if let Some(until_due) = until_due {
                            push(until_due, what);
                        }
                    }
                }
            }
        }
    }
    // How one ends makes a difference by itself only.
    if alive(COMMAND) {
        let command = Some(Status::Exited(0));
        let (drain_cmd, stop_cmd) = (None, None);
        push(TICK, Move::End { command, drain_cmd, stop_cmd, rest: false, others: false });
    }
    if alive(DRAIN_CMD) {
        for drain_cmd in [Some(Status::Exited(1)), Some(Status::Killed(Signal::KILL))] {
            let (command, stop_cmd) = (None, None);
            push(TICK, Move::End { command, drain_cmd, stop_cmd, rest: false, others: false });
        }
    }
}

/// Small numbers, one after the other in a large one.
#[derive(Default)]
struct Packed(u128, u32);

impl Packed {
    fn push(&mut self, bits: u32, value: usize) {
        debug_assert!(value < 1 << bits);
        self.0 = self.0 << bits | value as u128;
        self.1 += bits;
    }

    #[allow(clippy::cast_possible_truncation)]
    fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        let mut value = 0;
        for flag in flags {
            value = value << 1 | usize::from(flag);
        }
        self.push(N as u32, value);
    }

    fn signal(&mut self, signal: Option<Signal>) {
        let place = signal.and_then(|signal| SIGNALS.iter().position(|it| *it == signal));
        self.push(3, place.map_or(0, |place| place + 1));
    }
}

/// All that makes a state another one. Times are told by whether they are set,
/// and due: while one is set, it is not due yet. What the machine remembers for
/// its messages alone (since when, by what) is left out.
fn key(world: &World) -> u128 {
    let mut key = Packed::default();
    let drain = &world.drain;
    let (kind, signal, flags) = match drain.state {
        State::Running { last } => {
            let fresh = last.filter(|(_, when)| world.now.saturating_sub(*when) < SOON);
            (0, fresh.map(|(signal, _)| signal), [false; 2])
        }
        State::Draining { received, ends, .. } => (1, Some(received), [ends.is_some(), false]),
        State::Stopping { received, .. } => (2, Some(received), [false; 2]),
        State::Ended { group, children, .. } => (3, None, [group, children]),
    };
    key.push(2, kind);
    key.signal(signal);
    key.flags(flags);
    key.flags([
        drain.kill_at.is_some(),
        drain.killed,
        drain.group_told,
        drain.suspended,
        drain.drain_cmd_runs,
        drain.drain_cmd_told,
        drain.stop_cmd_runs,
    ]);
    for party in &world.who {
        if !party.alive {
            key.push(5, 0);
            continue;
        }
        let [told, with_all] = [party.told, party.told_with_all];
        key.flags([true, told, with_all, party.killed, party.suspended]);
    }
    let phase = [Phase::Running, Phase::Draining, Phase::Stopping, Phase::Ended];
    key.push(2, phase.iter().position(|phase| *phase == world.phase).unwrap_or_default());
    key.signal(world.first_stop);
    key.flags(world.tried);
    key.flags([
        world.quieted,
        world.stop_cmd_did_it,
        world.delivered,
        world.awaits_group,
        world.all_told,
        world.all_killed,
        world.kill_over,
        world.exited.is_some(),
    ]);
    key.push(8, world.status.map_or(0, |status| 1 + usize::from(status.code()) % 0x7f));
    assert!(key.1 <= u128::BITS);
    key.0
}

/// Fast, and good enough for such keys.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers")
    }

    #[allow(clippy::cast_possible_truncation)]
    fn write_u128(&mut self, key: u128) {
        let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }
}

/// What was visited.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    plans: u64,
    states: u64,
    /// Steps from one state to another, or the same.
    turns: u64,
    /// Orders of at most so many events as the search was deep.
    orders: u128,
    /// The longest way to a new state.
    depth: usize,
}

impl core::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.plans += other.plans;
        self.states += other.states;
        self.turns += other.turns;
        self.orders += other.orders;
        self.depth = self.depth.max(other.depth);
    }
}

/// A rule that was not kept, and the shortest way to see it.
struct Broken {
    sentence: &'static str,
    way: String,
}

/// The states of one plan.
struct Search<'a> {
    seen: HashMap<u128, usize, BuildHasherDefault<Mixed>>,
    worlds: Vec<World<'a>>,
    /// From where each was first reached, and how.
    ways: Vec<Option<(usize, Turn)>>,
    /// Where each one's turns lead.
    edges: Vec<Vec<usize>>,
}

impl<'a> Search<'a> {
    /// Where a world stands among those that were seen.
    fn place(&mut self, world: World<'a>, way: Option<(usize, Turn)>) -> Result<usize, Broken> {
        let next = self.worlds.len();
        let place = *self.seen.entry(key(&world)).or_insert(next);
        if place == next {
            let kept = if world.exited.is_some() { Ok(()) } else { world.it_can_always_exit() };
            self.worlds.push(world);
            self.ways.push(way);
            if let Err(sentence) = kept {
                let (from, turn) = way.map_or((0, None), |(from, turn)| (from, Some(turn)));
                return Err(self.tell(sentence, from, turn));
            }
        }
        Ok(place)
    }

    /// Which rule was not kept, and the shortest way to see it.
    fn tell(&self, sentence: &'static str, from: usize, last: Option<Turn>) -> Broken {
        let mut turns: Vec<Turn> = last.into_iter().collect();
        let mut place = from;
        while let Some((before, turn)) = self.ways[place] {
            turns.push(turn);
            place = before;
        }
        let first = &self.worlds[place];
        let (rest, others) = (first.who[REST].alive, first.who[OTHERS].alive);
        let plan = Plan { rewrites: Rewrites::default(), ..first.plan.clone() };
        let term = first.plan.rewrites.apply(Signal::TERM);
        let mut way = format!("{plan:?}, TERM as {term:?}\n");
        let _ = writeln!(way, "terminal {}, rest {rest}, others {others}", first.on_terminal);
        for turn in turns.iter().rev() {
            let _ = writeln!(way, "{turn:?}");
        }
        Broken { sentence, way }
    }

    /// Every world that can be reached in so many turns.
    fn explore(plan: &'a Plan, on_terminal: bool, depth: usize) -> Result<Count, Broken> {
        let mut search =
            Self { seen: HashMap::default(), worlds: vec![], ways: vec![], edges: vec![] };
        let mut roots = vec![];
        for rest in [false, true] {
            for others in [false, true] {
                let world = World::new(plan, on_terminal, rest, others);
                roots.push(search.place(world, None)?);
            }
        }
        let mut count = Count { plans: 1, ..Count::default() };
        let mut begin = 0;
        let mut possible = vec![];
        while count.depth < depth && begin < search.worlds.len() {
            let end = search.worlds.len();
            for from in begin..end {
                let edges = search.look_around(from, &mut possible)?;
                count.turns += edges.len() as u64;
                search.edges.push(edges);
            }
            begin = end;
            count.depth += usize::from(search.worlds.len() > end);
        }
        count.states = search.worlds.len() as u64;
        count.orders = search.count_orders(&roots, depth.min(COUNTED));
        Ok(count)
    }

    fn look_around(&mut self, from: usize, possible: &mut Vec<Turn>) -> Result<Vec<usize>, Broken> {
        let mut edges = vec![];
        if self.worlds[from].exited.is_some() {
            return Ok(edges);
        }
        turns(&self.worlds[from], possible);
        for &turn in possible.iter() {
            for fails in 0..4 {
                let (drain_cmd_fails, stop_cmd_fails) = (fails & 1 != 0, fails & 2 != 0);
                let turn = Turn { drain_cmd_fails, stop_cmd_fails, ..turn };
                let mut world = self.worlds[from].clone();
                if let Err(sentence) = world.play(turn) {
                    return Err(self.tell(sentence, from, Some(turn)));
                }
                let has_started = world.has_started;
                edges.push(self.place(world, Some((from, turn)))?);
                if !has_started {
                    break;
                }
            }
        }
        Ok(edges)
    }

    /// How many orders of up to so many events these states stand for.
    fn count_orders(&self, roots: &[usize], depth: usize) -> u128 {
        let mut ways = vec![0_u128; self.worlds.len()];
        for &root in roots {
            ways[root] += 1;
        }
        let mut orders = 0;
        for _ in 0..depth {
            let mut next = vec![0; ways.len()];
            for (from, edges) in self.edges.iter().enumerate() {
                for &to in edges {
                    next[to] += ways[from];
                }
            }
            ways = next;
            orders += ways.iter().sum::<u128>();
        }
        orders
    }
}

#[test]
fn in_every_order_of_events_every_plan_keeps_the_rules() {
    let full = std::env::var_os("FULL").is_some_and(|value| !value.is_empty());
    let longest = if full { usize::MAX } else { DEPTH };
    let every_plan = plans();
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(BTreeMap::new());
    let work = || {
        let mut count = Count::default();
        while let Some((plan, on_terminal)) = every_plan.get(next.fetch_add(1, Ordering::Relaxed)) {
            match Search::explore(plan, *on_terminal, longest) {
                Ok(more) => count += more,
                Err(Broken { sentence, way }) => {
                    broken.lock().unwrap().entry(sentence).or_insert((0, way)).0 += 1;
                }
            }
        }
        count
    };
    let mut count = Count::default();
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            count += worker.join().unwrap();
        }
    });
    for (sentence, (plans, way)) in &*broken.lock().unwrap() {
        println!("not kept in {plans} plans: {sentence}\n{way}");
    }
    let Count { plans, states, turns, orders, depth } = count;
    println!(
        "{plans} plans, {states} states, {turns} ways from one to another; the last new state was \
         {depth} events away; {orders} orders of up to {} events",
        if full { COUNTED } else { DEPTH }
    );
    assert!(broken.lock().unwrap().is_empty(), "a rule is not kept in every order of events");
    assert!(plans == 2304 && states > 450_000, "the search has shrunk");
}
