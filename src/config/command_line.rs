//! The command line: options up to COMMAND. lexopt takes a word apart.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use lexopt::{Arg, Parser};

use super::options::{Entry, Opt, Source, unknown};
use super::{Config, Error, Request, Settings};
use crate::{sys, text};

/// Reads the options into `config`, up to COMMAND or to an option that is a request of its own.
pub(super) fn read<'a>(
    args: impl Iterator<Item = &'a [u8]>,
    config: &mut Config,
) -> Result<Option<Request>, Error> {
    let mut settings = Settings { config, source: Source::Option, set: 0 };
    let mut args = args.enumerate();
    // The program's name.
    args.next();
    let command = loop {
        match args.next() {
            Some((_, b"--")) => break args.next(),
            Some((place, word @ [b'-', _, ..])) => {
                let mut next = || args.next().map(|(_, word)| word);
                let Some(request) = read_word(word, &mut next, &mut settings)? else { continue };
                let is_alone = place == 1 && args.next().is_none();
                if matches!(request, Request::CopyTo(_)) && !is_alone {
                    let wrong = b"--copy-to works without COMMAND and other options";
                    return Err(Error::new(&[wrong]));
                }
                return Ok(Some(request));
            }
            command => break command,
        }
    };
    let usage = b"no COMMAND (usage: drain-init [OPTION]... [--] COMMAND [ARG]..., see --help)";
    config.command = command.ok_or_else(|| Error::new(&[usage]))?.0;
    Ok(None)
}

/// Reads one word of options. `next` gives the word after it, for an option that needs a value.
fn read_word<'a>(
    word: &[u8],
    next: &mut dyn FnMut() -> Option<&'a [u8]>,
    settings: &mut Settings,
) -> Result<Option<Request>, Error> {
    // lexopt copies what it is given. COMMAND's arguments may be megabytes. The allocator
    // frees nothing.
    let mut parser = ManuallyDrop::new(Parser::from_args([OsString::from_vec(word.to_vec())]));
    while let Some(arg) = parser.next().map_err(|error| not_read(&error))? {
        let is_long = matches!(arg, Arg::Long(_));
        let entry = match arg {
            Arg::Short(letter) => {
                Entry::by_short(letter).ok_or_else(|| unknown_short(word, letter))?
            }
            Arg::Long(name) => {
                let name = name.as_bytes();
                Entry::by_long(name).ok_or_else(|| unknown(Source::Option, b"--", name))?
            }
            // The word begins with a dash.
            Arg::Value(_) => break,
        };
        let name = || entry.name(Source::Option);
        let takes_none = entry.value.is_empty();
        // A letter after a short option without a value is another one.
        let attached = (is_long || !takes_none).then(|| parser.optional_value()).flatten();
        let value = match attached.map(|value| &*value.into_vec().leak()) {
            Some(value) if takes_none => return Err(takes_no_value(name(), value)),
            None if takes_none => b"on",
            attached => attached.or_else(&mut *next).ok_or_else(|| {
                Error::new(&[name(), b" needs a value: ", entry.value.as_bytes()])
            })?,
        };
        match entry.opt {
            Opt::Help => return Ok(Some(Request::Help)),
            Opt::Version => return Ok(Some(Request::Version)),
            Opt::CopyTo => return Ok(Some(Request::CopyTo(sys::word(&[value])))),
            _ => settings.apply(entry, value)?,
        }
    }
    Ok(None)
}

/// The error about a letter that is not an option, or a whole name after one dash.
fn unknown_short(word: &[u8], letter: char) -> Error {
    let name = text::split(&word[1..], b'=').next().unwrap_or_default();
    // A shorter one is more likely a cluster.
    if name.len() > 2 && Entry::nearest(name, Source::Option).is_some() {
        return unknown(Source::Option, b"-", name);
    }
    unknown(Source::Option, b"-", letter.encode_utf8(&mut [0; 4]).as_bytes())
}

fn takes_no_value(option: &[u8], value: &[u8]) -> Error {
    Error::new(&[option, b" takes no value (remove '=", value, b"')"])
}

/// What lexopt itself refuses: a value after a short option that takes none.
fn not_read(error: &lexopt::Error) -> Error {
    let lexopt::Error::UnexpectedValue { option, value } = error else {
        return Error::new(&[b"the options cannot be read (see --help)"]);
    };
    takes_no_value(option.as_bytes(), value.as_bytes())
}
