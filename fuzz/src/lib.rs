//! Assertions that hold for any input, with one function for each fuzz target. If
//! there is an oracle (sscanf, `serde_json`, arithmetic with wider numbers), the
//! parser is compared with it.

mod machine;

use drain_init::config::exec_form::{self, Cmd};
use drain_init::config::{self, Config, Error, Request, Variables};
use drain_init::drain::WaitAll;
use drain_init::signal::{Rewrites, Signal};
use drain_init::time::Duration;

pub use machine::drain;

/// The longest duration, in nanoseconds.
const LONGEST: u128 = 10 * 365 * 24 * 60 * 60 * 1_000_000_000;

/// `variables` are words of the form `NAME=VALUE`.
fn parse(words: &[&[u8]], variables: &[&[u8]]) -> Result<Request, Error> {
    let mut taken = Variables::default();
    for variable in variables {
        taken.take(variable);
    }
    config::parse(words.iter().copied(), &taken, false)
}

fn run(words: &[&[u8]], variables: &[&[u8]]) -> Option<&'static mut Config> {
    match parse(words, variables) {
        Ok(Request::Run(config)) => Some(config),
        _ => None,
    }
}

/// Checks what is true of any accepted configuration.
fn check_config(config: &Config) {
    let plan = &config.plan;
    for duration in [plan.delay, plan.kill_after].into_iter().flatten() {
        assert!((1..=LONGEST).contains(&duration.as_nanos().into()));
    }
    assert!(plan.stop_signals.iter().count() > 0);
    for signal in [Signal::KILL, Signal::STOP, Signal::CHLD] {
        assert!(!plan.stop_signals.contains(signal));
    }
    assert_eq!(plan.drain_cmd, config.drain_cmd.is_some());
    assert_eq!(plan.stop_cmd, config.stop_cmd.is_some());
    assert_ne!(plan.wait_all, Some(WaitAll::Namespace), "it is not PID 1");
    for named in [&config.drain_cmd, &config.stop_cmd].into_iter().flatten() {
        check_cmd(&named.value);
    }
}

fn check_cmd(cmd: &Cmd) {
    match cmd {
        Cmd::Exec(words) => assert!(words.first().is_some_and(|program| !program.is_empty())),
        Cmd::Shell(line) => assert!(!line.is_empty()),
    }
}

fn check_error(error: &Error) {
    assert!(!error.as_bytes().is_empty());
}

/// Words that are separated by NULs, as the arguments after the program's name.
pub fn command_line(data: &[u8]) {
    let words: Vec<&[u8]> =
        std::iter::once(&b"drain-init"[..]).chain(data.split(|&byte| byte == 0)).collect();
    let request = parse(&words, &[]);
    match &request {
        Ok(Request::Run(config)) => {
            check_config(config);
            assert!(config.command >= 1 && config.command < words.len());
            // The words after COMMAND have no effect.
            let head = &words[..=config.command];
            assert_eq!(parse(head, &[]), request);
            // Without COMMAND there is nothing to run.
            assert!(parse(&words[..config.command], &[]).is_err());
            // Two dashes before COMMAND only change its position.
            let mut dashed = words[..config.command].to_vec();
            if dashed.last() != Some(&&b"--"[..]) || !ends_the_options(&words, config.command) {
                dashed.extend([&b"--"[..], words[config.command]]);
                let dashed = run(&dashed, &[]).expect("-- before COMMAND");
                assert_eq!(dashed.command, config.command + 1);
                assert_eq!(dashed.plan, config.plan);
            }
        }
        Ok(Request::Help | Request::Version) => {
            // They take effect at once, whatever follows.
            let mut longer = words.clone();
            longer.push(b"--nosuch");
            assert_eq!(parse(&longer, &[]), request);
        }
        // It allows no other argument.
        Ok(Request::CopyTo(_)) => {
            assert!(words.len() <= 3);
            let mut longer = words.clone();
            longer.push(b"true");
            assert!(parse(&longer, &[]).is_err());
        }
        Err(error) => check_error(error),
    }
}

/// Whether the word before COMMAND is the `--` that ends the options, not an option's
/// value. Then COMMAND may begin with a dash.
fn ends_the_options(words: &[&[u8]], command: usize) -> bool {
    let mut other = words[..command].to_vec();
    other.push(b"--nosuch");
    run(&other, &[]).is_some()
}

/// Variables that are separated by NULs.
pub fn environment(data: &[u8]) {
    let variables: Vec<&[u8]> = data.split(|&byte| byte == 0).collect();
    let words: [&[u8]; 2] = [b"drain-init", b"true"];
    let mut all = Variables::default();
    for word in &variables {
        let before = all.warnings().count();
        let own = all.take(word);
        let unknown = all.warnings().count() > before;
        assert!(!(own && unknown));
        assert!(!(own || unknown) || word.starts_with(b"DRAIN_INIT_") && word.contains(&b'='));
    }
    let result = parse(&words, &variables);
    match &result {
        Ok(Request::Run(config)) => check_config(config),
        Ok(_) => panic!("no variable asks for help"),
        Err(error) => check_error(error),
    }
    // Their order does not matter if no name occurs twice.
    let name_of = |word: &&[u8]| word.split(|&byte| byte == b'=').next().map(<[u8]>::to_vec);
    let mut names: Vec<_> = variables.iter().filter_map(name_of).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() == variables.len() {
        let reversed: Vec<_> = variables.iter().rev().copied().collect();
        assert_eq!(parse(&words, &reversed).ok(), result.ok());
    }
    // An option and its variable mean the same.
    if let [word] = variables[..]
        && Variables::default().take(word)
        && let Some(equals) = word.iter().position(|&byte| byte == b'=')
        && !is_list_or_switch(&word[..equals])
    {
        let value = trim_blanks(&word[equals + 1..]);
        if value.is_empty() {
            return;
        }
        let long = word[b"DRAIN_INIT_".len()..equals].iter().map(|&byte| match byte {
            b'_' => b'-',
            byte => byte.to_ascii_lowercase(),
        });
        let option: Vec<u8> = b"--".iter().copied().chain(long).collect();
        let by_option = run(&[b"drain-init", &option, value, b"true"], &[]);
        let by_variable = run(&words, &variables);
        let [by_option, by_variable] =
            [by_option, by_variable].map(|it| it.map(|it| it.plan.clone()));
        assert_eq!(by_option, by_variable);
    }
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn is_list_or_switch(name: &[u8]) -> bool {
    [
        &b"STOP_SIGNAL"[..],
        b"REWRITE",
        b"REMAP_EXIT",
        b"WAIT_ALL",
        b"MEASURE_DRAIN",
        b"SINGLE_CHILD",
        b"GROUP",
        b"SUBREAPER",
        b"VERBOSE",
        b"QUIET",
        b"WARN_ON_REAP",
    ]
    .iter()
    .any(|suffix| name.ends_with(suffix))
}

/// A DURATION, compared with the same sum in numbers that cannot overflow.
pub fn duration(data: &[u8]) {
    let config = run(&[b"drain-init", b"--delay-term", data, b"true"], &[]);
    let expected = reference_duration(data);
    match (config, expected) {
        (Some(config), Some(nanos)) => {
            let found = config.plan.delay.unwrap_or(Duration::ZERO);
            assert_eq!(u128::from(found.as_nanos()), nanos);
        }
        (None, None) => {}
        (config, expected) => panic!("{config:?}, expected {expected:?}"),
    }
}

/// The sum in nanoseconds. Each number is rounded down, but not to zero if its fraction
/// is not zero.
fn reference_duration(data: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(data).ok()?;
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut rest = text;
    let mut total = 0_u128;
    while !rest.is_empty() || text.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let (unit, behind) = behind.split_at(behind.find(is_number).unwrap_or(behind.len()));
        let unit: u128 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" if number == text => 1_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (number, ""),
        };
        if whole.is_empty() || fraction.contains('.') {
            return None;
        }
        // A number with more digits is too large. Digits after the point that are
        // less than a nanosecond are cut off.
        let whole = whole.trim_start_matches('0');
        if whole.len() > 18 {
            return None;
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut nanos = whole * unit;
        let mut place = unit;
        for digit in fraction.bytes() {
            place /= 10;
            nanos += place * u128::from(digit - b'0');
        }
        let is_more = fraction.bytes().any(|digit| digit != b'0');
        total += nanos.max(is_more.into());
        if total > LONGEST {
            return None;
        }
        rest = behind;
    }
    Some(total)
}

const NAMES: [&str; 34] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS", "IOT", "CLD", "POLL",
];

/// A SIGNAL, compared with a table of all valid ones.
pub fn signal(data: &[u8]) {
    let found = Signal::parse(data).map(Signal::number);
    assert_eq!(found, reference_signal(data), "{:?}", data.escape_ascii().to_string());
    if let Some(signal) = Signal::parse(data) {
        assert_eq!(Signal::parse(signal.name()), Some(signal));
    }
}

fn reference_signal(data: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(data).ok()?.to_ascii_uppercase();
    let number = |text: &str| -> Option<i32> {
        let digits = text.trim_start_matches('0');
        let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match digits {
            _ if !all => None,
            "" => Some(0),
            digits if digits.len() <= 3 => digits.parse().ok(),
            _ => None,
        }
    };
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return number(&text).filter(|number| (1..=64).contains(number));
    }
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    match name {
        "RTMIN" => return Some(34),
        "RTMAX" => return Some(64),
        "IOT" => return Some(6),
        "CLD" => return Some(17),
        "POLL" => return Some(29),
        _ => {}
    }
    let offset = |offset: &str| number(offset).filter(|number| *number <= 30);
    if let Some(plus) = name.strip_prefix("RTMIN+") {
        return offset(plus).map(|offset| 34 + offset);
    }
    if let Some(minus) = name.strip_prefix("RTMAX-") {
        return offset(minus).map(|offset| 64 - offset);
    }
    (1..).zip(&NAMES[..31]).find(|(_, known)| **known == name).map(|(number, _)| number)
}

/// S:R, compared with the sscanf that dumb-init calls.
pub fn rewrite(data: &[u8]) {
    let mut rewrites = Rewrites::default();
    let accepted = rewrites.parse_and_set(data).is_some();
    let changed: Vec<_> = (1..=64)
        .filter_map(Signal::new)
        .map(|signal| (signal.number(), rewrites.apply(signal).map(Signal::number)))
        .filter(|(received, delivered)| *delivered != Some(*received))
        .collect();
    assert!(changed.len() <= 1);
    if !accepted {
        assert_eq!(rewrites, Rewrites::default(), "rejected, but set");
    }
    let Some((received, delivered)) = scan(data) else {
        // Anything but two numbers contains a name, or is rejected.
        assert!(!accepted || data.iter().any(u8::is_ascii_alphabetic));
        return;
    };
    let right = (1..=64).contains(&received) && (0..=64).contains(&delivered);
    assert_eq!(accepted, right, "{received}:{delivered}");
    if right && received != delivered {
        assert_eq!(changed, [(received, Some(delivered).filter(|number| *number > 0))]);
    }
}

/// `sscanf("%d:%d")`, if only blanks follow the numbers and they are too short to
/// overflow, which would be undefined.
fn scan(data: &[u8]) -> Option<(i32, i32)> {
    let is_zero = |byte: &&u8| **byte == b'0';
    let longest = data
        .split(|byte| !byte.is_ascii_digit())
        .map(|digits| digits.iter().skip_while(is_zero).count())
        .max();
    if data.contains(&0) || longest > Some(9) {
        return None;
    }
    let text: Vec<u8> = data.iter().copied().chain([0]).collect();
    let (mut received, mut delivered, mut length) = (0, 0, 0);
    // SAFETY: a C string, and a place for each number.
    let count = unsafe {
        libc::sscanf(
            text.as_ptr().cast(),
            c"%d:%d%n".as_ptr(),
            &raw mut received,
            &raw mut delivered,
            &raw mut length,
        )
    };
    let rest = &data[usize::try_from(length).ok()?..];
    (count == 2 && rest.iter().all(|&byte| matches!(byte, b' ' | 9..=13)))
        .then_some((received, delivered))
}

/// CMD, compared with `serde_json`.
pub fn exec_form(data: &[u8]) {
    // No word of a command line or an environment contains a NUL.
    if data.contains(&0) {
        return;
    }
    let found = exec_form::parse(data);
    let words = serde_json::from_slice::<Vec<String>>(data).ok().filter(|words| {
        words.first().is_some_and(|program| !program.is_empty())
            && words.iter().all(|word| !word.contains('\0'))
    });
    let is_white = |byte: &u8| b" \t\n\r".contains(byte);
    let begin = data.iter().position(|byte| !is_white(byte));
    match (begin, words) {
        (None, _) if data.contains(&b'\r') => assert!(found.is_err()),
        (None, _) => assert_eq!(found, Ok(None)),
        (_, Some(words)) => {
            let Ok(Some(Cmd::Exec(found))) = found else { panic!("{found:?}, not {words:?}") };
            assert!(
                found.iter().map(|word| word.to_bytes()).eq(words.iter().map(String::as_bytes))
            );
        }
        (Some(begin), None) => {
            let is_bracket = data[begin] == b'[';
            let is_test = matches!(data.get(begin + 1), Some(b' ' | b'\t'));
            let line = data[begin..].trim_ascii_end();
            let quoted = line.len() > 1
                && [b'"', b'\''].contains(&line[0])
                && line.iter().enumerate().skip(1).find(|(_, byte)| **byte == line[0])
                    == Some((line.len() - 1, &line[0]));
            let dos = data[data.trim_ascii_end().len()..].contains(&b'\r');
            let is_line = (!is_bracket || is_test) && !quoted && !dos;
            match found {
                Ok(Some(Cmd::Shell(line))) => assert!(is_line && line.to_bytes() == data),
                Err([wrong, right]) => assert!(!is_line && !wrong.is_empty() && !right.is_empty()),
                other => panic!("{other:?}"),
            }
        }
    }
}
