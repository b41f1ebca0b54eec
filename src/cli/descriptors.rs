//! The limit of open files: each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Raises the limit as far as the system allows without asking. What it is then, of which `None` is none,
/// and whether that worked.
pub(crate) fn raise() -> (Option<u64>, io::Result<()>) {
    let limit = getrlimit(Resource::Nofile);
    let mut raised = Ok(());
    if limit.current != limit.maximum {
        let most = Rlimit {
            current: limit.maximum,
            ..limit
        };
        raised = setrlimit(Resource::Nofile, most).map_err(io::Error::from);
    }
    (getrlimit(Resource::Nofile).current, raised)
}
