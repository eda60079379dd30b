//! Starts COMMAND and the drain and stop commands: fork, session, terminal, signal mask, exec.

use core::ffi::CStr;

use nix::errno::Errno;
use nix::sys::stat::{self, SFlag};
use nix::unistd::{self, AccessFlags, Pid};

use crate::config::exec_form::Cmd;
use crate::config::{self, Error, Named};
use crate::report::{Level, Reporter};
use crate::signal::{Signal, SignalSet};
use crate::sys::{self, OneThread, Words};
use crate::terminal;
use crate::text;
use crate::wording::{self, Failure};

const SHELL: &CStr = c"/bin/sh";

/// The search path if PATH is not set, as Docker sets it.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What drain-init inherited, and passes on to the programs that it starts.
pub struct Inheritance {
    /// COMMAND and its arguments.
    pub argv: Words,
    /// The environment without drain-init's own variables.
    pub environment: Words,
    /// Whether CHLD was ignored.
    pub sigchld_ignored: bool,
    /// The signals that an option or a variable asks drain-init to send. No program that it
    /// starts may inherit them ignored.
    pub named_signals: SignalSet,
    /// The working directory's path, if there is a drain or stop command to run in it.
    pub directory: Option<&'static CStr>,
    /// The promise that makes fork(2) safe.
    pub one_thread: OneThread,
    /// What writes all messages.
    pub reporter: Reporter,
}

/// The value of `NAME=VALUE`, if the name is this one.
fn value_of<'a>(word: &'a CStr, name: &[u8]) -> Option<&'a [u8]> {
    word.to_bytes().strip_prefix(name)?.strip_prefix(b"=")
}

/// A variable for [`Words`], with a decimal value.
fn variable(name: &[u8], pid: Pid) -> &'static CStr {
    sys::word(&[name, b"=", text::digits(pid.as_raw().unsigned_abs().into(), &mut [0; 20])])
}

/// The paths that a program's name can stand for, in the order of execvp(3).
fn candidates(
    program: &'static [u8],
    environment: &Words,
) -> impl Iterator<Item = &'static CStr> + use<> {
    let path: &[u8] = if program.contains(&b'/') || program.is_empty() {
        // One empty directory: the name is the path.
        b""
    } else {
        let set = environment.iter().find_map(|word| value_of(word, b"PATH"));
        set.unwrap_or(DEFAULT_PATH)
    };
    text::split(path, b':').map(move |directory| {
        let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        sys::word(&[directory, slash, program])
    })
}

/// The type of a file, if it exists. See inode(7).
pub(crate) fn file_type(path: &CStr) -> Option<SFlag> {
    let mode = stat::stat(path).ok()?.st_mode;
    Some(SFlag::from_bits_truncate(mode) & SFlag::S_IFMT)
}

/// Whether a file can be executed, as far as can be seen without doing it.
fn is_executable(path: &CStr) -> bool {
    file_type(path) == Some(SFlag::S_IFREG) && unistd::access(path, AccessFlags::X_OK).is_ok()
}

/// Checks that a drain or stop command's program exists. In the middle of a stop it is too late.
#[inline(never)] // Like copy::copy, it would be larger as a part of main.
pub fn check(named: Named<Cmd>, environment: &Words) -> Result<(), Error> {
    let (program, right): (_, &[u8]) = match named.value {
        Cmd::Shell(_) => (SHELL, b"a JSON array of strings needs no shell"),
        Cmd::Exec([program, ..]) if program.to_bytes().contains(&b' ') => {
            (program, wording::ONE_STRING)
        }
        Cmd::Exec(words) => (words[0], b"try the path of a program in the image"),
    };
    let program = program.to_bytes();
    if candidates(program, environment).any(is_executable) {
        return Ok(());
    }
    let wrong = [b"is missing, not a regular file or not executable", &b""[..]];
    Err(Error::refused(named.asked_by, program, &wrong, right))
}

/// COMMAND, just started.
pub struct Command {
    /// Its process ID, which is that of its process group, too.
    pub pid: Pid,
    /// Whether its group was given the terminal.
    pub has_terminal: bool,
    /// Whether stdin is drain-init's controlling terminal.
    pub on_terminal: bool,
}

/// Starts COMMAND as the leader of a process group, so that what it sends to its group does not
/// reach drain-init. If drain-init leads its terminal's session, or with `--single-child`, COMMAND
/// stays in that session, and its group becomes the foreground group if drain-init's was. On a
/// terminal, a new session would make the kernel send HUP to the helpers that an entrypoint
/// started before, and to all that COMMAND leaves running. Otherwise COMMAND leads a new session.
pub fn start_command(given: &mut Inheritance, single_child: bool) -> nix::Result<Command> {
    let own_pid = unistd::getpid();
    let foreground = terminal::foreground_group(sys::STDIN);
    // Session 0 belongs to a process outside the PID namespace (`unshare --pid` on a
    // terminal), so no process inside leads it.
    let may_keep = |session: Pid| session == own_pid || session.as_raw() == 0;
    let stays = single_child || (foreground.is_some() && unistd::getsid(None).is_ok_and(may_keep));
    // Group 0 is any group outside, perhaps a shell's. COMMAND's group then becomes the
    // foreground group when TTIN or TTOU suspends it.
    let own_group = unistd::getpgrp();
    let has_terminal = stays && own_group.as_raw() != 0 && foreground == Some(own_group);
    let child = sys::fork(&given.one_thread)?;
    let pid = child.unwrap_or_else(unistd::getpid);
    // Parent and child both do this, so that it precedes the exec and the first forwarded signal.
    if stays {
        let _ = unistd::setpgid(pid, pid);
        if has_terminal {
            // It fails if the terminal has hung up meanwhile.
            let _ = unistd::tcsetpgrp(sys::STDIN, pid);
        }
    } else if child.is_none() {
        lead_session();
    }
    name_command(&mut given.environment, own_pid, pid);
    if child.is_some() {
        return Ok(Command { pid, has_terminal, on_terminal: foreground.is_some() });
    }
    run(&given.argv, &given.environment, given)
}

/// Gives the calling child a session or, if a seccomp filter forbids that, a process group.
fn lead_session() {
    if unistd::setsid().is_err() {
        let own_pid = unistd::getpid();
        let _ = unistd::setpgid(own_pid, own_pid);
    }
}

/// If systemd's variables name drain-init, makes them name COMMAND, and removes the ID of its
/// pidfd. See `sd_listen_fds(3)`, `sd_watchdog_enabled(3)` and systemd.exec(5).
fn name_command(environment: &mut Words, own_pid: Pid, command: Pid) {
    const NAMES: [&[u8]; 3] = [b"LISTEN_PID", b"WATCHDOG_PID", b"SYSTEMD_EXEC_PID"];
    let own = NAMES.map(|name| variable(name, own_pid));
    let listens = environment.iter().any(|word| word == own[0]);
    environment.update(|word| match own.iter().position(|own| *own == word) {
        Some(which) => Some(variable(NAMES[which], command)),
        None if listens && value_of(word, b"LISTEN_PIDFDID").is_some() => None,
        None => Some(word),
    });
}

/// Starts a drain or stop command in a new session, with COMMAND's ID and the signal in variables.
pub(crate) fn start_helper(
    cmd: &Cmd,
    given: &Inheritance,
    command: Pid,
    received: Signal,
) -> nix::Result<Pid> {
    if let Some(pid) = sys::fork(&given.one_thread)? {
        return Ok(pid);
    }
    lead_session();
    sys::empty_stdin();
    // drain-init itself is in /.
    let directory = given.directory.unwrap_or_default();
    if let Err(error) = unistd::chdir(directory) {
        let directory = directory.to_bytes();
        given.reporter.say(Level::Notice, &|line| wording::cannot_enter(line, directory, error));
    }

    let none = &mut core::iter::empty();
    let argv = match *cmd {
        Cmd::Exec(words) => Words::of(words, none),
        Cmd::Shell(line) => Words::of(&[SHELL, c"-c", line], none),
    };
    let signal = sys::word(&[config::SIGNAL_VARIABLE, b"=", received.name()]);
    let own = [variable(b"MAINPID", command), signal];
    let mut others = given.environment.iter().filter(|word| {
        value_of(word, b"MAINPID").is_none() && value_of(word, config::SIGNAL_VARIABLE).is_none()
    });
    run(&argv, &Words::of(&own, &mut others), given)
}

/// Executes a program in a child, or ends it with the status that sh(1), env(1) and Docker use.
fn run(argv: &Words, environment: &Words, given: &Inheritance) -> ! {
    sys::hand_over_signals(given.sigchld_ignored, given.named_signals);
    let program = argv.iter().next().unwrap_or_default().to_bytes();
    let failure = search_and_exec(program, argv, environment);
    // If stderr has no reader, PIPE must not end the child before it exits with its status.
    sys::set_signal_mask(SignalSet::ALL);
    given.reporter.say(Level::Error, &|line| wording::cannot_run(line, program, failure));
    sys::exit(match failure {
        Failure::NoInterpreter | Failure::Error(Errno::ENOENT | Errno::ENOTDIR) => 127,
        _ => 126,
    })
}

/// Executes a program as glibc's execvp(3) does. Returns only if that fails.
fn search_and_exec(program: &'static [u8], argv: &Words, environment: &Words) -> Failure {
    let searches = !program.contains(&b'/');
    let mut met = Failure::Error(Errno::ENOENT);
    for path in candidates(program, environment) {
        let failure = exec_or_run_script(path, argv, environment);
        match failure {
            Failure::Error(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) if searches => {}
            // The search continues. If nothing runs, this is the better reason.
            Failure::Error(Errno::EACCES | Errno::EISDIR) => met = failure,
            Failure::Error(Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT)
            | Failure::NoInterpreter => {
                if matches!(met, Failure::Error(Errno::ENOENT)) {
                    met = failure;
                }
            }
            _ => return failure,
        }
    }
    met
}

/// Executes a file. A script that the kernel refuses is run by the shell, as in glibc's execvp(3)
/// but not musl's. A binary is not: the shell would report a misleading syntax error.
fn exec_or_run_script(path: &'static CStr, argv: &Words, environment: &Words) -> Failure {
    match sys::exec(path, argv, environment) {
        Errno::ENOEXEC if is_binary(path) => Failure::Foreign,
        Errno::ENOEXEC => {
            let script = Words::of(&[SHELL, path], &mut argv.iter().skip(1));
            let _ = sys::exec(SHELL, &script, environment);
            Failure::NoShell
        }
        Errno::ENOENT if file_type(path).is_some() => Failure::NoInterpreter,
        Errno::EACCES if file_type(path) == Some(SFlag::S_IFDIR) => Failure::Error(Errno::EISDIR),
        error => Failure::Error(error),
    }
}

/// Whether a file is ELF, or has a NUL in its first line, by which shells detect a binary.
fn is_binary(path: &CStr) -> bool {
    let mut buffer = [0; 256];
    let start = sys::read_file(path, &mut buffer).unwrap_or_default();
    start.starts_with(b"\x7fELF") || start.iter().take_while(|&&it| it != b'\n').any(|&it| it == 0)
}
