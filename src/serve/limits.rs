//! Limits that the system sets.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the process open as many files as it may: a call has two sockets and two files, and many systems allow 1,024
/// unless more are asked for. For the beginning of a program.
pub fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(?current, ?maximum, %error, "the limit of open files cannot be raised");
    }
}

/// How many files and sockets the process may have open; `None`: as many as there are.
pub(super) fn open_files() -> Option<usize> {
    getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok())
}
