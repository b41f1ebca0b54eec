//! `aerys bench` as its users see it: against a server that shares no code with it and does what a test
//! wants, and against this one.
//!
//! Nothing here depends on how fast the machine is: rates are low, counts exact, and times have bounds on the
//! side that slowness cannot cross.
#![cfg(feature = "cli")]

mod loads;
mod met;
mod ours;
mod reopened;
mod run;
mod server;
mod wrong;
