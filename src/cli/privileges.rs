//! Whom the program runs as, once it has what only root may have: addresses are bound, certificates,
//! keys and document roots opened before.

use crate::cli::Failure;
use crate::cli::flags::ServeArgs;
use crate::cli::identity::{self, Identity};
use aerys::{Address, Bound};
use rustix::fs::Access;
use std::path::Path;

/// The user and the groups that flags name, if they do.
///
/// # Errors
///
/// They do not make one.
pub(crate) fn named(flags: &ServeArgs) -> Result<Option<Identity>, Failure> {
    let wrong = |problem: String| Failure::Arguments(vec![format!("aerys: {problem}")]);
    match (&flags.user, flags.group) {
        (Some(user), group) => match Identity::of(user, group) {
            Ok(identity) => Ok(Some(identity)),
            Err(problem) => Err(wrong(format!("user: {problem} by --group"))),
        },
        (None, Some(_)) => Err(wrong(
            "group: it is for --user, which is not there".to_owned(),
        )),
        (None, None) => Ok(None),
    }
}

/// Sees to it that nothing this process starts gets more than it has, whoever it is.
///
/// # Errors
///
/// One line on why not.
pub(crate) fn refuse_new() -> Result<(), Failure> {
    identity::refuse_new_privileges()
        .map_err(|error| Failure::AtRunTime(format!("cannot set no_new_privs: {error}")))
}

/// Becomes whom flags name, and says so if nobody does who should. `is_passed`: of an address that
/// somebody else listens on, whose file is theirs.
///
/// # Errors
///
/// One line on why not; the program must not go on.
pub(crate) fn leave(
    identity: Option<&Identity>,
    bound: &Bound,
    is_passed: impl Fn(&Address) -> bool,
) -> Result<(), Failure> {
    let Some(identity) = identity else {
        if rustix::process::geteuid().is_root() {
            log::warn!("this serves as root: have it become another user by --user");
        }
        return Ok(());
    };
    let own = bound
        .addresses()
        .iter()
        .filter(|address| !is_passed(address));
    let files = own.filter_map(|address| match address {
        Address::Unix(address) => address.path(),
        Address::Ip(_) => None,
    });
    let files: Vec<&Path> = files.collect();
    let become_it = || {
        for file in &files {
            identity.own_socket(file)?;
        }
        identity.assume()
    };
    become_it().map_err(Failure::AtRunTime)?;
    for file in files.into_iter().filter(|file| !is_removable(file)) {
        log::warn!(
            "{} will be left behind at the stop: its folder is not this user's to write to",
            file.display()
        );
    }
    Ok(())
}

/// Whether this process may remove a file of its own, as far as its folder is concerned.
fn is_removable(file: &Path) -> bool {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::access(folder.unwrap_or(Path::new(".")), wanted).is_ok()
}
