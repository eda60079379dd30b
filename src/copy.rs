//! `--copy-to`: an init container puts the program into a volume, from an image with nothing else.

use core::ffi::CStr;

use nix::errno::Errno;
use nix::fcntl::{self, AT_FDCWD};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd;

use crate::report::Reporter;
use crate::spawn;
use crate::sys;
use crate::text::DIGITS;
use crate::wording;

/// Copies the running program to a path, or into a directory. Returns the exit status.
pub fn copy_to(path: &CStr, reporter: Reporter) -> u8 {
    let is_directory = spawn::file_type(path) == Some(SFlag::S_IFDIR);
    let name: &[u8] = if is_directory { b"/drain-init" } else { b"" };
    let target = sys::word(&[path.to_bytes(), name]);
    let Err(error) = copy(target, sys::random()) else { return 0 };
    wording::report_not_made(reporter, wording::CANNOT_COPY, target, error);
    1
}

/// Replaces `target` by a copy, or leaves it. The number is for a temporary file's name.
#[inline(never)] // As a part of main, and of its large frame, it would be larger.
fn copy(target: &CStr, mut number: u32) -> nix::Result<()> {
    let (temporary, file) = loop {
        let mut digits = [0; 8];
        for digit in &mut digits {
            *digit = DIGITS[number as usize & 15];
            number = number.rotate_right(4);
        }
        let temporary = sys::word(&[sys::directory(target), b".drain-init.", &digits]);
        match sys::create(temporary, Mode::S_IRWXU) {
            Ok(file) => break (temporary, file),
            Err(Errno::EEXIST) => number = number.wrapping_add(1),
            Err(error) => return Err(error),
        }
    };
    let mut append = |piece: &[u8]| sys::write_all(&file, piece);
    let done = sys::for_each_piece(c"/proc/self/exe", &mut append).and_then(|()| {
        sys::set_mode(&file, 0o755)?;
        unistd::fsync(&file)?;
        fcntl::renameat(AT_FDCWD, temporary, AT_FDCWD, target)
    });
    if done.is_err() {
        // It may be only the half of a program.
        let _ = unistd::unlink(temporary);
    }
    done
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
