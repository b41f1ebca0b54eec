//! Load on a server, and what it answered in: `aerys bench`.
//!
//! What measures fills in a [`recorder::Recorder`]; what it knew becomes a [`run::Run`], which is
//! all that a report reads, from this run or from a file.

pub(crate) mod histogram;
pub(crate) mod recorder;
pub(crate) mod run;
