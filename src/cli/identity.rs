//! Users and groups by name, and becoming one: all ids, those of the groups first, for every thread of
//! the process, without a way back (Linux).

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::ffi::CString;
use std::fmt::Display;
use std::io;
use std::path::Path;

/// Whom `--user` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    uid: Uid,
    /// Name and primary group, of one that the system knows.
    entry: Option<(CString, Gid)>,
}

/// What `--group` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group(Gid);

/// Finds a user by name, or else by number.
///
/// # Errors
///
/// There is none, or it is root, which nobody is less by.
pub(crate) fn user(text: &str) -> Result<User, String> {
    let number = number(text);
    let found = match (unistd::User::from_name(text), number) {
        (Ok(None), Some(number)) => unistd::User::from_uid(Uid::from_raw(number)),
        (found, _) => found,
    };
    let found = found.map_err(|error| format!("users cannot be looked up: {}", reason(error)))?;
    let user = match (found, number) {
        (Some(found), _) => User {
            uid: found.uid,
            entry: CString::new(found.name).ok().zip(Some(found.gid)),
        },
        (None, Some(number)) => User {
            uid: Uid::from_raw(number),
            entry: None,
        },
        (None, None) => return Err(format!("there is no user '{text}'")),
    };
    if user.uid.is_root() {
        return Err(format!("'{text}' is root: name another, or none"));
    }
    Ok(user)
}

/// Finds a group by name, or else by number.
///
/// # Errors
///
/// There is none.
pub(crate) fn group(text: &str) -> Result<Group, String> {
    let found = unistd::Group::from_name(text)
        .map_err(|error| format!("groups cannot be looked up: {}", reason(error)))?;
    match (found, number(text)) {
        (Some(found), _) => Ok(Group(found.gid)),
        (None, Some(number)) => Ok(Group(Gid::from_raw(number))),
        (None, None) => Err(format!("there is no group '{text}'")),
    }
}

/// An id in digits. The greatest number is none: to the system it means that nothing is to change.
fn number(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.filter(|number| *number != u32::MAX)
}

/// What the system says, as others of our lines have it.
fn reason(error: Errno) -> &'static str {
    error.desc()
}

/// All ids that the program is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    uid: Uid,
    gid: Gid,
    /// Supplementary groups, in order, `gid` among them.
    groups: Vec<Gid>,
}

impl Identity {
    /// That of a user with the groups that the system has for it; `group` takes the place of its
    /// primary one.
    ///
    /// # Errors
    ///
    /// It has no group, or its groups cannot be found.
    pub(crate) fn of(user: &User, group: Option<Group>) -> Result<Self, String> {
        let primary = user.entry.as_ref().map(|(_, gid)| *gid);
        let Some(gid) = group.map(|Group(gid)| gid).or(primary) else {
            let uid = user.uid;
            return Err(format!("the system knows no group of user {uid}: name one"));
        };
        let groups = match &user.entry {
            Some((name, _)) => unistd::getgrouplist(name, gid)
                .map_err(|error| format!("its groups cannot be found: {}", reason(error)))?,
            None => vec![gid],
        };
        Ok(Self {
            uid: user.uid,
            gid,
            groups: sorted(groups),
        })
    }

    /// Becomes that for good.
    ///
    /// # Errors
    ///
    /// The system refused, or there would be a way back. The process may be anything in between then:
    /// it has to end.
    pub(crate) fn assume(&self) -> Result<(), String> {
        let failed = |what: &str| {
            let whom = format!("user {} and group {}", self.uid, self.gid);
            let what = what.to_owned();
            move |error: Errno| {
                let hint = match error {
                    Errno::EPERM => "; only root may do that",
                    _ => "",
                };
                let reason = reason(error);
                format!("cannot become {whom}: {what}: {reason}{hint}")
            }
        };
        if !self.is_assumed().map_err(failed("ids"))? {
            // The user last: without it nothing else may be changed. By the C library, which has all
            // threads change theirs; to the kernel each has its own.
            unistd::setgroups(&self.groups).map_err(failed("setgroups"))?;
            unistd::setresgid(self.gid, self.gid, self.gid).map_err(failed("setresgid"))?;
            unistd::setresuid(self.uid, self.uid, self.uid).map_err(failed("setresuid"))?;
        }
        if !self.is_assumed().map_err(failed("ids"))? {
            return Err(format!("the ids are not those of user {}", self.uid));
        }
        self.check_no_way_back()
    }

    /// Whether all ids of this process are those: the real, effective and saved ones.
    fn is_assumed(&self) -> Result<bool, Errno> {
        let (users, groups) = (unistd::getresuid()?, unistd::getresgid()?);
        let are_users = [users.real, users.effective, users.saved]
            .iter()
            .all(|uid| *uid == self.uid);
        let are_groups = [groups.real, groups.effective, groups.saved]
            .iter()
            .all(|gid| *gid == self.gid);
        // Whoever has a group as its own need not have it a second time.
        let mut held = unistd::getgroups()?;
        held.push(self.gid);
        Ok(are_users && are_groups && sorted(held) == self.groups)
    }

    /// Tries what must fail from now on.
    fn check_no_way_back(&self) -> Result<(), String> {
        let root = Uid::from_raw(0);
        let is_back = unistd::setresuid(root, root, root).is_ok()
            || unistd::seteuid(root).is_ok()
            || (self.gid.as_raw() != 0 && unistd::setegid(Gid::from_raw(0)).is_ok());
        if is_back {
            return Err(format!("user {} can become root again", self.uid));
        }
        let kept = rustix::thread::capabilities(None)
            .map_err(|error| format!("its capabilities are not known: {error}"))?;
        if kept.permitted.is_empty() {
            return Ok(());
        }
        let (uid, kept) = (self.uid, kept.permitted);
        Err(format!("user {uid} would keep capabilities: {kept:?}"))
    }

    /// Gives it the file of a Unix socket, so that `?mode=660` is about its group. Whatever stands at
    /// the path, only a socket is given away.
    ///
    /// # Errors
    ///
    /// One line on why not.
    pub(crate) fn own_socket(&self, path: &Path) -> Result<(), String> {
        let failed = |error: &dyn Display| {
            let path = path.display();
            format!("cannot give {path} to user {}: {error}", self.uid)
        };
        // What was looked at is what is changed, whoever may put something else there meanwhile.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|error| failed(&error))?;
        let found = rustix::fs::fstat(&file).map_err(|error| failed(&error))?;
        if rustix::fs::FileType::from_raw_mode(found.st_mode) != rustix::fs::FileType::Socket {
            return Err(failed(&"another file was put there"));
        }
        let (uid, gid) = (
            rustix::fs::Uid::from_raw(self.uid.as_raw()),
            rustix::fs::Gid::from_raw(self.gid.as_raw()),
        );
        rustix::fs::chownat(&file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
            .map_err(|error| failed(&error))
    }
}

fn sorted(mut groups: Vec<Gid>) -> Vec<Gid> {
    groups.sort_unstable_by_key(|gid| gid.as_raw());
    groups.dedup();
    groups
}

/// From now on, no program that this process might start gets more than it has itself: not by a
/// set-user-id file, nor by one with capabilities.
///
/// # Errors
///
/// What the system says.
pub(crate) fn refuse_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_or_by_number() {
        let nobody = user("nobody").expect("every system has that");
        let by_number = user(&nobody.uid.to_string());
        assert_eq!(by_number.as_ref(), Ok(&nobody));
        assert!(nobody.entry.is_some());
        let unknown = user("4242424").expect("any number will do");
        assert_eq!(unknown.entry, None);
        for (text, problem) in [
            ("root", "'root' is root: name another, or none"),
            ("0", "'0' is root: name another, or none"),
            ("no-such-user", "there is no user 'no-such-user'"),
            ("", "there is no user ''"),
            ("-1", "there is no user '-1'"),
            ("+7", "there is no user '+7'"),
            // To the system it means that nothing is to change.
            ("4294967295", "there is no user '4294967295'"),
            ("4294967296", "there is no user '4294967296'"),
            ("a\0b", "there is no user 'a\0b'"),
        ] {
            assert_eq!(user(text), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_group_takes_the_place_of_the_primary_one() {
        let nobody = user("nobody").expect("every system has that");
        let (_, primary) = nobody.entry.clone().expect("an entry");
        let own = Identity::of(&nobody, None).expect("its groups");
        assert_eq!(own.gid, primary);
        assert!(own.groups.contains(&primary));
        let other = group("4242424").expect("any number will do");
        let other = Identity::of(&nobody, Some(other)).expect("its groups");
        assert_eq!(other.gid.as_raw(), 4_242_424);
        assert!(other.groups.contains(&other.gid) && !other.groups.contains(&primary));
    }

    /// Root must not be had to give away what somebody put in the place of a socket.
    #[test]
    fn only_a_socket_is_given_away() {
        use std::os::unix::net::UnixListener;
        let folder = std::env::temp_dir().join(format!("aerys-own-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let at = |name: &str| folder.join(name);
        std::fs::write(at("file"), "").expect("a file");
        let _socket = UnixListener::bind(at("socket")).expect("a socket");
        std::os::unix::fs::symlink(at("socket"), at("link")).expect("a link");
        let own = Identity {
            uid: Uid::effective(),
            gid: Gid::effective(),
            groups: Vec::new(),
        };
        let owned = ["socket", "file", "link", "nothing"].map(|name| own.own_socket(&at(name)));
        std::fs::remove_dir_all(&folder).expect("our folder");
        let [socket, file, link, nothing] = owned;
        assert_eq!(socket, Ok(()));
        for problem in [file, link] {
            let problem = problem.expect_err("no socket");
            assert!(problem.ends_with("another file was put there"), "{problem}");
        }
        assert!(nothing.is_err());
    }

    #[test]
    fn a_user_that_the_system_does_not_know_needs_a_group() {
        let unknown = user("4242424").expect("any number will do");
        let problem = Identity::of(&unknown, None).expect_err("no group");
        assert_eq!(
            problem,
            "the system knows no group of user 4242424: name one"
        );
        let named = Identity::of(&unknown, group("7").ok()).expect("that one");
        assert_eq!(named.groups, [Gid::from_raw(7)]);
        for text in ["no-such-group", "", "4294967295"] {
            assert!(group(text).is_err(), "{text}");
        }
    }
}
