//! `recording.wav`: what was said and heard in a call, readable at any moment, also after the process was killed.
//!
//! Stereo, 16 bits, at the line's rate: the caller left, the agent right, both on the line's media time line, so that
//! frame *n* of the file is what both heard at media position *n*. What was never written is silence.
//!
//! ```text
//!   written by pwrite, maybe patched once more          in memory, at most WINDOW_MS
//!  ├──────────────── the header's length ───────────┤───────────────────────────────┤
//!  0                                          header_end                           end
//! ```
//!
//! Samples reach the file before the header that counts them, and the header is one small write: a reader finds a valid
//! file that is at worst shorter than what was recorded. The agent's side arrives after the fact, when it is known to
//! have been heard; what falls behind the window is patched in the file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::base::audio::{AudioFormat, wav};
use crate::base::time::Samples;

/// Audio kept in memory to combine small writes: a batch of a second, and the agent's side of what came before it, which
/// arrives when it was heard. 38 KiB for a phone call.
pub const WINDOW_MS: u64 = 1_200;

/// The most frames a RIFF file can count, a bit more than 37 hours at 8 kHz.
pub const MAX_FRAMES: u64 = (u32::MAX as u64 - 36) / FRAME_BYTES;

/// Left and right, 16 bits each.
const FRAME_BYTES: u64 = 4;

/// A recording being written. Blocking: made for a thread of its own, not for the one that carries the call.
///
/// The first error stops it for good: later calls return an error of the same kind, and
/// [`missing_from`](Self::missing_from) says from where audio may be missing. What was counted by the header before
/// stays readable.
#[derive(Debug)]
pub struct RecordingFile {
    file: File,
    format: AudioFormat,
    /// Frames from `base` on, left and right in turn; at most `window_frames`.
    window: Vec<i16>,
    window_frames: u64,
    base: u64,
    /// Frames of the window that the file does not have yet.
    dirty: Range<u64>,
    /// One past the last frame that was given to us.
    end: u64,
    /// One past the last frame that the header counts.
    header_end: u64,
    /// Per side, one past its last frame.
    side_end: [u64; 2],
    decoded: Vec<i16>,
    block: Vec<u8>,
    overlapped: u64,
    stopped: Option<Stopped>,
}

#[derive(Clone, Copy, Debug)]
struct Stopped {
    kind: io::ErrorKind,
    missing_from: u64,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Caller = 0,
    Agent = 1,
}

impl RecordingFile {
    /// Makes the file, which must not exist, as a valid recording of no length.
    pub fn create(path: &Path, format: AudioFormat) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.write_all_at(&wav::header(format.rate_hz, 2, 0), 0)?;
        Ok(RecordingFile {
            file,
            format,
            window: Vec::new(),
            window_frames: Samples::from_ms(WINDOW_MS, format.rate_hz).0.max(1),
            base: 0,
            dirty: 0..0,
            end: 0,
            header_end: 0,
            side_end: [0; 2],
            decoded: Vec::new(),
            block: Vec::new(),
            overlapped: 0,
            stopped: None,
        })
    }

    /// Caller audio in the line's format, its first sample at `at`. Positions do not go back: samples before the end of
    /// what was written are dropped and counted.
    pub fn write_caller(&mut self, at: Samples, payload: &[u8]) -> io::Result<()> {
        self.write(Side::Caller, at.0, payload)
    }

    /// Agent audio in the line's format, placed where it was heard. The same rules as for the caller; any distance
    /// behind the caller is allowed.
    pub fn write_agent(&mut self, at: Samples, payload: &[u8]) -> io::Result<()> {
        self.write(Side::Agent, at.0, payload)
    }

    /// Brings the file up to date: the samples first, then the header. Call it about once a second; what was not
    /// flushed is lost when the process is killed.
    pub fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        let end = self.end;
        let from = if self.dirty.is_empty() { self.header_end } else { self.dirty.start.min(self.header_end) };
        let result = self.write_window().and_then(|()| self.write_header(end));
        self.stop_on_error(result, from)
    }

    /// Ends the recording at `total`, or at the end of what was written if that is later, and returns the frames in the
    /// file. After an error it keeps what there is.
    pub fn finish(mut self, total: Samples) -> io::Result<u64> {
        if self.stopped.is_none() {
            let from = self.end;
            self.end = self.end.max(total.0.min(MAX_FRAMES));
            // A hole reads as zeroes and must exist before the header counts it.
            let length = self.file.metadata()?.len().max(offset(self.end));
            let result = self.file.set_len(length);
            self.stop_on_error(result, from)?;
            self.flush()?;
        }
        // Nothing may lie behind what the header counts; if this fails the file is merely untidy.
        let _ = self.file.set_len(offset(self.header_end));
        Ok(self.header_end)
    }

    /// From where audio is missing or incomplete, once an error has stopped the recording.
    pub fn missing_from(&self) -> Option<Samples> {
        self.stopped.map(|s| Samples(s.missing_from))
    }

    /// Samples that were dropped because their place was already taken.
    pub fn overlapped(&self) -> Samples {
        Samples(self.overlapped)
    }

    fn write(&mut self, side: Side, at: u64, payload: &[u8]) -> io::Result<()> {
        self.check()?;
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        self.format.codec.decode(payload, &mut decoded);
        let taken = self.side_end[side as usize].saturating_sub(at).min(decoded.len() as u64);
        self.overlapped += taken;
        let (at, samples) = (at.saturating_add(taken), &decoded[taken as usize..]);
        let room = MAX_FRAMES.saturating_sub(at).min(samples.len() as u64) as usize;
        let mut result = if room > 0 { self.place(side, at, &samples[..room]) } else { Ok(()) };
        if result.is_ok() && room < samples.len() {
            let full = Err(io::Error::new(io::ErrorKind::FileTooLarge, "a WAV file cannot grow past 4 GiB"));
            let flushed = self.flush();
            result = flushed.and(self.stop_on_error(full, at.saturating_add(room as u64).min(MAX_FRAMES)));
        }
        self.decoded = decoded;
        result
    }

    /// Puts `samples` at `at`: what lies before the window into the file, the rest into the window, which moves on as
    /// needed.
    fn place(&mut self, side: Side, mut at: u64, mut samples: &[i16]) -> io::Result<()> {
        self.side_end[side as usize] = at + samples.len() as u64;
        if at < self.base {
            let (late, rest) = samples.split_at(samples.len().min((self.base - at) as usize));
            let result = self.patch(side, at, late);
            self.stop_on_error(result, at)?;
            (at, samples) = (self.base, rest);
        }
        while !samples.is_empty() {
            let (piece, rest) = samples.split_at(samples.len().min(self.window_frames as usize / 2 + 1));
            let end = at + piece.len() as u64;
            self.end = self.end.max(end);
            if end > self.base + self.window_frames {
                self.move_window(end.saturating_sub(self.window_frames / 2).min(at))?;
            }
            let needed = (end - self.base) as usize * 2;
            if self.window.len() < needed {
                self.window.resize(needed, 0);
            }
            let first = (at - self.base) as usize;
            for (frame, &sample) in self.window.chunks_exact_mut(2).skip(first).zip(piece) {
                frame[side as usize] = sample;
            }
            self.dirty =
                if self.dirty.is_empty() { at..end } else { self.dirty.start.min(at)..self.dirty.end.max(end) };
            (at, samples) = (end, rest);
        }
        Ok(())
    }

    /// Writes the window and lets it begin at `base`.
    fn move_window(&mut self, base: u64) -> io::Result<()> {
        let from = self.dirty.start;
        let result = self.write_window();
        self.stop_on_error(result, from)?;
        let gone = ((base - self.base) as usize * 2).min(self.window.len());
        self.window.drain(..gone);
        self.base = base;
        Ok(())
    }

    fn write_window(&mut self) -> io::Result<()> {
        if self.dirty.is_empty() {
            return Ok(());
        }
        let first = (self.dirty.start - self.base) as usize * 2;
        let last = (self.dirty.end - self.base) as usize * 2;
        self.block.clear();
        self.block.extend(self.window[first..last].iter().flat_map(|s| s.to_le_bytes()));
        self.file.write_all_at(&self.block, offset(self.dirty.start))?;
        self.dirty = 0..0;
        Ok(())
    }

    fn write_header(&mut self, end: u64) -> io::Result<()> {
        if end > self.header_end {
            let bytes = u32::try_from(end * FRAME_BYTES).unwrap_or(u32::MAX);
            self.file.write_all_at(&wav::header(self.format.rate_hz, 2, bytes), 0)?;
            self.header_end = end;
        }
        Ok(())
    }

    /// Changes one side of frames that have left the window.
    fn patch(&mut self, side: Side, at: u64, samples: &[i16]) -> io::Result<()> {
        self.block.clear();
        self.block.resize(samples.len() * FRAME_BYTES as usize, 0);
        // The file may be shorter where nothing was ever written: those are zeroes.
        let mut read = 0;
        while read < self.block.len() {
            match self.file.read_at(&mut self.block[read..], offset(at) + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        for (frame, sample) in self.block.chunks_exact_mut(4).zip(samples) {
            let place = side as usize * 2;
            frame[place..place + 2].copy_from_slice(&sample.to_le_bytes());
        }
        self.file.write_all_at(&self.block, offset(at))
    }

    fn check(&self) -> io::Result<()> {
        match self.stopped {
            Some(s) => Err(io::Error::new(s.kind, "the recording has stopped at an earlier error")),
            None => Ok(()),
        }
    }

    fn stop_on_error<T>(&mut self, result: io::Result<T>, missing_from: u64) -> io::Result<T> {
        if let (Err(error), None) = (&result, self.stopped) {
            self.stopped = Some(Stopped { kind: error.kind(), missing_from });
        }
        result
    }
}

impl Drop for RecordingFile {
    /// A recording that was not finished keeps what it was given.
    fn drop(&mut self) {
        if self.stopped.is_none() {
            let _ = self.flush();
        }
    }
}

fn offset(frame: u64) -> u64 {
    wav::HEADER_BYTES as u64 + frame * FRAME_BYTES
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;
    use crate::base::audio::Codec;

    const LINEAR: AudioFormat = AudioFormat { codec: Codec::Linear16, rate_hz: 8_000 };

    fn frames(path: &Path) -> Vec<[i16; 2]> {
        let mut reader = hound::WavReader::open(path).unwrap();
        assert_eq!((reader.spec().channels, reader.spec().bits_per_sample), (2, 16));
        let samples: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
        samples.chunks_exact(2).map(|f| [f[0], f[1]]).collect()
    }

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|s| s.to_le_bytes()).collect()
    }

    #[test]
    fn both_sides_lie_where_they_were_placed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.wav");
        let mut file = RecordingFile::create(&path, AudioFormat::PHONE).unwrap();
        file.write_caller(Samples(0), &[0x80; 2]).unwrap();
        file.write_caller(Samples(4), &[0x80]).unwrap();
        file.write_agent(Samples(1), &[0x00]).unwrap();
        assert_eq!(file.finish(Samples(6)).unwrap(), 6);
        let (c, a) = (32_124, -32_124);
        assert_eq!(frames(&path), [[c, 0], [c, a], [0, 0], [0, 0], [c, 0], [0, 0]]);
        assert_eq!(path.metadata().unwrap().len(), 44 + 24);
    }

    #[test]
    fn what_is_taken_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.wav");
        let mut file = RecordingFile::create(&path, LINEAR).unwrap();
        file.write_caller(Samples(0), &bytes(&[1, 2, 3])).unwrap();
        file.write_caller(Samples(1), &bytes(&[9, 9, 9])).unwrap();
        file.write_caller(Samples(0), &bytes(&[8])).unwrap();
        assert_eq!(file.overlapped(), Samples(3));
        file.finish(Samples(0)).unwrap();
        assert_eq!(frames(&path), [[1, 0], [2, 0], [3, 0], [9, 0]]);
    }

    #[test]
    fn an_existing_recording_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.wav");
        RecordingFile::create(&path, LINEAR).unwrap().finish(Samples(3)).unwrap();
        assert_eq!(RecordingFile::create(&path, LINEAR).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(frames(&path).len(), 3);
    }

    #[test]
    fn a_full_disk_stops_the_recording_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.wav");
        let mut file = RecordingFile::create(&path, LINEAR).unwrap();
        file.write_caller(Samples(0), &bytes(&[5; 100])).unwrap();
        file.flush().unwrap();
        let good = std::mem::replace(&mut file.file, File::options().write(true).open("/dev/full").unwrap());
        assert!(file.flush().is_ok(), "nothing to write is no error");
        file.write_caller(Samples(100), &bytes(&[6; 50])).unwrap();
        assert_eq!(file.missing_from(), None);
        assert_eq!(file.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.missing_from(), Some(Samples(100)));
        file.file = good;
        assert_eq!(file.write_agent(Samples(0), &bytes(&[7])).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.finish(Samples(150)).unwrap(), 100);
        assert_eq!(frames(&path), vec![[5, 0]; 100]);
    }

    #[test]
    fn the_wav_limit_is_an_error_and_not_a_wrap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.wav");
        let mut file = RecordingFile::create(&path, LINEAR).unwrap();
        file.write_caller(Samples(MAX_FRAMES - 2), &bytes(&[1, 2])).unwrap();
        let error = file.write_caller(Samples(MAX_FRAMES), &bytes(&[3])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(file.missing_from(), Some(Samples(MAX_FRAMES)));
        assert!(file.write_caller(Samples(u64::MAX), &bytes(&[3])).is_err());
        assert_eq!(file.finish(Samples(u64::MAX)).unwrap(), MAX_FRAMES);
        // The file is one large hole; its header counts all of it.
        let reader = hound::WavReader::open(&path).unwrap();
        assert_eq!(u64::from(reader.duration()), MAX_FRAMES);
    }

    #[test]
    fn memory_is_bounded_by_the_window() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = RecordingFile::create(&folder.path().join("r.wav"), AudioFormat::PHONE).unwrap();
        for slot in 0..3_000 {
            file.write_caller(Samples(slot * 160), &[0x55; 160]).unwrap();
        }
        file.write_caller(Samples(9_000_000), &vec![0x55; 100_000]).unwrap();
        assert!(file.window.len() as u64 <= file.window_frames * 2, "{} samples", file.window.len());
    }

    #[derive(Clone, Debug)]
    enum Op {
        Write { agent: bool, gap: u64, len: usize },
        Flush,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let gap = prop_oneof![4 => Just(0u64), 2 => 0..400u64, 1 => 0..25_000u64];
        let write = (any::<bool>(), gap, prop_oneof![8 => 1..400usize, 1 => 1..20_000usize])
            .prop_map(|(agent, gap, len)| Op::Write { agent, gap, len });
        prop::collection::vec(prop_oneof![6 => write, 1 => Just(Op::Flush)], 1..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_file_equals_a_plain_model(ops in ops(), total in 0..60_000u64) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("r.wav");
            let mut file = RecordingFile::create(&path, LINEAR).unwrap();
            let mut model: Vec<[i16; 2]> = Vec::new();
            let mut ends = [0u64; 2];
            let mut next = 0i16;
            for op in ops {
                match op {
                    Op::Write { agent, gap, len } => {
                        let side = usize::from(agent);
                        let at = ends[side] + gap;
                        let samples: Vec<i16> = (0..len).map(|_| { next = next.wrapping_add(1).max(1); next }).collect();
                        ends[side] = at + len as u64;
                        model.resize(model.len().max(ends[side] as usize), [0; 2]);
                        for (frame, &sample) in model[at as usize..].iter_mut().zip(&samples) {
                            frame[side] = sample;
                        }
                        let write = if agent { RecordingFile::write_agent } else { RecordingFile::write_caller };
                        write(&mut file, Samples(at), &bytes(&samples)).unwrap();
                        // As if killed here: shorter, or without what came late, but never anything else.
                        let kept = frames(&path);
                        prop_assert!(kept.len() <= model.len());
                        for (k, m) in kept.iter().zip(&model) {
                            prop_assert!((k[0] == m[0] || k[0] == 0) && (k[1] == m[1] || k[1] == 0));
                        }
                    }
                    Op::Flush => {
                        file.flush().unwrap();
                        prop_assert!(frames(&path) == model);
                    }
                }
            }
            model.resize(model.len().max(total as usize), [0; 2]);
            prop_assert_eq!(file.finish(Samples(total)).unwrap(), model.len() as u64);
            prop_assert!(frames(&path) == model);
        }
    }

    /// The far side of the next test: records until it is killed.
    #[test]
    #[ignore = "runs as a child of killing_the_process_leaves_a_valid_file"]
    fn child_records_until_killed() {
        let Some(path) = std::env::var_os("RECORDING_CHILD") else { return };
        let mut file = RecordingFile::create(Path::new(&path), LINEAR).unwrap();
        for n in 0..2_000_000u64 {
            file.write_caller(Samples(n * 160), &bytes(&[1 + (n % 1_000) as i16; 160])).unwrap();
            if n >= 150 {
                let n = n - 150;
                file.write_agent(Samples(n * 160), &bytes(&[-1 - (n % 1_000) as i16; 160])).unwrap();
            }
            if n.is_multiple_of(10) {
                file.flush().unwrap();
            }
        }
    }

    #[test]
    fn killing_the_process_leaves_a_valid_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.wav");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve::recording::tests::child_records_until_killed", "--ignored"])
            .env("RECORDING_CHILD", &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while path.metadata().map_or(0, |m| m.len()) < 2_000_000 {
            assert_eq!(child.try_wait().unwrap(), None, "the child ended by itself");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let frames = frames(&path);
        assert!(frames.len() > 450_000, "{}", frames.len());
        for (n, [caller, agent]) in frames.iter().enumerate() {
            let expected = 1 + (n / 160 % 1_000) as i16;
            assert_eq!(*caller, expected, "frame {n}");
            assert!(*agent == -expected || *agent == 0 && n + 160 * 200 > frames.len(), "frame {n}: {agent}");
        }
    }
}
