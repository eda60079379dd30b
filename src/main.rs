//! The whole program: arguments → configuration → COMMAND → loop → status. See drain-init(1).
//!
//! A C `main`: Rust's own start-up would ignore SIGPIPE, which COMMAND would inherit, open
//! /dev/null for closed descriptors and map a signal stack. An init passes on what it was given.
#![no_main]
#![allow(unsafe_code, reason = "for main itself, and to take over what the kernel laid out for it")]

mod arena;

use core::ffi::{CStr, c_char, c_int};

use arena::Arena;

use drain_init::config::{self, Config, Error, HELP, Request, Variables};
use drain_init::report::{Level, Reporter};
use drain_init::signal::{Signal, SignalSet};
use drain_init::spawn::{self, Inheritance};
use drain_init::sys::{self, OneThread, Words};
use drain_init::{copy, init, mark, wording};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd;

/// The exit status after a usage error, or if COMMAND could not be forked.
const FAILURE: u8 = 1;

#[global_allocator]
static ARENA: Arena = Arena::new();

/// Called by the C library's start-up code.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, argv: *mut *const c_char, envp: *mut *const c_char) -> c_int {
    // First, so that no signal is lost: from here on each stays pending until the loop.
    sys::set_signal_mask(SignalSet::ALL);
    // SAFETY: the C library hands both over, and nothing here uses its getenv.
    let (argv, environment) = unsafe { (Words::from_raw(argv), Words::from_raw(envp)) };
    let called = argv.iter().next().unwrap_or_default().to_bytes();
    let reporter = Reporter::new(called, Level::Notice);
    let status = run(argv, environment, reporter).unwrap_or_else(|error| {
        reporter.say(Level::Error, &|line| line.text(error.as_bytes()));
        FAILURE
    });
    status.into()
}

/// From the arguments to the exit status, or a usage error.
fn run(argv: Words, mut environment: Words, reporter: Reporter) -> Result<u8, Error> {
    let mut variables = Variables::default();
    environment.update(|word| (!variables.take(word.to_bytes())).then_some(word));
    let is_pid_1 = unistd::getpid().as_raw() == 1;
    let config = match config::parse(argv.iter().map(CStr::to_bytes), &variables, is_pid_1)? {
        Request::Help => {
            return Ok(print(&[b"Usage: ", reporter.name, HELP.as_bytes()], reporter));
        }
        Request::Version => {
            let version = env!("CARGO_PKG_VERSION").as_bytes();
            return Ok(print(&[b"drain-init ", version, b"\n"], reporter));
        }
        Request::CopyTo(path) => {
            sys::let_signals_end(SignalSet::of(&[Signal::XFSZ]));
            return Ok(copy::copy_to(path, reporter));
        }
        Request::Run(config) => config,
    };
    let reporter = Reporter { level: config.level, ..reporter };
    for named in [config.drain_cmd, config.stop_cmd].into_iter().flatten() {
        spawn::check(named, &environment)?;
    }
    // Last, because it removes a file, and a usage error touches nothing.
    if let Some(file) = &mut config.drain_file {
        mark::prepare(file, is_pid_1, reporter)?;
    }
    if (config.plan.drain_file || config.plan.measure) && !config.plan.drain_lasts() {
        reporter.say(Level::Notice, &wording::ends_at_once);
    }
    for warning in variables.warnings() {
        reporter.say(Level::Notice, &|line| line.text(warning.as_bytes()));
    }
    let runs_helpers = config.drain_cmd.is_some() || config.stop_cmd.is_some();
    let given = Inheritance {
        argv: argv.skip(config.command),
        environment,
        sigchld_ignored: sys::reset_sigchld(),
        named_signals: config.named_signals,
        directory: runs_helpers.then(sys::working_directory).flatten(),
        // SAFETY: nothing in the program starts another.
        one_thread: unsafe { OneThread::promised() },
        reporter,
    };
    Ok(start(config, is_pid_1, given))
}

/// From the configuration to COMMAND's status.
fn start(config: &Config, is_pid_1: bool, mut given: Inheritance) -> u8 {
    let reporter = given.reporter;
    if let Some(signal) = config.pdeathsig {
        let parent = unistd::getppid();
        warn_on_error(sys::set_parent_death_signal(signal), b"--pdeathsig", reporter);
        if unistd::getppid() != parent {
            // It died before this call.
            let _ = sys::kill(unistd::getpid(), Some(signal));
        }
    }
    if (config.subreaper || config.plan.wait_all.is_some()) && !is_pid_1 {
        warn_on_error(prctl::set_child_subreaper(true), b"--subreaper", reporter);
    } else if config.plan.group && config.plan.drains() && !is_pid_1 {
        // The CHLD of COMMAND's orphans shows when its group may be gone. If this is refused,
        // drain-init still checks once a second.
        let _ = prctl::set_child_subreaper(true);
    }
    let command = match spawn::start_command(&mut given, !config.plan.group) {
        Ok(command) => command,
        Err(error) => return fail(wording::CANNOT_FORK, error, reporter),
    };
    reporter.say(Level::Verbose, &|line| wording::started(line, command.pid));
    // A lock or a socket that only drain-init kept open would outlive COMMAND.
    sys::close_from(3);
    // The writer of a pipe could not notice that COMMAND has closed it. Whatever takes the
    // number is closed again before the next fork. A terminal is needed for job control.
    if !command.on_terminal {
        sys::close(0);
    }
    let _ = unistd::chdir(c"/");

    let code = init::run(config, &given, &command).code();
    if config.remap_exit.contains(&code) { 0 } else { code }
}

/// Prints to stdout. The write may wait for a reader: signals end drain-init then, except
/// those that a failing write raises.
fn print(parts: &[&[u8]], reporter: Reporter) -> u8 {
    sys::let_signals_end(SignalSet::of(&[Signal::PIPE, Signal::XFSZ]));
    match sys::write_all(sys::STDOUT, &parts.concat()) {
        Ok(()) => 0,
        Err(error) => fail(wording::CANNOT_PRINT, error, reporter),
    }
}

fn fail(what: &[u8], error: Errno, reporter: Reporter) -> u8 {
    reporter.say(Level::Error, &|line| wording::because(line, what, error));
    FAILURE
}

fn warn_on_error(result: nix::Result<()>, option: &[u8], reporter: Reporter) {
    if let Err(error) = result {
        reporter.say(Level::Notice, &|line| wording::has_no_effect(line, option, error));
    }
}
