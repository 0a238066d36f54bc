//! What noise reduction does to speech and to noise, and what it costs.
//!
//!     cargo run --release --example denoise
//!
//! Measured on our own `fixtures/audio` with noise made here, and on the noise beds of a folder of speech test audio
//! where there is one (`../shared/audio`, or `OFFHOOK_SPEECH`).

#![allow(clippy::print_stderr, clippy::print_stdout)] // at a terminal, by hand

use std::path::{Path, PathBuf};
use std::time::Instant;

use offhook::base::audio::{level, resample, wav};
use offhook::config::NoiseReduction;
use offhook::ears::denoise::Denoiser;

/// Active level of the speech that noise is added to.
const SPEECH_DBFS: f32 = -24.0;
const SNR_DB: [f32; 4] = [20.0, 10.0, 5.0, 0.0];
const MODES: [(&str, NoiseReduction); 2] =
    [("near_field", NoiseReduction::NearField), ("far_field", NoiseReduction::FarField)];

fn main() {
    let speech = speech();
    let beds = beds();
    for (name, reduction) in MODES {
        println!("{name}");
        for rate_hz in [8_000u32, 24_000] {
            let denoiser = Denoiser::new(reduction, rate_hz);
            let delay = denoiser.delay();
            let speech = resample::convert(&speech, 8_000, rate_hz);
            let change = loud_change(&run(reduction, rate_hz, &speech), &speech, &speech);
            println!(
                "  {rate_hz} Hz: delay {} samples ({} us), clean speech {:+.2} dB, CPU per second of audio {:.2} ms, of silence {:.4} ms",
                delay.0,
                delay.as_us(rate_hz),
                change,
                cost_ms(reduction, rate_hz, &speech),
                cost_ms(reduction, rate_hz, &vec![0; 3 * rate_hz as usize]),
            );
        }
        println!("  8000 Hz, by noise and SNR: noise alone / loud speech / signal-to-noise ratio, in dB");
        for (bed, noise) in &beds {
            print!("  {bed:<12}");
            for snr_db in SNR_DB {
                let [alone, loud, gain] = mixed(reduction, &speech, noise, snr_db);
                print!("  {snr_db:>2} dB: {alone:+5.1} / {loud:+5.1} / {gain:+5.1}");
            }
            println!();
        }
    }
}

/// Change of noise alone (two seconds ahead of the speech, the first left out), of loud speech, and of the
/// signal-to-noise ratio, as the part of the result that follows the clean speech against the rest.
fn mixed(reduction: NoiseReduction, speech: &[i16], noise: &[i16], snr_db: f32) -> [f32; 3] {
    const LEAD: usize = 16_000;
    let mut clean = vec![0i16; LEAD];
    clean.extend(speech);
    let gain = level::from_dbfs(SPEECH_DBFS - snr_db) / level::rms(noise);
    let noisy: Vec<i16> = clean
        .iter()
        .zip(noise.iter().cycle())
        .map(|(&s, &n)| (f32::from(s) + gain * f32::from(n)).round() as i16)
        .collect();
    let out = run(reduction, 8_000, &noisy);
    let alone = db(&out[LEAD / 2..LEAD], &noisy[LEAD / 2..LEAD]);
    let loud = loud_change(&out[LEAD..], &noisy[LEAD..], speech);
    let snr = follows(&clean[LEAD..], &out[LEAD..]) - follows(&clean[LEAD..], &noisy[LEAD..]);
    [alone, loud, snr]
}

/// Change of level from `before` to `after` in the frames where `speech` is louder than on the whole.
fn loud_change(after: &[i16], before: &[i16], speech: &[i16]) -> f32 {
    const FRAME: usize = 160;
    let loud = level::rms(speech);
    let frames = after.chunks_exact(FRAME).zip(before.chunks_exact(FRAME)).zip(speech.chunks_exact(FRAME));
    let (after, before): (Vec<i16>, Vec<i16>) = frames
        .filter(|(_, s)| level::rms(s) > loud)
        .flat_map(|((a, b), _)| a.iter().copied().zip(b.iter().copied()))
        .unzip();
    db(&after, &before)
}

/// The part of `heard` that is a multiple of `clean` against what is not, in dB (SI-SDR).
fn follows(clean: &[i16], heard: &[i16]) -> f32 {
    let dot = |a: &[i16], b: &[i16]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let part = dot(clean, heard).powi(2) / dot(clean, clean);
    (10.0 * (part / (dot(heard, heard) - part)).log10()) as f32
}

/// What comes out, moved back to where it went in.
fn run(reduction: NoiseReduction, rate_hz: u32, samples: &[i16]) -> Vec<i16> {
    let mut denoiser = Denoiser::new(reduction, rate_hz);
    let delay = denoiser.delay().0 as usize;
    let mut out = samples.to_vec();
    out.extend(vec![0; delay]);
    denoiser.process(&mut out);
    out.split_off(delay)
}

/// Median over frames of 20 ms.
fn cost_ms(reduction: NoiseReduction, rate_hz: u32, samples: &[i16]) -> f64 {
    let mut denoiser = Denoiser::new(reduction, rate_hz);
    let mut frames = samples.to_vec();
    let mut took: Vec<f64> = frames
        .chunks_exact_mut(rate_hz as usize / 50)
        .map(|frame| {
            let begun = Instant::now();
            denoiser.process(frame);
            begun.elapsed().as_secs_f64() * 50.0 * 1_000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

fn db(a: &[i16], b: &[i16]) -> f32 {
    level::dbfs(level::rms(a)) - level::dbfs(level::rms(b))
}

/// The voices of the fixtures in a row, at the level that noise is added to.
fn speech() -> Vec<i16> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
    let mut all = Vec::new();
    for clip in ["anna-book", "ben-hours", "carla-delivery", "anna-change"] {
        all.extend(read(&folder.join(clip).with_extension("wav")));
    }
    let loud: Vec<i16> =
        all.chunks(160).filter(|frame| level::dbfs(level::rms(frame)) > -45.0).flatten().copied().collect();
    let gain = level::from_dbfs(SPEECH_DBFS) / level::rms(&loud);
    all.iter().map(|&s| (f32::from(s) * gain).round() as i16).collect()
}

/// Noise made here, then what the folder of test audio has.
fn beds() -> Vec<(String, Vec<i16>)> {
    let mut state = 1u32;
    let mut white = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut beds = vec![("white, here".into(), (0..80_000).map(|_| (white() * 8_000.0) as i16).collect())];
    let mut low = 0.0;
    let brown = (0..80_000).map(|_| {
        low += 0.05 * (white() * 16_000.0 - low);
        low as i16
    });
    beds.push(("brown, here".into(), brown.collect()));
    let folder = std::env::var_os("OFFHOOK_SPEECH")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/audio"), PathBuf::from)
        .join("noise");
    for bed in ["white", "pink", "car", "street", "babble8"] {
        let path = folder.join(format!("{bed}_8k.wav"));
        if path.exists() {
            beds.push((bed.into(), read(&path)));
        } else {
            println!("no {}: that bed is left out", path.display());
        }
    }
    beds
}

fn read(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| exit(path, &e));
    wav::read(&bytes).unwrap_or_else(|e| exit(path, &e)).samples
}

fn exit(path: &Path, error: &dyn std::fmt::Display) -> ! {
    eprintln!("{}: {error}", path.display());
    std::process::exit(1)
}
