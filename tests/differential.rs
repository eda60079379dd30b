//! drain-init compared with Debian's dumb-init 1.2.5. Random command lines must start the
//! same COMMAND or fail alike. Random scripts of signals must have the same effect on the
//! same processes.
//!
//! [`DIFFERENCES`] are the intended ones, which the manual page lists under NOTES.
//! FULL=1 runs thousands of rounds. SEED=n changes the random numbers.

#![allow(unsafe_code)]

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use reliability::{Random, rounds};
use support::*;

const DUMB_INIT: &str = "/usr/bin/dumb-init";

/// The intended differences: a reason, and whether it applies to these words before
/// COMMAND.
#[allow(clippy::type_complexity)]
const DIFFERENCES: &[(&str, fn(&[String]) -> bool)] = &[
    // dumb-init has none of these and refuses the command line.
    ("drain-init has options of its own", |words| {
        words.iter().any(|word| {
            let short = word.starts_with('-') && !word.starts_with("--");
            let own = OWN_LONG.iter().any(|long| {
                word.strip_prefix("--").is_some_and(|name| name.split('=').next() == Some(long))
            });
            own || (short && word[1..].contains(['q', 'g', 's', 'p', 'e', 'w']))
        })
    }),
    ("signals may be names, and go up to 64", |words| {
        rewrites_in(words).iter().any(|value| {
            let named = value.bytes().any(|byte| byte.is_ascii_alphabetic());
            let great = value
                .split(':')
                .filter_map(|side| side.trim().trim_start_matches('+').parse::<u32>().ok())
                .any(|number| (32..=64).contains(&number));
            named || great
        })
    }),
    ("an = after a short option is left out", |words| {
        words.iter().any(|word| !word.starts_with("--") && word.contains("r="))
    }),
    ("a number that overflows is refused", |words| {
        let digits = |word: &String| {
            word.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0)
        };
        words.iter().any(|word| digits(word) > 9)
    }),
    ("extra text after a number is refused", |words| {
        rewrites_in(words).iter().any(|value| {
            let rest = value.split_once(':').map_or("", |(_, right)| right);
            let digits = |byte: u8| byte.is_ascii_digit() || b" \t+-".contains(&byte);
            !rest.bytes().all(digits) || rest.trim().split([' ', '\t']).count() > 1
        })
    }),
];

/// The long options that dumb-init does not have.
const OWN_LONG: [&str; 13] = [
    "delay-term",
    "drain-signal",
    "drain-cmd",
    "stop-cmd",
    "kill-after",
    "stop-signal",
    "wait-all",
    "group",
    "subreaper",
    "pdeathsig",
    "remap-exit",
    "quiet",
    "warn-on-reap",
];

/// The words that may be a value of --rewrite, which are all words with a colon.
fn rewrites_in(words: &[String]) -> Vec<String> {
    let value = |word: &String| {
        let value = word.split_once('=').map_or(word.as_str(), |(_, value)| value);
        value.trim_start_matches(['-', 'c', 'v', 'r']).to_string()
    };
    words.iter().filter(|word| word.contains(':')).map(value).collect()
}

fn dumb_init() -> Ability {
    if Path::new(DUMB_INIT).exists() { Ok(()) } else { Err("needs Debian's dumb-init".into()) }
}

// ------------------------------------------------------------ command lines

/// A random option, valid or not, with its value if it has one.
fn option(random: &mut Random) -> Vec<String> {
    let signal = |random: &mut Random| match random.below(12) {
        0 => "0".to_string(),
        1 => "32".into(),
        2 => "-1".into(),
        3 => "015".into(),
        4 => " 3".into(),
        5 => "+2".into(),
        _ => (1 + random.below(31)).to_string(),
    };
    let value = |random: &mut Random| {
        let mut value = match random.below(24) {
            0 => String::new(),
            1 => "15".into(),
            2 => ":".into(),
            3 => "15:".into(),
            4 => ":3".into(),
            5 => "a:b".into(),
            6 => "TERM:QUIT".into(),
            7 => "15:3x".into(),
            8 => "15:3:4".into(),
            9 => "-v".into(),
            10 => "--".into(),
            11 => (*random.pick(&["99999999999:1", "4294967311:3", "15:4294967299"])).into(),
            _ => format!("{}:{}", signal(random), signal(random)),
        };
        if random.one_in(12) {
            value.push(' ');
        }
        value
    };
    let long = |random: &mut Random| {
        let names = ["help", "single-child", "rewrite", "verbose", "version"];
        let name = *random.pick(&names);
        let least = usize::from(!random.one_in(6));
        let length = least + random.index(name.len() + 1 - least);
        name[..length].to_string()
    };
    match random.below(20) {
        0 => vec!["-c".into()],
        14 => vec!["--verbose".into()],
        2 | 3 => vec!["-r".into(), value(random)],
        4 if random.one_in(4) => vec![format!("-r={}", value(random))],
        4 => vec![format!("-r{}", value(random))],
        5 => vec![format!("-{}r{}", random.pick(&["v", "c", "vc", "cv", "vv"]), value(random))],
        6 => vec![(*random.pick(&["-vc", "-cv", "-vvc", "-cc", "-vr"])).into()],
        7 | 8 => vec![format!("--rewrite={}", value(random))],
        9 => vec!["--rewrite".into(), value(random)],
        10 | 11 => vec![format!("--{}", long(random))],
        12 => vec![format!("--{}={}", long(random), value(random))],
        13 => vec!["--single-child".into()],
        // Junk.
        15 => vec![
            (*random.pick(&["-x", "-", "-1", "-cx", "-W", "-:", "-?", "-=", "--=", "-c=1"])).into(),
        ],
        16 => vec![
            (*random.pick(&[
                "--nosuch",
                "--helpx",
                "---",
                "--c",
                "--rewrites",
                "--Verbose",
                "--v",
            ]))
            .into(),
        ],
        17 => vec![(*random.pick(&["-h", "-V", "-vh", "--help", "--version", "-hV"])).into()],
        // drain-init's own.
        18 if random.one_in(3) => vec![format!("--{}", random.pick(&OWN_LONG))],
        _ => vec!["-v".into()],
    }
}

/// The result of a command line.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// COMMAND was started with these arguments. `leads`: it leads its session.
    Started { arguments: Vec<String>, leads: bool, status: i32 },
    /// Help or the version was printed.
    Printed,
    /// Nothing was started.
    Refused,
    /// COMMAND cannot run. dumb-init exits with 2, and drain-init with 126 or 127.
    CannotRun,
}

struct Lines {
    dir: TempDir,
    program: PathBuf,
}

impl Lines {
    fn new() -> Self {
        let dir = TempDir::new();
        let program = dir.path("command");
        // Field 6 of /proc/PID/stat is the session ID.
        let text = b"#!/bin/sh\nread -r s </proc/self/stat\nset -- \"$@\"\nexec 3>&1\n\
            printf 'started %s\\n' \"$$\"\ncut -d' ' -f6 /proc/$$/stat\n\
            printf '<%s>\\n' \"$@\"\nexit 42\n";
        executable(&program, text);
        symlink(init_path(), dir.path("dumb-init")).unwrap();
        Self { dir, program }
    }

    fn run(init: &Path, words: &[String], variables: &[(&str, &str)]) -> Outcome {
        let mut command = Command::new(init);
        command.args(words).env_clear().env("PATH", "/usr/bin:/bin");
        command.envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let status = output.status.code().unwrap_or(-1);
        let Some(rest) = text.strip_prefix("started ") else {
            return match status {
                0 => Outcome::Printed,
                1 => Outcome::Refused,
                2 | 126 | 127 => Outcome::CannotRun,
                other => panic!("{words:?}: {other}, {}", String::from_utf8_lossy(&output.stderr)),
            };
        };
        let mut lines = rest.lines();
        let (pid, session) = (lines.next().unwrap(), lines.next().unwrap());
        let arguments = lines.map(String::from).collect();
        Outcome::Started { arguments, leads: pid == session, status }
    }
}

#[test]
fn random_command_lines_start_the_same_command_or_fail_alike() {
    needs!(dumb_init(), native("dumb-init is not emulated"));
    let lines = Lines::new();
    let ours = lines.dir.path("dumb-init");
    let count = rounds(400, 5_000);
    let workers = 2;
    let (mut started, mut refused, mut printed, mut on_purpose) = (0, 0, 0, BTreeSet::new());
    let results: Vec<_> = thread::scope(|scope| {
        let work = |worker: u64| {
            let (lines, ours) = (&lines, &ours);
            scope.spawn(move || {
                let mut random = Random::new(100 + worker);
                (0..count / workers).map(|_| compare(lines, ours, &mut random)).collect::<Vec<_>>()
            })
        };
        let handles: Vec<_> = (0..workers as u64).map(work).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    for (outcome, reason) in results {
        on_purpose.extend(reason);
        match outcome {
            Outcome::Started { .. } => started += 1,
            Outcome::Refused | Outcome::CannotRun => refused += 1,
            Outcome::Printed => printed += 1,
        }
    }
    eprintln!(
        "{count} command lines: {started} started, {refused} refused, {printed} help or version by \
         dumb-init; differences met: {on_purpose:?}"
    );
    assert!(started > count / 4 && refused > count / 10 && printed > 0, "too much of one kind");
}

/// Runs one command line with both. Returns dumb-init's outcome, and the reason if the
/// two differ.
fn compare(lines: &Lines, ours: &Path, random: &mut Random) -> (Outcome, Option<&'static str>) {
    let mut words: Vec<String> = Vec::new();
    for _ in 0..random.below(4) {
        words.extend(option(random));
    }
    if random.one_in(2) {
        words.push("--".into());
    }
    let options = words.clone();
    if !random.one_in(25) {
        words.push(lines.program.to_str().unwrap().into());
        for _ in 0..random.below(4) {
            // Words after COMMAND are its arguments, even if they look like options.
            let own = ["x", "-c", "--", "--help", "", "a b", "\u{e4}", "-r", "15:3"];
            words.push((*random.pick(&own)).into());
        }
    }
    let all = [("DUMB_INIT_SETSID", "0"), ("DUMB_INIT_SETSID", "1"), ("DUMB_INIT_DEBUG", "1")];
    let variables: Vec<_> = if random.one_in(4) { vec![*random.pick(&all)] } else { vec![] };
    let theirs = Lines::run(Path::new(DUMB_INIT), &words, &variables);
    let found = Lines::run(ours, &words, &variables);
    if theirs == found {
        return (theirs, None);
    }
    let reason = DIFFERENCES.iter().find(|(_, explains)| explains(&options));
    let Some((reason, _)) = reason else {
        panic!("{words:?} with {variables:?}: dumb-init {theirs:?}, drain-init {found:?}");
    };
    (theirs, Some(reason))
}

#[test]
fn a_command_that_cannot_run_is_127_or_126_instead_of_2_and_help_is_on_stdout() {
    needs!(dumb_init(), native("dumb-init is not emulated"));
    let status = |init: &Path, path: &str| {
        Command::new(init).arg(path).output().unwrap().status.code().unwrap()
    };
    for (path, ours) in [("/nonexistent", 127), ("/tmp", 126)] {
        assert_eq!(status(Path::new(DUMB_INIT), path), 2, "{path}");
        assert_eq!(status(&init_path(), path), ours, "{path}");
    }
    // dumb-init passes the binary to the shell, which reports a syntax error.
    let dir = TempDir::new();
    let foreign = dir.path("foreign");
    executable(&foreign, b"\x7fELF\x02\x01\x01\0\n(((\n");
    let foreign = foreign.to_str().unwrap();
    assert_eq!(status(Path::new(DUMB_INIT), foreign), 2);
    assert_eq!(status(&init_path(), foreign), 126);
    for option in ["--help", "--version"] {
        let output = |init: &Path| Command::new(init).arg(option).output().unwrap();
        let (theirs, ours) = (output(Path::new(DUMB_INIT)), output(&init_path()));
        assert!(theirs.stdout.is_empty() && !theirs.stderr.is_empty(), "{option}");
        assert!(!ours.stdout.is_empty() && ours.stderr.is_empty(), "{option}");
    }
}

// ------------------------------------------------------------------ signals

/// The signals with which a terminal suspends a job.
const JOB_CONTROL: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

/// A step of a script.
#[derive(Debug, Clone)]
enum Step {
    /// Send a signal to the init alone.
    Send(i32),
    /// Send several signals. Some may be pending at the same time, so their order is not
    /// compared.
    SendAll(Vec<i32>),
    /// COMMAND starts a child with this number, in its own group, in a new group or in a
    /// new session.
    Fork(usize, &'static str),
    /// The child with this number exits.
    End(usize),
}

#[derive(Debug, Clone)]
struct Script {
    options: Vec<String>,
    pid_1: bool,
    steps: Vec<Step>,
    /// How COMMAND ends, as an order to the probe.
    last: String,
}

fn script(random: &mut Random) -> Script {
    let mut options: Vec<String> = Vec::new();
    if random.one_in(3) {
        options.push("-c".into());
    }
    for _ in 0..random.below(4) {
        let received = *random.pick(&[1, 2, 3, 10, 12, 14, 15, 15, 18, 20, 21, 22, 28]);
        // Not to TSTP. The kernel discards a pending TSTP when CONT arrives, so COMMAND and
        // the next signal would race.
        let delivered = *random.pick(&[0, 0, 1, 2, 3, 10, 12, 15, 28]);
        options.push(format!("--rewrite={received}:{delivered}"));
    }
    let none = [SIGKILL, SIGSTOP, SIGCHLD];
    // Not the signals of job control. Without a terminal, drain-init forwards them
    // unchanged, and a stop signal also reaches a suspended COMMAND. The manual page lists
    // both differences.
    let signals: Vec<i32> =
        (1..32).filter(|it| !none.contains(it) && !JOB_CONTROL.contains(it)).collect();
    let mut steps = Vec::new();
    let mut children = 0;
    for _ in 0..3 + random.below(8) {
        steps.push(match random.below(10) {
            0 | 1 if children < 3 => {
                children += 1;
                let place: &&str = random.pick(&["", " group", " session"]);
                Step::Fork(children, place)
            }
            2 if children > 0 => Step::End(1 + random.index(children)),
            3 => {
                let mut all: Vec<i32> =
                    (0..2 + random.below(4)).map(|_| *random.pick(&signals)).collect();
                // The effect of CONT would depend on the order in which they arrive.
                all.retain(|signal| *signal != SIGCONT);
                Step::SendAll(all)
            }
            _ => Step::Send(*random.pick(&signals)),
        });
        if random.one_in(2) {
            steps.push(Step::Send(SIGCONT));
        }
    }
    let last = match random.below(3) {
        0 => format!("exit {}", random.below(256)),
        1 => format!("die {}", random.pick(&[1, 2, 3, 9, 13, 15, 31])),
        _ => "exit 0".into(),
    };
    Script { options, pid_1: random.one_in(2), steps, last }
}

/// Everything that was observed during a script.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The processes that are stopped after each step.
    stopped: Vec<Vec<String>>,
    /// The signals that each process received in each step, sorted and without duplicates.
    signals: Vec<(String, Vec<Vec<i32>>)>,
    status: i32,
}

/// Waits until the init is idle or stopped. Idle means that no signal is pending and that
/// it sleeps in sigtimedwait.
fn settled(pid: i32) {
    let wait = number_of(libc::SYS_rt_sigtimedwait);
    until("the init to have nothing to do", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |name| status.lines().find_map(|l: &str| l.strip_prefix(name)).unwrap().trim();
        if line("State:").starts_with('T') {
            return true;
        }
        let none = |name| line(name).bytes().all(|byte| byte == b'0');
        none("SigPnd:")
            && none("ShdPnd:")
            && fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap().starts_with(&wait)
    });
}

/// Waits until a probe is idle or stopped. It checks twice, because the probe may be
/// between a stop signal and its effect.
fn at_rest(pid: i32) {
    let rests = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |name| status.lines().find_map(|l: &str| l.strip_prefix(name)).unwrap().trim();
        let none = |name| line(name).bytes().all(|byte| byte == b'0');
        let state = line("State:");
        state.starts_with('T') || (state.starts_with('S') && none("SigPnd:") && none("ShdPnd:"))
    };
    until("a probe to have nothing to do", || rests() && rests());
}

fn is_stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.state == 'T')
}

fn play(init_path: &Path, script: &Script, terminal: Terminal) -> Seen {
    let setup = init(&script.options).called(init_path);
    let setup = if script.pid_1 { setup.pid1() } else { setup.hosted() };
    let setup = if terminal == Terminal::Leader {
        setup.wrapped(["setsid", "--ctty"]).terminal(Terminal::Foreign)
    } else {
        setup
    };
    let mut run = setup.start();
    let pid = run.pid();
    let mut names = vec!["main".to_string()];
    let mut ended: Vec<String> = Vec::new();
    let mut signals: Vec<(String, Vec<Vec<i32>>)> = vec![("main".into(), vec![])];
    let mut counted = vec![0];
    let mut stopped = Vec::new();
    for step in &script.steps {
        let main_is_stopped = is_stopped(run.pid_of("main"));
        match step {
            Step::Send(signal) => kill(pid, *signal),
            Step::SendAll(all) => all.iter().for_each(|signal| kill(pid, *signal)),
            // A stopped COMMAND cannot start a process.
            Step::Fork(number, place) if !main_is_stopped => {
                let name = format!("child{number}");
                run.tell("main", &format!("fork {name}{place}"));
                run.wait(&name, "ready");
                names.push(name.clone());
                signals.push((name, vec![]));
                counted.push(0);
            }
            Step::End(number) => {
                let name = format!("child{number}");
                let there = names.contains(&name) && !ended.contains(&name);
                if there && !main_is_stopped && !is_stopped(run.pid_of(&name)) {
                    run.tell(&name, "exit 0");
                    let child = run.pid_of(&name);
                    until("its end", || stat(child).is_none());
                    ended.push(name);
                }
            }
            Step::Fork(..) => {}
        }
        settled(pid);
        let mut now = Vec::new();
        if is_stopped(pid) {
            now.push("init".to_string());
        }
        for (index, name) in names.iter().enumerate() {
            if ended.contains(name) {
                continue;
            }
            at_rest(run.pid_of(name));
            if is_stopped(run.pid_of(name)) {
                now.push(name.clone());
                continue;
            }
            run.ping(name);
            let all = run.signals(name);
            let mut new = all[counted[index]..].to_vec();
            counted[index] = all.len();
            // Signals that were pending together have no defined order and may have merged.
            new.sort_unstable();
            new.dedup();
            signals[index].1.push(new);
        }
        stopped.push(now);
    }
    // Every process continues, then COMMAND ends.
    kill(pid, SIGCONT);
    until("the init to continue", || !is_stopped(pid));
    settled(pid);
    for name in names.clone() {
        let process = run.pid_of(&name);
        if ended.contains(&name) {
            continue;
        }
        at_rest(process);
        if is_stopped(process) {
            kill(process, SIGCONT);
            until("it to continue", || !is_stopped(process));
        }
    }
    run.tell("main", &script.last);
    let status = run.status();
    for (index, name) in names.iter().enumerate().skip(1) {
        // When PID 1 exits, all other processes end.
        if !script.pid_1 && !ended.contains(name) {
            run.ping(name);
            let mut new = run.signals(name)[counted[index]..].to_vec();
            new.sort_unstable();
            new.dedup();
            signals[index].1.push(new);
        }
    }
    Seen { stopped, signals, status }
}

#[test]
fn random_scripts_of_signals_have_the_same_effect() {
    needs!(dumb_init(), native("dumb-init is not emulated"), pid_namespace());
    let count = rounds(60, 2_000);
    let mut random = Random::new(200);
    for round in 0..count {
        let script = script(&mut random);
        let theirs = play(Path::new(DUMB_INIT), &script, Terminal::None);
        let ours = play(&init_path(), &script, Terminal::None);
        assert_eq!(ours, theirs, "round {round}, drain-init on the left: {script:#?}");
    }
    eprintln!("{count} scripts");
}

/// Each signal once, in both modes, with and without a rewrite. drain-init runs on a
/// terminal here, because it does job control only there. dumb-init does it everywhere.
#[test]
fn every_signal_in_every_mode_reaches_the_same_processes() {
    needs!(dumb_init(), native("dumb-init is not emulated"), pid_namespace());
    let none = [SIGKILL, SIGSTOP, SIGCHLD];
    let signals: Vec<i32> = (1..32).filter(|signal| !none.contains(signal)).collect();
    for options in [&[][..], &["-c"], &["--rewrite=20:28"], &["-c", "--rewrite=15:3"]] {
        for pid_1 in [false, true] {
            let mut steps = vec![Step::Fork(1, ""), Step::Fork(2, " group")];
            for &signal in &signals {
                steps.extend([Step::Send(signal), Step::Send(SIGCONT)]);
            }
            let script = Script {
                options: options.iter().map(ToString::to_string).collect(),
                pid_1,
                steps,
                last: "exit 3".into(),
            };
            let theirs = play(Path::new(DUMB_INIT), &script, Terminal::None);
            let ours = play(&init_path(), &script, Terminal::Leader);
            assert_eq!(ours, theirs, "{options:?}, PID 1: {pid_1}");
        }
    }
}
