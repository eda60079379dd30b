//! How long things may take. Every wait has an end.

use std::thread;
use std::time::{Duration, Instant};

/// How long an event may take, on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until this holds: for what sends no event (a state in /proc).
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Asserts that a time lies between these bounds: the lower one exact, the
/// upper one generous.
pub fn took(since: Instant, until: Instant, least: Duration) {
    let took = until.duration_since(since);
    assert!(took >= least, "took only {took:?}, not {least:?}");
    assert!(took < least + Duration::from_secs(5), "took {took:?}, much longer than {least:?}");
}

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
