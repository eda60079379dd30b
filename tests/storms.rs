//! Signals, orphans, fork bombs and races, by the thousand. The tests count them, because
//! DESCRIPTION and STOP SEQUENCE in the manual page promise that nothing is lost.
//!
//! The counts are low by default and full with FULL=1. The tests run one after another,
//! because they would disturb each other's races. SEED=n changes the random numbers.

#![allow(unsafe_code)]

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reliability::{
    End, Group, Light, Random, TERM_ONLY, early_stops, light, rounds, storm, storm_json,
};
use support::*;

/// Allows one storm at a time, and none in an emulator.
fn alone(name: &str) -> Option<MutexGuard<'static, ()>> {
    static STORM: Mutex<()> = Mutex::new(());
    if lacks(name, &[native("the races would be the emulator's")]) {
        return None;
    }
    Some(STORM.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The init with these options. Its COMMAND is the program `storm` with this act.
fn init_with(options: &[&str], act: &[&str]) -> Light {
    let words = [init_path().into_os_string()]
        .into_iter()
        .chain(options.iter().map(Into::into))
        .chain(["--".into(), storm().into_os_string()])
        .chain(act.iter().map(Into::into));
    light(words)
}

/// Reads exactly `count` bytes from a pipe.
fn read_exactly(pipe: &mut fs::File, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        let mut ready = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let patience = i32::try_from(patience().as_millis()).unwrap();
        // SAFETY: ready is one valid entry.
        let found = unsafe { libc::poll(&raw mut ready, 1, patience) };
        assert_eq!(found, 1, "COMMAND wrote only {} of {count} bytes", bytes.len());
        let mut some = [0; 4096];
        let wanted = some.len().min(count - bytes.len());
        let read = pipe.read(&mut some[..wanted]).unwrap();
        assert_ne!(read, 0, "COMMAND has exited");
        bytes.extend_from_slice(&some[..read]);
    }
    bytes
}

fn wait_for_line(pipe: &mut fs::File, line: &str) {
    let found = read_exactly(pipe, line.len() + 1);
    assert_eq!(String::from_utf8_lossy(&found), format!("{line}\n"));
}

// ------------------------------------------------------------------ signals

/// Sends all kinds of signals while COMMAND's children come and go. Real-time signals and
/// TERM are counted: real-time signals queue, and each TERM is sent only when the one
/// before it has arrived. Other standard signals may merge while they are pending.
fn storm_of_signals(pid_1: bool) {
    let mut random = Random::new(1);
    let (stdin, stdin_end) = pipe();
    let (mut stdout, stdout_end) = pipe();
    let mut start = init_with(&["-s"], &["count"]);
    start.pid_1 = pid_1;
    start.stdin = Some(OwnedFd::from(stdin));
    start.stdout = Some(stdout_end);
    let mut init = start.start();
    wait_for_line(&mut stdout, "ready");

    let none = [SIGKILL, SIGSTOP, SIGCHLD, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU];
    let standard: Vec<i32> = (1..32).filter(|signal| !none.contains(signal)).collect();
    let (mut sent, mut terms, mut queued) = (0, 0, 0);
    let (mut seen_terms, mut seen_queued) = (0, 0);
    let signals = rounds(5_000, 100_000);
    while sent < signals {
        // Fewer signals than the kernel queues, so none is refused.
        let mut expected = 0;
        for _ in 0..100 {
            if random.one_in(2) {
                let signal = 34 + i32::try_from(random.below(31)).unwrap();
                init.signal(signal);
                queued += 1;
                expected += 1;
            } else {
                init.signal(*random.pick(&standard));
            }
            sent += 1;
        }
        init.signal(SIGTERM);
        sent += 1;
        terms += 1;
        for byte in read_exactly(&mut stdout, expected + 1) {
            match byte {
                b'T' => seen_terms += 1,
                b'r' => seen_queued += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!((seen_terms, seen_queued), (terms, queued), "after {sent} signals");
    }
    // The init still reaps, forwards a signal and exits with COMMAND's status.
    until("no zombie left", || {
        children(init.pid).iter().all(|&pid| stat(pid).is_none_or(|stat| stat.state != 'Z'))
    });
    drop(stdin_end);
    // COMMAND exits on this WINCH, or on one that is still pending from the storm.
    init.signal(SIGWINCH);
    assert_eq!(init.end(patience()), End::Exited(7));
    eprintln!("{sent} signals, {terms} TERM and {queued} real-time ones counted, none lost");
}

#[test]
fn a_storm_of_signals_loses_no_term_and_no_real_time_signal() {
    let Some(_alone) = alone("a_storm_of_signals_loses_no_term_and_no_real_time_signal") else {
        return;
    };
    storm_of_signals(false);
}

#[test]
fn as_pid_1_a_storm_of_signals_loses_no_term_and_no_real_time_signal() {
    needs!(pid_namespace());
    let Some(_alone) = alone("as_pid_1_a_storm_of_signals_loses_no_term_and_no_real_time_signal")
    else {
        return;
    };
    storm_of_signals(true);
}

// ------------------------------------------------------------------ orphans

/// Orphans that all end at the same moment. The init logs each one to a file, in which no
/// line is lost, so the lines can be counted.
fn storm_of_orphans(pid_1: bool) {
    let count = rounds(2_000, 20_000);
    let log = TempDir::new();
    let (stdin, stdin_end) = pipe();
    let (mut stdout, stdout_end) = pipe();
    let mut start = init_with(&["-s", "-w"], &["orphans", &count.to_string(), "42"]);
    start.pid_1 = pid_1;
    start.stdin = Some(OwnedFd::from(stdin));
    start.stdout = Some(stdout_end);
    start.stderr = Some(OwnedFd::from(fs::File::create(log.path("log")).unwrap()));
    let mut init = start.start();
    wait_for_line(&mut stdout, "all started");
    let reaped = || {
        let text = fs::read_to_string(log.path("log")).unwrap();
        text.lines().filter(|line| line.contains("reaped orphan process")).count()
    };
    let begin = Instant::now();
    while reaped() < count {
        assert!(begin.elapsed() < 6 * patience(), "only {} of {count} were reaped", reaped());
        std::thread::sleep(ms(10));
    }
    // Only COMMAND remains.
    assert_eq!(children(init.pid).len(), 1, "children of the init");
    drop(stdin_end);
    assert_eq!(init.end(patience()), End::Exited(42));
    assert_eq!(reaped(), count, "each orphan is reaped once");
    eprintln!("{count} orphans reaped");
}

#[test]
fn orphans_that_end_at_once_are_all_reaped() {
    let Some(_alone) = alone("orphans_that_end_at_once_are_all_reaped") else { return };
    storm_of_orphans(false);
}

#[test]
fn as_pid_1_orphans_that_end_at_once_are_all_reaped() {
    needs!(pid_namespace());
    let Some(_alone) = alone("as_pid_1_orphans_that_end_at_once_are_all_reaped") else { return };
    storm_of_orphans(true);
}

// --------------------------------------------------------------- fork bombs

#[test]
fn a_fork_bomb_under_a_limit_of_processes_is_stopped() {
    needs!(pid_namespace());
    let Some(_alone) = alone("a_fork_bomb_under_a_limit_of_processes_is_stopped") else { return };
    for (round, options) in [
        // Processes that outlive COMMAND end by TERM or when PID 1 exits.
        &["--delay-term=100ms"][..],
        // The stop command cannot be started, so TERM is sent instead.
        &["--stop-cmd=[\"/bin/true\"]", "--kill-after=1s"],
        &["--wait-all", "--kill-after=500ms"],
    ]
    .into_iter()
    .cycle()
    .take(rounds(3, 60))
    .enumerate()
    {
        let Some(group) = Group::new("pids", "bomb") else {
            return skip(test_name!(), "a pids cgroup cannot be created");
        };
        group.set("pids.max", "100");
        let (mut stdout, stdout_end) = pipe();
        let mut start = init_with(options, &["bomb"]);
        start.pid_1 = true;
        start.stdout = Some(stdout_end);
        start.procs = Some(group.procs());
        let mut init = start.start();
        wait_for_line(&mut stdout, "ready");
        until("the limit", || group.current() >= 100);
        init.signal(SIGTERM);
        let end = init.end(patience());
        assert!(
            matches!(end, End::Exited(143 | 137)),
            "round {round} with {options:?} ended as {end:?}"
        );
        until("an empty namespace", || group.current() == 0);
    }
}

// -------------------------------------------------------------------- races

/// COMMAND ends in the same microsecond as the drain. Each result moves the time at which
/// COMMAND ends in the next round, so that both orders stay about equally frequent.
#[test]
fn a_command_that_ends_with_the_deadline_ends_the_init_with_its_status() {
    let Some(_alone) = alone("a_command_that_ends_with_the_deadline_ends_the_init_with_its_status")
    else {
        return;
    };
    let count = rounds(500, 10_000);
    let mut random = Random::new(4);
    let (mut first, mut late) = (0, 0);
    let mut micros = 1_000_i64;
    for round in 0..count {
        let delay = (micros + i64::try_from(random.below(21)).unwrap() - 10).max(0);
        let (mut stdout, stdout_end) = pipe();
        let options = ["--delay-term=1ms", "--drain-signal=USR1", "-q"];
        let mut start = init_with(&options, &["exit-at", &delay.to_string(), "7"]);
        start.stdout = Some(stdout_end);
        let mut init = start.start();
        wait_for_line(&mut stdout, "ready");
        init.signal(SIGTERM);
        match init.end(patience()) {
            // COMMAND exited before TERM arrived, or in spite of it.
            End::Exited(7) => {
                first += 1;
                micros += 5;
            }
            // TERM was first, which COMMAND does not catch.
            End::Exited(143) => {
                late += 1;
                micros -= 5;
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
    eprintln!("{count} rounds: COMMAND's end was first in {first}, TERM in {late}");
    let tenth = count / 10;
    assert!(first > tenth && late > tenth, "the race was missed: {first} to {late}");
}

/// The stop command makes COMMAND exit and exits itself, in either order.
#[test]
fn a_stop_command_and_command_that_end_together_leave_commands_status() {
    let Some(_alone) = alone("a_stop_command_and_command_that_end_together_leave_commands_status")
    else {
        return;
    };
    let count = rounds(500, 10_000);
    let mut random = Random::new(5);
    let mut killed = 0;
    for round in 0..count {
        let fails = round % 2 == 1;
        let micros = random.below(120).to_string();
        let stop = storm_json(&["send-and-exit", "10", &micros, if fails { "1" } else { "0" }]);
        let (mut stdout, stdout_end) = pipe();
        let option = format!("--stop-cmd={stop}");
        let mut start = init_with(&[&option, "-q"], &["exit-on", "10", "7"]);
        start.stdout = Some(stdout_end);
        let mut init = start.start();
        wait_for_line(&mut stdout, "ready");
        init.signal(SIGTERM);
        match init.end(patience()) {
            End::Exited(7) => {}
            // The stop command failed before COMMAND had exited, so TERM was sent.
            End::Exited(143) if fails => killed += 1,
            other => panic!("round {round}: {other:?}"),
        }
    }
    eprintln!("{count} rounds: TERM was sent and came first in {killed}");
}

#[test]
fn a_stop_signal_in_the_first_two_milliseconds_is_never_lost() {
    let Some(_alone) = alone("a_stop_signal_in_the_first_two_milliseconds_is_never_lost") else {
        return;
    };
    let path = init_path();
    let init = path.to_str().unwrap();
    let count = rounds(300, 10_000).div_ceil(3);
    for options in [&[init, "--"][..], &[init, "-c", "--"], &[init, "--delay-term=1ms", "-q", "--"]]
    {
        let (lost, before_main, _) = early_stops(options, false, 0, count);
        eprintln!("{options:?}: {lost} lost of {count}, {before_main} ended it before main");
        assert_eq!(lost, 0, "{options:?}");
    }
}

/// The kernel discards a signal that reaches PID 1 before main can block it, which no init
/// can prevent. The parent therefore blocks TERM, and then none may be lost from the very
/// first instruction on.
#[test]
fn as_pid_1_a_stop_signal_in_the_first_two_milliseconds_is_never_lost() {
    needs!(pid_namespace());
    let Some(_alone) = alone("as_pid_1_a_stop_signal_in_the_first_two_milliseconds_is_never_lost")
    else {
        return;
    };
    let path = init_path();
    let init = path.to_str().unwrap();
    let count = rounds(300, 10_000).div_ceil(3);
    for options in [&[init, "--"][..], &[init, "-c", "--"], &[init, "--delay-term=1ms", "-q", "--"]]
    {
        let (lost, _, _) = early_stops(options, true, TERM_ONLY, count);
        eprintln!("{options:?}: {lost} lost of {count}");
        assert_eq!(lost, 0, "{options:?}");
    }
}

// --------------------------------------------------------------------- soak

/// The figures that must not grow.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Private memory in use, in kilobytes.
    private: u64,
    /// The size of the data segment, in kilobytes.
    data: u64,
    descriptors: usize,
    zombies: usize,
}

fn sample(pid: i32) -> Sample {
    let kilobytes = |name| {
        let line = status_line(pid, name);
        line.trim_end_matches(" kB").parse().unwrap()
    };
    Sample {
        private: kilobytes("RssAnon"),
        data: kilobytes("VmData"),
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        zombies: children(pid)
            .iter()
            .filter(|&&pid| stat(pid).is_some_and(|stat| stat.state == 'Z'))
            .count(),
    }
}

/// Two inits run all the time, one of them in an endless drain. Meanwhile short-lived
/// inits drain and run stop commands. `make soak` runs this.
#[test]
#[ignore = "takes SECONDS_OF_SOAK; make soak runs it"]
fn soak() {
    assert!(!lacks("soak", &[pid_namespace()]), "needs root, because its inits are PID 1");
    let seconds = std::env::var("SECONDS_OF_SOAK").ok().and_then(|s| s.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(3_600));
    let mut random = Random::new(7);
    let long_lived: Vec<_> = [&["-w"][..], &["--delay-term=24h", "--drain-cmd=sleep 1", "-v"]]
        .iter()
        .map(|options| {
            let (mut stdout, stdout_end) = pipe();
            let mut start = init_with(options, &["churn"]);
            start.pid_1 = true;
            start.stdout = Some(stdout_end);
            let init = start.start();
            wait_for_line(&mut stdout, "ready");
            init
        })
        .collect();
    // The first process that PID 1 starts has the ID 2.
    let is_first = |pid: &i32| status_line(*pid, "NSpid").ends_with("\t2");
    let commands: Vec<i32> = long_lived
        .iter()
        .map(|init| children(init.pid).into_iter().find(is_first).expect("COMMAND"))
        .collect();
    long_lived[1].signal(SIGTERM);

    let none = [SIGKILL, SIGSTOP, SIGCHLD, SIGTERM];
    let signals: Vec<i32> = (1..=64).filter(|signal| !none.contains(signal)).collect();
    let (mut sent, mut lives, mut samples) = (0_u64, 0_u64, 0_u64);
    let mut first: Option<Vec<Sample>> = None;
    let begin = Instant::now();
    while begin.elapsed() < length {
        for init in &long_lived {
            for _ in 0..random.below(40) {
                // TSTP stops COMMAND, so CONT follows each signal.
                init.signal(*random.pick(&signals));
                init.signal(SIGCONT);
                sent += 2;
            }
        }
        // The init that drains ignores this.
        long_lived[1].signal(SIGTERM);
        lives += 1;
        short_life(&mut random, lives);

        // Sampling costs more than the load, so it is done only now and then.
        if lives % 4 != 0 {
            continue;
        }
        // A zombie remains until the init has woken.
        let mut now: Vec<Sample> = Vec::new();
        until("no zombie", || {
            now = long_lived.iter().map(|init| sample(init.pid)).collect();
            now.iter().all(|sample| sample.zombies == 0)
        });
        // COMMAND takes its pending signals quickly. If it does not, it has come to a halt
        // and is no longer a load.
        for &command in &commands {
            until("COMMAND to have taken its real-time signals", || {
                u64::from_str_radix(&status_line(command, "ShdPnd"), 16).unwrap() >> 33 == 0
            });
        }
        samples += 1;
        // Memory that is touched for the first time counts as growth, so the first tenth
        // of the run is left out.
        if begin.elapsed() < length / 10 {
            continue;
        }
        let first = first.get_or_insert_with(|| now.clone());
        for (before, now) in first.iter().zip(&now) {
            let grown = now.private > before.private
                || now.data > before.data
                || now.descriptors > before.descriptors;
            assert!(!grown, "after {:?}: {before:?} has become {now:?}", begin.elapsed());
        }
    }
    eprintln!(
        "{} s: {sent} signals, {lives} short lives, {samples} samples; {:?}",
        begin.elapsed().as_secs(),
        first.expect("samples")
    );
    for mut init in long_lived {
        init.signal(SIGKILL);
        assert_eq!(init.end(patience()), End::Killed(SIGKILL));
    }
}

/// Runs an init with random options from its start to its stop.
fn short_life(random: &mut Random, life: u64) {
    let stop_ok = storm_json(&["send-and-exit", "10", "0", "0"]);
    let stop_fails = storm_json(&["send-and-exit", "0", "0", "1"]);
    let mut options = vec!["--delay-term=20ms".to_string()];
    if random.one_in(2) {
        options.push(format!("--stop-cmd={}", random.pick(&[stop_ok, stop_fails])));
    }
    if random.one_in(2) {
        options.push("--drain-cmd=[\"/bin/true\"]".into());
    }
    if random.one_in(3) {
        options.push("--wait-all".into());
    }
    if random.one_in(3) {
        options.push("-c".into());
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let (mut stdout, stdout_end) = pipe();
    let mut start = init_with(&options, &["exit-on", "10", "7"]);
    start.pid_1 = life % 2 == 0;
    start.stdout = Some(stdout_end);
    let mut init = start.start();
    wait_for_line(&mut stdout, "ready");
    init.signal(SIGTERM);
    let end = init.end(patience());
    assert!(matches!(end, End::Exited(7 | 143)), "life {life} with {options:?}: {end:?}");
}
