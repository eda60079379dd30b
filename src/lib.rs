//! The parts of drain-init, an init for containers that drains before it stops.
//!
//! The program is `main.rs`. These modules are in a library so that unit tests and fuzz targets
//! can use them. It is not an interface for other programs, and may change in any version.

pub mod config;
pub mod copy;
pub mod drain;
pub mod init;
pub mod mark;
pub mod measure;
mod processes;
pub mod report;
pub mod signal;
pub mod spawn;
pub mod status;
pub mod sys;
mod terminal;
pub mod text;
pub mod time;
pub mod wording;
