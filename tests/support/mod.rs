//! Starts the init under test with a probe (probe.rs) as its COMMAND, and waits
//! for what they report.
//!
//! Which init: `INIT_UNDER_TEST` (a path; by default the one that cargo built),
//! run by `INIT_RUNNER` (such as `qemu-aarch64-static`) if that is set.
//!
//! Every wait is for an event. It fails after [`patience`] and shows all events so
//! far.
//!
//! The manual page's sections, and the files of tests/ that test them:
//!
//! - DESCRIPTION: pid1 (the duties of PID 1)
//! - OPTIONS, ENVIRONMENT: `command_line`
//! - STOP SEQUENCE: `signal_delivery`, draining, `stop_command`,
//!   `drain_and_stop_commands`, `kill_after`, `order_of_events`; its Job control:
//!   `job_control`; the wait for COMMAND's group: `after_command_exits` and
//!   `remaining_processes`; `--wait-all`: `wait_all`
//! - STOP SEQUENCE, "What COMMAND sees": `command_sees`
//! - `--drain-file`: marking; `--measure-drain`: measuring; `--copy-to`: copying
//! - EXIT STATUS: `exit_status`
//! - DIAGNOSTICS: messages
//! - NOTES: `compliance_dumb_init`, `compliance_tini`, which dumb-init and tini
//!   pass as well, and differential (random runs of dumb-init and drain-init)
//! - at the limits of a machine: `resource_limits`, `stderr_that_blocks`,
//!   `kernel_refusals`, `traced_commands`, `unusual_environments`, clocks; thousands
//!   of runs: storms
//! - compare: one scenario for each row of docs/comparison.md (`make compare`)
//! - documents: whether the pages agree with each other
//!
//! The modules, all imported by `use support::*`:
//!
//! - abilities: requirements that a test is skipped without, as in `needs!(strace())`
//! - peer: the init under test, and the emulator that it may run in
//! - setup: how an init is started; namespace and terminal: where it runs
//! - run: a running init; events: what a test sees of it
//! - proc: /proc, and signals to a process; files: files, programs, pipes
//! - faults: failing calls, limits, held processes, full pipes
//! - time: how long things may take
//! - scenarios: what any init is expected to do; run with each of them
//!
//! probe.rs is the program that runs as COMMAND. tests/reliability/ is shared by the
//! tests of faults, storms and differential.

#![allow(dead_code, unused_imports)] // no test file uses all of it
#![allow(unsafe_code)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::return_self_not_must_use)]

mod abilities;
mod events;
mod faults;
mod files;
mod namespace;
mod peer;
mod proc;
mod run;
pub mod scenarios;
mod setup;
mod terminal;
mod time;

pub use abilities::*;
pub use faults::*;
pub use files::*;
pub use namespace::*;
pub use peer::*;
pub use proc::*;
pub use run::*;
pub use setup::*;
pub use terminal::*;
pub use time::*;

pub use libc::{
    SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE,
    SIGQUIT, SIGSEGV, SIGSTOP, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1,
    SIGUSR2, SIGWINCH, SIGXFSZ,
};
