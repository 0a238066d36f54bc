//! The pictures of a call: `call.svg`, and `call.html` with a player, from a call's folder.
//!
//! Both put the two waveforms on one time line, the caller above and the agent below, with what was said, when turns
//! ended, how soon they were answered, where the caller cut in, and what of the agent's words was never heard; and with
//! the marks by which the line told what it had played, and how likely each moment was speech where the server's own ears
//! heard the caller. They are drawn after the call, from its report, recording and
//! journal only, and the same folder gives the same bytes.

mod curve;
mod html;
mod labels;
mod marks;
mod svg;
pub(crate) mod text;
mod wave;

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use curve::Curve;
pub use html::{Audio, page};
pub(crate) use html::{PAGE_STYLE, SCRIPT, head};
pub use marks::{MAX_TICKS, Marks};
pub(crate) use svg::STYLE;
pub use svg::picture;
pub use wave::Peaks;

use crate::lab::journal;
use crate::report::Report;

/// Recordings larger than this are not embedded in the page: 17 minutes of a phone call. Browsers take what is larger,
/// but the page would take seconds to open.
pub const MAX_AUDIO_BYTES: u64 = 32 << 20;

/// A report larger than this is not one of ours.
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// Draws `call.svg` and `call.html` into a call's folder, from its `report.json` and, if they are there, `recording.wav`
/// and `journal`. What was there before is replaced. Blocking.
pub fn draw(folder: &Path) -> Result<(), PictureError> {
    let path = folder.join("report.json");
    let bytes = read_bounded(&path, MAX_REPORT_BYTES).map_err(|e| PictureError::io("read", &path, e))?;
    let report: Report =
        serde_json::from_slice(&bytes).map_err(|e| PictureError::Report { path: path.clone(), why: e.to_string() })?;

    let path = folder.join("recording.wav");
    let recording = match fs::File::open(&path) {
        Ok(file) => Some(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(PictureError::io("read", &path, e)),
    };
    let (peaks, audio) = match recording {
        None => (None, Audio::None),
        Some(file) => {
            let broken = |why: String| PictureError::Recording { path: path.clone(), why };
            let bytes = file.metadata().map_err(|e| PictureError::io("read", &path, e))?.len();
            let peaks = Peaks::read(io::BufReader::new(file)).map_err(|e| broken(e.to_string()))?;
            let audio = if bytes > MAX_AUDIO_BYTES {
                Audio::TooLarge { bytes }
            } else {
                Audio::Wav(read_bounded(&path, MAX_AUDIO_BYTES).map_err(|e| PictureError::io("read", &path, e))?)
            };
            (Some(peaks), audio)
        }
    };
    let path = folder.join(journal::FILE_NAME);
    let marks = match fs::File::open(&path) {
        Ok(file) => Some(Marks::read(io::BufReader::new(file))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(PictureError::io("read", &path, e)),
    };
    let (peaks, marks) = (peaks.as_ref(), marks.as_ref());
    replace(&folder.join("call.svg"), &picture(&report, peaks, marks))?;
    replace(&folder.join("call.html"), &page(&report, peaks, marks, &audio))
}

/// Why a call cannot be drawn.
#[derive(Debug)]
pub enum PictureError {
    /// A file cannot be read or written.
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// `report.json` is not a report.
    Report {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// `recording.wav` is there but is not a recording.
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl PictureError {
    fn io(doing: &'static str, path: &Path, error: io::Error) -> Self {
        PictureError::Io { doing, path: path.to_owned(), error }
    }
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PictureError::Io { doing, path, error } => write!(f, "cannot {doing} {}: {error}", path.display()),
            PictureError::Report { path, why } => write!(f, "{} is not a call's report: {why}", path.display()),
            PictureError::Recording { path, why } => {
                write!(
                    f,
                    "{} is not a call's recording: {why}; without that file the call is drawn without waveforms",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for PictureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PictureError::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The length of the media time line that is drawn, in milliseconds: all that was recorded, said and waited for.
fn length_ms(report: &Report, peaks: Option<&Peaks>) -> u64 {
    const DAY_MS: u64 = 24 * 3_600_000;
    let media = report.media_length_ms();
    let said = report.lines.iter().map(|l| l.media_end_ms).max().unwrap_or(0);
    let recorded = peaks.map_or(0, Peaks::length_ms);
    media.max(said).max(recorded).clamp(1_000, DAY_MS)
}

/// A moment of the call on the media time line, which is the recording's.
fn media_ms(report: &Report, at_ms: u64) -> u64 {
    report.media_of_ms(at_ms)
}

fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if read as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {max} bytes")));
    }
    Ok(bytes)
}

/// By a new file that takes the old one's place: a reader sees one or the other.
fn replace(path: &Path, content: &str) -> Result<(), PictureError> {
    let new = path.with_extension("new");
    fs::write(&new, content).and_then(|()| fs::rename(&new, path)).map_err(|e| PictureError::io("write", path, e))
}

#[cfg(test)]
mod tests;
