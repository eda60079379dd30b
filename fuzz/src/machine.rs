//! The state machine in the model of the world that its unit tests use.

use drain_init::drain::{
    Action, Continuer, Drain, Event, Helper, Measure, Message, Plan, Target,
    SignalForRemaining, WaitAll,
};
use drain_init::signal::{Rewrites, Signal, SignalSet};
use drain_init::status::Status;
use drain_init::time::Duration;

#[path = "../../src/drain/walk.rs"]
mod walk;
#[path = "../../src/drain/world.rs"]
#[allow(dead_code, reason = "the exhaustive search reads more of it")]
mod world;

/// A plan and an order of events, both chosen by the bytes.
pub fn drain(data: &[u8]) {
    if let Err(broken) = walk::walk(data) {
        panic!("{broken}");
    }
}
