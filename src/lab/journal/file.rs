//! Where the tools find a call's files: the only part of the journal that touches the file system.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::lab::journal::{FILE_NAME, Journal, JournalError, MAX_BYTES};
use crate::report::Report;

/// A call's folder with its journal, as every tool takes it.
#[derive(Debug)]
pub struct CallFiles {
    /// The folder.
    pub folder: PathBuf,
    /// The journal's file.
    pub journal_path: PathBuf,
    /// What is in it.
    pub journal: Journal,
}

/// A call's folder that cannot be used. `Display` says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such folder or file.
    Missing(PathBuf),
    /// The folder has no journal.
    NoJournal(PathBuf),
    /// The journal is larger than [`MAX_BYTES`].
    TooLarge(PathBuf, u64),
    /// The file cannot be read.
    Io(PathBuf, std::io::Error),
    /// The journal is not one, of another version, or damaged.
    Journal(PathBuf, JournalError),
    /// `report.json` is not of the schema.
    Report(PathBuf, serde_json::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Missing(path) => {
                write!(f, "{}: no such call (a call's folder or its journal is expected)", path.display())
            }
            LoadError::NoJournal(path) => write!(
                f,
                "{}: no journal in this folder; calls keep one when their deployment has keep.journal = \"decisions\" or \"audio\"",
                path.display()
            ),
            LoadError::TooLarge(path, bytes) => {
                write!(f, "{}: {bytes} bytes; journals up to {MAX_BYTES} bytes are read", path.display())
            }
            LoadError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            LoadError::Journal(path, error) => write!(f, "{}:{}: {}", path.display(), error.line, error.message),
            LoadError::Report(path, error) => write!(f, "{}: not a report of this version: {error}", path.display()),
        }
    }
}

impl std::error::Error for LoadError {}

impl CallFiles {
    /// Reads the journal of `call`, which is a call's folder or the journal itself.
    pub fn load(call: &Path) -> Result<CallFiles, LoadError> {
        let meta = std::fs::metadata(call).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => LoadError::Missing(call.to_owned()),
            _ => LoadError::Io(call.to_owned(), error),
        })?;
        let (folder, journal_path) = if meta.is_dir() {
            (call.to_owned(), call.join(FILE_NAME))
        } else {
            let parent = call.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (parent.to_owned(), call.to_owned())
        };
        let meta = std::fs::metadata(&journal_path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => LoadError::NoJournal(call.to_owned()),
            _ => LoadError::Io(journal_path.clone(), error),
        })?;
        if meta.len() > MAX_BYTES {
            return Err(LoadError::TooLarge(journal_path, meta.len()));
        }
        let bytes = std::fs::read(&journal_path).map_err(|error| LoadError::Io(journal_path.clone(), error))?;
        let journal = Journal::parse(&bytes).map_err(|error| LoadError::Journal(journal_path.clone(), error))?;
        Ok(CallFiles { folder, journal_path, journal })
    }

    /// The call's id: its folder's name.
    pub fn name(&self) -> String {
        let full = self.folder.canonicalize();
        let folder = full.as_deref().unwrap_or(&self.folder);
        folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// `report.json`, when there is one.
    pub fn report(&self) -> Result<Option<Report>, LoadError> {
        let path = self.report_path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LoadError::Io(path, error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| LoadError::Report(path, error))
    }

    /// Where the report is, or would be.
    pub fn report_path(&self) -> PathBuf {
        self.folder.join("report.json")
    }

    /// Where the recording is, or would be.
    pub fn recording_path(&self) -> PathBuf {
        self.folder.join("recording.wav")
    }
}
