//! The two channels of a recording: as they are in the file, and as a replay has them.

use std::path::Path;

use crate::base::audio::AudioFormat;
use crate::base::time::Samples;
use crate::engine::{Action, Record};
use crate::lab::replay::Seen;

/// A recording that was read.
#[derive(Debug)]
pub struct Recorded {
    /// The left channel.
    pub caller: Vec<i16>,
    /// The right channel.
    pub agent: Vec<i16>,
    /// Samples per second.
    pub rate_hz: u32,
    /// As many as the file has.
    pub channels: u16,
    /// Of one sample.
    pub bits: u16,
}

impl Recorded {
    /// Reads a WAV file; an error says what to do about it. A file with other than two channels is read as two equal ones.
    pub fn read(path: &Path) -> Result<Recorded, String> {
        let mut wav = match hound::WavReader::open(path) {
            Ok(wav) => wav,
            Err(hound::Error::IoError(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                let path = path.display();
                return Err(format!(
                    "{path}: no recording; calls have one when their deployment has keep.recording = true"
                ));
            }
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let spec = wav.spec();
        if spec.sample_format != hound::SampleFormat::Int || spec.bits_per_sample != 16 {
            return Err(format!("{}: not a recording of ours: it is not linear with 16 bits", path.display()));
        }
        let frames = wav.duration() as usize;
        let (mut caller, mut agent) = (Vec::with_capacity(frames), Vec::with_capacity(frames));
        for (i, sample) in wav.samples::<i16>().enumerate() {
            // A file cut short by a crash ends where its samples do.
            let Ok(sample) = sample else { break };
            match i % usize::from(spec.channels.max(1)) {
                0 => caller.push(sample),
                1 => agent.push(sample),
                _ => {}
            }
        }
        if spec.channels < 2 {
            agent.clone_from(&caller);
        }
        // The last frame may be half there.
        caller.truncate(agent.len());
        Ok(Recorded { caller, agent, rate_hz: spec.sample_rate, channels: spec.channels, bits: spec.bits_per_sample })
    }

    /// Frames (one sample per channel).
    pub fn frames(&self) -> Samples {
        Samples(self.caller.len() as u64)
    }

    pub(super) fn format(&self) -> String {
        format!("{} channels, {} bits, {} Hz", self.channels, self.bits, self.rate_hz)
    }
}

/// Both channels as a replay has them.
#[derive(Debug)]
pub(super) struct Tracks {
    pub(super) caller: Track,
    pub(super) agent: Track,
    format: AudioFormat,
    /// Whether the audio itself is known, and not only where it is.
    audio: bool,
    /// Samples beyond this are not kept: there are none in the recording to compare them with.
    limit: usize,
    linear: Vec<i16>,
}

/// One channel as a replay has it.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// Where audio is, in order; what follows on what came before is one span.
    spans: Vec<(Samples, Samples)>,
    /// The audio with silence between, up to the recording's length.
    pub(super) samples: Vec<i16>,
}

impl Tracks {
    pub(super) fn new(format: AudioFormat, audio: bool, frames: Samples) -> Self {
        let limit = frames.0 as usize;
        Tracks { caller: Track::default(), agent: Track::default(), format, audio, limit, linear: Vec::new() }
    }

    /// Takes in what a replay shows.
    pub(super) fn see(&mut self, seen: &Seen<'_>) {
        let (track, at, payload) = match seen {
            Seen::Action(Action::Record(Record::Caller { at, payload })) => (&mut self.caller, *at, payload),
            Seen::Action(Action::Record(Record::Agent { at, payload })) => (&mut self.agent, *at, payload),
            _ => return,
        };
        track.place(at, self.format.samples(payload.len()));
        if self.audio {
            self.linear.clear();
            self.format.codec.decode(payload, &mut self.linear);
            track.paint(at, &self.linear, self.limit);
        }
    }
}

impl Track {
    fn place(&mut self, at: Samples, len: Samples) {
        let end = Samples(at.0.saturating_add(len.0));
        match self.spans.last_mut() {
            Some(last) if last.1 == at => last.1 = end,
            _ => self.spans.push((at, end)),
        }
    }

    fn paint(&mut self, at: Samples, linear: &[i16], limit: usize) {
        let from = (at.0 as usize).min(limit);
        let to = from.saturating_add(linear.len()).min(limit);
        if self.samples.len() < to {
            self.samples.resize(to, 0);
        }
        self.samples[from..to].copy_from_slice(&linear[..to - from]);
    }

    /// Where the last audio ends.
    pub(super) fn end(&self) -> Samples {
        self.spans.iter().map(|s| s.1).max().unwrap_or_default()
    }

    /// Audio in all.
    pub(super) fn total(&self) -> Samples {
        self.spans.iter().fold(Samples::ZERO, |sum, s| sum + s.1.saturating_sub(s.0))
    }

    /// Between the spans, as `(from, to)`.
    pub(super) fn holes(&self) -> impl Iterator<Item = (Samples, Samples)> {
        self.spans.windows(2).map(|pair| (pair[0].1, pair[1].0)).filter(|(from, to)| from < to)
    }

    /// The spans, those nearer than `pause` as one.
    pub(super) fn merged(&self, pause: Samples) -> Vec<(Samples, Samples)> {
        merge(self.spans.iter().copied(), pause)
    }
}

/// Where sound is (anything but digital silence), runs nearer than `pause` as one, in the first `limit` samples.
pub(super) fn runs(samples: &[i16], pause: Samples, limit: Samples) -> Vec<(Samples, Samples)> {
    let samples = &samples[..samples.len().min(limit.0 as usize)];
    let loud = samples.iter().enumerate().filter(|(_, s)| **s != 0);
    merge(loud.map(|(i, _)| (Samples(i as u64), Samples(i as u64 + 1))), pause)
}

fn merge(spans: impl Iterator<Item = (Samples, Samples)>, pause: Samples) -> Vec<(Samples, Samples)> {
    let mut out: Vec<(Samples, Samples)> = Vec::new();
    for (from, to) in spans {
        match out.last_mut() {
            Some(last) if from.saturating_sub(last.1) < pause.max(Samples(1)) => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}
