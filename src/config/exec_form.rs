//! CMD, the value of `--drain-cmd` and `--stop-cmd`: a JSON array of strings (the exec form
//! of a Dockerfile), or a line for `/bin/sh`.

use core::ffi::CStr;
use core::slice::Iter;

use super::Wrong;
use crate::sys;

/// A drain or stop command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cmd {
    /// The program, which is not empty, and its arguments.
    Exec(&'static [&'static CStr]),
    /// A line for `/bin/sh -c`.
    Shell(&'static CStr),
}

pub(super) const CARRIAGE_RETURN: Wrong = ["ends with a carriage return", "remove it"];

const RIGHT: &str =
    "try [\"nginx\",\"-s\",\"quit\"], or a shell command that does not begin with [";

/// Reads CMD, or `None` if it is empty or blank. Refuses what the shell would fail on at the worst
/// moment: a line in one pair of quotes, which `docker run --env-file` leaves there, a line that
/// ends with a carriage return, and a word that begins with `[` and is neither a valid exec form
/// nor, with a blank after the bracket, a shell test.
pub fn parse(word: &[u8]) -> Result<Option<Cmd>, Wrong> {
    if word.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\n')) {
        return Ok(None);
    }
    let whole = skip_white(&mut word.iter());
    if whole.first() == Some(&b'[') {
        match array(&mut whole.iter()) {
            Ok(words) => return Ok(Some(Cmd::Exec(words.leak()))),
            // A shell test.
            Err(_) if matches!(whole, [_, b' ' | b'\t', ..]) => {}
            Err(wrong) => return Err([wrong, RIGHT]),
        }
    }
    if word[word.trim_ascii_end().len()..].contains(&b'\r') {
        return Err(CARRIAGE_RETURN);
    }
    match whole.trim_ascii_end() {
        [quote @ (b'"' | b'\''), inner @ .., last] if last == quote && !inner.contains(quote) => {
            Err(["is in quotes as a whole", "remove them, or try a JSON array of strings"])
        }
        _ => Ok(Some(Cmd::Shell(sys::word(&[word])))),
    }
}

type Parsed<T> = Result<T, &'static str>;

/// Reads an array of strings, with nothing after it: a part of JSON (RFC 8259).
fn array(rest: &mut Iter<u8>) -> Parsed<Vec<&'static CStr>> {
    let mut words = Vec::new();
    let mut expected = b'[';
    while takes(rest, expected) {
        if !takes(rest, b'"') {
            return Err("is not a JSON array of one or more strings");
        }
        words.push(string(rest)?);
        expected = b',';
    }
    if !takes(rest, b']') {
        return Err("has no , or ] after a string");
    }
    if !skip_white(rest).is_empty() {
        return Err("has text after its ]");
    }
    if words[0].is_empty() {
        return Err("has an empty program name");
    }
    Ok(words)
}

/// Takes white space. Returns what follows.
fn skip_white<'a>(rest: &mut Iter<'a, u8>) -> &'a [u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', ..] = rest.as_slice() {
        rest.next();
    }
    rest.as_slice()
}

/// Whether `byte` is next after white space. If so, it is taken.
fn takes(rest: &mut Iter<u8>, byte: u8) -> bool {
    skip_white(rest).first() == Some(&byte) && rest.next().is_some()
}

/// Reads a string after its opening quote.
fn string(rest: &mut Iter<u8>) -> Parsed<&'static CStr> {
    let mut text = Vec::new();
    loop {
        match *rest.next().ok_or("has a string that does not end")? {
            b'"' => break,
            b'\\' => {
                let character = escape(rest).ok_or("has an invalid escape in a string")?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            0..=0x1f => return Err("has a control character in a string"),
            byte => text.push(byte),
        }
    }
    match core::str::from_utf8(&text) {
        Err(_) => Err("is not UTF-8, as JSON must be"),
        Ok(_) if text.contains(&0) => Err("has a NUL in a string"),
        Ok(_) => Ok(sys::word(&[&text])),
    }
}

/// Reads an escape after its backslash.
fn escape(rest: &mut Iter<u8>) -> Option<char> {
    Some(match *rest.next()? {
        byte @ (b'"' | b'\\' | b'/') => byte.into(),
        b'b' => '\x08',
        b'f' => '\x0c',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let mut code = hex4(rest)?;
            if let 0xd800..=0xdbff = code {
                *rest = rest.as_slice().strip_prefix(b"\\u")?.iter();
                let low = hex4(rest)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                code = 0x1_0000 + ((code - 0xd800) << 10) + low;
            }
            // A low surrogate alone is not a character.
            char::from_u32(code)?
        }
        _ => return None,
    })
}

fn hex4(rest: &mut Iter<u8>) -> Option<u32> {
    (0..4).try_fold(0, |value, _| Some(value << 4 | char::from(*rest.next()?).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result for an exec form.
    #[allow(clippy::unnecessary_wraps)]
    fn exec(words: &[&str]) -> Result<Option<Cmd>, Wrong> {
        let words: Vec<_> = words.iter().map(|word| sys::word(&[word.as_bytes()])).collect();
        Ok(Some(Cmd::Exec(words.leak())))
    }

    /// The result for a shell form.
    #[allow(clippy::unnecessary_wraps)]
    fn shell(line: &str) -> Result<Option<Cmd>, Wrong> {
        Ok(Some(Cmd::Shell(sys::word(&[line.as_bytes()]))))
    }

    #[test]
    fn a_shell_test_that_ends_in_quotes_is_not_a_quoted_line() {
        for line in [" [ \"a* , \"\"b\"  ", "[ \"a\" , \"b\" 'c'"] {
            assert!(matches!(parse(line.as_bytes()), Ok(Some(Cmd::Shell(_)))), "{line}");
        }
    }

    #[test]
    fn an_empty_or_blank_word_means_no_command() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b" \t\n"), Ok(None));
    }

    #[test]
    fn a_json_array_of_strings_is_the_exec_form() {
        assert_eq!(parse(br#"["a"]"#), exec(&["a"]));
        assert_eq!(parse(br#"["a","b c",""]"#), exec(&["a", "b c", ""]));
        assert_eq!(parse(b" [ \"a\" ,\n\t\"b\" ] \r"), exec(&["a", "b"]));
        assert_eq!(parse("[\"\u{e4}\"]".as_bytes()), exec(&["\u{e4}"]));
    }

    #[test]
    fn escapes_in_strings_are_those_of_json() {
        assert_eq!(parse(br#"["\"\\\/\b\f\n\r\t"]"#), exec(&["\"\\/\u{8}\u{c}\n\r\t"]));
        assert_eq!(
            parse(br#"["\u0041\u00e4\u20AC\ud83d\ude00"]"#),
            exec(&["A\u{e4}\u{20ac}\u{1f600}"])
        );
        // The first and the last pair of surrogates.
        assert_eq!(parse(br#"["\ud800\udc00\udbff\udfff"]"#), exec(&["\u{10000}\u{10ffff}"]));
    }

    #[test]
    fn a_bracket_and_a_blank_begin_a_shell_test() {
        for line in
            ["[ -f /x ] && y", "[\t-f /x ]", "[ ]", "[ \"\" ]", "[ \"a\" = b ]", " [ -f /x ]"]
        {
            assert_eq!(parse(line.as_bytes()), shell(line), "{line:?}");
        }
    }

    #[test]
    fn any_other_word_that_begins_with_a_bracket_is_refused() {
        for bad in [
            "[",
            "[]",
            "[x]",
            "['a']",
            "[\"a\"",
            "[\"a\",]",
            "[\"a\" \"b\"]",
            "[\"a\"] b",
            "[\"a\",1]",
            "[\"\"]",
            "[\"\",\"a\"]",
            "[1]",
            "[null]",
            "[[\"a\"]]",
            "[\"a",
            "[\"a\\",
            "[\"a\nb\"]",
            "[\"\\x41\"]",
            "[\"\\u00\"]",
            "[\"\\u00g0\"]",
            "[\"\\u+041\"]",
            "[\"\\ud800\"]",
            "[\"\\ud800\\n\"]",
            "[\"\\ud800\\u0041\"]",
            "[\"\\ud800\\ue000\"]",
            "[\"\\udc00\"]",
            "[\"\\u0000\"]",
            "[[ -f /x ]]",
            "[\n-f /x ]",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse(b"[\"\xff\"]").is_err());
        assert!(parse(b"[\"a\0\"]").is_err());
    }

    #[test]
    fn a_line_in_one_pair_of_quotes_is_refused() {
        for bad in ["\"nginx -s quit\"", "'a'", "''", " \"a\" ", "\"[\"", "'[\"a\"]'", "\"it's\""] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err()[0], "is in quotes as a whole", "{bad}");
        }
        for fine in ["\"a\" && \"b\"", "'a' 'b'", "\"a\\\" b\"", "\"a'", "\"", "a \"b\"", "\"a\" b"]
        {
            assert_eq!(parse(fine.as_bytes()), shell(fine), "{fine}");
        }
    }

    #[test]
    fn a_line_that_ends_with_a_carriage_return_is_refused() {
        for bad in ["\r", " \r\n", "a\r", "a \r\n", "'a b'\r", "[ -f /x ] && y\r"] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err()[0], "ends with a carriage return");
        }
        assert_eq!(parse(b"a\r\nb\n"), shell("a\r\nb\n"));
    }

    #[test]
    fn everything_else_is_the_shell_form() {
        for line in ["true", " sleep 1; true ", "{\"a\"}", "\"[\" a", "x[1]"] {
            assert_eq!(parse(line.as_bytes()), shell(line), "{line:?}");
        }
        assert_eq!(parse(b"caf\xe9"), Ok(Some(Cmd::Shell(c"caf\xe9"))));
    }
}
