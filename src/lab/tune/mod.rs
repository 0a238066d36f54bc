//! The tuning lab: labelled audio and recorded calls, how well settings hear them, and which settings would hear them
//! better.
//!
//! ```text
//!  corpus (WAV + labels) ─┐                 ┌─► score per clip ─► table, picture
//!                         ├─► steps ─► decide ┤
//!  from_call (recordings) ┘   once per engine └─► sweep ─► pareto ─► diff to the agent's document
//! ```
//!
//! What audio sounds like is computed once per clip and engine; a setting is then tried in microseconds, because turns
//! rest on steps alone. Only reading and writing files touches the file system ([`corpus`], [`input`],
//! [`from_call`], [`write()`]); a sweep uses threads and a clock, and nothing else here does.

pub mod corpus;
pub mod diff;
pub mod from_call;
pub mod input;
pub mod measure;
pub mod pareto;
pub mod picture;
pub mod run;
pub mod sweep;
pub mod table;
pub mod words;

use std::fs;
use std::io;
use std::path::Path;

/// Writes a file by a new one beside it that takes its place, with the same permissions: a reader sees one or the other.
///
/// # Errors
/// As the system says; the old file is then as it was.
pub fn write(path: &Path, content: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = fs::write(&new, content).and_then(|()| match fs::metadata(path) {
        Ok(old) => fs::set_permissions(&new, old.permissions()),
        Err(_) => Ok(()),
    });
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
}
