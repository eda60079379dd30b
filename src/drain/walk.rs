//! A walk through the [`World`]: bytes choose any plan and any order of events. The unit
//! tests use random bytes, and the fuzz target searches for bytes.
//!
//! It covers more plans than the exhaustive search, but not every order of events. The fuzz
//! target includes this file and `world.rs` by path.

use super::world::{COMMAND, Move, Process, REMAINING, Turn, World};
use super::{Continuer, Duration, Plan, Rewrites, Signal, SignalSet, Status, WaitAll};

/// Bytes as choices. Zeros follow the last one.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn signal(&mut self) -> Signal {
        Signal::new(i32::from(self.next() % 64) + 1).expect("1 to 64")
    }

    /// A signal that drain-init can receive.
    fn catchable(&mut self) -> Signal {
        match self.signal() {
            Signal::KILL | Signal::STOP | Signal::CHLD => Signal::QUIT,
            signal => signal,
        }
    }

    fn duration(&mut self) -> Option<Duration> {
        match self.next() {
            0..=63 => None,
            // Sums must not overflow.
            255 => Some(Duration::MAX),
            more => Some(Duration::from_millis(u64::from(more - 63) * 10)),
        }
    }

    fn plan(&mut self) -> Plan {
        let flags = self.next();
        let measure = self.next() & 1 != 0;
        let mut stop_signals = SignalSet::of(&[Signal::TERM]);
        if flags & 1 != 0 {
            stop_signals.insert(self.catchable());
        }
        let mut rewrites = Rewrites::default();
        for _ in 0..self.next() % 4 {
            let (received, delivered) = (self.signal(), self.next() % 65);
            rewrites.set(received, Signal::new(delivered.into()));
        }
        Plan {
            delay: self.duration(),
            drain_signal: (flags & 2 != 0).then(|| self.signal()),
            drain_file: flags & 128 != 0,
            drain_cmd: flags & 4 != 0,
            measure,
            stop_cmd: flags & 8 != 0,
            kill_after: self.duration(),
            stop_signals,
            rewrites,
            group: flags & 16 != 0,
            wait_all: match flags >> 5 & 3 {
                0 | 1 => None,
                2 => Some(WaitAll::Namespace),
                _ => Some(WaitAll::Children),
            },
        }
    }

    fn status(&mut self) -> Status {
        let byte = self.next();
        match Signal::new(i32::from(byte) - 128) {
            Some(signal) if byte & 1 != 0 => Status::Killed(signal),
            _ => Status::Exited(byte),
        }
    }

    fn turn(&mut self, world: &World) -> Turn {
        let choice = self.next();
        let [alive, remaining] = [COMMAND, REMAINING].map(|it| world.processes[it].alive);
        let what = match choice % 8 {
            0 => {
                let which = self.next();
                let mut ends = [None; 5];
                for (it, end) in ends.iter_mut().enumerate() {
                    if which & 1 << it != 0 && world.processes[it].alive {
                        *end = Some(self.status());
                    }
                }
                Move::End(ends)
            }
            1 => Move::Adopt,
            2 if alive => {
                let byte = self.next();
                let signals = [Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU];
                let signal = signals[usize::from(byte % 4)];
                let by_terminal = world.on_terminal && signal.is_of_job_control();
                let continuer = if byte & 4 != 0 { Continuer::Init } else { Continuer::Shell };
                Move::Suspend(signal, by_terminal.then_some(continuer))
            }
            3 if alive => Move::Continue,
            2 if remaining && world.on_terminal => {
                Move::SuspendRemaining(Signal::TSTP, Continuer::Init)
            }
            3 if remaining && world.plan.drains() => Move::SuspendUnseen,
            4 => Move::Receive(Signal::TERM),
            5 => Move::Receive(self.catchable()),
            _ => Move::Nothing,
        };
        let passed = match choice >> 3 & 3 {
            0 => Duration::from_millis(self.next().into()),
            // Exactly to the deadline, as the loop waits.
            1 => {
                let deadline = world.drain.deadline().filter(|at| *at < Duration::MAX);
                deadline.unwrap_or(world.now).saturating_sub(world.now)
            }
            _ => Duration::from_millis(1),
        };
        let cannot_start = [choice & 64 != 0, choice & 128 != 0];
        Turn { passed, what, cannot_start, blind: choice & 32 != 0 }
    }
}

/// Walks until the bytes are used up or drain-init exits.
///
/// # Errors
///
/// The broken rule, and the turns that led to it.
pub fn walk(data: &[u8]) -> Result<(), String> {
    let mut bytes = Bytes(data);
    let plan = bytes.plan();
    let around = bytes.next();
    let [on_terminal, remaining, others, ignores, forbidden] =
        [1, 2, 4, 8, 16].map(|bit| around & bit != 0);
    let remaining = remaining.then_some(Process { ignores, forbidden, ..Process::default() });
    let first = World::new(&plan, on_terminal, remaining, others);
    let mut world = first.clone();
    let mut turns = vec![];
    let mut kept = Ok(());
    while kept.is_ok() && !bytes.0.is_empty() && world.exited.is_none() {
        let turn = bytes.turn(&world);
        turns.push(turn);
        kept = world.play(turn);
    }
    let kept = kept.and_then(|()| world.check_exit());
    kept.map_err(|sentence| format!("broken: {sentence}\n{}", first.tell(&turns)))
}
