//! The parts of drain-init, an init for containers that drains before it stops.
//!
//! The program is `main.rs`. These modules stand in a library so that unit
//! tests, property tests and fuzz targets reach them; it is no interface for
//! other programs, and promises nothing between versions.

pub mod config;
pub mod decimal;
pub mod drain;
pub mod init;
pub mod processes;
pub mod report;
pub mod signal;
pub mod spawn;
pub mod status;
pub mod sys;
pub mod terminal;
pub mod wording;
