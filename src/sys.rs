//! The system calls that neither std nor nix has, or has in a form that an init
//! cannot use: each wrapper small, and all of the library's `unsafe` code.
#![allow(unsafe_code)]

mod descriptors;
mod memory;
mod processes;
mod signals;
mod words;

pub use descriptors::*;
pub use memory::*;
pub use processes::*;
pub use signals::*;
pub use words::*;
