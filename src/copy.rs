//! `--copy-to`: an init container puts the program into a volume, from an image that has
//! nothing else.

use core::ffi::CStr;

use nix::errno::Errno;
use nix::sys::stat::SFlag;
use nix::unistd;

use crate::report::{Level, Reporter};
use crate::spawn;
use crate::sys;
use crate::wording;

/// Copies the running program to a path, or into a directory. Returns the exit status.
#[must_use]
pub fn copy_to(path: &CStr, reporter: Reporter) -> u8 {
    let is_directory = spawn::file_type(path) == Some(SFlag::S_IFDIR);
    let name: &[u8] = if is_directory { b"/drain-init" } else { b"" };
    let target = sys::word(&[path.to_bytes(), name]);
    let Err(error) = copy(target, sys::random()) else { return 0 };
    reporter.say(Level::Error, &|line| {
        wording::cannot_make(line, wording::CANNOT_COPY, target, error);
    });
    1
}

/// Replaces `target` by a copy, or leaves it. The number is for the name of a temporary
/// file.
fn copy(target: &CStr, mut number: u32) -> nix::Result<()> {
    let program = sys::open_to_read(c"/proc/self/exe")?;
    let (temporary, file) = loop {
        let mut digits = [0; 8];
        for digit in &mut digits {
            *digit = b"0123456789abcdef"[number as usize & 15];
            number = number.rotate_right(4);
        }
        let temporary = sys::word(&[sys::directory(target), b".drain-init.", &digits]);
        match sys::create(temporary, 0o700) {
            Err(Errno::EEXIST) => number = number.wrapping_add(1),
            file => break (temporary, file?),
        }
    };
    let done = fill(file, program).and_then(|()| sys::publish(file, 0o755, temporary, target));
    if done.is_err() {
        // It may be only the half of a program.
        let _ = unistd::unlink(temporary);
    }
    done
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it copies the program")]
    fn a_leftover_of_the_same_name_does_not_prevent_the_copy() {
        let directory = unistd::mkdtemp("/tmp/drain-init-XXXXXX").unwrap();
        let leftovers = [".drain-init.00000000", ".drain-init.10000000"];
        for name in leftovers {
            std::fs::write(directory.join(name), "half").unwrap();
        }
        let target = sys::word(&[directory.as_os_str().as_encoded_bytes(), b"/drain-init"]);
        assert_eq!(copy(target, 0), Ok(()));
        for name in leftovers {
            assert_eq!(std::fs::read(directory.join(name)).unwrap(), b"half");
        }
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 3);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
