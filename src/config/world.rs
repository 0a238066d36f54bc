//! What documents refer to outside of themselves, as the reader of documents sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::sound;

/// The environment and the files that documents name. Reading documents is pure but for this.
pub(super) trait World {
    /// An environment variable, when it is set and is Unicode.
    fn env(&self, name: &str) -> Option<String>;

    /// The file at `path`, relative to the configuration directory, of at most `max` bytes. The error says in a few
    /// words why it cannot be read.
    fn file(&self, path: &str, max: u64) -> Result<Vec<u8>, String>;

    /// The picture at `path`, likewise.
    fn picture(&self, path: &str, max: u64) -> Result<Vec<u8>, String> {
        self.file(path, max)
    }

    /// The recording at `path` as the line plays it, made louder by so many dB. The error is likewise.
    fn recording(&self, path: &str, volume_db: f32) -> Result<Arc<[u8]>, String> {
        sound::load(&self.file(path, sound::MAX_BYTES)?, volume_db)
    }

    /// The moment at which documents are read; certificates have dates.
    fn now(&self) -> SystemTime;

    /// `path` as the rest of the program can open it.
    fn locate(&self, path: &str) -> PathBuf;
}
