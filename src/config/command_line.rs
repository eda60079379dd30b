//! The command line: options up to COMMAND. lexopt(3) takes a word apart.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::{Arg, Parser};

use super::Error;
use super::options::{Entry, Opt, Source, Takes};
use super::settings::Settings;

/// What the command line asks for.
pub(super) enum Asked {
    Help,
    Version,
    /// COMMAND, by its place in the argument list.
    Command(usize),
}

/// Reads the options into `settings`, up to COMMAND, `--help` or `--version`.
pub(super) fn read<'a>(
    args: impl Iterator<Item = &'a [u8]>,
    settings: &mut Settings,
) -> Result<Asked, Error> {
    let no_command = || {
        Error::new(&[b"no COMMAND: write drain-init [OPTION]... [--] COMMAND [ARG]..., or --help"])
    };
    let mut args = args.enumerate().skip(1);
    loop {
        let (place, word) = args.next().ok_or_else(no_command)?;
        match word {
            b"--" => {
                return args.next().map(|(place, _)| Asked::Command(place)).ok_or_else(no_command);
            }
            [b'-', _, ..] => {
                let mut next = || args.next().map(|(_, word)| word);
                if let Some(asked) = read_word(word, &mut next, settings)? {
                    return Ok(asked);
                }
            }
            _ => return Ok(Asked::Command(place)),
        }
    }
}

/// Reads one word of options. `next` is the word that follows, if the last of them takes it
/// as its value.
fn read_word<'a>(
    word: &[u8],
    next: &mut dyn FnMut() -> Option<&'a [u8]>,
    settings: &mut Settings,
) -> Result<Option<Asked>, Error> {
    // lexopt copies what it is given. COMMAND's arguments may be megabytes.
    let mut parser = Parser::from_args([OsString::from_vec(word.to_vec())]);
    while let Some(arg) = parser.next().map_err(|error| not_read(&error))? {
        let (entry, is_long) = match arg {
            Arg::Short(letter) => {
                (Entry::by_short(letter).ok_or_else(|| unknown_letter(letter))?, false)
            }
            Arg::Long(name) => {
                (Entry::by_long(name.as_bytes()).ok_or_else(|| unknown_name(name))?, true)
            }
            // The word begins with a dash.
            Arg::Value(_) => break,
        };
        match entry.takes {
            Takes::Nothing => {
                let attached = if is_long { parser.optional_value() } else { None };
                if let Some(value) = attached {
                    let value = value.as_bytes();
                    return Err(entry.refuse(
                        Source::Option,
                        value,
                        b"takes no value: leave it out",
                    ));
                }
                match entry.opt {
                    Opt::Help => return Ok(Some(Asked::Help)),
                    Opt::Version => return Ok(Some(Asked::Version)),
                    _ => settings.apply(entry, b"", Source::Option)?,
                }
            }
            Takes::Value(what) | Takes::Values(what) => {
                let missing =
                    || Error::new(&[entry.name(Source::Option), b" needs a ", what.as_bytes()]);
                let attached = parser.optional_value();
                let value = match &attached {
                    Some(value) => value.as_bytes(),
                    None => next().ok_or_else(missing)?,
                };
                settings.apply(entry, value, Source::Option)?;
            }
        }
    }
    Ok(None)
}

fn unknown_letter(letter: char) -> Error {
    unknown(&[b"-", letter.encode_utf8(&mut [0; 4]).as_bytes()])
}

fn unknown_name(name: &str) -> Error {
    unknown(&[b"--", name.as_bytes()])
}

fn unknown(option: &[&[u8]]) -> Error {
    Error::new(&[
        b"unknown option ",
        &option.concat(),
        b": --help lists them; write -- before a COMMAND that begins with -",
    ])
}

/// What lexopt itself refuses: a value after a short option that takes none.
fn not_read(error: &lexopt::Error) -> Error {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => {
            Error::new(&[option.as_bytes(), b" takes no value: leave it out"])
        }
        _ => Error::new(&[b"the options cannot be read: --help lists them"]),
    }
}
