//! Starts COMMAND and the drain and stop commands: fork, session, terminal,
//! directory, signal mask, exec.

use core::ffi::CStr;

use nix::errno::Errno;
use nix::sys::stat::{self, SFlag};
use nix::unistd::{self, AccessFlags, Pid};

use crate::config::exec_form::Cmd;
use crate::config::{self, Error, NamedCmd};
use crate::decimal;
use crate::report::{Level, Reporter};
use crate::signal::{Signal, SignalSet};
use crate::sys::{self, OneThread, Words};
use crate::wording;

const SHELL: &CStr = c"/bin/sh";

/// Where programs are looked for without a PATH: as Docker sets it.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to ask if a program that does not exist [`is_one_string`].
const ONE_STRING: &[u8] = b"is this a program and its arguments in one string?";

/// What drain-init was given, and hands on.
pub struct Inheritance {
    /// COMMAND and its arguments.
    pub argv: Words,
    /// The environment, less drain-init's own variables.
    pub environment: Words,
    /// Whether CHLD was ignored.
    pub sigchld_ignored: bool,
    /// The signals that an option or a variable names to be sent: they must not reach
    /// COMMAND ignored.
    pub named_signals: SignalSet,
    /// The working directory's path, where a drain or stop command needs it.
    pub directory: Option<&'static CStr>,
    /// That it may fork.
    pub one_thread: OneThread,
}

/// Whether a program's name has a blank in it, as an unsplit command line has.
fn is_one_string(program: &CStr) -> bool {
    program.to_bytes().contains(&b' ')
}

/// The value of `NAME=VALUE`, where that is the name.
fn value_of<'a>(word: &'a CStr, name: &[u8]) -> Option<&'a [u8]> {
    word.to_bytes().strip_prefix(name)?.strip_prefix(b"=")
}

/// A variable for [`Words`], with a decimal value.
fn variable(name: &[u8], pid: Pid) -> &'static CStr {
    let digits = decimal::written(pid.as_raw().unsigned_abs().into());
    sys::word(&[name, b"=", digits.as_bytes()])
}

/// The files that a program's name may mean, in the order in which execvp(3)
/// tries them.
fn candidates(
    program: &'static CStr,
    environment: &Words,
) -> impl Iterator<Item = &'static CStr> + use<> {
    let program = program.to_bytes();
    let path: &[u8] = if program.contains(&b'/') || program.is_empty() {
        // One empty directory: the name as it stands.
        b""
    } else {
        let set = environment.iter().find_map(|word| value_of(word, b"PATH"));
        set.unwrap_or(DEFAULT_PATH)
    };
    path.split(|&byte| byte == b':').map(move |directory| {
        let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        sys::word(&[directory, slash, program])
    })
}

/// The type of a file, if it exists. See inode(7).
#[must_use]
pub fn file_type(path: &CStr) -> Option<SFlag> {
    let mode = stat::stat(path).ok()?.st_mode;
    Some(SFlag::from_bits_truncate(mode) & SFlag::S_IFMT)
}

/// Whether a file can be executed, as far as can be seen without doing it.
fn is_executable(path: &CStr) -> bool {
    file_type(path) == Some(SFlag::S_IFREG) && unistd::access(path, AccessFlags::X_OK).is_ok()
}

/// Checks that a drain or stop command's program exists: a missing one must not be noticed
/// only in the middle of a stop.
///
/// # Errors
///
/// A usage error that names the program.
pub fn check(named: NamedCmd, environment: &Words) -> Result<(), Error> {
    let program = match named.cmd {
        Cmd::Shell(_) => SHELL,
        Cmd::Exec(words) => words[0],
    };
    if candidates(program, environment).any(is_executable) {
        return Ok(());
    }
    let right: &[u8] = match named.cmd {
        Cmd::Shell(_) => b"a JSON array of strings needs no shell",
        Cmd::Exec(_) if is_one_string(program) => ONE_STRING,
        Cmd::Exec(_) => b"try the path of a program in the image",
    };
    Err(Error::new(&[
        named.asked_by,
        b": '",
        program.to_bytes(),
        b"' is missing, not a regular file or not executable (",
        right,
        b")",
    ]))
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

/// Starts COMMAND in a process group of its own, so that what it sends to its
/// group does not reach drain-init. It stays in drain-init's session where that
/// is the terminal's or it is to be `alone`, and its group gets the terminal if
/// drain-init's has it; otherwise it gets a session of its own.
///
/// A session of its own on a terminal would have HUP sent to all that COMMAND
/// leaves behind, as it ends, and to the helpers that an entrypoint has started
/// before drain-init, as it begins.
///
/// # Errors
///
/// Of fork(2).
pub fn start_command(
    given: &mut Inheritance,
    alone: bool,
    reporter: Reporter,
) -> nix::Result<Command> {
    let own_pid = unistd::getpid();
    let foreground = sys::foreground_group(0);
    let stays = alone || (foreground.is_some() && unistd::getsid(None) == Ok(own_pid));
    let has_terminal = stays && foreground == Some(unistd::getpgrp());
    // Parent and child both, whoever comes first: before a signal is delivered,
    // and before the exec.
    let place = |pid: Pid| {
        let _ = unistd::setpgid(pid, pid);
        if has_terminal {
            // Where the terminal has hung up meanwhile there is none.
            let _ = sys::set_foreground_group(0, pid);
        }
    };
    if let Some(pid) = sys::fork(&given.one_thread)? {
        if stays {
            place(pid);
        }
        name_command(&mut given.environment, own_pid, pid);
        return Ok(Command { pid, has_terminal, on_terminal: foreground.is_some() });
    }
    if stays {
        place(unistd::getpid());
    } else {
        lead_session();
    }
    name_command(&mut given.environment, own_pid, unistd::getpid());
    sys::hand_over_signals(given.sigchld_ignored, given.named_signals);
    let error = search_and_exec(&given.argv, &given.environment);
    fail(&given.argv, error, reporter)
}

/// Gives the calling child a session, or if a filter refuses that at least a process
/// group: otherwise signals would reach one process of it.
fn lead_session() {
    if unistd::setsid().is_err() {
        let own_pid = unistd::getpid();
        let _ = unistd::setpgid(own_pid, own_pid);
    }
}

/// Where systemd's variables name drain-init, lets them name COMMAND, and takes
/// the pidfd that says the same as `LISTEN_PID` out. See `sd_listen_fds(3)`,
/// `sd_watchdog_enabled(3)` and systemd.exec(5).
fn name_command(environment: &mut Words, own_pid: Pid, command: Pid) {
    const NAMES: [&[u8]; 3] = [b"LISTEN_PID", b"WATCHDOG_PID", b"SYSTEMD_EXEC_PID"];
    let own = NAMES.map(|name| variable(name, own_pid));
    let mut listens = false;
    environment.replace(|word| {
        let which = own.iter().position(|own| *own == word)?;
        listens |= which == 0;
        Some(variable(NAMES[which], command))
    });
    if listens {
        environment.retain(|word| value_of(word, b"LISTEN_PIDFDID").is_none());
    }
}

/// Starts a drain or stop command, in a session of its own, told of COMMAND and
/// of the received signal.
///
/// # Errors
///
/// Of fork(2).
pub fn start_helper(
    cmd: &Cmd,
    given: &Inheritance,
    command: Pid,
    received: Signal,
    reporter: Reporter,
) -> nix::Result<Pid> {
    if let Some(pid) = sys::fork(&given.one_thread)? {
        return Ok(pid);
    }
    lead_session();
    sys::empty_stdin();
    enter(given.directory, reporter);

    let argv = match *cmd {
        Cmd::Exec(words) => Words::of(&mut words.iter().copied()),
        Cmd::Shell(line) => Words::of(&mut [SHELL, c"-c", line].into_iter()),
    };
    let signal = sys::word(&[config::SIGNAL_VARIABLE, b"=", received.name().as_bytes()]);
    let main_pid = variable(b"MAINPID", command);
    let others = given.environment.iter().filter(|word| {
        value_of(word, b"MAINPID").is_none() && value_of(word, config::SIGNAL_VARIABLE).is_none()
    });
    let environment = Words::of(&mut others.chain([main_pid, signal]));

    sys::hand_over_signals(given.sigchld_ignored, given.named_signals);
    let error = search_and_exec(&argv, &environment);
    fail(&argv, error, reporter)
}

/// Enters the directory in which drain-init was started. It is in / itself.
fn enter(directory: Option<&CStr>, reporter: Reporter) {
    let entered = directory.ok_or(Errno::ENOENT).and_then(unistd::chdir);
    if let Err(error) = entered {
        let directory = directory.map_or(&b""[..], CStr::to_bytes);
        reporter.say(Level::Notice, &|line| wording::cannot_enter(line, directory, error));
    }
}

/// Why a program cannot be executed.
#[derive(Clone, Copy)]
enum Failure {
    /// As execve(2) says.
    Error(Errno),
    /// The file is there; what it names to be run by is not.
    NoInterpreter,
    /// It is no script, and the kernel does not know its format.
    Foreign,
    /// It is a script for the shell, which cannot be executed.
    NoShell,
}

/// Executes a program as execvp(3) of glibc does. Returns only where that failed.
fn search_and_exec(argv: &Words, environment: &Words) -> Failure {
    let mut met = Failure::Error(Errno::ENOENT);
    let Some(program) = argv.iter().next() else {
        return met;
    };
    let searches = !program.to_bytes().contains(&b'/');
    for path in candidates(program, environment) {
        let failure = exec_or_run_script(path, argv, environment);
        if !searches {
            return failure;
        }
        match failure {
            Failure::Error(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => {}
            // The search goes on; what was met on the way is the better reason.
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

/// Executes a file, by the shell where it is a script and the kernel does not
/// know it for one: execvp(3) of glibc does so, musl's does not. A shell that is
/// given a binary finds a syntax error in it, and misleads.
fn exec_or_run_script(path: &'static CStr, argv: &Words, environment: &Words) -> Failure {
    match sys::exec(path, argv, environment) {
        Errno::ENOEXEC if is_binary(path) => Failure::Foreign,
        Errno::ENOEXEC => {
            let script = [SHELL, path];
            let script = Words::of(&mut script.into_iter().chain(argv.iter().skip(1)));
            let _ = sys::exec(SHELL, &script, environment);
            Failure::NoShell
        }
        Errno::ENOENT if file_type(path).is_some() => Failure::NoInterpreter,
        Errno::EACCES if file_type(path) == Some(SFlag::S_IFDIR) => Failure::Error(Errno::EISDIR),
        error => Failure::Error(error),
    }
}

/// Whether a file that the kernel does not know is no script: ELF, or a NUL in its
/// first line, by which shells tell it.
fn is_binary(path: &CStr) -> bool {
    let mut buffer = [0; 256];
    let start = sys::read_file(path, &mut buffer).unwrap_or_default();
    start.starts_with(b"\x7fELF") || start.iter().take_while(|&&it| it != b'\n').any(|&it| it == 0)
}

/// Ends a child whose program cannot be executed, with the status that sh(1),
/// env(1) and Docker use.
fn fail(argv: &Words, failure: Failure, reporter: Reporter) -> ! {
    // Where nobody reads what is said, PIPE must not take the status's place.
    sys::set_signal_mask(SignalSet::ALL);
    reporter.say(Level::Error, &|line| {
        let program = argv.iter().next().unwrap_or_default();
        line.text(b"cannot run '").text(program.to_bytes()).text(b"': ");
        match failure {
            Failure::Error(Errno::ENOENT) if is_one_string(program) => {
                line.error(Errno::ENOENT).text(b" (").text(ONE_STRING).text(b")")
            }
            Failure::Error(error) => line.error(error),
            Failure::NoInterpreter => {
                line.text(b"it is there, but its interpreter or dynamic loader is not")
            }
            Failure::Foreign => {
                line.error(Errno::ENOEXEC).text(b" (built for another architecture?)")
            }
            Failure::NoShell => {
                line.error(Errno::ENOEXEC).text(b" (it has no #! line, and /bin/sh cannot be run)")
            }
        };
    });
    sys::exit(match failure {
        Failure::NoInterpreter | Failure::Error(Errno::ENOENT | Errno::ENOTDIR) => 127,
        _ => 126,
    })
}
