//! Faults: failing system calls, limits, held processes, full pipes, and the
//! children that a careless parent passes on.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use super::{Pid, SIGTERM, Setup};

impl Setup {
    /// Runs the init under strace, which makes these system calls fail, as in
    /// `close_range:error=ENOSYS`.
    pub fn failing(self, injections: &[&str]) -> Self {
        let calls: Vec<&str> = injections.iter().map(|i| i.split(':').next().unwrap()).collect();
        let mut words = vec!["strace".to_string(), "-qq".into(), "-o".into(), "/dev/null".into()];
        words.push(format!("--trace={}", calls.join(",")));
        words.extend(injections.iter().map(|i| format!("--inject={i}")));
        self.wrapped(words)
    }

    /// The process that executes the init already has a child, which is a zombie.
    pub fn leaving_a_zombie(self) -> Self {
        self.before_exec(|| {
            // SAFETY: the child exits at once, and the wait leaves it a zombie.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::_exit(0);
                }
                let mut info: libc::siginfo_t = std::mem::zeroed();
                let flags = libc::WEXITED | libc::WNOWAIT;
                libc::waitid(libc::P_PID, child.unsigned_abs(), &raw mut info, flags);
            }
            Ok(())
        })
    }

    /// The process that executes the init already has a child. The child's exit sends
    /// `signal` instead of CHLD. The child ignores TERM and exits when no process holds
    /// the other end of this pipe.
    pub fn leaving_a_child(self, ends_with: fs::File, signal: i32) -> Self {
        self.before_exec(move || {
            // SAFETY: as after fork(2), the child calls only async-signal-safe
            // functions, and exits.
            unsafe {
                let flags = libc::c_long::from(signal);
                if libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) == 0 {
                    libc::signal(SIGTERM, libc::SIG_IGN);
                    libc::setsid();
                    // It must not hold the descriptors open that it inherited.
                    libc::dup2(ends_with.as_raw_fd(), 0);
                    libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0);
                    let mut byte = 0_u8;
                    while libc::read(0, (&raw mut byte).cast(), 1) > 0 {}
                    libc::_exit(0);
                }
            }
            Ok(())
        })
    }

    /// Limits the size of files (`RLIMIT_FSIZE`).
    pub fn file_size(self, bytes: u64) -> Self {
        self.before_exec(move || {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            // SAFETY: the limit is valid.
            unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
            Ok(())
        })
    }

    pub fn closing(self, fd: i32) -> Self {
        self.before_exec(move || {
            // SAFETY: the standard library has put 0 to 2 in place by now.
            unsafe { libc::close(fd) };
            Ok(())
        })
    }
}

/// A process that strace holds in a system call, or keeps from opening a file, until
/// this is dropped.
pub struct Held(Child);

impl Held {
    /// Holds the process at the end of its next kill(2): the signal is sent, but the
    /// call does not return.
    pub fn in_kill(pid: Pid) -> Self {
        Self::by(pid, "kill", "delay_exit")
    }

    /// Holds the process at the end of its next fork(2): the child runs, but the call
    /// does not return in the parent.
    pub fn in_fork(pid: Pid) -> Self {
        Self::by(pid, "?fork,clone", "delay_exit")
    }

    /// Holds the init after it has noticed that a child stopped, in the ptrace(2) that
    /// checks whether the child is traced.
    pub fn at_a_stop(pid: Pid) -> Self {
        Self::by(pid, "ptrace", "delay_exit")
    }

    /// Holds the process at the start of its next write(2) or send(2).
    pub fn before_write(pid: Pid) -> Self {
        Self::by(pid, "write,sendto", "delay_enter")
    }

    /// Holds the process when it is about to open this file.
    pub fn before_open(pid: Pid, path: &str) -> Self {
        Self::by_more(pid, "?open,openat", "delay_enter", 1, &["-P", path])
    }

    /// Holds the process when it is about to open this file for the nth time.
    pub fn before_nth_open(pid: Pid, path: &str, n: u32) -> Self {
        Self::by_more(pid, "?open,openat", "delay_enter", n, &["-P", path])
    }

    /// Holds the process at the start of its first read(2) of this file.
    pub fn before_read(pid: Pid, path: &str) -> Self {
        Self::by_more(pid, "read", "delay_enter", 1, &["-P", path])
    }

    /// Makes every attempt of the process to open this file fail.
    pub fn off(pid: Pid, path: &str) -> Self {
        let inject = "?open,openat:error=EACCES";
        Self::attached(pid, "?open,openat", inject, &["-P", path])
    }

    fn by(pid: Pid, call: &str, delay: &str) -> Self {
        Self::by_more(pid, call, delay, 1, &[])
    }

    fn by_more(pid: Pid, call: &str, delay: &str, when: u32, more: &[&str]) -> Self {
        Self::attached(pid, call, &format!("{call}:{delay}=60000000:when={when}"), more)
    }

    fn attached(pid: Pid, call: &str, inject: &str, more: &[&str]) -> Self {
        let mut strace = Command::new("strace")
            .args(more)
            .args([format!("--trace={call}"), format!("--inject={inject}")])
            .args(["-o", "/dev/null", "-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(strace.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "{said}");
        Self(strace)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From now on a process cannot open a descriptor above 2.
pub fn no_more_descriptors(pid: Pid) {
    limit(pid, libc::RLIMIT_NOFILE, 3);
}

/// Sets a limit of a running process.
pub fn limit(pid: Pid, resource: impl TryInto<libc::c_long>, value: u64) {
    // The raw call: the C libraries do not agree on the type of a resource.
    let resource = resource.try_into().ok().unwrap();
    let limits = [value, value];
    // SAFETY: the kernel reads two numbers.
    let done =
        unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limits, 0_usize) };
    assert_eq!(done, 0, "prlimit: {}", io::Error::last_os_error());
}

/// Fills a descriptor. Its flags stay as they are.
pub fn fill(fd: &OwnedFd) {
    fill_up_to(fd, usize::MAX, 4096);
    fill_up_to(fd, usize::MAX, 1);
}

/// The same, but in steps of at most `step` bytes, and at most `most` bytes in all.
/// Returns the number of bytes written.
pub fn fill_up_to(fd: &OwnedFd, most: usize, step: usize) -> usize {
    let raw = fd.as_raw_fd();
    let bytes = vec![b'x'; step];
    let mut written = 0;
    // SAFETY: an open descriptor and a buffer of that size.
    unsafe {
        let flags = libc::fcntl(raw, libc::F_GETFL);
        libc::fcntl(raw, libc::F_SETFL, flags | libc::O_NONBLOCK);
        while written < most {
            match libc::write(raw, bytes.as_ptr().cast(), step.min(most - written)) {
                count if count > 0 => written += count.unsigned_abs(),
                _ => break,
            }
        }
        libc::fcntl(raw, libc::F_SETFL, flags);
    }
    written
}

/// The number of unread bytes.
pub fn unread(fd: &OwnedFd) -> i32 {
    let mut count = 0;
    // SAFETY: the kernel writes one int.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
    count
}
