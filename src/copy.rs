//! `--copy-to`: an init container puts the program into a volume, from an image that has
//! nothing else.

use core::ffi::CStr;

use nix::errno::Errno;
use nix::sys::stat::{self, SFlag};
use nix::unistd;

use crate::report::{Level, Reporter};
use crate::sys;
use crate::wording;

const PROGRAM: &CStr = c"/proc/self/exe";

/// Copies the running program to a path, or into a directory. Returns the exit status.
#[must_use]
pub fn copy_to(path: &CStr, reporter: Reporter) -> u8 {
    let is_directory = stat::stat(path)
        .is_ok_and(|found| found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits());
    let name: &[u8] = if is_directory { b"/drain-init" } else { b"" };
    let target = sys::word(&[path.to_bytes(), name]);
    match copy(target) {
        Ok(()) => 0,
        Err((path, error)) => {
            reporter.say(Level::Error, &|line| wording::cannot_copy(line, path, error));
            1
        }
    }
}

/// Replaces `target` by a copy, or leaves it. The error has the path that it is about.
fn copy(target: &CStr) -> Result<(), (&CStr, Errno)> {
    let program = sys::open_to_read(PROGRAM).map_err(|error| (PROGRAM, error))?;
    let bytes = target.to_bytes();
    let name = bytes.iter().rev().take_while(|byte| **byte != b'/').count();
    let directory = &bytes[..bytes.len() - name];
    let mut number = sys::random();
    let (temporary, file) = loop {
        let digits: [u8; 8] = core::array::from_fn(|place| {
            b"0123456789abcdef"[(number >> (4 * place) & 15) as usize]
        });
        let temporary = sys::word(&[directory, b".drain-init.", &digits]);
        match sys::create(temporary, 0o700) {
            Err(Errno::EEXIST) => number = number.wrapping_add(1),
            Err(error) => return Err((target, error)),
            Ok(file) => break (temporary, file),
        }
    };
    let done = fill(file, program).and_then(|()| sys::publish(file, 0o755, temporary, target));
    done.map_err(|error| {
        // It is only the half of a program.
        let _ = unistd::unlink(temporary);
        (target, error)
    })
}

/// Writes what `program` has to `file`.
fn fill(file: i32, program: i32) -> nix::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let mut rest = sys::read(program, &mut buffer)?;
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            rest = &rest[sys::write(file, rest)?..];
        }
    }
}
