//! Recordings: with ranges, streamed from the call's folder, and their peaks for a picture of any width.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use utoipa::IntoParams;

use crate::base::audio::wav::{self, HEADER_BYTES};
use crate::house::calls::Status;
use crate::store::Listed;
use crate::web::extract::{Nothing, Path, Query};
use crate::web::problem::{Problem, Wrong};
use crate::web::{Api, Who};

/// Recordings that are sent at once.
static SENDING: Semaphore = Semaphore::const_new(64);
/// Recordings that are looked through at once: each takes a thread for as long as it takes to read the file.
static LOOKING: Semaphore = Semaphore::const_new(2);
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read, and sent, in one go.
const CHUNK: usize = 64 << 10;
/// Pixels of a picture: where nobody says how many, and at most.
const DEFAULT_PX: u32 = 1_200;
const MOST_PX: u32 = 4_000;
/// Bytes of a frame: two samples of 16 bits.
const FRAME: u64 = 4;

const NAME: &str = "recording.wav";

/// A call's recording
///
/// A WAV file, 16 bits, two channels: the caller left, the agent right. Ranges of bytes are answered, so that a player can go
/// anywhere. While the call is up, what there is by now. What is missing of it, and why, stands in the call's `report.recording`.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/recording",
    tag = "Calls",
    params(
        ("id" = String, Path, description = "The call's id"),
        ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=0-65535`")
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "audio/wav"),
        (status = 206, description = "The range that was asked for", body = Vec<u8>, content_type = "audio/wav"),
        (status = 304, description = "The file is as it was"),
        (status = 416, description = "There are no such bytes", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn recording(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let listed = super::seen(&api, &who, &id).await?;
    let permit = SENDING.try_acquire().map_err(|_| busy())?;
    let path = api.handle.folder(&id).join(NAME);
    let mut file = File::open(&path).await.map_err(|error| missing(&listed, &error))?;
    let about = file.metadata().await.map_err(|error| Problem::internal(&error))?;
    let length = about.len();
    let modified = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let tag = format!("\"{length:x}-{:x}\"", modified.as_millis());
    let is = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if is(header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag)) {
        return Ok(with_headers(StatusCode::NOT_MODIFIED.into_response(), &id, &tag));
    }
    // A range of another version of the file would be put together with it.
    let same = is(header::IF_RANGE).is_none_or(|known| known == tag);
    let wanted = is(header::RANGE).filter(|_| same).map(|range| read_range(range, length));
    let (from, to, status) = match wanted {
        None | Some(Ranged::Whole) => (0, length, StatusCode::OK),
        Some(Ranged::Part(from, to)) => (from, to, StatusCode::PARTIAL_CONTENT),
        Some(Ranged::None) => {
            let detail = format!("The recording has {length} bytes.");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", detail);
            return Err(problem.header(header::CONTENT_RANGE, format!("bytes */{length}")));
        }
    };
    file.seek(io::SeekFrom::Start(from)).await.map_err(|error| Problem::internal(&error))?;
    let mut response = (status, Body::from_stream(chunks(file, to - from, permit))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = HeaderValue::try_from(format!("bytes {from}-{}/{length}", to.saturating_sub(1)))
    {
        headers.insert(header::CONTENT_RANGE, range);
    }
    Ok(with_headers(response, &id, &tag))
}

fn with_headers(mut response: Response, id: &str, tag: &str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    let named = HeaderValue::try_from(format!("inline; filename=\"{id}.wav\""));
    for (name, value) in [(header::CONTENT_DISPOSITION, named), (header::ETAG, HeaderValue::try_from(tag))] {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
    response
}

/// What of a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ranged {
    /// All: several ranges, and what is not understood, may be answered so.
    Whole,
    /// From here up to there.
    Part(u64, u64),
    /// Nothing that there is.
    None,
}

fn read_range(text: &str, length: u64) -> Ranged {
    let number = |text: &str| match text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        true => None,
        false => Some(text.parse::<u64>().unwrap_or(u64::MAX)),
    };
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ranged::Whole;
    };
    match (number(first.trim()), number(last.trim()), first.trim().is_empty(), last.trim().is_empty()) {
        (Some(from), None, false, true) if from < length => Ranged::Part(from, length),
        (Some(from), Some(last), false, false) if from <= last && from < length => {
            Ranged::Part(from, last.saturating_add(1).min(length))
        }
        (Some(_), Some(last), false, false) if last < length => Ranged::Whole,
        (None, Some(n), true, false) if n > 0 && length > 0 => Ranged::Part(length.saturating_sub(n), length),
        (Some(_), None, false, true) | (Some(_), Some(_), false, false) | (None, Some(_), true, false) => Ranged::None,
        _ => Ranged::Whole,
    }
}

/// So many bytes of a file from where it stands, a piece at a time: as fast as whoever asked takes them.
fn chunks(
    file: File,
    left: u64,
    permit: SemaphorePermit<'static>,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((file, left, permit), async |(mut file, left, permit)| {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
        let n = file.read(&mut piece).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(n);
        Ok(Some((Bytes::from(piece), (file, left - n as u64, permit))))
    })
}

/// How wide a picture is.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Width {
    /// Pixels: 1 to 4,000; 1,200 if it is left out.
    #[param(minimum = 1, maximum = 4000)]
    px: Option<u32>,
}

/// The peaks of a call's recording
///
/// For each pixel four signed bytes: the lowest and the highest sample of the caller, then of the agent, each in 256ths.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/peaks",
    tag = "Calls",
    params(("id" = String, Path, description = "The call's id"), Width),
    responses((status = 200, description = "Four bytes a pixel", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(super) async fn peaks(
    State(api): State<Api>,
    Who(who): Who,
    Path(id): Path<String>,
    Query(width): Query<Width>,
) -> Result<Response, Problem> {
    let px = width.px.unwrap_or(DEFAULT_PX);
    if !(1..=MOST_PX).contains(&px) {
        let message = format!("A picture has 1 to {MOST_PX} pixels.");
        return Err(Problem::wrong(vec![Wrong::parameter("px", "px", message)]));
    }
    let listed = super::seen(&api, &who, &id).await?;
    let permit = timeout(PATIENCE, LOOKING.acquire()).await;
    let Ok(Ok(_permit)) = permit else { return Err(busy()) };
    let path = api.handle.folder(&id).join(NAME);
    let found = tokio::task::spawn_blocking(move || look_through(&path, px)).await;
    let found = found.map_err(|error| Problem::internal(&error))?;
    let bytes = found.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            Problem::new(StatusCode::NOT_FOUND, "recording_broken", "The recording of this call cannot be read.")
        }
        _ => missing(&listed, &error),
    })?;
    let mut response = bytes.into_response();
    let live = Status::from_name(&listed.status).is_some_and(Status::is_live);
    let keep = if live { "private, no-cache" } else { "private, max-age=86400" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    Ok(response)
}

/// Reads a recording of ours once, a piece at a time.
fn look_through(path: &PathBuf, px: u32) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = [0; HEADER_BYTES];
    file.read_exact(&mut head).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // Rate and sizes may be any.
    let ours = wav::header(8_000, 2, 0);
    if [0..4, 8..24, 32..40].into_iter().any(|part| head[part.clone()] != ours[part]) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // It may have been shorter a moment ago.
    let frames = length.saturating_sub(HEADER_BYTES as u64) / FRAME;
    let mut peaks = Peaks::new(frames, px);
    let mut piece = vec![0; 4 * CHUNK];
    // What a piece has beyond its last whole frame.
    let mut kept = 0;
    loop {
        let n = file.read(&mut piece[kept..])? + kept;
        let whole = n - n % FRAME as usize;
        for frame in piece[..whole].as_chunks::<{ FRAME as usize }>().0 {
            peaks.take([i16::from_le_bytes([frame[0], frame[1]]), i16::from_le_bytes([frame[2], frame[3]])]);
        }
        if n == kept {
            return Ok(peaks.bytes);
        }
        piece.copy_within(whole..n, 0);
        kept = n - whole;
    }
}

/// The lowest and the highest of each pixel, as they become known.
struct Peaks {
    bytes: Vec<u8>,
    frames: u64,
    px: u64,
    at: u64,
    pixel: u64,
    /// Where the next pixel begins.
    edge: u64,
}

impl Peaks {
    fn new(frames: u64, px: u32) -> Peaks {
        let px = u64::from(px);
        Peaks { bytes: vec![0; px as usize * 4], frames, px, at: 0, pixel: 0, edge: frames / px }
    }

    fn take(&mut self, sides: [i16; 2]) {
        // A file that grows meanwhile is looked at as it was.
        if self.at >= self.frames {
            return;
        }
        while self.at >= self.edge && self.pixel + 1 < self.px {
            self.pixel += 1;
            self.edge = (self.pixel + 1) * self.frames / self.px;
        }
        let place = self.pixel as usize * 4;
        for (side, sample) in sides.into_iter().enumerate() {
            let level = (sample >> 8) as i8;
            let pair = &mut self.bytes[place + 2 * side..place + 2 * side + 2];
            pair[0] = pair[0].cast_signed().min(level).cast_unsigned();
            pair[1] = pair[1].cast_signed().max(level).cast_unsigned();
        }
        self.at += 1;
    }
}

/// There is no file.
fn missing(listed: &Listed, error: &io::Error) -> Problem {
    if error.kind() != io::ErrorKind::NotFound {
        return Problem::internal(error);
    }
    let (code, detail) = match listed.recording {
        true => (
            "recording_missing",
            "The recording of this call is not here any more, or another server has it: it was kept in the folder of the call.",
        ),
        false => {
            ("no_recording", "This call was not recorded: its deployment does not keep recordings, or nobody answered.")
        }
    };
    Problem::new(StatusCode::NOT_FOUND, code, detail)
}

fn busy() -> Problem {
    Problem::unavailable(
        "recordings_busy",
        "So many recordings are read right now that this one has to wait. Try again.",
        2,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        for (text, expected) in [
            ("bytes=0-9", Ranged::Part(0, 10)),
            ("bytes=90-", Ranged::Part(90, 100)),
            ("bytes=90-1000", Ranged::Part(90, 100)),
            ("bytes=-10", Ranged::Part(90, 100)),
            ("bytes=-1000", Ranged::Part(0, 100)),
            ("bytes=99-99", Ranged::Part(99, 100)),
            ("bytes=100-", Ranged::None),
            ("bytes=100-200", Ranged::None),
            ("bytes=-0", Ranged::None),
            ("bytes=99999999999999999999-", Ranged::None),
            ("bytes=5-2", Ranged::Whole),
            ("bytes=0-1,5-6", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("bytes=-", Ranged::Whole),
            ("bytes", Ranged::Whole),
            ("lines=0-9", Ranged::Whole),
        ] {
            assert_eq!(read_range(text, 100), expected, "{text}");
        }
    }

    #[test]
    fn peaks_are_those_of_each_pixel_however_many_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        // Ten frames: the caller rises, the agent is silent but once.
        let samples: Vec<i16> = (0..10).flat_map(|n| [n * 256, if n == 7 { -32_768 } else { 0 }]).collect();
        std::fs::write(&path, wav::write(8_000, 2, &samples)).unwrap();
        let look = |px: u32| -> Vec<i8> { look_through(&path, px).unwrap().into_iter().map(u8::cast_signed).collect() };
        assert_eq!(look(1), [0, 9, -128, 0]);
        assert_eq!(look(2), [0, 4, 0, 0, 0, 9, -128, 0]);
        assert_eq!(look(10).as_chunks::<4>().0[7], [0, 7, -128, 0]);
        assert_eq!(look(1_000).len(), 4_000);
        assert!(look(1_000).contains(&-128));
        // One that nobody has spoken in yet, and what is none.
        std::fs::write(&path, wav::header(8_000, 2, 0)).unwrap();
        assert_eq!(look(3), [0; 12]);
        for bad in [&b"RIFF"[..], &wav::write(8_000, 1, &[1, 2])] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(look_through(&path, 3).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
