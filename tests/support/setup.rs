//! Sets up the init under test: its arguments, what it inherits, where it runs, and
//! COMMAND.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use super::events::{Event, accept, read_lines, watch};
use super::{Pid, Place, Run, TempDir, Terminal, executable, init_path, probe_path, runner};

type Prelude = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

/// A run of the init that is being set up.
pub struct Setup {
    dir: Arc<TempDir>,
    listener: UnixListener,
    init: PathBuf,
    probe: PathBuf,
    args: Vec<OsString>,
    command: Option<Vec<OsString>>,
    script: Vec<String>,
    env: Vec<(OsString, Option<OsString>)>,
    clear_env: bool,
    place: Place,
    terminal: Terminal,
    prelude: Vec<Prelude>,
    wrap: Vec<OsString>,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    cwd: Option<PathBuf>,
}

/// The init, called with these arguments before COMMAND.
pub fn init<I, S>(args: I) -> Setup
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let dir = Arc::new(TempDir::new());
    let listener = UnixListener::bind(dir.path("socket")).unwrap();
    fs::set_permissions(dir.path("socket"), fs::Permissions::from_mode(0o777)).unwrap();
    Setup {
        dir,
        listener,
        init: init_path(),
        probe: probe_path(),
        args: args.into_iter().map(|a| a.as_ref().to_owned()).collect(),
        command: None,
        script: Vec::new(),
        env: Vec::new(),
        clear_env: false,
        place: Place::Ordinary,
        terminal: Terminal::None,
        prelude: Vec::new(),
        wrap: Vec::new(),
        stdin: None,
        stdout: None,
        stderr: None,
        cwd: None,
    }
}

impl Setup {
    /// One more argument before COMMAND.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Orders that the main probe carries out before it reports that it is ready.
    pub fn script<S: Into<String>>(mut self, orders: impl IntoIterator<Item = S>) -> Self {
        self.script.extend(orders.into_iter().map(Into::into));
        self
    }

    /// COMMAND exits with this status on this signal.
    pub fn exits_on(self, signal: i32, status: i32) -> Self {
        self.script([format!("on {signal} exit {status}")])
    }

    /// Puts these words after the options, instead of the probe. An empty list means no
    /// COMMAND.
    pub fn command<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = Some(words.into_iter().map(|w| w.as_ref().to_owned()).collect());
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Leaves only the variables of [`Setup::env`] in the environment.
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    pub fn pid1(mut self) -> Self {
        self.place = Place::Pid1;
        self
    }

    pub fn hosted(mut self) -> Self {
        self.place = Place::Hosted;
        self
    }

    pub fn terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = terminal;
        self
    }

    /// Starts the init by another path, such as a link.
    pub fn called(mut self, path: impl Into<PathBuf>) -> Self {
        self.init = path.into();
        self
    }

    /// Uses copies of the init and of the probe, for a user or for root without
    /// capabilities: neither may be able to enter the source tree, for example in /root.
    /// Must be called first.
    pub fn for_any_user(mut self) -> Self {
        for program in [&mut self.init, &mut self.probe] {
            let copy = self.dir.path(program.file_name().unwrap().to_str().unwrap());
            executable(&copy, fs::read(&*program).unwrap());
            *program = copy;
        }
        self
    }

    /// As a user that no other test uses, which may have so many processes. Follows
    /// [`Setup::for_any_user`].
    pub fn limited_to_processes(self, most: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = std::process::id() * 8 + NEXT.fetch_add(1, Ordering::Relaxed);
        let user = 40_000 + next % 14_000;
        let limit = format!("--nproc={most}:{most}");
        let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
        self.wrapped(["prlimit", &limit, "setpriv", &user, &group, "--clear-groups"])
    }

    /// Puts these words before the init, in its namespace: `setpriv --reuid=1 ...`.
    pub fn wrapped<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.wrap.extend(words.into_iter().map(|w| w.as_ref().to_owned()));
        self
    }

    /// Executes the init with exactly these strings as its environment.
    pub fn raw_env<S: AsRef<OsStr>>(self, entries: impl IntoIterator<Item = S>) -> Self {
        let mut words: Vec<OsString> = vec![probe_path().into(), "exec-env".into()];
        words.extend(entries.into_iter().map(|e| e.as_ref().to_owned()));
        words.push("--".into());
        self.wrapped(words)
    }

    /// Runs this in the new process just before exec. It must be async-signal-safe.
    pub fn before_exec(
        mut self,
        prelude: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.prelude.push(Box::new(prelude));
        self
    }

    pub fn ignoring(self, signal: i32) -> Self {
        self.before_exec(move || {
            set_disposition(signal, libc::SIG_IGN);
            Ok(())
        })
    }

    pub fn blocking(self, signal: i32) -> Self {
        self.before_exec(move || {
            let set: u64 = 1 << (signal - 1);
            // SAFETY: the set is eight bytes, as the kernel's is.
            unsafe {
                libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0_usize, 8)
            };
            Ok(())
        })
    }

    /// This signal is blocked and pending when the init is executed.
    pub fn pending(self, signal: i32) -> Self {
        self.blocking(signal).before_exec(move || {
            // SAFETY: touches no memory.
            unsafe { libc::kill(libc::getpid(), signal) };
            Ok(())
        })
    }

    pub fn in_group(self, group: Pid) -> Self {
        self.before_exec(move || {
            // SAFETY: touches no memory.
            match unsafe { libc::setpgid(0, group) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }

    /// The init leads a session without a terminal.
    pub fn in_session(self) -> Self {
        self.before_exec(|| {
            // SAFETY: touches no memory.
            unsafe { libc::setsid() };
            Ok(())
        })
    }

    pub fn umask(self, umask: u32) -> Self {
        self.before_exec(move || {
            // SAFETY: cannot fail.
            unsafe { libc::umask(umask) };
            Ok(())
        })
    }

    /// Passes this descriptor to the init under this number. If the soft limit is too low
    /// for that, it is raised to the hard limit.
    pub fn passing(self, fd: OwnedFd, number: i32) -> Self {
        self.before_exec(move || {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the limit is valid. dup2 clears close-on-exec, unless both numbers
            // are the same.
            let done = unsafe {
                libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
                if limit.rlim_cur <= number.unsigned_abs().into() {
                    limit.rlim_cur = limit.rlim_max;
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                }
                match fd.as_raw_fd() {
                    own if own == number => libc::fcntl(own, libc::F_SETFD, 0),
                    own => libc::dup2(own, number),
                }
            };
            if done < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        })
    }

    /// Executes the init with no argument at all, not even its name.
    pub fn without_arguments(self) -> Self {
        let path = CString::new(self.init.as_os_str().as_bytes()).unwrap();
        self.before_exec(move || {
            let none = [std::ptr::null::<libc::c_char>()];
            // SAFETY: both lists end with NULL.
            unsafe { libc::execve(path.as_ptr(), none.as_ptr(), none.as_ptr()) };
            Err(io::Error::last_os_error())
        })
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// A file in this run's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path(name)
    }

    /// The words that run a probe of this name.
    pub fn probe_words(&self, name: &str, orders: &[&str]) -> Vec<OsString> {
        let mut words =
            vec![self.probe.clone().into_os_string(), self.dir.path("socket").into_os_string()];
        words.push(name.into());
        words.extend(orders.iter().map(OsString::from));
        words
    }

    /// A CMD in exec form that runs a probe of this name.
    pub fn probe_json(&self, name: &str, orders: &[&str]) -> String {
        let words = self.probe_words(name, orders);
        let words: Vec<String> =
            words.iter().map(|w| format!("\"{}\"", w.to_str().unwrap())).collect();
        format!("[{}]", words.join(","))
    }

    /// `--drain-cmd` with a probe named `drain`.
    pub fn drain_cmd(self, orders: &[&str]) -> Self {
        let json = self.probe_json("drain", orders);
        self.arg("--drain-cmd").arg(json)
    }

    /// `--stop-cmd` with a probe named `stop`.
    pub fn stop_cmd(self, orders: &[&str]) -> Self {
        let json = self.probe_json("stop", orders);
        self.arg("--stop-cmd").arg(json)
    }

    /// A link to the init under test in this run's directory.
    pub fn link(&self, name: &str) -> PathBuf {
        let link = self.dir.path(name);
        symlink(init_path(), &link).unwrap();
        link
    }

    fn whole_command(&self) -> Vec<OsString> {
        let mut words = self.place.words(&self.dir.path("socket"));
        words.extend(self.wrap.iter().cloned());
        words.extend(runner().into_iter().map(OsString::from));
        words.push(self.init.clone().into_os_string());
        words.extend(self.args.iter().cloned());
        if let Some(command) = &self.command {
            words.extend(command.iter().cloned());
        } else {
            let script: Vec<&str> = self.script.iter().map(String::as_str).collect();
            words.push("--".into());
            words.extend(self.probe_words("main", &script));
        }
        words
    }

    /// Starts it without waiting.
    pub fn spawn(mut self) -> Run {
        // The test adopts the processes that outlive the init, and kills them (see Drop).
        // SAFETY: touches no memory.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        let words = self.whole_command();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if self.clear_env {
            command.env_clear();
        }
        // Set by Cargo; the loader of a dynamic build would search there.
        command.env_remove("LD_LIBRARY_PATH");
        for (name, _) in std::env::vars_os() {
            let bytes = name.as_bytes();
            if bytes.starts_with(b"DRAIN_INIT_")
                || bytes.starts_with(b"DUMB_INIT_")
                || bytes.starts_with(b"TINI_")
                || bytes.starts_with(b"LISTEN_")
                || bytes.starts_with(b"WATCHDOG_")
                || bytes.starts_with(b"SYSTEMD_")
            {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let master = self.terminal.give(&mut command);
        if self.terminal == Terminal::None {
            command.stdin(self.stdin.take().unwrap_or_else(Stdio::null));
            command.stdout(self.stdout.take().unwrap_or_else(Stdio::piped));
        }
        command.stderr(self.stderr.take().unwrap_or_else(Stdio::piped));
        // SAFETY: system calls only.
        unsafe { command.pre_exec(start_afresh) };
        for prelude in self.prelude.drain(..) {
            // SAFETY: the preludes make system calls only.
            unsafe { command.pre_exec(prelude) };
        }

        let (events, receiver) = channel();
        let listener = Arc::new(self.listener);
        accept(listener.clone(), events.clone());
        #[allow(clippy::zombie_processes)] // `watch` waits for it
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{words:?}: {e}"));
        let pid = child.id().try_into().unwrap();
        drop(command);
        if let Some(pipe) = child.stderr.take() {
            read_lines(pipe, events.clone(), Event::Stderr, false);
        }
        if let Some(pipe) = child.stdout.take() {
            read_lines(pipe, events.clone(), Event::Stdout, true);
        }
        let ended = Arc::new(Mutex::new(false));
        watch(pid, self.place, events, ended.clone());
        Run {
            init: self.init,
            dir: self.dir,
            listener,
            place: self.place,
            wrapped: !self.wrap.is_empty(),
            child: pid,
            ended,
            receiver,
            seen: Vec::new(),
            used: Vec::new(),
            connections: Vec::new(),
            master,
        }
    }

    /// Starts it and waits until COMMAND, the main probe, is ready.
    pub fn start(self) -> Run {
        let mut run = self.spawn();
        run.wait("main", "ready");
        run
    }

    /// Runs it until it exits.
    pub fn finish(self) -> Finished {
        let mut run = self.spawn();
        let status = run.status();
        run.drain_output();
        Finished { status, stdout: run.stdout(), stderr: run.stderr(), started: run.names() }
    }
}

/// The parent of the tests may have passed on ignored signals and open descriptors.
#[allow(clippy::unnecessary_wraps)] // pre_exec takes this type
fn start_afresh() -> io::Result<()> {
    for signal in 1..=64 {
        set_disposition(signal, libc::SIG_DFL);
    }
    for fd in 3..1024 {
        // SAFETY: only sets a flag, and fails if nothing is open.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// The raw call, because glibc reserves 32 and 33.
fn set_disposition(signal: i32, handler: usize) {
    let action = [handler as u64, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads its sigaction, which is not longer than this and
    // begins with the handler; only SIG_DFL and SIG_IGN come here.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), 0_usize, 8) };
}

/// The result of a run.
#[derive(Debug)]
pub struct Finished {
    /// The exit status, or the signal that killed the init, negated.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    /// The names of the probes that connected.
    pub started: Vec<String>,
}
