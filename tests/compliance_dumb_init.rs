//! NOTES in the manual page: the behaviour that users of dumb-init rely on. These tests
//! pass with Debian's dumb-init 1.2.5 (`INIT_UNDER_TEST=/usr/bin/dumb-init`) and with
//! drain-init.

mod support;
use support::*;

const NONE: [&str; 0] = [];

/// The signals that dumb-init forwards, in numerical order.
fn forwarded() -> Vec<i32> {
    every_signal().into_iter().filter(|s| *s < 32).collect()
}

/// The forwarded signals that it does not turn into STOP.
fn forwarded_unchanged() -> Vec<i32> {
    forwarded().into_iter().filter(|s| ![SIGTSTP, SIGTTIN, SIGTTOU].contains(s)).collect()
}

#[test]
fn it_exits_with_the_status_of_command() {
    for status in [0, 1, 2, 7, 126, 127, 128, 143, 255] {
        assert_eq!(scenarios::when_command_exits(init(NONE), status), status);
    }
}

#[test]
fn it_exits_with_128_and_the_number_of_the_signal_that_killed_command() {
    for signal in [SIGHUP, SIGINT, SIGABRT, SIGKILL, SIGPIPE, SIGTERM, SIGUSR1] {
        assert_eq!(scenarios::when_command_is_killed(init(NONE), signal), 128 + signal);
    }
}

#[test]
fn as_pid_1_it_exits_with_the_status_of_command() {
    needs!(pid_namespace());
    let mut run = init(NONE).pid1().start();
    assert_eq!(run.hello("main")[1], 1);
    run.tell("main", "exit 42");
    assert_eq!(run.status(), 42);

    assert_eq!(scenarios::when_command_is_killed(init(NONE).pid1(), SIGKILL), 137);
}

#[test]
fn it_forwards_every_signal() {
    skip_lost_signals("it_forwards_every_signal");
    scenarios::signals_reach_command(init(NONE), &forwarded_unchanged());
    needs!(pid_namespace());
    scenarios::signals_reach_command(init(NONE).pid1(), &forwarded_unchanged());
}

#[test]
fn signals_reach_the_whole_process_group_of_command() {
    scenarios::signals_reach_the_group(init(NONE), &[SIGHUP, SIGINT, SIGUSR1, SIGTERM]);
}

#[test]
fn command_leads_its_own_session() {
    let mut run = init(NONE).start();
    let [pid, parent, group, session] = run.hello("main");
    assert_eq!((group, session), (pid, pid));
    assert_eq!(parent, run.pid());
}

#[test]
fn in_single_child_mode_signals_reach_command_alone() {
    for option in ["-c", "--single-child"] {
        let signals = [SIGHUP, SIGUSR1, SIGCONT, SIGTERM];
        scenarios::signals_reach_command_alone(init([option]), &signals);
    }
}

#[test]
fn in_single_child_mode_command_stays_in_the_session() {
    let mut run = init(["-c"]).start();
    let own = stat(run.pid()).unwrap();
    let [pid, _, group, session] = run.hello("main");
    assert_eq!(session, own.session);
    // dumb-init shares its group with COMMAND.
    assert_eq!(group, if is_drain_init() { pid } else { own.group });
}

#[test]
fn dumb_init_setsid_0_means_single_child() {
    let mut run = init(NONE).env("DUMB_INIT_SETSID", "0").script(["fork child"]).start();
    run.wait("child", "ready");
    assert_eq!(run.hello("main")[3], stat(run.pid()).unwrap().session);
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    run.ping("child");
    assert_eq!(run.signals("child"), []);
}

#[test]
fn dumb_init_setsid_1_means_the_group() {
    let mut run = init(NONE).env("DUMB_INIT_SETSID", "1").start();
    let [pid, _, group, session] = run.hello("main");
    assert_eq!((group, session), (pid, pid));
}

#[test]
fn dumb_init_debug_1_means_verbose() {
    let mut run = init(NONE).env("DUMB_INIT_DEBUG", "1").exits_on(SIGTERM, 0).start();
    run.signal(SIGUSR1);
    run.received("main", SIGUSR1);
    run.message(&init_name());
    assert!(run.stderr().lines().all(|l| l.starts_with(&init_name())), "{}", run.stderr());
}

#[test]
fn without_verbose_it_is_silent() {
    assert_eq!(scenarios::a_stop_without_a_word(init(NONE), 0), 0);
    let setup = init(NONE).env("DUMB_INIT_DEBUG", "0");
    assert_eq!(scenarios::a_stop_without_a_word(setup, 0), 0);
}

#[test]
fn verbose_reports_what_happens() {
    for option in ["-v", "--verbose"] {
        let mut run = init([option]).exits_on(SIGTERM, 0).start();
        run.signal(SIGTERM);
        assert_eq!(run.status(), 0);
        run.drain_output();
        let stderr = run.stderr();
        assert!(stderr.lines().count() >= 2, "{stderr}");
        assert!(stderr.lines().all(|l| l.starts_with(&init_name())), "{stderr}");
        assert_eq!(run.stdout(), "");
    }
}

#[test]
fn the_dumb_init_variables_stay_in_the_environment() {
    let mut run = init(NONE).env("DUMB_INIT_SETSID", "1").env("DUMB_INIT_DEBUG", "0").start();
    let env = run.ask("main", "env");
    assert!(env.contains(&"DUMB_INIT_SETSID=1".into()), "{env:?}");
    assert!(env.contains(&"DUMB_INIT_DEBUG=0".into()), "{env:?}");
}

#[test]
fn a_signal_is_rewritten() {
    for options in [
        vec!["--rewrite", "15:3"],
        vec!["--rewrite=15:3"],
        vec!["-r", "15:3"],
        vec!["-r15:3"],
        vec!["-r", " 15: 3 "],
        vec!["-r", "+15:+3"],
        vec!["-r", "015:03"],
    ] {
        let mut run = init(&options).start();
        run.signal(SIGTERM);
        run.received("main", SIGQUIT);
        run.signal(SIGUSR1);
        run.received("main", SIGUSR1);
        assert_eq!(run.signals("main"), [SIGQUIT, SIGUSR1], "{options:?}");
    }
}

#[test]
fn rewriting_is_repeatable_and_the_last_one_wins() {
    let mut run = init(["-r", "1:2", "-r", "15:3", "--rewrite", "15:10"]).start();
    run.signal(SIGHUP);
    run.received("main", SIGINT);
    run.signal(SIGTERM);
    run.received("main", SIGUSR1);
}

#[test]
fn rewriting_is_not_applied_twice() {
    let mut run = init(["-r", "1:2", "-r", "2:1"]).start();
    run.signal(SIGHUP);
    run.received("main", SIGINT);
    run.signal(SIGINT);
    run.received("main", SIGHUP);
}

#[test]
fn a_signal_rewritten_to_0_is_not_delivered() {
    let mut run = init(["--rewrite", "15:0"]).start();
    run.signal(SIGTERM);
    run.barrier();
    assert_eq!(run.signals("main"), [SIGWINCH]);
}

#[test]
fn rewriting_works_in_single_child_mode() {
    let mut run = init(["-c", "-r", "15:3"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGQUIT);
}

/// An init that stops itself on TSTP, TTIN and TTOU. dumb-init always does, drain-init
/// only on a terminal.
fn with_job_control(options: &[&str]) -> Setup {
    let place = if is_drain_init() { Terminal::Leader } else { Terminal::None };
    init(options).terminal(place)
}

#[test]
fn tstp_ttin_and_ttou_stop_the_group_and_the_init() {
    for signal in [SIGTSTP, SIGTTIN, SIGTTOU] {
        scenarios::the_group_and_the_init_stop_until_cont(with_job_control(&[]), signal);
    }
}

#[test]
fn in_single_child_mode_tstp_reaches_command_unchanged() {
    for signal in [SIGTSTP, SIGTTIN, SIGTTOU] {
        let setup = with_job_control(&["-c"]);
        scenarios::command_receives_it_and_the_init_stops_until_cont(setup, signal, signal);
    }
}

#[test]
fn a_rewritten_tstp_still_stops_the_init() {
    let setup = with_job_control(&["-r", "20:10"]);
    scenarios::command_receives_it_and_the_init_stops_until_cont(setup, SIGTSTP, SIGUSR1);
}

#[test]
fn as_pid_1_tstp_stops_the_group_alone() {
    needs!(pid_namespace());
    let setup = init(NONE).pid1();
    let setup = if is_drain_init() {
        setup.wrapped(["setsid", "--ctty"]).terminal(Terminal::Foreign)
    } else {
        setup
    };
    scenarios::as_pid_1_tstp_stops_command_alone(setup, true);
}

#[test]
fn the_rest_of_the_group_receives_term() {
    needs!(pid_namespace());
    assert_eq!(scenarios::signals_to_what_command_leaves(init(NONE).hosted()), [SIGTERM]);
}

#[test]
fn the_last_term_is_rewritten_too() {
    needs!(pid_namespace());
    let setup = init(["-r", "15:12"]).hosted();
    assert_eq!(scenarios::signals_to_what_command_leaves(setup), [SIGUSR2]);
}

#[test]
fn in_single_child_mode_nothing_is_sent_when_command_has_exited() {
    needs!(pid_namespace());
    assert_eq!(scenarios::signals_to_what_command_leaves(init(["-c"]).hosted()), []);
}

#[test]
fn as_pid_1_it_reaps_orphans() {
    needs!(pid_namespace());
    scenarios::an_orphan_is_adopted_and_reaped(init(NONE).pid1());
}

#[test]
fn command_keeps_the_working_directory_and_the_init_does_not() {
    let dir = TempDir::new();
    let mut run = init(NONE).cwd(dir.path("")).start();
    let cwd = dir.path("");
    let cwd = cwd.to_str().unwrap().trim_end_matches('/').to_string();
    assert_eq!(run.ask("main", "cwd"), [cwd]);
    // The init leaves it after the fork, when COMMAND may already run.
    run.barrier();
    let own = std::fs::read_link(format!("/proc/{}/cwd", run.pid())).unwrap();
    assert_eq!(own.to_str(), Some("/"));
}

#[test]
fn command_receives_its_arguments_unchanged() {
    let odd: Vec<&str> = vec!["", " ", "--", "-v", "--rewrite", "a b", "\u{e4}", "$HOME", "*"];
    let setup = init(["-v"]);
    let mut words = setup.probe_words("main", &["ask args"]);
    words.extend(odd.iter().map(std::ffi::OsString::from));
    let mut run = setup.command(words).spawn();
    run.wait("main", "end args");
    let said = run.said("main");
    let args: Vec<&str> = said.iter().filter_map(|l| l.strip_prefix("args ")).collect();
    let expected: Vec<String> = odd.iter().map(|o| o.escape_default().to_string()).collect();
    assert_eq!(args[4..].len(), expected.len());
    assert_eq!(
        args[4..11],
        expected[..7].iter().map(|e| e.replace("\\u{e4}", "\\xc3\\xa4")).collect::<Vec<_>>()
    );
}

#[test]
fn options_end_at_the_first_argument_that_is_not_an_option() {
    let mut run = init(NONE).command(["sh", "-c", "exit 9", "--", "-V"]).spawn();
    assert_eq!(run.status(), 9);
    let mut run = init(["--"]).command(["sh", "-c", "exit 9"]).spawn();
    assert_eq!(run.status(), 9);
}

#[test]
fn long_options_may_be_abbreviated_and_short_ones_clustered() {
    for options in [vec!["--s"], vec!["--single"], vec!["-vc"], vec!["-cv"]] {
        let mut run = init(&options).start();
        assert_eq!(run.hello("main")[3], stat(run.pid()).unwrap().session, "{options:?}");
    }
    for options in [vec!["--r", "15:3"], vec!["--rew=15:3"], vec!["-cr15:3"], vec!["-cr", "15:3"]] {
        let mut run = init(&options).start();
        run.signal(SIGTERM);
        run.received("main", SIGQUIT);
    }
    let mut run = init(["--verb"]).start();
    run.signal(SIGUSR1);
    run.message(&init_name());
}

#[test]
fn help_and_version_exit_0() {
    for option in ["-h", "--help", "--h", "-V", "--version", "--vers"] {
        let finished = init([option]).command::<&str>([]).finish();
        assert_eq!(finished.status, 0, "{option}");
        assert!(!(finished.stdout + &finished.stderr).is_empty());
    }
}

#[test]
fn wrong_usage_exits_1_and_starts_nothing() {
    for options in
        [vec!["--yo"], vec!["-y"], vec!["-r", "abc"], vec!["-r", "99:3"], vec!["-r", "15:99"]]
    {
        let finished = init(&options).finish();
        assert_eq!(finished.status, 1, "{options:?}");
        assert_eq!(finished.started, [] as [String; 0]);
        assert_ne!(finished.stderr, "");
    }
    assert_eq!(init(NONE).command::<&str>([]).finish().status, 1);
}

#[test]
fn every_signal_rewritten_arrives_rewritten() {
    skip_lost_signals("every_signal_rewritten_arrives_rewritten");
    let all = forwarded();
    let options: Vec<String> = all.iter().map(|s| format!("-r{s}:12")).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut run = with_job_control(&options).start();
    for signal in all {
        run.signal(signal);
        if [SIGTSTP, SIGTTIN, SIGTTOU].contains(&signal) {
            run.received("main", SIGUSR2);
            run.stopped();
            run.signal(SIGCONT);
            run.continued();
        }
        run.received("main", SIGUSR2);
    }
}

#[test]
fn the_terminal_is_handed_over() {
    let mut run = init(NONE).terminal(Terminal::Leader).start();
    let [pid, ..] = run.hello("main");
    // dumb-init gives the terminal to COMMAND's new session.
    let session = if is_drain_init() { run.pid() } else { pid };
    assert_eq!(
        run.ask("main", "tty"),
        [format!("stdin=1 session={session} foreground={pid} controlling=true")]
    );
}

#[test]
fn a_typed_control_key_reaches_command_as_one_signal() {
    scenarios::what_is_typed_reaches_command_once(init(NONE).terminal(Terminal::Leader));
}

#[test]
fn the_hup_and_cont_of_the_hand_over_do_not_reach_command() {
    let mut run = init(NONE).terminal(Terminal::Leader).start();
    run.barrier();
    assert_eq!(run.signals("main"), [SIGWINCH]);
}

#[test]
fn a_terminal_that_is_not_the_inits_own_is_not_taken() {
    let mut run = init(NONE).terminal(Terminal::Foreign).start();
    let tty = run.ask("main", "tty");
    // dumb-init takes it if the init leads a session without a terminal.
    assert!(tty[0].starts_with("stdin=1"), "{tty:?}");
}

#[test]
fn in_single_child_mode_the_terminal_stays_with_the_session() {
    let mut run = init(["-c"]).terminal(Terminal::Leader).start();
    let [_, _, group, _] = run.hello("main");
    let session = run.pid();
    assert_eq!(
        run.ask("main", "tty"),
        [format!("stdin=1 session={session} foreground={group} controlling=true")]
    );
}

#[test]
fn closing_the_terminal_sends_hup_to_command() {
    let setup = init(NONE).terminal(Terminal::Leader);
    assert_eq!(scenarios::when_the_terminal_hangs_up(setup, 0), 0);
}

#[test]
fn without_a_terminal_the_first_hup_and_cont_are_delivered() {
    scenarios::signals_reach_command(init(NONE), &[SIGHUP, SIGCONT]);
}

#[test]
fn it_works_inside_itself() {
    let setup = init(["-v"]);
    let mut words: Vec<std::ffi::OsString> = runner().iter().map(Into::into).collect();
    words.push(init_path().into());
    words.push("--rewrite".into());
    words.push("15:10".into());
    words.push("--".into());
    words.extend(setup.probe_words("main", &["on 10 exit 33"]));
    let mut run = setup.command(words).start();
    run.signal(SIGHUP);
    run.received("main", SIGHUP);
    run.signal(SIGTERM);
    run.received("main", SIGUSR1);
    assert_eq!(run.status(), 33);
}

#[test]
fn a_nested_init_reports_a_killed_command_as_a_shell_would() {
    let setup = init(["-c"]);
    let mut words: Vec<std::ffi::OsString> = runner().iter().map(Into::into).collect();
    words.push(init_path().into());
    words.extend(setup.probe_words("main", &[]));
    let mut run = setup.command(words).start();
    run.tell("main", "die 9");
    assert_eq!(run.status(), 137);
}

#[test]
fn it_can_be_the_interpreter_of_a_script() {
    needs!(native("needs binfmt_misc"));
    let dir = TempDir::new();
    let script = dir.path("script");
    let init_path = init_path();
    executable(&script, format!("#!{} /bin/sh\necho hello \"$1\"\nexit 5\n", init_path.display()));
    let finished = init(NONE).called(script).command(["world"]).finish();
    assert_eq!((finished.status, finished.stdout.as_str()), (5, "hello world\n"));
}

#[test]
fn a_file_without_an_interpreter_is_run_by_the_shell() {
    let dir = TempDir::new();
    let script = dir.path("script");
    executable(&script, "echo \"$1\"\nexit 6\n");
    let finished = init(NONE).command([script.into_os_string(), "word".into()]).finish();
    assert_eq!((finished.status, finished.stdout.as_str()), (6, "word\n"));
}

#[test]
fn command_is_looked_up_in_path() {
    let dir = TempDir::new();
    executable(&dir.path("somewhere"), "#!/bin/sh\nexit 8\n");
    let path = format!("/nowhere:{}:/usr/bin:/bin", dir.path("").display());
    let finished = init(NONE).env("PATH", path).command(["somewhere"]).finish();
    assert_eq!(finished.status, 8);
}

#[test]
fn no_signal_stays_blocked_in_command() {
    let mut run = init(NONE).start();
    assert_eq!(run.ask("main", "blocked"), [] as [String; 0]);
}
