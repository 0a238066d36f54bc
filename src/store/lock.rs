//! One server per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use super::StoreError;

/// The file that a server holds locked. Its content is for people.
const FILE: &str = "offhook.lock";

/// Held while a server keeps its calls in a directory. The system lets go of it with the process.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Takes the directory, which is made if there is none.
    ///
    /// # Errors
    /// Another server has it, or nothing can be written there.
    pub(super) fn take(data: &Path) -> Result<Lock, StoreError> {
        let io = |error: std::io::Error| StoreError::Io(format!("{}: {error}", data.display()));
        std::fs::create_dir_all(data).map_err(io)?;
        let path = data.join(FILE);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is helps, but is not needed.
                let _ = file.take(32).read_to_string(&mut holder);
                return Err(StoreError::Taken { data: data.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // On a full disk the lock is good all the same.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock(file))
    }
}

/// Names the data directory, whichever process has it.
const HOME: &str = "offhook.home";

/// The directory's own name: what is in it is found by the rows that carry it. One that cannot be kept is new at each start.
pub(super) fn home(data: &Path) -> String {
    let path = data.join(HOME);
    let known = std::fs::read_to_string(&path).ok().map(|text| text.trim().to_owned());
    if let Some(known) = known.filter(|known| known.starts_with("home_") && known.len() <= 64) {
        return known;
    }
    let new = super::id::new_at_any_rate(super::id::Kind::Home);
    if let Err(error) = std::fs::write(&path, format!("{new}\n")) {
        tracing::warn!(path = %path.display(), %error, "the data directory has no name yet");
    }
    new
}
