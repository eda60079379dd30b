//! How long things may take. No wait is endless.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// How long an event may take on a busy machine: 10 seconds. `PATIENCE` sets another
/// number of seconds, for a slow machine.
pub fn patience() -> Duration {
    static SECONDS: OnceLock<u64> = OnceLock::new();
    let seconds = *SECONDS.get_or_init(|| match std::env::var("PATIENCE") {
        Ok(seconds) => seconds.parse().expect("PATIENCE: a number of seconds"),
        Err(_) => 10,
    });
    Duration::from_secs(seconds)
}

/// This many milliseconds, multiplied if `PATIENCE` is set: for a timeout that must not
/// expire before the test's next step.
pub fn scaled(millis: u64) -> Duration {
    ms(millis * patience().as_secs() / 10)
}

/// Waits until this holds, for a state that sends no event (such as one in /proc).
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !holds() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Asserts that this took at least `least`, and not much longer. The lower bound is
/// exact, the upper one generous.
pub fn took(since: Instant, until: Instant, least: Duration) {
    let took = until.duration_since(since);
    assert!(took >= least, "took only {took:?}, not {least:?}");
    assert!(took < least + patience() / 2, "took {took:?}, much longer than {least:?}");
}

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
