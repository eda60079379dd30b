//! Starts the init under test with a probe (probe.rs) as its COMMAND, and waits
//! for what they report.
//!
//! Which init: `INIT_UNDER_TEST` (a path; without it the one that cargo built),
//! behind `INIT_RUNNER` (such as `qemu-aarch64-static`) if that is set.
//!
//! Every wait is for an event and fails after [`patience`], showing what was
//! seen until then.
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
//! - NOTES: `compliance_dumb_init`, `compliance_tini`, which those inits
//!   pass as well, and differential (dumb-init beside drain-init, at random)
//! - all of it at the limits of a machine: `resource_limits`, `stderr_that_blocks`,
//!   `kernel_refusals`, `traced_commands`, `unusual_environments`, clocks; by the
//!   thousand: storms
//! - compare: each scenario a row of docs/comparison.md, by `make compare`
//! - whether the pages agree with each other: documents
//!
//! What is in here, to be had by `use support::*`:
//!
//! - abilities: what a test needs and is skipped without: `needs!(strace())`
//! - peer: the init under test, and what it runs in
//! - setup: how an init is started; namespace and terminal: in what it runs
//! - run: an init that runs; events: how what it does is seen
//! - proc: what /proc says, signals to a process; files: files, programs, pipes
//! - faults: failing calls, limits, held processes, full pipes
//! - time: how long things may take
//! - scenarios: what is expected of any init, written once and run with each
//!
//! probe.rs is the COMMAND. tests/reliability/ has what the tests of faults, storms
//! and differential share.

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
