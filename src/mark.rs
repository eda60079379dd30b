//! The drain file: a mark that servers, proxies and health checks look for.

use core::ffi::CStr;

use nix::errno::Errno::{EACCES, EEXIST, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EROFS};
use nix::sys::stat::{self, Mode};
use nix::unistd::{self, AccessFlags};

use crate::config::{Error, Named};
use crate::report::{Level, Reporter};
use crate::sys;
use crate::wording;

/// Checks that the drain file can be created later, and as PID 1 removes an empty one, which the
/// container's previous run left. Creates nothing. Makes the path absolute. Returns a usage error
/// if creating the file could only fail at the stop, or if its path is taken.
pub fn prepare(file: &mut Named<&CStr>, is_pid_1: bool, reporter: Reporter) -> Result<(), Error> {
    if !file.value.to_bytes().starts_with(b"/") {
        let directory = sys::working_directory().unwrap_or_default();
        file.value = sys::word(&[directory.to_bytes(), b"/", file.value.to_bytes()]);
    }
    let Err(error) = check(file.value, is_pid_1, reporter) else { return Ok(()) };
    // Any other error may be gone by the time of the stop.
    if !matches!(error, EACCES | EEXIST | ELOOP | ENAMETOOLONG | ENOENT | ENOTDIR | EPERM | EROFS) {
        return Ok(());
    }
    let wrong = [b"cannot be created: ", sys::error_text(error).unwrap_or_default()];
    let right = b"try a new file in a writable directory";
    Err(Error::refused(file.asked_by, file.value.to_bytes(), &wrong, right))
}

fn check(path: &CStr, is_pid_1: bool, reporter: Reporter) -> nix::Result<()> {
    let found = match stat::lstat(path) {
        Err(ENOENT) => {
            let directory = sys::word(&[sys::directory(path)]);
            return unistd::access(directory, AccessFlags::W_OK | AccessFlags::X_OK);
        }
        found => found?,
    };
    if found.st_mode & libc::S_IFMT != libc::S_IFREG || found.st_size != 0 {
        return Err(EEXIST);
    }
    if is_pid_1 {
        return unistd::unlink(path);
    }
    reporter.say(Level::Notice, &|line| wording::drain_file_exists(line, path));
    Ok(())
}

/// Creates the drain file. One that exists is as good.
pub fn create(path: &CStr, reporter: Reporter) {
    match sys::create(path, Mode::from_bits_truncate(0o644)) {
        Ok(_) | Err(EEXIST) => {}
        Err(error) => wording::report_not_made(reporter, wording::CANNOT_CREATE, path, error),
    }
}
