//! `--measure-drain`: each test covers one sentence about it in the manual page.

#![allow(unsafe_code)]

mod support;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use support::*;

const SERIES: &str = "new connections in each second of the drain:";

/// How often a process has gone to sleep.
fn sleeps(pid: Pid) -> u64 {
    status_line(pid, "voluntary_ctxt_switches").parse().unwrap()
}

/// A drain that has begun.
struct Begun {
    pid: Pid,
    /// At the latest.
    at: Instant,
    /// How often the init had slept.
    sleeps: u64,
}

impl Begun {
    /// Waits until the init sleeps after this second of the drain. It may have slept more
    /// often than once a second: for a lock that another process had.
    fn until_slept(&self, second: u64) {
        let passed = || self.at.elapsed() >= Duration::from_secs(second);
        until("a wake of the init", || passed() && sleeps(self.pid) >= self.sleeps + second);
        until_idle(self.pid);
    }
}

/// Sends TERM, and waits until the drain has begun and the init sleeps.
fn begin(run: &mut Run) -> Begun {
    let pid = run.pid();
    run.signal(SIGTERM);
    run.drain_begins();
    let at = Instant::now();
    until_idle(pid);
    Begun { pid, at, sleeps: sleeps(pid) }
}

/// An init with `--measure-drain` and a /proc that has only net/snmp, which is in `dir`.
fn with_counter(dir: &TempDir, args: &[&str]) -> Setup {
    fs::create_dir(dir.path("net")).unwrap();
    set_counter(dir, "0");
    let script = "mount --bind \"$0\" /proc && exec \"$@\"";
    let words = ["unshare", "--mount", "sh", "-c", script, dir.path(".").to_str().unwrap()]
        .map(str::to_string);
    init(args).arg("--measure-drain").exits_on(SIGTERM, 0).wrapped(words)
}

fn set_counter(dir: &TempDir, counter: &str) {
    let text = format!("Ip: PassiveOpens\nIp: 9\nTcp: X PassiveOpens\nTcp: 5 {counter}\n");
    fs::write(dir.path("next"), text).unwrap();
    fs::rename(dir.path("next"), dir.path("net/snmp")).unwrap();
}

/// Runs `act` in the network namespace of a process.
fn in_network_of<T: Send>(pid: Pid, act: impl FnOnce() -> T + Send) -> T {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let act = || {
        // SAFETY: the descriptor is open, and only this thread changes its namespace.
        let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(entered, 0, "{}", std::io::Error::last_os_error());
        act()
    };
    thread::scope(|scope| scope.spawn(act).join().unwrap())
}

#[test]
fn the_connections_of_each_second_are_counted_exactly() {
    needs!(network_namespace());
    let script = "ip link set lo up && exec \"$@\"";
    let mut run = init(["--delay-term=4500ms", "--measure-drain"])
        .wrapped(["unshare", "--net", "sh", "-c", script, "sh"])
        .exits_on(SIGTERM, 0)
        .start();
    let pid = run.pid();
    in_network_of(pid, || {
        let [four, six] = ["127.0.0.1:0", "[::1]:0"].map(|it| TcpListener::bind(it).unwrap());
        let [four, six] = [&four, &six].map(|it| it.local_addr().unwrap());
        let connect = |address: SocketAddr, count: usize| {
            (0..count).for_each(|_| drop(TcpStream::connect(address).unwrap()));
        };
        // Connections before the drain do not count.
        connect(four, 2);
        let begun = begin(&mut run);
        for (second, count) in (0..).zip([7, 5, 0, 1]) {
            begun.until_slept(second);
            connect(if second % 2 == 0 { four } else { six }, count);
        }
        begun.until_slept(4);
        connect(six, 3);
    });
    assert_eq!(run.message(SERIES), format!("{}{SERIES} 7 5 0 1 3\n", init_name()));
    assert!(run.message("drained for ").contains("s: sending TERM"));
    assert_eq!(run.status(), 0);
}

#[test]
fn the_end_of_command_ends_the_series_and_no_second_is_begun_after_a_whole_one() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    let mut run = with_counter(&dir, &["--delay-term=10"]).start();
    begin(&mut run);
    set_counter(&dir, "31");
    run.tell("main", "exit 5");
    run.message(&format!("{SERIES} 31\n"));
    run.message("exited with status 5 during the drain");
    assert_eq!(run.status(), 5);
    // The series is the line before.
    let said = run.stderr();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[1].contains(SERIES) && lines[2].contains("during the drain"), "{said}");
    let dir = TempDir::new();
    let mut run = with_counter(&dir, &["--delay-term=2"]).start();
    begin(&mut run);
    run.message(&format!("{SERIES} 0 0\n"));
    assert_eq!(run.status(), 0);
}

#[test]
fn a_second_that_was_missed_is_a_dash() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    let mut run = with_counter(&dir, &["--delay-term=60"]).start();
    let begun = begin(&mut run);
    let pid = begun.pid;
    set_counter(&dir, "4");
    begun.until_slept(1);
    kill(pid, SIGSTOP);
    until_state(pid, 'T');
    set_counter(&dir, "10");
    thread::sleep(ms(2500));
    kill(pid, SIGCONT);
    run.received("main", SIGCONT);
    set_counter(&dir, "11");
    run.tell("main", "exit 0");
    let said = run.message(SERIES);
    let figures = said.trim_end().split_once(SERIES).unwrap().1;
    let (first, rest) = figures.split_at(" 4 - -".len());
    assert_eq!((first, rest.trim_start_matches(" -")), (" 4 - -", " 7"), "{said}");
    assert_eq!(run.status(), 0);
}

#[test]
fn a_counter_that_goes_backwards_ends_the_series() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    let mut run = with_counter(&dir, &["--delay-term=60"]).start();
    let begun = begin(&mut run);
    for (second, counter) in (1..).zip(["9", "3", "300"]) {
        set_counter(&dir, counter);
        begun.until_slept(second);
    }
    run.tell("main", "exit 0");
    run.message(&format!("{SERIES} 9\n"));
    assert_eq!(run.status(), 0);
}

#[test]
fn a_counter_that_cannot_be_read_is_reported_once_and_changes_nothing() {
    needs!(pid_namespace());
    let cannot = "cannot measure the drain: /proc/net/snmp:";
    let drains = |dir: &TempDir, setup: Setup, reason: &str, spoil: &dyn Fn(&Path)| {
        let mut run = setup.start();
        spoil(&dir.path("net/snmp"));
        run.signal(SIGTERM);
        run.message(&format!("{cannot} {reason}\n"));
        assert!(run.message("drained for ").contains("s: sending TERM"));
        assert_eq!(run.status(), 0);
        let said = run.stderr();
        assert!(said.matches(cannot).count() == 1 && !said.contains(SERIES), "{said}");
    };
    let dir = TempDir::new();
    let setup = with_counter(&dir, &["--delay-term=1200ms"]);
    drains(&dir, setup, "No such file or directory", &|snmp| fs::remove_file(snmp).unwrap());
    let dir = TempDir::new();
    let setup = with_counter(&dir, &["--delay-term=1200ms"]);
    drains(&dir, setup, "No data available", &|snmp| fs::write(snmp, "Tcp: A\nTcp: 1\n").unwrap());
}

#[test]
fn without_it_nothing_wakes_drain_init_in_the_delay() {
    needs!(native("strace would see the emulator's own calls"), strace());
    for (args, wakes) in
        [(&["--delay-term=2500ms"][..], 1), (&["--delay-term=2500ms", "--measure-drain"], 3)]
    {
        let setup = init(args).exits_on(SIGTERM, 0);
        let trace = setup.path("trace");
        let words = ["strace", "-qq", "--trace=rt_sigtimedwait", "-o", trace.to_str().unwrap()];
        let mut run = setup.wrapped(words.map(str::to_string)).start();
        run.signal(SIGTERM);
        assert_eq!(run.status(), 0);
        let trace = fs::read_to_string(trace).unwrap();
        // TERM and the exit of COMMAND have ended one wait each.
        assert_eq!(trace.lines().count(), 1 + wakes + 1, "{args:?}:\n{trace}");
    }
}

#[test]
fn with_neither_a_delay_nor_a_drain_command_it_warns_at_the_start() {
    let warning =
        format!("{}the drain ends at once without --delay-term or --drain-cmd\n", init_name());
    for (args, said) in [
        (&[][..], warning.clone()),
        (&["--drain-signal=USR1"], warning),
        (&["--delay-term=1"], String::new()),
        (&["--drain-cmd=true"], String::new()),
    ] {
        let setup = init(args.iter().copied()).env("DRAIN_INIT_MEASURE_DRAIN", "1");
        let run = setup.command(["true"]).finish();
        assert_eq!((run.status, run.stderr), (0, said), "{args:?}");
    }
}
