//! On other systems than Linux the program stays whom it was started by, and refuses `--user`.

use std::io;
use std::path::Path;

/// Whom `--user` names: nobody.
#[derive(Clone, Debug)]
pub(crate) enum User {}

/// What `--group` names: nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Group {}

/// All ids that the program is to have: no others.
#[derive(Debug)]
pub(crate) enum Identity {}

const UNKNOWN: &str =
    "this program cannot become another user on this system; have it started by one";

pub(crate) fn user(_: &str) -> Result<User, String> {
    Err(UNKNOWN.to_owned())
}

pub(crate) fn group(_: &str) -> Result<Group, String> {
    Err(UNKNOWN.to_owned())
}

impl Identity {
    pub(crate) fn of(user: &User, _: Option<Group>) -> Result<Self, String> {
        match *user {}
    }

    pub(crate) fn assume(&self) -> Result<(), String> {
        match *self {}
    }

    pub(crate) fn own_socket(&self, _: &Path) -> Result<(), String> {
        match *self {}
    }
}

pub(crate) fn refuse_new_privileges() -> io::Result<()> {
    Ok(())
}
