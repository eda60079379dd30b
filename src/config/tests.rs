//! What the command line and the environment mean.

use super::options::{OPTIONS, Opt, Source};
use super::*;
use crate::drain::WaitAll;
use crate::signal::{Rewrites, SignalSet};
use crate::time::Duration;

fn request(args: &[&str], variables: &[(&str, &str)]) -> Result<Request, Error> {
    let args = ["drain-init"].iter().chain(args).map(|arg| arg.as_bytes());
    let words: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut variables = Variables::default();
    for word in &words {
        variables.take(word.as_bytes());
    }
    parse(args, &variables, true)
}

fn config_with(args: &[&str], variables: &[(&str, &str)]) -> Config {
    match request(args, variables) {
        Ok(Request::Run(config)) => config.clone(),
        other => panic!("{args:?} {variables:?}: {other:?}"),
    }
}

fn config(args: &[&str]) -> Config {
    config_with(args, &[])
}

fn error_with(args: &[&str], variables: &[(&str, &str)]) -> String {
    match request(args, variables) {
        Err(error) => String::from_utf8(error.as_bytes().to_vec()).unwrap(),
        other => panic!("{args:?} {variables:?}: {other:?}"),
    }
}

fn error(args: &[&str]) -> String {
    error_with(args, &[])
}

#[allow(clippy::unnecessary_wraps)]
fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

fn duration(text: &str) -> Option<u64> {
    values::duration(text.as_bytes()).ok().map(Duration::as_nanos)
}

#[test]
fn a_duration_is_one_or_more_decimal_numbers_and_units() {
    const MILLI: u64 = 1_000_000;
    for (text, millis) in [
        ("500ms", 500),
        ("1.5s", 1_500),
        ("1m30s", 90_000),
        ("2h", 7_200_000),
        ("1h1m1s1ms", 3_661_001),
        ("0.5h", 1_800_000),
        ("1s1s", 2_000),
        ("30", 30_000),
        ("1.25", 1_250),
        ("0", 0),
        ("0s", 0),
        ("007s", 7_000),
    ] {
        assert_eq!(duration(text), Some(millis * MILLI), "{text}");
    }
    assert_eq!(duration("0.000000001s"), Some(1));
    assert_eq!(duration("0.0000000009s"), Some(1));
    assert_eq!(duration("0.0000000000000000000001h"), Some(1));
    assert_eq!(duration("1.0000000009s"), Some(1_000_000_000));
    assert_eq!(duration("0.000000000000s"), Some(0));
    assert_eq!(duration("0.000001ms"), Some(1));
    assert_eq!(duration("0.00000000001h"), Some(36));
}

#[test]
fn ten_years_are_the_longest_duration() {
    assert_eq!(values::duration(b"87600h"), Ok(values::LONGEST));
    assert_eq!(values::duration(b"87599h3600s"), Ok(values::LONGEST));
    assert_eq!(values::duration(b"315360000"), Ok(values::LONGEST));
    for bad in [
        "87600h1ms",
        "87601h",
        "315360001",
        "99999999999999999999",
        "18446744073709551616ms",
        "18446744073709s",
    ] {
        assert!(values::duration(bad.as_bytes()).unwrap_err()[0] == "is too long", "{bad}");
    }
}

#[test]
fn a_malformed_duration_is_refused() {
    for bad in [
        "", " ", "s", "-1", "+1", "1e3", "1 s", " 1", "1 ", ".5", ".5s", "5.", "5.s", "1.2.3s",
        "1d", "1S", "1M", "1m30", "30m5", "1us", "1,5s", "0x10", "1s ", "inf", "nan", "1s-1s",
        "\u{661}s",
    ] {
        assert_eq!(duration(bad), None, "{bad:?}");
    }
}

#[test]
fn a_plain_command_has_every_default() {
    let config = config(&["true"]);
    assert_eq!(config.command, 1);
    assert_eq!(config.level, Level::Notice);
    assert_eq!(config.plan.delay, None);
    assert_eq!(config.plan.kill_after, None);
    assert_eq!(config.plan.drain_signal, None);
    assert_eq!(config.plan.stop_signals, SignalSet::of(&[Signal::TERM]));
    assert_eq!(config.plan.wait_all, None);
    assert!(config.plan.group);
    assert!(!config.plan.drain_cmd && !config.plan.stop_cmd && !config.plan.measure);
    assert!(!config.subreaper && !config.warn_on_reap);
    assert_eq!(config.pdeathsig, None);
    assert_eq!(config.remap_exit, []);
    assert_eq!(config.plan.rewrites, Rewrites::default());
    assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::TERM));
}

#[test]
fn parsing_stops_at_the_command_and_at_two_dashes() {
    assert_eq!(config(&["-v", "ls", "-c", "--wait-all"]).command, 2);
    assert_eq!(config(&["-v", "--", "-c"]).command, 3);
    assert_eq!(config(&["-"]).command, 1);
    assert_eq!(config(&[""]).command, 1);
    assert_eq!(config(&["--", "--", "x"]).command, 2);
    assert_eq!(config(&["ls", "--wait-all"]).plan.wait_all, None);
    assert_eq!(config(&["-r1:1", "--rew=1:2", "-r", "15:3", "x"]).command, 5);
}

#[test]
fn short_options_cluster_and_take_their_value_attached_or_separate() {
    let check = |args: &[&str]| {
        let config = config(args);
        assert!(!config.plan.group, "{args:?}");
        assert_eq!(config.level, Level::Verbose);
        assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::QUIT));
        assert_eq!(config.command, args.len());
    };
    check(&["-vcr15:3", "x"]);
    check(&["-vcr", "15:3", "x"]);
    check(&["-v", "-c", "--rewrite", "15:3", "x"]);
    check(&["-v", "-c", "--rewrite=15:3", "x"]);
    check(&["--verbose", "--single-child", "--rew", "15:3", "x"]);
}

#[test]
fn dumb_inits_long_options_and_only_they_may_be_abbreviated() {
    assert!(!config(&["--s", "x"]).plan.group);
    assert!(!config(&["--single", "x"]).plan.group);
    assert_eq!(config(&["--verb", "x"]).level, Level::Verbose);
    assert_eq!(request(&["--h"], &[]), Ok(Request::Help));
    assert_eq!(request(&["--vers"], &[]), Ok(Request::Version));
    assert!(config(&["--r", "15:0", "x"]).plan.rewrites.apply(Signal::TERM).is_none());
    for bad in [
        "--ver",
        "--v",
        "--st",
        "--stop-c",
        "--wait",
        "--rem",
        "--q",
        "--gro",
        "--su",
        "--helpx",
        "--singlechild",
    ] {
        assert!(error(&[bad, "15", "x"]).contains(&format!("unknown option '{bad}'")), "{bad}");
    }
}

#[test]
fn the_last_of_contradicting_options_wins() {
    assert!(config(&["-c", "-g", "x"]).plan.group);
    assert!(!config(&["-g", "-c", "x"]).plan.group);
    assert_eq!(config(&["-qv", "x"]).level, Level::Verbose);
    assert_eq!(config(&["-vq", "x"]).level, Level::Error);
    assert_eq!(config(&["--delay-term=1", "--delay-term=2", "x"]).plan.delay, seconds(2));
    assert_eq!(config(&["--stop-cmd=a", "--stop-cmd=", "x"]).stop_cmd, None);
}

#[test]
fn wait_all_waits_for_children_if_not_pid_1() {
    let args = || ["drain-init", "--wait-all", "x"].iter().map(|word| word.as_bytes());
    let Ok(Request::Run(config)) = parse(args(), &Variables::default(), false) else { panic!() };
    assert_eq!(config.plan.wait_all, Some(WaitAll::Children));
}

#[test]
fn every_option_reaches_the_configuration() {
    let config = config(&[
        "--delay-term=10",
        "--drain-signal=TSTP",
        "--drain-cmd=a",
        "--drain-file=/a",
        "--measure-drain",
        "--stop-cmd=[\"b\"]",
        "--kill-after=1m",
        "--stop-signal=TERM",
        "--stop-signal=QUIT",
        "--stop-signal=INT",
        "--wait-all",
        "-s",
        "-p",
        "HUP",
        "-e143",
        "-e",
        "0",
        "-w",
        "-g",
        "x",
    ]);
    assert_eq!(config.plan.delay, seconds(10));
    assert_eq!(config.plan.kill_after, seconds(60));
    assert_eq!(config.plan.drain_signal, Some(Signal::TSTP));
    assert!(config.plan.drain_cmd && config.plan.stop_cmd && config.plan.drain_file);
    assert!(config.plan.measure);
    let drain_file = Named { value: c"/a", asked_by: b"--drain-file" };
    assert_eq!(config.drain_file, Some(drain_file));
    let named = |named: Option<Named<Cmd>>| named.map(|named| named.asked_by);
    assert!(matches!(config.drain_cmd, Some(Named { value: Cmd::Shell(_), .. })));
    assert!(matches!(config.stop_cmd, Some(Named { value: Cmd::Exec(_), .. })));
    assert_eq!(named(config.drain_cmd), Some(&b"--drain-cmd"[..]));
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::QUIT, Signal::INT]);
    assert_eq!(config.plan.stop_signals, stop_signals);
    assert_eq!(config.plan.wait_all, Some(WaitAll::Namespace));
    assert!(config.subreaper && config.warn_on_reap);
    assert_eq!(config.pdeathsig, Some(Signal::HUP));
    let remapped: Vec<u8> = (0..=255).filter(|code| config.remap_exit.contains(code)).collect();
    assert_eq!(remapped, [0, 143]);
}

#[test]
fn a_duration_of_zero_is_the_same_as_no_duration() {
    assert_eq!(config(&["--delay-term=0", "x"]).plan.delay, None);
    assert_eq!(config(&["--kill-after=0s", "x"]).plan.kill_after, None);
    let variables = [("DRAIN_INIT_DELAY_TERM", "5"), ("DRAIN_INIT_KILL_AFTER", "5")];
    let config = config_with(&["--delay-term=0", "--kill-after=0", "x"], &variables);
    assert_eq!((config.plan.delay, config.plan.kill_after), (None, None));
}

#[test]
fn signals_that_cannot_be_caught_are_refused_as_a_stop_signal() {
    for bad in ["KILL", "STOP", "CHLD", "9", "SIGCLD", "0", "65", "x", ""] {
        assert!(
            error(&["--stop-signal", bad, "x"]).starts_with(&format!("--stop-signal: '{bad}' "))
        );
    }
    assert!(config(&["-r9:15", "-rSTOP:0", "-r17:3", "x"]).plan.group);
}

#[test]
fn exit_codes_are_numbers_from_0_to_255() {
    for bad in ["256", "-1", "+1", "", "x", "1x", " 1"] {
        assert!(
            error(&["-e", bad, "x"]).starts_with(&format!("--remap-exit: '{bad}' ")),
            "{bad:?}"
        );
    }
    for edge in [0, 63, 64, 127, 128, 255] {
        let config = config(&["-e", &edge.to_string(), "x"]);
        assert!((0..=255).all(|code| config.remap_exit.contains(&code) == (code == edge)));
    }
}

#[test]
fn an_error_names_the_input_and_says_what_is_wrong_and_what_works() {
    let usage = "no COMMAND (usage: drain-init [OPTION]... [--] COMMAND [ARG]..., see --help)";
    let pair = "is not a pair of signals S:R (try 15:3, TERM:QUIT, or 15:0 to forward nothing)";
    let signal = "is not a signal (try a name such as TERM or a number from 1 to 64)";
    let duration = "is not a duration (try 10, 1.5s, 500ms or 1m30s)";
    for (args, line) in [
        (&[][..], usage),
        (&["--"], usage),
        (&["--delay-term"], "--delay-term needs a value: DURATION, such as 10s"),
        (&["-r"], "--rewrite needs a value: S:R, such as 15:3"),
        (&["--delay-term", "10x", "y"], &format!("--delay-term: '10x' {duration}")),
        (&["--kill-after=", "y"], &format!("--kill-after: '' {duration}")),
        (
            &["--kill-after", "87601h", "y"],
            "--kill-after: '87601h' is too long (the longest duration is ten years)",
        ),
        (&["--drain-signal", "65", "y"], &format!("--drain-signal: '65' {signal}")),
        (&["-p", "x", "y"], &format!("--pdeathsig: 'x' {signal}")),
        (
            &["--stop-signal", "KILL", "y"],
            "--stop-signal: 'KILL' cannot be a stop signal (try TERM, INT or QUIT)",
        ),
        (&["-r1", "y"], &format!("--rewrite: '1' {pair}")),
        (
            &["-e", "256", "y"],
            "--remap-exit: '256' is not an exit status (try a number from 0 to 255)",
        ),
        (
            &["--stop-cmd", "[x]", "y"],
            "--stop-cmd: '[x]' is not a JSON array of one or more strings (try [\"nginx\",\"-s\",\"quit\"], \
             or a shell command that does not begin with [)",
        ),
        (
            &["--drain-cmd", "'a b'", "y"],
            "--drain-cmd: ''a b'' is in quotes as a whole (remove them, or try a JSON array of strings)",
        ),
        (&["--wait-all=1", "x"], "--wait-all takes no value (remove '=1')"),
        (&["--help=1"], "--help takes no value (remove '=1')"),
        (&["-vc=1", "x"], "-c takes no value (remove '=1')"),
        (
            &["-x", "y"],
            "unknown option '-x' (see --help, and put -- before a COMMAND that begins with -)",
        ),
        (
            &["-vx", "y"],
            "unknown option '-x' (see --help, and put -- before a COMMAND that begins with -)",
        ),
        (
            &["--nosuch=1", "y"],
            "unknown option '--nosuch' (see --help, and put -- before a COMMAND that begins with -)",
        ),
    ] {
        assert_eq!(error(args), line);
    }
    assert!(error(&["-\u{e4}"]).starts_with("unknown option '-\u{e4}'"));
}

#[test]
fn an_error_about_a_variable_names_the_variable() {
    for (name, value, line) in [
        ("DELAY_TERM", "10x", "'10x' is not a duration (try 10, 1.5s, 500ms or 1m30s)"),
        ("STOP_SIGNAL", "TERM,KILL", "'KILL' cannot be a stop signal (try TERM, INT or QUIT)"),
        ("STOP_SIGNAL", "TERM,,QUIT", "'TERM,,QUIT' has an empty element (remove the extra comma)"),
        (
            "WAIT_ALL",
            "maybe",
            "'maybe' is neither on nor off (try 1, true, yes, on, 0, false, no or off)",
        ),
        (
            "STOP_CMD",
            "[\"a",
            "'[\"a' has a string that does not end (try [\"nginx\",\"-s\",\"quit\"], \
             or a shell command that does not begin with [)",
        ),
    ] {
        let name = format!("DRAIN_INIT_{name}");
        // The variable is checked even if the command line sets the same option.
        for args in [&["x"][..], &["--delay-term=1", "--stop-signal=1", "--stop-cmd=", "x"]] {
            assert_eq!(error_with(args, &[(&name, value)]), format!("{name}: {line}"));
        }
    }
}

#[test]
fn a_near_miss_has_a_suggestion() {
    for (option, meant) in [
        ("--delay", "--delay-term"),
        ("--delay=10", "--delay-term"),
        ("--delay_term", "--delay-term"),
        ("--delayterm", "--delay-term"),
        ("--dealy-term", "--delay-term"),
        ("--dealyterm", "--delay-term"),
        ("--delay-tirn", "--delay-term"),
        ("-delay-term", "--delay-term"),
        ("-delay-term=10", "--delay-term"),
        ("--delay-terms", "--delay-term"),
        ("--Delay-Term", "--delay-term"),
        ("--stop-command", "--stop-cmd"),
        ("--stop", "--stop-cmd"),
        ("--drain-command", "--drain-cmd"),
        ("-stop-signal", "--stop-signal"),
        ("-quiet", "--quiet"),
        ("-d", "--delay-term"),
        ("--stop-sig", "--stop-signal"),
        ("--kill", "--kill-after"),
        ("--g", "--group"),
        ("--remap", "--remap-exit"),
        ("--reap", "--remap-exit"),
        ("--ver", "--verbose"),
        ("--helpp", "--help"),
    ] {
        let typed = option.split('=').next().unwrap();
        let expected = format!("unknown option '{typed}' (did you mean {meant}?)");
        assert_eq!(error(&[option, "x"]), expected);
    }
    for option in
        ["--nosuch", "--", "--=", "--=x", "-z", "-vz", "-vi", "--wrong", "--init", "--env"]
    {
        assert!(!error(&[option]).contains("did you mean"), "{option}");
    }
    for (name, meant) in [
        ("DELAY", "DELAY_TERM"),
        ("STOP_COMMAND", "STOP_CMD"),
        ("delay_term", "DELAY_TERM"),
        ("DELAY-TERM", "DELAY_TERM"),
        ("KILL", "KILL_AFTER"),
    ] {
        let expected = format!(
            "ignoring unknown variable 'DRAIN_INIT_{name}' (did you mean DRAIN_INIT_{meant}?)"
        );
        assert_eq!(warning(&format!("DRAIN_INIT_{name}=1")), expected);
    }
    // These have no variable.
    for name in ["DRAIN_INIT_HELP", "DRAIN_INIT_VERSION", "DRAIN_INIT_NOSUCH"] {
        let expected = format!("ignoring unknown variable '{name}' (see --help)");
        assert_eq!(warning(&format!("{name}=1")), expected);
    }
}

fn warning(word: &str) -> String {
    let mut variables = Variables::default();
    variables.take(word.as_bytes());
    let warnings: Vec<_> = variables.warnings().collect();
    assert_eq!(warnings.len(), 1, "{word}");
    String::from_utf8(warnings[0].as_bytes().to_vec()).unwrap()
}

#[test]
fn a_list_on_the_command_line_is_refused_with_a_hint() {
    for (option, value) in
        [("--stop-signal", "TERM,QUIT"), ("--rewrite", "15:3,2:0"), ("--remap-exit", "1,2")]
    {
        let line = format!("{option}: '{value}' is a list (repeat the option for each element)");
        assert_eq!(error(&[option, value, "x"]), line);
    }
    assert_eq!(
        error(&["--delay-term=1,5", "x"]),
        "--delay-term: '1,5' is not a duration (try 10, 1.5s, 500ms or 1m30s)"
    );
}

#[test]
fn copy_to_works_alone_with_any_variables() {
    let copy = Ok(Request::CopyTo(c"/a"));
    let variables = [("DRAIN_INIT_DELAY_TERM", "x")];
    assert_eq!(request(&["--copy-to", "/a"], &variables), copy);
    assert_eq!(request(&["--copy-to=/a"], &variables), copy);
    for other in [&["--copy-to=/a", "x"][..], &["-v", "--copy-to=/a"], &["--copy-to=/a", "-h"]] {
        assert_eq!(error(other), "--copy-to works without COMMAND and other options");
    }
    assert_eq!(error(&["--copy-to"]), "--copy-to needs a value: PATH, such as /tmp/file");
}

#[test]
fn help_and_version_take_effect_in_order() {
    assert_eq!(request(&["-h", "--nosuch"], &[]), Ok(Request::Help));
    assert_eq!(request(&["-V"], &[("DRAIN_INIT_DELAY_TERM", "x")]), Ok(Request::Version));
    assert!(error(&["--nosuch", "-h"]).contains("--nosuch"));
    assert_eq!(config(&["x", "-h"]).command, 1);
}

#[test]
fn every_long_option_but_help_and_version_is_a_variable() {
    let is_own = |name: &[u8]| Variables::default().take(&[name, b"=1"].concat());
    for entry in OPTIONS {
        let has_variable = !matches!(entry.opt, Opt::CopyTo | Opt::Help | Opt::Version);
        assert_eq!(is_own(entry.name(Source::Variable)), has_variable, "{:?}", entry.opt);
    }
    assert!(is_own(b"DRAIN_INIT_DELAY_TERM"));
    for other in [
        "DRAIN_INIT_",
        "DRAIN_INIT_DELAY-TERM",
        "DRAIN_INIT_DELAY_TERMS",
        "DRAIN_INIT_delay_term",
        "DELAY_TERM",
        "DRAIN_INIT_DELAY",
    ] {
        assert!(!is_own(other.as_bytes()), "{other}");
    }
    // The entry has only a name.
    assert!(!Variables::default().take(b"DRAIN_INIT_DELAY_TERM"));
}

#[test]
fn variables_configure_as_options_do() {
    let config = config_with(
        &["x"],
        &[
            ("DRAIN_INIT_DELAY_TERM", "10"),
            ("DRAIN_INIT_STOP_SIGNAL", "TERM, QUIT"),
            ("DRAIN_INIT_REWRITE", "15:3,2:0"),
            ("DRAIN_INIT_REMAP_EXIT", "143,0"),
            ("DRAIN_INIT_WAIT_ALL", "yes"),
            ("DRAIN_INIT_MEASURE_DRAIN", "1"),
            ("DRAIN_INIT_SUBREAPER", "TRUE"),
            ("DRAIN_INIT_WARN_ON_REAP", "off"),
            ("DRAIN_INIT_SINGLE_CHILD", "1"),
            ("DRAIN_INIT_QUIET", "on"),
            ("DRAIN_INIT_STOP_CMD", "a,b"),
            ("DRAIN_INIT_DRAIN_CMD", ""),
            ("DRAIN_INIT_KILL_AFTER", ""),
            ("DRAIN_INIT_DRAIN_FILE", " a,b "),
        ],
    );
    assert_eq!(config.plan.delay, seconds(10));
    assert_eq!(config.plan.stop_signals, SignalSet::of(&[Signal::TERM, Signal::QUIT]));
    assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::QUIT));
    assert_eq!(config.plan.rewrites.apply(Signal::INT), None);
    assert!(config.remap_exit == [143, 0]);
    assert!(config.plan.wait_all.is_some() && config.subreaper && config.plan.measure);
    assert!(!config.warn_on_reap && !config.plan.group);
    assert_eq!(config.level, Level::Error);
    let drain_file = Named { value: c"a,b", asked_by: b"DRAIN_INIT_DRAIN_FILE" };
    assert_eq!(config.drain_file, Some(drain_file));
    let asked_by = b"DRAIN_INIT_STOP_CMD";
    let stop_cmd = Named { value: Cmd::Shell(c"a,b"), asked_by };
    assert_eq!(config.stop_cmd, Some(stop_cmd));
    assert_eq!((config.drain_cmd, config.plan.kill_after), (None, None));
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let variables = [
        ("DRAIN_INIT_DELAY_TERM", "10"),
        ("DRAIN_INIT_REWRITE", "1:2"),
        ("DRAIN_INIT_STOP_SIGNAL", "INT"),
        ("DRAIN_INIT_REMAP_EXIT", "1"),
        ("DRAIN_INIT_STOP_CMD", "a"),
        ("DRAIN_INIT_DRAIN_CMD", "a"),
        ("DRAIN_INIT_DRAIN_SIGNAL", "INT"),
        ("DRAIN_INIT_PDEATHSIG", "INT"),
        ("DRAIN_INIT_KILL_AFTER", "1"),
        ("DRAIN_INIT_SINGLE_CHILD", "1"),
        ("DRAIN_INIT_VERBOSE", "1"),
        ("DUMB_INIT_SETSID", "0"),
    ];
    let config = config_with(
        &[
            "--delay-term=3",
            "-r15:3",
            "--stop-signal=HUP",
            "-e2",
            "--stop-cmd=b",
            "--drain-cmd=",
            "-q",
            "-g",
            "--drain-signal=USR1",
            "-pUSR2",
            "--kill-after=2",
            "x",
        ],
        &variables,
    );
    assert_eq!(config.plan.delay, seconds(3));
    assert_eq!(config.plan.kill_after, seconds(2));
    assert_eq!(config.plan.drain_signal.map(Signal::number), Some(10));
    assert_eq!(config.pdeathsig.map(Signal::number), Some(12));
    assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::QUIT));
    assert_eq!(config.plan.rewrites.apply(Signal::HUP), Some(Signal::HUP));
    assert_eq!(config.plan.stop_signals, SignalSet::of(&[Signal::HUP]));
    assert!(config.remap_exit == [2]);
    let asked_by = b"--stop-cmd";
    let stop_cmd = Named { value: Cmd::Shell(c"b"), asked_by };
    assert_eq!(config.stop_cmd, Some(stop_cmd));
    assert_eq!(config.drain_cmd, None);
    assert_eq!(config.level, Level::Error);
    assert!(config.plan.group);
}

#[test]
fn dumb_inits_variables_work_too_and_give_way() {
    let variables = [("DUMB_INIT_DEBUG", "1"), ("DUMB_INIT_SETSID", "0")];
    let config = config_with(&["x"], &variables);
    assert_eq!((config.level, config.plan.group), (Level::Verbose, false));
    let other_values = [("DUMB_INIT_DEBUG", "2"), ("DUMB_INIT_SETSID", "1")];
    let config = config_with(&["x"], &other_values);
    assert_eq!((config.level, config.plan.group), (Level::Notice, true));
    let ours = [variables[0], variables[1], ("DRAIN_INIT_GROUP", "1"), ("DRAIN_INIT_QUIET", "1")];
    let config = config_with(&["x"], &ours);
    assert_eq!((config.level, config.plan.group), (Level::Error, true));
}

#[test]
fn blanks_around_a_variables_value_and_its_elements_are_ignored() {
    let config = config_with(
        &["x"],
        &[
            ("DRAIN_INIT_DELAY_TERM", " 10\t"),
            ("DRAIN_INIT_DRAIN_SIGNAL", "\tTSTP"),
            ("DRAIN_INIT_STOP_SIGNAL", " TERM ,\tQUIT "),
            ("DRAIN_INIT_REWRITE", " 15:3 , 2: 0 "),
            ("DRAIN_INIT_REMAP_EXIT", "143 "),
            ("DRAIN_INIT_WAIT_ALL", " yes "),
            ("DRAIN_INIT_STOP_CMD", "  a b\t"),
            ("DRAIN_INIT_QUIET", " "),
            ("DRAIN_INIT_KILL_AFTER", "\t"),
        ],
    );
    assert_eq!((config.plan.delay, config.plan.kill_after), (seconds(10), None));
    assert_eq!(config.plan.drain_signal, Some(Signal::TSTP));
    assert_eq!(config.plan.stop_signals, SignalSet::of(&[Signal::TERM, Signal::QUIT]));
    assert_eq!(config.plan.rewrites.apply(Signal::TERM), Some(Signal::QUIT));
    assert_eq!(config.plan.rewrites.apply(Signal::INT), None);
    assert!(config.remap_exit == [143] && config.plan.wait_all.is_some());
    assert_eq!(config.stop_cmd.map(|named| named.value), Some(Cmd::Shell(c"a b")));
    assert_eq!(config.level, Level::Notice);
    let contradicting = [("DRAIN_INIT_VERBOSE", " 1"), ("DRAIN_INIT_QUIET", "1 ")];
    assert!(error_with(&["x"], &contradicting).contains("contradict"));
    for (name, value) in [("DELAY_TERM", "10\n"), ("STOP_SIGNAL", "TERM,\nQUIT"), ("QUIET", "1\n")]
    {
        error_with(&["x"], &[(&format!("DRAIN_INIT_{name}"), value)]);
    }
}

#[test]
fn a_carriage_return_at_the_end_of_a_value_is_named() {
    for (name, value, named) in [
        ("DELAY_TERM", "10\r", "10\r"),
        ("DELAY_TERM", "\r", "\r"),
        ("DRAIN_SIGNAL", " TSTP\r ", "TSTP\r"),
        ("STOP_SIGNAL", "TERM,QUIT\r", "QUIT\r"),
        ("REWRITE", "15:3\r", "15:3\r"),
        ("REWRITE", "15:3\r,2:0", "15:3\r"),
        ("REMAP_EXIT", "143\r", "143\r"),
        ("WAIT_ALL", "1\r", "1\r"),
        ("DRAIN_FILE", "/run/drain\r", "/run/drain\r"),
        ("STOP_CMD", "nginx -s quit\r", "nginx -s quit\r"),
        ("STOP_CMD", "\r", "\r"),
        ("DRAIN_CMD", "[x]\r", "[x]\r"),
    ] {
        let name = format!("DRAIN_INIT_{name}");
        let line = format!("{name}: '{named}' ends with a carriage return (remove it)");
        assert_eq!(error_with(&["x"], &[(&name, value)]), line);
    }
    let line = "--delay-term: '10\r' ends with a carriage return (remove it)";
    assert_eq!(error(&["--delay-term", "10\r", "x"]), line);
    // As with dumb-init.
    assert_eq!(config(&["-r15:3\r", "x"]).plan.rewrites.apply(Signal::TERM), Some(Signal::QUIT));
    // JSON treats it as white space.
    let variables = [("DRAIN_INIT_STOP_CMD", "[\"a\"]\r")];
    let stop_cmd = config_with(&["x"], &variables).stop_cmd.map(|named| named.value);
    assert_eq!(stop_cmd, Some(Cmd::Exec(&[c"a"])));
}

#[test]
fn the_first_of_two_variables_of_one_name_counts() {
    let twice = [("DRAIN_INIT_DELAY_TERM", "1"), ("DRAIN_INIT_DELAY_TERM", "x")];
    assert_eq!(config_with(&["x"], &twice).plan.delay, seconds(1));
    let twice = [("DRAIN_INIT_KILL_AFTER", "1"), ("DRAIN_INIT_KILL_AFTER", "x")];
    assert_eq!(config_with(&["x"], &twice).plan.kill_after, seconds(1));
}

#[test]
fn variables_that_contradict_each_other_are_refused() {
    for (one, other) in [("SINGLE_CHILD", "GROUP"), ("VERBOSE", "QUIET")] {
        let names = [one, other].map(|name| format!("DRAIN_INIT_{name}"));
        for order in [[0, 1], [1, 0]] {
            let variables = order.map(|index| (names[index].as_str(), "1"));
            let error = error_with(&["x"], &variables);
            assert_eq!(
                error,
                format!("{} and {} contradict each other (set only one)", names[0], names[1])
            );
        }
    }
}

#[test]
fn a_probable_typo_is_an_unknown_name_that_begins_with_drain_init() {
    let is_unknown = |name: &str| {
        let word = format!("{name}=1");
        let mut variables = Variables::default();
        for _ in 0..2 {
            variables.take(word.as_bytes());
        }
        let warnings: Vec<_> = variables.warnings().collect();
        assert!(warnings.len() <= 1, "{name} is reported twice");
        warnings.iter().any(|it| String::from_utf8_lossy(it.as_bytes()).contains(name))
    };
    for typo in [
        "DRAIN_INIT_DELAY",
        "DRAIN_INIT_",
        "DRAIN_INIT_HELP",
        "DRAIN_INIT_SERVICES",
        "DRAIN_INIT_WEB_SERVICE",
        "DRAIN_INIT_SUPPORT",
    ] {
        assert!(is_unknown(typo), "{typo}");
    }
    for fine in [
        "DRAIN_INIT_DELAY_TERM",
        "DRAIN_INIT_SERVICE_HOST",
        "DRAIN_INIT_SERVICE_PORT_HTTP",
        "DRAIN_INIT_PORT",
        "DRAIN_INIT_PORT_80_TCP",
        "DRAIN_INIT_WEB_SERVICE_HOST",
        "DRAIN_INIT_WEB_SERVICE_PORT",
        "DRAIN_INIT_WEB_SERVICE_PORT_HTTP",
        "DRAIN_INIT_WEB_PORT",
        "DRAIN_INIT_WEB_PORT_80_TCP",
        "DRAIN_INIT_WEB_PORT_80_TCP_ADDR",
        "DRAIN_INIT_SIGNAL",
        "DUMB_INIT_DEBUG",
        "DRAIN_INIT",
        "PATH",
    ] {
        assert!(!is_unknown(fine), "{fine}");
    }
}

#[test]
fn the_help_names_every_option_as_it_is_spelled() {
    for entry in OPTIONS {
        let long = core::str::from_utf8(entry.name(Source::Option)).unwrap();
        let spelled = match entry.short {
            Some(short) => format!("  -{short}, {long}"),
            None => format!("      {long}"),
        };
        let line = HELP.lines().find(|line| line.starts_with(&spelled));
        let value = entry.value.split(',').next().unwrap();
        assert!(
            line.is_some_and(|line| line[spelled.len()..].trim_start().starts_with(value)),
            "{spelled}"
        );
    }
}

#[test]
fn the_help_fits_a_terminal_and_ends_with_the_address_of_the_documentation() {
    for line in HELP.lines() {
        assert!(line.len() <= 80, "{line}");
    }
    assert!(HELP.lines().count() <= 43, "{} lines", HELP.lines().count());
    assert_eq!(HELP.lines().last(), Some(env!("CARGO_PKG_HOMEPAGE")));
    for group in ["Draining", "Stopping", "Signals", "Init", "Output"] {
        assert!(HELP.lines().any(|line| line == format!("{group}:")), "{group}");
    }
    let mut defaults = 0;
    for entry in OPTIONS {
        let long = core::str::from_utf8(entry.name(Source::Option)).unwrap();
        let (_, after) = HELP.split_once(&format!("{long} ")).unwrap();
        let description = after.split("\n  -").next().unwrap().split("\n      -").next().unwrap();
        let has_default = description.trim_end().contains(']');
        assert_eq!(has_default, entry.has_variable(), "{long}");
        defaults += usize::from(has_default);
    }
    assert_eq!(defaults, 18);
}

#[test]
#[cfg_attr(miri, ignore = "it runs a shell")]
fn the_example_in_the_help_is_a_command_line() {
    let example = HELP.lines().find_map(|line| line.trim_start().strip_prefix("drain-init "));
    let script = format!("printf '%s\\n' {}", example.unwrap());
    let words = std::process::Command::new("sh").args(["-c", &script]).output().unwrap().stdout;
    let words = String::from_utf8(words).unwrap();
    let config = config(&words.lines().collect::<Vec<_>>());
    assert!(config.plan.drains());
}
