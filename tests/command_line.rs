//! OPTIONS and ENVIRONMENT in the manual page: the command line, the variables,
//! their values, and what is refused.

mod support;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Instant;
use support::*;

const NONE: [&str; 0] = [];

/// A usage error: one line with these words on stderr, status 1, nothing on stdout, and
/// nothing started.
#[track_caller]
fn refused(setup: Setup, names: &[&str]) {
    let finished = setup.finish();
    let stderr = &finished.stderr;
    assert_eq!(finished.status, 1, "{finished:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with(&init_name()), "{stderr}");
    assert!(stderr.ends_with('\n'), "{stderr}");
    for name in names {
        assert!(stderr.contains(name), "{stderr} does not name {name}");
    }
    assert_eq!(finished.stdout, "");
    assert_eq!(finished.started, NONE);
}

/// The command line is accepted: COMMAND starts, and exits when the test asks it to.
#[track_caller]
fn accepted(setup: Setup) {
    let mut run = setup.start();
    run.tell("main", "exit 77");
    assert_eq!(run.status(), 77);
}

// ----------------------------------------------------------------- parsing

#[test]
fn parsing_ends_at_the_first_argument_that_is_not_an_option() {
    let finished =
        init(NONE).command(["sh", "-c", "echo \"$0\" \"$1\"", "--version", "-h"]).finish();
    assert_eq!((finished.status, finished.stdout.as_str()), (0, "--version -h\n"));
}

#[test]
fn parsing_ends_at_two_dashes() {
    let dir = TempDir::new();
    executable(&dir.path("-v"), "#!/bin/sh\necho ran \"$1\"\n");
    let path = format!("{}:/usr/bin:/bin", dir.path("").display());
    let finished = init(NONE).env("PATH", path).command(["--", "-v", "--"]).finish();
    assert_eq!((finished.status, finished.stdout.as_str()), (0, "ran --\n"));
}

#[test]
fn a_single_dash_is_a_command() {
    assert_eq!(init(NONE).command(["-"]).finish().status, 127);
}

#[test]
fn short_options_cluster_and_take_values_attached_or_separate() {
    for options in [vec!["-vcr15:3"], vec!["-vcr", "15:3"], vec!["-vc", "-r15:3"]] {
        let mut run = init(&options).start();
        assert_eq!(run.hello("main")[3], stat(run.pid()).unwrap().session);
        run.signal(SIGTERM);
        run.received("main", SIGQUIT);
        run.message(&init_name());
    }
    for options in [vec!["-swe7"], vec!["-sw", "-e", "7"], vec!["-gqse7"]] {
        let mut run = init(&options).start();
        run.tell("main", "exit 7");
        assert_eq!(run.status(), 0, "{options:?}");
    }
}

#[test]
fn long_options_take_values_with_an_equals_sign_or_separate() {
    for options in [
        vec!["--delay-term=100ms", "--stop-signal=QUIT", "--rewrite=3:12"],
        vec!["--delay-term", "100ms", "--stop-signal", "QUIT", "--rewrite", "3:12"],
    ] {
        let mut run = init(&options).start();
        let start = Instant::now();
        run.signal(SIGQUIT);
        let at = run.received("main", SIGUSR2);
        took(start, at, ms(100));
    }
}

#[test]
fn the_five_long_options_of_dumb_init_may_be_abbreviated() {
    for option in ["--s", "--si", "--single", "--single-chil"] {
        let mut run = init([option]).start();
        assert_eq!(run.hello("main")[3], stat(run.pid()).unwrap().session, "{option}");
    }
    for option in ["--r", "--re", "--rew", "--rewrit"] {
        let mut run = init([option, "15:3"]).start();
        run.signal(SIGTERM);
        run.received("main", SIGQUIT);
    }
    for option in ["--h", "--hel", "--vers", "--versio"] {
        let finished = init([option]).finish();
        assert_eq!(finished.status, 0, "{option}");
        assert_ne!(finished.stdout, "");
    }
    for option in ["--verb", "--verbos"] {
        let mut run = init([option]).start();
        run.message(&init_name());
    }
}

#[test]
fn an_ambiguous_abbreviation_is_refused() {
    for option in ["--v", "--ver", "--ve"] {
        refused(init([option]), &[option]);
    }
}

#[test]
fn no_other_long_option_may_be_abbreviated() {
    for option in [
        "--delay",
        "--delay-ter",
        "--drain-sig",
        "--drain-c",
        "--stop",
        "--stop-c",
        "--kill",
        "--wait",
        "--wait-al",
        "--quie",
        "--q",
        "--sub",
        "--pdeath",
        "--g",
        "--grou",
        "--rem",
        "--remap",
        "--warn",
        "--d",
        "--k",
        "--w",
        "--p",
    ] {
        refused(init([option, "1"]), &[option]);
    }
}

#[test]
fn the_last_of_contradicting_options_wins() {
    for (options, own_session) in [
        (vec!["-c", "-g"], true),
        (vec!["-g", "-c"], false),
        (vec!["--single-child", "--group"], true),
        (vec!["-gcgc"], false),
    ] {
        let mut run = init(&options).start();
        let [pid, .., session] = run.hello("main");
        assert_eq!(session == pid, own_session, "{options:?}");
    }
    for (options, says) in [(["-q", "-v"], true), (["-v", "-q"], false)] {
        let mut run = init(options).exits_on(SIGTERM, 0).start();
        run.signal(SIGTERM);
        run.status();
        run.drain_output();
        assert_eq!(!run.stderr().is_empty(), says, "{options:?}");
    }
}

#[test]
fn the_last_value_of_an_option_wins() {
    let mut run = init(["--delay-term=60", "--delay-term=50ms"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
}

#[test]
fn group_undoes_single_child_and_dumb_init_setsid() {
    for option in ["-g", "--group"] {
        let mut run = init([option]).env("DUMB_INIT_SETSID", "0").start();
        let [pid, .., session] = run.hello("main");
        assert_eq!(session, pid);
    }
}

#[test]
fn help_and_version_are_printed_on_stdout() {
    for option in ["-h", "--help"] {
        let finished = init([option]).command(NONE).finish();
        assert_eq!((finished.status, finished.stderr.as_str()), (0, ""));
        for name in [
            "--single-child",
            "--rewrite",
            "--verbose",
            "--help",
            "--version",
            "--delay-term",
            "--drain-signal",
            "--drain-cmd",
            "--stop-cmd",
            "--kill-after",
            "--stop-signal",
            "--wait-all",
            "--quiet",
            "--subreaper",
            "--pdeathsig",
            "--group",
            "--remap-exit",
            "--warn-on-reap",
            "-c",
            "-r",
            "-v",
            "-h",
            "-V",
            "-q",
            "-s",
            "-p",
            "-g",
            "-e",
            "-w",
        ] {
            assert!(finished.stdout.contains(name), "{name} is not in:\n{}", finished.stdout);
        }
    }
    for option in ["-V", "--version"] {
        let finished = init([option]).command(NONE).finish();
        assert_eq!((finished.status, finished.stderr.as_str()), (0, ""));
        assert_eq!(finished.stdout.lines().count(), 1);
        assert!(finished.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", finished.stdout);
    }
}

#[test]
fn help_starts_nothing() {
    for option in ["-h", "-V"] {
        let finished = init([option]).finish();
        assert_eq!(finished.status, 0);
        assert_eq!(finished.started, NONE);
    }
}

// --------------------------------------------------------------- durations

#[test]
fn a_duration_is_numbers_and_units() {
    for (text, least) in [
        ("200ms", 200),
        ("0.2s", 200),
        ("0.2", 200),
        ("100ms0.1s", 200),
        ("0.1s50ms", 150),
        ("0.0025m", 150),
        ("0.00005h", 180),
        ("0h0m0s150ms", 150),
        ("00.15", 150),
    ] {
        let mut run = init(["--delay-term", text]).start();
        let start = Instant::now();
        run.signal(SIGTERM);
        let at = run.received("main", SIGTERM);
        took(start, at, ms(least));
    }
}

#[test]
fn a_non_zero_duration_is_never_rounded_down_to_zero() {
    for text in ["0.0000000001", "0.0000000009s", "0.0000001ms", "0.0000000000000001h"] {
        let mut run = init(NONE).env("DRAIN_INIT_DELAY_TERM", text).start();
        run.signal(SIGTERM);
        run.message("received TERM: draining for");
        run.received("main", SIGTERM);

        let mut run = init(["--kill-after", text]).start();
        run.signal(SIGTERM);
        assert_eq!(run.status(), 137, "{text}");
    }
}

#[test]
fn long_durations_are_accepted() {
    for text in ["30", "1.5s", "1m30s", "2h", "87600h", "1h30m15s500ms", "315360000"] {
        accepted(init(["--delay-term", text, "--kill-after", text]));
    }
}

#[test]
fn a_number_without_a_unit_means_seconds() {
    let mut run = init(["--delay-term", "1"]).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    let at = run.received("main", SIGTERM);
    took(start, at, ms(1000));
}

#[test]
fn nonsense_in_durations_is_refused() {
    for text in [
        "+5", "-5", "+5s", "-0", "1e3", "1e3s", " 5", "5 ", "5 s", "1m 30s", ".5", ".5s", "", " ",
        "ms", "s", "five", "5x", "5d", "5y", "5S", "5sec", "0x10", "1.5.5", "1..5", "1,5", "inf",
        "NaN", "5s!", "--", "\u{665}", "5\n", "1_000",
    ] {
        for option in ["--delay-term", "--kill-after"] {
            refused(init([format!("{option}={text}")]), &[option]);
        }
    }
    refused(init(["--delay-term", "-5"]), &["--delay-term", "-5"]);
    refused(init(["--delay-term", ""]), &["--delay-term"]);
    refused(init(["--delay-term", "12parsecs"]), &["--delay-term", "12parsecs"]);
}

#[test]
fn durations_of_more_than_ten_years_are_refused() {
    for text in [
        "90000h",
        "400000000",
        "400000000s",
        "5500000m",
        "400000000000ms",
        "80000h10000h",
        "9223372036854775807",
        "18446744073709551616",
        "99999999999999999999999999999999h",
        "0.99999999999999999999999999999999999999999999h99999999h",
    ] {
        refused(init(["--delay-term", text]), &["--delay-term"]);
        refused(init(["--kill-after", text]), &["--kill-after"]);
    }
}

// ----------------------------------------------------------------- signals

#[test]
fn a_signal_is_a_number_or_a_name() {
    for (text, number) in [
        ("15", SIGTERM),
        ("TERM", SIGTERM),
        ("SIGTERM", SIGTERM),
        ("term", SIGTERM),
        ("SigTerm", SIGTERM),
        ("3", SIGQUIT),
        ("quit", SIGQUIT),
        ("1", SIGHUP),
        ("HUP", SIGHUP),
        ("INT", SIGINT),
        ("USR1", SIGUSR1),
        ("USR2", SIGUSR2),
        ("WINCH", SIGWINCH),
        ("PWR", libc::SIGPWR),
        ("34", 34),
        ("RTMIN", 34),
        ("SIGRTMIN", 34),
        ("RTMIN+3", 37),
        ("sigrtmin+3", 37),
        ("RTMIN+20", 54),
        ("60", 60),
    ] {
        let mut run = init(["--stop-signal", text, "--delay-term", "20ms"]).start();
        run.signal(outside(number));
        run.drain_begins();
        run.received("main", outside(number));
    }
}

#[test]
fn rtmin_is_34_and_rtmax_is_64() {
    needs!(native("the emulator lacks the last real-time signals"));
    for (text, number) in
        [("RTMAX", 64), ("64", 64), ("SIGRTMAX", 64), ("RTMIN+30", 64), ("RTMIN+29", 63)]
    {
        let mut run = init(["--stop-signal", text, "--delay-term", "20ms"]).start();
        run.signal(number);
        run.drain_begins();
        run.received("main", number);
    }
}

#[test]
fn an_unknown_signal_is_refused() {
    for text in [
        "0",
        "65",
        "-1",
        "999",
        "99999999999999999999",
        "",
        " ",
        "FOO",
        "SIG",
        "SIGSIGTERM",
        "RTMIN+31",
        "RTMIN-1",
        "RTMAX+1",
        "RTMIN+",
        "RTMIN+x",
        "RTMIN+999999999999",
        " TERM",
        "TERM ",
        "15 ",
        " 15",
        "1.5",
        "0xf",
        "TERMX",
        "TERM,QUIT,FOO",
        "T\u{e9}RM",
    ] {
        for option in ["--stop-signal", "--drain-signal", "--pdeathsig"] {
            refused(init([format!("{option}={text}")]), &[option]);
        }
    }
    refused(init(["-p", "FOO"]), &["FOO"]);
}

#[test]
fn kill_stop_and_chld_are_refused_as_a_stop_signal() {
    for text in ["KILL", "SIGSTOP", "chld", "9", "19", "17"] {
        refused(init(["--stop-signal", text]), &["--stop-signal", text]);
        refused(init(NONE).env("DRAIN_INIT_STOP_SIGNAL", text), &["DRAIN_INIT_STOP_SIGNAL"]);
    }
}

#[test]
fn rewriting_kill_stop_and_chld_has_no_effect() {
    for text in ["KILL:TERM", "STOP:TERM", "CHLD:TERM", "9:15", "19:15", "17:15"] {
        let mut run = init(["-r", text]).start();
        run.signal(SIGCHLD);
        run.barrier();
        assert_eq!(run.signals("main"), [SIGWINCH]);
    }
}

#[test]
fn signals_are_rewritten_by_name_and_number() {
    for (text, sent, arrives) in [
        ("15:3", SIGTERM, SIGQUIT),
        ("TERM:QUIT", SIGTERM, SIGQUIT),
        ("sigterm:Quit", SIGTERM, SIGQUIT),
        ("TERM:3", SIGTERM, SIGQUIT),
        ("15:SIGQUIT", SIGTERM, SIGQUIT),
        ("RTMIN+1:USR1", 35, SIGUSR1),
        (" 15: 3 ", SIGTERM, SIGQUIT),
        ("\t15:\t3\t", SIGTERM, SIGQUIT),
        ("+15:+3", SIGTERM, SIGQUIT),
        ("0015:003", SIGTERM, SIGQUIT),
    ] {
        let mut run = init(["--rewrite", text]).start();
        run.signal(outside(sent));
        run.received("main", arrives);
    }
}

#[test]
fn a_malformed_rewrite_is_refused() {
    for text in [
        "",
        ":",
        "15",
        "15:",
        ":3",
        "15:3:4",
        "15;3",
        "15,3",
        "a:b",
        "0:3",
        "65:3",
        "15:65",
        "15:-1",
        "-1:15",
        "15:3x",
        "15x:3",
        "99999999999:1",
        "15:99999999999999999999",
        "1 5:3",
        "15 :3",
        "0x0f:3",
        "15:+",
        "15: ",
        "+-15:3",
        "++15:3",
        "15:3 4",
        "15:3.0",
        "TERM:",
        ":TERM",
        "TERM:FOO",
        "FOO:TERM",
        "15 3",
        "4294967311:3",
    ] {
        refused(init([format!("--rewrite={text}")]), &["--rewrite"]);
        refused(init(["-r", text]), &[]);
    }
    refused(init(["-r", "15:bogus"]), &["15:bogus"]);
    refused(init(["--rewrite", "15:3x"]), &["15:3x"]);
}

// --------------------------------------------------------------- CMD forms

#[test]
fn a_json_array_is_the_exec_form_and_needs_no_shell() {
    // Arguments that a shell would change.
    let setup = init(NONE);
    let words = setup.probe_words("stop", &["ask args"]);
    let mut json: Vec<String> =
        words.iter().map(|w| format!("\"{}\"", w.to_str().unwrap())).collect();
    json.extend(["\"$HOME\"", "\"a  b\"", "\"*\"", "\"\"", "\";\""].map(String::from));
    let mut run = setup.arg("--stop-cmd").arg(format!("[{}]", json.join(", "))).start();
    run.signal(SIGTERM);
    run.wait("stop", "end args");
    let said = run.said("stop");
    let args: Vec<&str> = said.iter().filter_map(|l| l.strip_prefix("args ")).collect();
    assert_eq!(args[4..], ["$HOME", "a  b", "*", "", ";"]);
    // No shell runs in between.
    assert_eq!(run.hello("stop")[1], run.pid());
}

#[test]
fn a_json_array_may_have_blanks_and_escapes() {
    let setup = init(NONE);
    let words = setup.probe_words("stop", &["ask args"]);
    let mut json: Vec<String> =
        words.iter().map(|w| format!("\"{}\"", w.to_str().unwrap().replace('/', "\\/"))).collect();
    json.push(r#""\"\\\b\f\n\r\t\u0041\u00e4\ud83d\ude00""#.into());
    let mut run = setup.arg("--stop-cmd").arg(format!("[ {} ]", json.join(" ,\n\t"))).start();
    run.signal(SIGTERM);
    run.wait("stop", "end args");
    let said = run.said("stop");
    let last = said.iter().rfind(|l| l.starts_with("args ")).unwrap();
    assert_eq!(last, r#"args \"\\\x08\x0c\n\r\tA\xc3\xa4\xf0\x9f\x98\x80"#);
}

#[test]
fn a_bracket_and_a_blank_is_a_shell_test() {
    let dir = TempDir::new();
    let cmd = format!("[ -d {} ] && kill -INT $MAINPID", dir.path("").display());
    let mut run = init(["--stop-cmd", &cmd]).start();
    run.signal(SIGTERM);
    run.received("main", SIGINT);
}

#[test]
fn any_other_string_that_begins_with_a_bracket_is_refused() {
    for text in [
        "[]",
        "[\"\"]",
        "[\"\", \"a\"]",
        "[\"a\"",
        "[\"a\",]",
        "[a]",
        "['sh']",
        "[\"sh\", 1]",
        "[\"sh\", null]",
        "[\"sh\", [\"a\"]]",
        "[\"sh\\u0000\"]",
        "[\"sh\"] x",
        "[\"sh\"]]",
        "[\"sh\" \"-c\"]",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"\\ud800\"]",
        "[\"sh]",
        "[-f /x ]",
        "[",
        "[[ -f /x ]]",
        "[,\"sh\"]",
        "[\"sh\\\"]",
        "[\"s\nh\"]",
    ] {
        refused(init(["--stop-cmd", text]), &["--stop-cmd"]);
        refused(init(["--drain-cmd", text]), &["--drain-cmd"]);
    }
    refused(init(NONE).env("DRAIN_INIT_STOP_CMD", "[oops"), &["DRAIN_INIT_STOP_CMD", "[oops"]);
}

#[test]
fn everything_else_is_run_by_the_shell() {
    let mut run = init(["--stop-cmd", "x=INT; kill -$x \"$MAINPID\"; exit 0"]).start();
    run.signal(SIGTERM);
    run.received("main", SIGINT);
}

#[test]
fn a_shell_form_in_one_pair_of_quotes_is_refused() {
    for text in ["\"nginx -s quit\"", "'nginx -s quit'", "\"true\"", "''", " \"a b\"\t"] {
        let right = "is in quotes as a whole (remove them, or try a JSON array of strings)";
        refused(init(["--stop-cmd", text]), &["--stop-cmd", right]);
        refused(init(NONE).env("DRAIN_INIT_DRAIN_CMD", text), &["DRAIN_INIT_DRAIN_CMD", right]);
    }
    for text in ["\"true\" && \"true\"", "'true' 'a'", "\"true\" 'a'", "true \"a\"", "'true' a"] {
        accepted(init(["--stop-cmd", text, "--drain-cmd", text]));
    }
}

#[test]
fn a_shell_form_with_a_carriage_return_at_its_end_is_refused() {
    for text in ["nginx -s quit\r", "true\r\n", "true \r ", "\"true\"\r"] {
        let right = "ends with a carriage return (remove it)";
        refused(init(["--drain-cmd", text]), &["--drain-cmd", right]);
        refused(init(NONE).env("DRAIN_INIT_STOP_CMD", text), &["DRAIN_INIT_STOP_CMD", right]);
    }
    accepted(init(["--stop-cmd", "true\r\ntrue"]));
    // JSON treats it as white space.
    accepted(init(["--stop-cmd", "[\"true\"]\r"]));
}

#[test]
fn an_empty_cmd_means_no_command() {
    let mut run = init(["--stop-cmd", "", "--drain-cmd="]).exits_on(SIGTERM, 5).start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 5);
    run.drain_output();
    assert_eq!(run.stderr(), "");
}

#[test]
fn a_cmd_whose_program_is_missing_is_refused() {
    let dir = TempDir::new();
    let missing = dir.path("missing");
    let json = format!("[\"{}\"]", missing.display());
    refused(init(["--stop-cmd", &json]), &["--stop-cmd", missing.to_str().unwrap()]);
    refused(init(["--drain-cmd", &json]), &["--drain-cmd", missing.to_str().unwrap()]);
    refused(init(["--stop-cmd", "[\"no-such-program\"]"]), &["no-such-program"]);
    let variable = init(NONE).env("DRAIN_INIT_STOP_CMD", "[\"no-such-program\"]");
    refused(variable, &["DRAIN_INIT_STOP_CMD", "no-such-program"]);
}

#[test]
fn a_cmd_whose_program_is_not_an_executable_regular_file_is_refused() {
    let dir = TempDir::new();
    let file = dir.path("file");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    for path in [file.to_str().unwrap(), "/tmp", "/dev/null"] {
        refused(init(["--stop-cmd", &format!("[\"{path}\"]")]), &[path]);
    }
}

#[test]
fn a_cmds_program_is_looked_up_in_the_path_and_directory_of_command() {
    let dir = TempDir::new();
    executable(&dir.path("prog"), "#!/bin/sh\nkill -INT $MAINPID\n");
    let path = format!("/nowhere:{}", dir.path("").display());
    let cmd = "[\"prog\"]";
    let mut run = init(["--stop-cmd", cmd]).env("PATH", &path).start();
    run.signal(SIGTERM);
    run.received("main", SIGINT);
    refused(init(["--stop-cmd", cmd]).env("PATH", "/nowhere"), &["prog"]);

    let mut run = init(["--stop-cmd", "[\"./prog\"]"]).cwd(dir.path("")).start();
    run.signal(SIGTERM);
    run.received("main", SIGINT);
    refused(init(["--stop-cmd", "[\"./prog\"]"]).cwd("/"), &["./prog"]);
}

#[test]
fn a_shell_form_without_bin_sh_is_refused() {
    needs!(pid_namespace(), native("the emulator is in the hidden directory"));
    for hide in ["mount -t tmpfs none /bin", "mount --bind /dev/null /bin/sh"] {
        let script = format!("{hide} && exec \"$@\"");
        let wrapped = |setup: Setup| setup.pid1().wrapped(["/bin/sh", "-c", &script, "sh"]);
        refused(wrapped(init(["--stop-cmd", "true"])), &["--stop-cmd", "/bin/sh"]);
        refused(wrapped(init(["--drain-cmd", "true"])), &["--drain-cmd", "/bin/sh"]);
        // The exec form does not need it.
        let mut run = wrapped(init(NONE).stop_cmd(&[])).start();
        run.signal(SIGTERM);
        run.wait("stop", "ready");
    }
}

// --------------------------------------------------------------- variables

#[test]
fn delay_term_kill_after_and_stop_signal_are_variables() {
    // Looked up before the drain begins, because the lookup is slow in an emulator.
    let real_time = outside(37);
    let mut run = init(NONE)
        .env("DRAIN_INIT_DELAY_TERM", "600ms")
        .env("DRAIN_INIT_KILL_AFTER", "100ms")
        .env("DRAIN_INIT_STOP_SIGNAL", "QUIT,RTMIN+3,2")
        .start();
    // It is stopped until all have been sent, because the drain is short.
    run.signal(SIGSTOP);
    run.stopped();
    for signal in [SIGINT, SIGQUIT, real_time] {
        run.signal(signal);
    }
    let start = Instant::now();
    run.signal(SIGCONT);
    run.message("received INT: draining for");
    run.message("received QUIT: ignored, ");
    run.message("received RTMIN+3: ignored, ");
    // COMMAND may be killed before it says that it has received INT.
    let (at, _) = run.message_at("s: sending INT to process group");
    took(start, at, ms(600));
    let (at, status) = run.status_at();
    assert_eq!(status, 137);
    took(start, at, ms(700));
}

#[test]
fn drain_signal_drain_cmd_and_stop_cmd_are_variables() {
    let setup = init(NONE);
    let (drain, stop) = (setup.probe_json("drain", &[]), setup.probe_json("stop", &[]));
    let mut run = setup
        .env("DRAIN_INIT_DRAIN_SIGNAL", "usr2")
        .env("DRAIN_INIT_DRAIN_CMD", drain)
        .env("DRAIN_INIT_STOP_CMD", stop)
        .start();
    run.signal(SIGTERM);
    run.received("main", SIGUSR2);
    run.wait("drain", "ready");
    run.tell("drain", "exit 0");
    run.wait("stop", "ready");
}

#[test]
fn rewrite_and_remap_exit_are_variables_with_lists() {
    let mut run = init(NONE)
        .env("DRAIN_INIT_REWRITE", "TERM:QUIT,1:12")
        .env("DRAIN_INIT_REMAP_EXIT", "7,143")
        .start();
    run.signal(SIGTERM);
    run.received("main", SIGQUIT);
    run.signal(SIGHUP);
    run.received("main", SIGUSR2);
    run.tell("main", "exit 143");
    assert_eq!(run.status(), 0);
}

#[test]
fn an_extra_comma_in_a_list_is_refused() {
    for (name, value) in [
        ("DRAIN_INIT_REWRITE", "TERM:QUIT,"),
        ("DRAIN_INIT_REWRITE", ",TERM:QUIT"),
        ("DRAIN_INIT_STOP_SIGNAL", "TERM, ,QUIT"),
        ("DRAIN_INIT_REMAP_EXIT", ","),
    ] {
        let line = format!("{name}: '{value}' has an empty element (remove the extra comma)");
        refused(init(NONE).env(name, value), &[&line]);
    }
}

#[test]
fn an_option_without_a_value_takes_a_switch_as_its_variable() {
    for (word, yes) in [
        ("1", true),
        ("true", true),
        ("yes", true),
        ("on", true),
        ("0", false),
        ("false", false),
        ("no", false),
        ("off", false),
        ("", false),
    ] {
        let mut run = init(NONE).env("DRAIN_INIT_SINGLE_CHILD", word).start();
        let [pid, .., session] = run.hello("main");
        assert_eq!(session != pid, yes, "{word:?}");
    }
}

#[test]
fn group_is_a_variable() {
    let setup = || init(NONE).env("DUMB_INIT_SETSID", "0");
    let mut run = setup().env("DRAIN_INIT_GROUP", "1").start();
    let [pid, .., session] = run.hello("main");
    assert_eq!(session, pid);
    let mut run = setup().start();
    let [pid, .., session] = run.hello("main");
    assert_ne!(session, pid);
}

#[test]
fn verbose_and_quiet_are_variables() {
    let mut run = init(NONE).env("DRAIN_INIT_VERBOSE", "yes").start();
    run.signal(SIGUSR1);
    run.message("received USR1\n");

    let mut run =
        init(["--delay-term=20ms"]).env("DRAIN_INIT_QUIET", "on").exits_on(SIGTERM, 0).start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
    run.drain_output();
    assert_eq!(run.stderr(), "");
}

#[test]
fn wait_all_is_a_variable() {
    needs!(pid_namespace());
    let mut run =
        init(NONE).env("DRAIN_INIT_WAIT_ALL", "true").pid1().script(["orphan far session"]).start();
    run.wait("far", "ready");
    run.tell("main", "exit 3");
    run.received("far", SIGTERM);
    run.ping("far");
    run.tell("far", "exit 0");
    assert_eq!(run.status(), 3);
}

#[test]
fn subreaper_and_warn_on_reap_are_variables() {
    needs!(subreaper());
    let mut run = init(NONE)
        .env("DRAIN_INIT_SUBREAPER", "1")
        .env("DRAIN_INIT_WARN_ON_REAP", "1")
        .script(["orphan one"])
        .start();
    run.wait("one", "ready");
    assert_eq!(run.hello("one")[1], run.pid());
    let number = run.hello("one")[0];
    run.tell("one", "exit 0");
    run.message(&number.to_string());
}

#[test]
fn pdeathsig_is_a_variable() {
    let mut run = init(NONE)
        .env("DRAIN_INIT_PDEATHSIG", "USR1")
        .wrapped(["sh", "-c", "\"$@\" & wait", "sh"])
        .start();
    let shell = run.child();
    kill(shell, SIGKILL);
    run.received("main", SIGUSR1);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let mut setup = init(NONE).exits_on(SIGTERM, 4);
    for name in VARIABLES {
        setup = setup.env(name, "");
    }
    let mut run = setup.start();
    let [pid, .., session] = run.hello("main");
    assert_eq!(session, pid);
    run.signal(SIGTERM);
    assert_eq!(run.status(), 4);
    run.drain_output();
    assert_eq!(run.stderr(), "");
}

#[test]
fn the_command_line_wins_over_a_variable() {
    let mut run = init(["--delay-term=20ms", "--stop-signal=QUIT", "-g", "-e7"])
        .env("DRAIN_INIT_DELAY_TERM", "60")
        .env("DRAIN_INIT_STOP_SIGNAL", "INT")
        .env("DRAIN_INIT_SINGLE_CHILD", "1")
        .start();
    let [pid, .., session] = run.hello("main");
    assert_eq!(session, pid);
    run.signal(SIGINT);
    run.received("main", SIGINT);
    run.signal(SIGQUIT);
    run.received("main", SIGQUIT);
    run.message("received QUIT: draining for 0.02s");
    assert!(!run.stderr().contains("received INT: draining"), "{}", run.stderr());

    let mut run = init(["-c"]).env("DRAIN_INIT_GROUP", "1").start();
    let [pid, .., session] = run.hello("main");
    assert_ne!(session, pid);

    let mut run = init(["-v"]).env("DRAIN_INIT_QUIET", "1").start();
    run.message(&init_name());
}

/// Every long option except help and version.
const VARIABLES: [&str; 16] = [
    "DRAIN_INIT_SINGLE_CHILD",
    "DRAIN_INIT_REWRITE",
    "DRAIN_INIT_VERBOSE",
    "DRAIN_INIT_DELAY_TERM",
    "DRAIN_INIT_DRAIN_SIGNAL",
    "DRAIN_INIT_DRAIN_CMD",
    "DRAIN_INIT_STOP_CMD",
    "DRAIN_INIT_KILL_AFTER",
    "DRAIN_INIT_STOP_SIGNAL",
    "DRAIN_INIT_WAIT_ALL",
    "DRAIN_INIT_QUIET",
    "DRAIN_INIT_SUBREAPER",
    "DRAIN_INIT_PDEATHSIG",
    "DRAIN_INIT_GROUP",
    "DRAIN_INIT_REMAP_EXIT",
    "DRAIN_INIT_WARN_ON_REAP",
];

#[test]
fn exactly_these_variables_are_removed_from_commands_environment() {
    let good = [
        "0",
        "USR1:USR2",
        "0",
        "60",
        "HUP",
        "true",
        "true",
        "60",
        "TERM",
        "0",
        "1",
        "0",
        "HUP",
        "1",
        "9",
        "0",
    ];
    let mut setup = init(NONE).clear_env().env("A", "1").env("DRAIN_INITIAL", "2");
    setup =
        setup.env("DRAIN_INIT_SERVICE_HOST", "3").env("DRAIN_INIT_", "4").env("DRAIN_INIT", "5");
    for (name, value) in VARIABLES.iter().zip(good) {
        // The options that would need a subreaper are off.
        setup = setup.env(name, value);
    }
    let mut run = setup.env("Z", "6").start();
    let mut env = run.ask("main", "env");
    env.sort();
    assert_eq!(
        env,
        [
            "A=1",
            "DRAIN_INIT=5",
            "DRAIN_INITIAL=2",
            "DRAIN_INIT_=4",
            "DRAIN_INIT_SERVICE_HOST=3",
            "Z=6"
        ]
    );
}

#[test]
fn a_drain_init_inside_a_drain_init_does_not_wait_twice() {
    let setup = init(NONE).env("DRAIN_INIT_DELAY_TERM", "150ms");
    let mut words: Vec<OsString> = runner().iter().map(Into::into).collect();
    words.push(init_path().into());
    words.extend(setup.probe_words("main", &[]));
    let mut run = setup.command(words).start();
    let start = Instant::now();
    run.signal(SIGTERM);
    let at = run.received("main", SIGTERM);
    took(start, at, ms(150));
    run.message("drained for");
    assert_eq!(run.stderr().matches("draining for").count(), 1, "{}", run.stderr());
}

#[test]
fn another_drain_init_variable_is_reported_once_and_not_changed() {
    for name in
        ["DRAIN_INIT_DELAY", "DRAIN_INIT_HELP", "DRAIN_INIT_VERSION", "DRAIN_INIT_delay_term"]
    {
        let mut run = init(NONE).env(name, "1").exits_on(SIGTERM, 0).start();
        assert!(run.ask("main", "env").contains(&format!("{name}=1")));
        run.signal(SIGTERM);
        assert_eq!(run.status(), 0);
        run.drain_output();
        let stderr = run.stderr();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let line = format!("{}ignoring unknown variable '{name}' (", init_name());
        assert!(stderr.starts_with(&line), "{stderr}");
    }
}

#[test]
fn a_typo_that_occurs_twice_is_reported_once() {
    needs!(native("qemu-user passes on only one variable per name"));
    let entries = ["DRAIN_INIT_DELAY=1", "DRAIN_INIT_DELAYS=1", "DRAIN_INIT_DELAY=2"];
    let mut run = init(NONE).raw_env(entries).exits_on(SIGTERM, 0).start();
    assert_eq!(run.ask("main", "env").len(), 3);
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
    run.drain_output();
    let stderr = run.stderr();
    assert_eq!(stderr.matches("'DRAIN_INIT_DELAY'").count(), 1, "{stderr}");
    assert_eq!(stderr.matches("'DRAIN_INIT_DELAYS'").count(), 1, "{stderr}");
}

#[test]
fn the_variables_that_kubernetes_creates_are_not_reported() {
    let names = [
        "DRAIN_INIT_SERVICE_HOST",
        "DRAIN_INIT_SERVICE_PORT",
        "DRAIN_INIT_SERVICE_PORT_HTTP",
        "DRAIN_INIT_PORT",
        "DRAIN_INIT_PORT_80_TCP",
        "DRAIN_INIT_PORT_80_TCP_ADDR",
        // For a Service called drain-init-web.
        "DRAIN_INIT_WEB_SERVICE_HOST",
        "DRAIN_INIT_WEB_SERVICE_PORT",
        "DRAIN_INIT_WEB_SERVICE_PORT_HTTP",
        "DRAIN_INIT_WEB_PORT",
        "DRAIN_INIT_WEB_PORT_80_TCP",
        "DRAIN_INIT_WEB_PORT_80_TCP_PROTO",
        "DRAIN_INIT_WEB_PORT_80_TCP_PORT",
        "DRAIN_INIT_WEB_PORT_80_TCP_ADDR",
    ];
    let mut setup = init(NONE).exits_on(SIGTERM, 0);
    for name in names {
        setup = setup.env(name, "tcp://10.0.0.1:80");
    }
    let mut run = setup.start();
    let env = run.ask("main", "env");
    for name in names {
        assert!(env.contains(&format!("{name}=tcp://10.0.0.1:80")), "{name}");
    }
    run.signal(SIGTERM);
    run.status();
    run.drain_output();
    assert_eq!(run.stderr(), "");
}

#[test]
fn a_bad_value_in_a_variable_is_refused_and_named() {
    for (name, value) in [
        ("DRAIN_INIT_DELAY_TERM", "soon"),
        ("DRAIN_INIT_KILL_AFTER", "-1"),
        ("DRAIN_INIT_STOP_SIGNAL", "TERM,FOO"),
        ("DRAIN_INIT_DRAIN_SIGNAL", "99"),
        ("DRAIN_INIT_PDEATHSIG", "nope"),
        ("DRAIN_INIT_REWRITE", "15:3,16"),
        ("DRAIN_INIT_REMAP_EXIT", "256"),
        ("DRAIN_INIT_REMAP_EXIT", "7,x"),
        ("DRAIN_INIT_SINGLE_CHILD", "maybe"),
        ("DRAIN_INIT_GROUP", "2"),
        ("DRAIN_INIT_WAIT_ALL", "-"),
        ("DRAIN_INIT_QUIET", "1 0"),
        ("DRAIN_INIT_VERBOSE", "verbose"),
        ("DRAIN_INIT_SUBREAPER", "01"),
        ("DRAIN_INIT_WARN_ON_REAP", "y\nn"),
        ("DRAIN_INIT_DRAIN_CMD", "[\"\"]"),
    ] {
        refused(init(NONE).env(name, value), &[name]);
    }
    let odd = OsStr::from_bytes(b"\xff\xfe");
    refused(init(NONE).env("DRAIN_INIT_DELAY_TERM", odd), &["DRAIN_INIT_DELAY_TERM"]);
}

#[test]
fn blanks_around_a_variables_value_are_ignored_but_not_a_carriage_return() {
    let mut run = init(NONE)
        .env("DRAIN_INIT_DELAY_TERM", " 20ms ")
        .env("DRAIN_INIT_STOP_SIGNAL", " TERM ,\tQUIT ")
        .env("DRAIN_INIT_QUIET", " ")
        .start();
    run.signal(SIGQUIT);
    run.message("QUIT: draining for 0.02s");
    run.received("main", SIGQUIT);
    for (name, value) in [
        ("DRAIN_INIT_DELAY_TERM", "10\r"),
        ("DRAIN_INIT_STOP_SIGNAL", "TERM,QUIT\r"),
        ("DRAIN_INIT_REWRITE", "15:3\r"),
        ("DRAIN_INIT_WAIT_ALL", "1\r"),
    ] {
        refused(
            init(NONE).env(name, value),
            &[name, "' ends with a carriage return (remove it)\n"],
        );
    }
}

// ------------------------------------------------------------ usage errors

#[test]
fn an_error_is_one_line_that_says_what_is_wrong_and_what_works() {
    let duration = "'10x' is not a duration (try 10, 1.5s, 500ms or 1m30s)";
    for (setup, line) in [
        (init(["--delay-term", "10x"]), format!("--delay-term: {duration}")),
        (
            init(NONE).env("DRAIN_INIT_DELAY_TERM", "10x"),
            format!("DRAIN_INIT_DELAY_TERM: {duration}"),
        ),
        (
            init(["--stop-signal", "TERM,QUIT"]),
            "--stop-signal: 'TERM,QUIT' is a list (repeat the option for each element)".into(),
        ),
        (
            init(["--stop-cmd", "[\"/nowhere\"]"]),
            "--stop-cmd: '/nowhere' is missing, not a regular file or not executable \
             (try the path of a program in the image)"
                .into(),
        ),
        (
            init(["--drain-cmd", "[\"/bin/sleep 5\"]"]),
            "--drain-cmd: '/bin/sleep 5' is missing, not a regular file or not executable \
             (is this a program and its arguments in one string?)"
                .into(),
        ),
        (
            init(NONE).command(NONE),
            "no COMMAND (usage: drain-init [OPTION]... [--] COMMAND [ARG]..., see --help)".into(),
        ),
    ] {
        refused(setup, &[&format!("{}{line}\n", init_name())]);
    }
}

#[test]
fn a_near_miss_has_a_suggestion() {
    for (option, meant) in [
        ("--delay", "--delay-term"),
        ("--delay_term", "--delay-term"),
        ("--delayterm", "--delay-term"),
        ("-delay-term", "--delay-term"),
        ("--stop-command", "--stop-cmd"),
    ] {
        refused(
            init([option, "10"]),
            &[&format!("{}unknown option '{option}' (did you mean {meant}?)\n", init_name())],
        );
    }
    for (name, meant) in [
        ("DRAIN_INIT_DELAY", "DRAIN_INIT_DELAY_TERM"),
        ("DRAIN_INIT_STOP_COMMAND", "DRAIN_INIT_STOP_CMD"),
    ] {
        let finished = init(NONE).env(name, "1").command(["true"]).finish();
        let line = format!("ignoring unknown variable '{name}' (did you mean {meant}?)\n");
        assert_eq!((finished.status, finished.stderr), (0, init_name() + &line));
    }
}

#[test]
fn an_unknown_option_is_refused_and_named() {
    for option in [
        "--no-such",
        "--no-such=1",
        "--delay-terms",
        "-z",
        "-vz",
        "--Single-child",
        "--=",
        "-\u{e4}",
    ] {
        let name = option.split('=').next().unwrap();
        let name = if option == "-vz" { "-z" } else { name };
        let names = if option == "--=" { vec![] } else { vec![name] };
        refused(init([option]), &names);
    }
}

#[test]
fn a_missing_value_is_refused() {
    for option in [
        "--delay-term",
        "--drain-signal",
        "--drain-cmd",
        "--stop-cmd",
        "--kill-after",
        "--stop-signal",
        "--pdeathsig",
        "--remap-exit",
        "--rewrite",
        "-r",
        "-p",
        "-e",
    ] {
        refused(init([option]).command(NONE), &[option]);
    }
}

#[test]
fn a_value_for_an_option_without_one_is_refused() {
    for option in [
        "--verbose",
        "--single-child",
        "--help",
        "--version",
        "--wait-all",
        "--quiet",
        "--subreaper",
        "--group",
        "--warn-on-reap",
    ] {
        refused(init([format!("{option}=1")]), &[option]);
    }
}

#[test]
fn an_invalid_exit_status_is_refused() {
    for code in ["256", "-1", "x", "", " 7", "1.5", "99999999999999999999", "0x7"] {
        refused(init([format!("--remap-exit={code}")]), &["--remap-exit"]);
        refused(init(["-e", code]), &[]);
    }
}

#[test]
fn a_command_line_without_command_is_refused() {
    for options in [vec![], vec!["--"], vec!["-v"], vec!["--delay-term", "10"], vec!["-c", "--"]] {
        refused(init(&options).command(NONE), &[]);
    }
}

#[test]
fn an_empty_argument_list_is_refused() {
    needs!(native("the emulator always passes a name"));
    // Since 5.18, Linux replaces an empty argument list with one empty argument.
    let finished = init(NONE).command(NONE).without_arguments().finish();
    assert_eq!(finished.status, 1, "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.starts_with("[drain-init] "), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
}

#[test]
fn an_empty_argument_is_not_an_option() {
    // It is a COMMAND that cannot be found.
    assert_eq!(init(NONE).command([""]).finish().status, 127);
    refused(init(["--rewrite", ""]), &["--rewrite"]);
}

#[test]
fn options_that_are_not_text_are_refused_in_one_line() {
    for bytes in [
        &b"--\xff"[..],
        b"-\xff",
        b"--delay-term=\xff",
        b"--rewrite=\xff:3",
        b"--stop-signal=T\xffRM",
    ] {
        refused(init([OsStr::from_bytes(bytes)]), &[]);
    }
}

#[test]
fn a_usage_error_is_one_line_whatever_the_value() {
    refused(init(["--delay-term", "1\n2\r3"]), &["--delay-term"]);
    refused(init(["--no\nsuch"]), &[]);
    refused(init([OsStr::from_bytes(b"--delay-term=\x1b[31m\x07")]), &["--delay-term"]);
    refused(init(["--delay-term", &"9".repeat(100_000)]), &["--delay-term"]);
}

#[test]
fn commands_arguments_are_passed_on_byte_for_byte() {
    let setup = init(NONE);
    let mut words = setup.probe_words("main", &["ask args"]);
    words.push(OsString::from_vec(b"\xff\xfe\x80".to_vec()));
    words.push(OsString::new());
    words.push(OsString::from_vec((1..=255).collect()));
    let mut run = setup.command(words).spawn();
    run.wait("main", "end args");
    let all: Vec<u8> = (1..=255).collect();
    let said = run.said("main");
    let args: Vec<&str> = said.iter().filter_map(|l| l.strip_prefix("args ")).collect();
    assert_eq!(args[4..], ["\\xff\\xfe\\x80", "", &all.escape_ascii().to_string()]);
}

#[test]
fn commands_arguments_are_not_copied() {
    needs!(native("the emulator has memory of its own"));
    let resident = |fillers: usize| {
        let setup = init(["-v"]);
        let mut words: Vec<OsString> = vec!["--".into()];
        words.extend(setup.probe_words("main", &["ping"]));
        words.extend(std::iter::repeat_n(OsString::from("x".repeat(100_000)), fillers));
        let mut run = setup.command(words).spawn();
        run.wait("main", "pong");
        let said = status_line(run.pid(), "VmRSS");
        said.trim_end_matches(" kB").trim().parse::<usize>().unwrap()
    };
    // One copy is on the init's stack. The kernel counts pages in batches, so the figure
    // is not exact.
    let more = resident(18) - resident(0);
    assert!((1_000..2_600).contains(&more), "1.8 MB of arguments cost {more} kB");
}

#[test]
fn a_command_whose_name_is_not_text_is_run() {
    let dir = TempDir::new();
    let name = OsString::from_vec(b"prog-\xff".to_vec());
    executable(&dir.path("").join(&name), "#!/bin/sh\nexit 31\n");
    let path = format!("{}:/usr/bin:/bin", dir.path("").display());
    let finished = init(NONE).env("PATH", path).command([name]).finish();
    assert_eq!(finished.status, 31);
}
