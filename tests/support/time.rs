//! How long things may take. Every wait has an end.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// How long an event may take, on a machine with much else to do: 10 seconds, or as
/// many as `PATIENCE` says, for a machine that is slow.
pub fn patience() -> Duration {
    static SECONDS: OnceLock<u64> = OnceLock::new();
    let seconds = *SECONDS.get_or_init(|| match std::env::var("PATIENCE") {
        Ok(seconds) => seconds.parse().expect("PATIENCE: a number of seconds"),
        Err(_) => 10,
    });
    Duration::from_secs(seconds)
}

/// So many milliseconds, and more where `PATIENCE` is: for a clock that must not run out
/// before the test has done what comes first.
pub fn scaled(millis: u64) -> Duration {
    ms(millis * patience().as_secs() / 10)
}

/// Waits until this holds: for what sends no event (a state in /proc).
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
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
    assert!(took < least + patience() / 2, "took {took:?}, much longer than {least:?}");
}

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
