//! A test's files, programs and pipes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::patience;

/// A directory for one test, removed when this is dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        // Short, because a socket's path has at most 107 bytes. Not named after the
        // process ID, which another PID namespace may use as well.
        let path = nix::unistd::mkdtemp("/tmp/drain-init-XXXXXX").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes an executable file, from another process. If this process had it open, a
/// child that another thread forks would inherit it, and exec would fail (ETXTBSY).
pub fn executable(path: &Path, text: impl AsRef<[u8]>) {
    let mut install = Command::new("install")
        .args(["--mode=755", "/dev/stdin"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    install.stdin.take().unwrap().write_all(text.as_ref()).unwrap();
    assert!(install.wait().unwrap().success(), "{}", path.display());
}

/// A pipe's read end and write end, both close-on-exec.
pub fn pipe() -> (fs::File, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: pipe2 fills in two new descriptors.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (fs::File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

/// Waits until no process holds the other end of a pipe.
pub fn until_end(reader: &mut fs::File) {
    let mut wait = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let patience = patience().as_millis().try_into().unwrap();
    // SAFETY: one valid pollfd.
    let ready = unsafe { libc::poll(&raw mut wait, 1, patience) };
    assert_eq!(ready, 1, "a process still holds the other end");
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
}
