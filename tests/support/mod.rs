//! Starts the init under test with a probe (probe.rs) as its COMMAND, and waits
//! for what they report.
//!
//! Which init: `INIT_UNDER_TEST` (a path; without it the one that cargo built),
//! behind `INIT_RUNNER` (such as `qemu-aarch64-static`) if that is set.
//!
//! Every wait is for an event and fails after [`PATIENCE`], showing what was
//! seen until then.

#![allow(dead_code, unused_imports)] // no test file uses all of it
#![allow(unsafe_code)]
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::return_self_not_must_use)]

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
