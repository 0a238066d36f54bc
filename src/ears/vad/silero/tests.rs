use std::f64::consts::TAU;

use proptest::prelude::*;

use super::{
    layer::{Layer, Plain, quantise},
    onnx::OnnxError,
    spectrum::Spectrum,
    *,
};

/// Between ONNX Runtime's floats and our whole numbers.
const TOLERANCE: f32 = 0.003;

#[test]
fn probabilities_are_those_of_the_reference() {
    for (branch, expected) in [(Branch::Khz8, KHZ8), (Branch::Khz16, KHZ16)] {
        let mut silero = Silero::new(branch);
        for (n, (step, expected)) in signal(branch).chunks_exact(branch.step()).zip(expected).enumerate() {
            let probability = silero.step(step);
            assert!((probability - expected).abs() < TOLERANCE, "{branch:?}, step {n}: {probability} for {expected}");
        }
    }
}

#[test]
fn every_processor_hears_the_same() {
    for branch in [Branch::Khz8, Branch::Khz16] {
        let [mut silero, mut plain] = [(); 2].map(|()| Silero::new(branch));
        #[cfg(target_arch = "x86_64")]
        let mut narrow = (pulp::x86::V1::try_new().unwrap(), Silero::new(branch));
        for step in signal(branch).chunks_exact(branch.step()) {
            let expected = plain.network.step(Plain, &mut plain.state, step).to_bits();
            assert_eq!(silero.step(step).to_bits(), expected);
            #[cfg(target_arch = "x86_64")]
            assert_eq!(narrow.1.network.step(narrow.0, &mut narrow.1.state, step).to_bits(), expected);
        }
    }
}

#[test]
fn a_reset_forgets_everything() {
    let signal = signal(Branch::Khz8);
    let mut steps = signal.chunks_exact(256).skip(8).take(12);
    let mut silero = Silero::new(Branch::Khz8);
    let first: Vec<_> = steps.clone().map(|step| silero.step(step)).collect();
    silero.reset();
    assert!(first.iter().all(|&probability| probability == steps.next().map(|step| silero.step(step)).unwrap()));
}

#[test]
fn the_loudest_audio_gives_probabilities() {
    for branch in [Branch::Khz8, Branch::Khz16] {
        let mut silero = Silero::new(branch);
        for period in [1, 2, 3, 50, 1_000] {
            let square = |n: usize| if (n / period).is_multiple_of(2) { i16::MIN } else { i16::MAX };
            let probability = silero.step(&(0..branch.step()).map(square).collect::<Vec<_>>());
            assert!((0.0..=1.0).contains(&probability), "{branch:?}: {probability}");
        }
    }
}

#[test]
fn no_sum_overflows() {
    const COLUMNS: usize = 390;
    // Rows of even weights, of one large weight, and of none.
    let weight = |row: usize, column: usize| match row % 4 {
        0 => 1.0,
        1 => -0.01,
        2 => f32::from(u8::from(column == 7)),
        _ => 0.0,
    };
    let layer = Layer::<4>::new(32, COLUMNS, weight);
    for sign in [1.0, -1.0] {
        let mut input = [0; COLUMNS];
        let scale = quantise(&[5.0 * sign; COLUMNS], &mut input);
        let mut out = [0.0; 32];
        // Checked in a debug build.
        layer.apply(Plain, input.as_chunks().0, scale, &[0.25; 32], &mut out);
        for (row, out) in out.iter().enumerate() {
            let expected = (0..COLUMNS).map(|column| 5.0 * sign * weight(row, column)).sum::<f32>() + 0.25;
            assert!((out - expected).abs() <= 1e-4 * expected.abs(), "row {row}: {out} for {expected}");
        }
    }
}

#[test]
fn a_call_is_small_and_a_step_allocates_nothing() {
    assert!(size_of::<Silero>() < 4 * 1024);
    let mut silero = Silero::new(Branch::Khz16);
    let allocated = allocation_counter::measure(|| {
        silero.step(&[1_000; 512]);
    });
    assert_eq!(allocated.count_total, 0);
}

#[test]
fn the_transform_is_the_models_own() {
    let tensors = onnx::tensors(::silero::BUNDLED_MODEL).unwrap();
    for branch in [Branch::Khz8, Branch::Khz16] {
        let (window, bins) = (branch.window(), branch.bins());
        let name = format!("{}stft.forward_basis_buffer", branch.graph());
        let basis = tensors.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!(basis.dims, [2 * bins as u64, 1, window as u64]);
        let basis = basis.values();
        let samples: Vec<f32> =
            signal(branch)[branch.step() * 12..][..window * 5 / 2].iter().map(|&x| x.into()).collect();
        let mut magnitudes = vec![[0.0; 4]; bins];
        Spectrum::new(window).magnitudes(&samples, &mut magnitudes);
        for (bin, magnitudes) in magnitudes.iter().enumerate() {
            for (frame, magnitude) in magnitudes.iter().enumerate() {
                let part = |row: usize| -> f32 {
                    let row = &basis[row * window..][..window];
                    row.iter().zip(&samples[frame * window / 2..]).map(|(a, b)| a * b / 32_768.0).sum()
                };
                let expected = part(bin).hypot(part(bins + bin));
                assert!((magnitude - expected).abs() < 2e-5, "{branch:?} {bin} {frame}: {magnitude} for {expected}");
            }
        }
    }
}

#[test]
fn another_file_is_refused() {
    let mut model = ::silero::BUNDLED_MODEL.to_vec();
    assert_eq!(Model::load(&model[1..]).unwrap_err(), LoadError::Hash);
    model[1_000_000] ^= 1;
    assert_eq!(Model::load(&model).unwrap_err(), LoadError::Hash);
    assert_eq!(load(), Ok(()));
    let said = LoadError::Missing("decoder.rnn.weight_ih").to_string();
    assert!(said.contains("decoder.rnn.weight_ih"), "{said}");
}

#[test]
fn a_truncated_file_is_no_model() {
    let model = ::silero::BUNDLED_MODEL;
    assert!(matches!(Model::read(&[]), Err(LoadError::Missing("encoder.0.reparam_conv.weight"))));
    assert!(matches!(Model::read(&model[..model.len() / 2]), Err(LoadError::Format(_))));
    for end in (1..model.len()).step_by(9_973) {
        assert_eq!(onnx::tensors(&model[..end]).unwrap_err(), OnnxError::Truncated);
    }
}

#[test]
fn graphs_within_graphs_have_an_end() {
    let wrap = |field: u8, inner: &[u8]| {
        let length = [inner.len() as u8 | 0x80, (inner.len() >> 7) as u8];
        [&[field << 3 | 2], &length[..], inner].concat()
    };
    // A graph in an attribute of a node of a graph.
    let nested = (0..100).fold(Vec::new(), |graph, _| wrap(1, &wrap(5, &wrap(6, &graph))));
    assert_eq!(onnx::tensors(&wrap(7, &nested)), Err(OnnxError::TooDeep));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let graph = [&[7 << 3 | 2, bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8], &bytes[..]].concat();
        let _ = onnx::tensors(&bytes);
        let _ = onnx::tensors(&graph);
    }
}

/// 60 steps: vowels with moving pitch, a chirp and noise between near-silences.
fn signal(branch: Branch) -> Vec<i16> {
    let rate = branch.step() as f64 / 0.032;
    let formants = [(600.0, 150.0, 1.0), (1_100.0, 200.0, 0.7), (2_500.0, 300.0, 0.3)];
    let gain =
        |hz: f64| formants.iter().map(|(at, width, gain)| gain * f64::exp(-((hz - at) / width).powi(2))).sum::<f64>();
    let (mut seed, mut pitch) = (1_u32, 0.0);
    let sample = |n| {
        let t = f64::from(n) / rate;
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(seed >> 16) / 32_768.0 - 1.0;
        let pitch_hz = 130.0 + 25.0 * (TAU * 0.9 * t).sin();
        pitch = (pitch + pitch_hz / rate) % 1.0;
        let mut value = 40.0 * noise;
        if (0.25..0.85).contains(&t) || (1.3..1.8).contains(&t) {
            let syllable = (TAU * 3.5 * t).sin().max(0.0);
            let voice: f64 = (1..=24).map(f64::from).map(|k| gain(k * pitch_hz) * (TAU * k * pitch).sin()).sum();
            value += syllable * (5_000.0 * voice + 600.0 * noise);
        } else if (0.95..1.2).contains(&t) {
            let t = t - 0.95;
            value += 8_000.0 * (TAU * (300.0 * t + 5_000.0 * t * t)).sin();
        }
        (value + 0.5).floor() as i16
    };
    (0..60 * branch.step() as u32).map(sample).collect()
}

// What ONNX Runtime 1.2x makes of `signal` with the model of the Python package `silero-vad` 6.2.

const KHZ8: [f32; 60] = [
    0.0462, 0.0267, 0.0223, 0.0184, 0.0113, 0.0089, 0.0094, 0.0089, 0.0848, 0.6971, //
    0.9029, 0.9739, 0.9871, 0.9880, 0.9963, 0.9765, 0.7480, 0.6070, 0.9618, 0.9764, //
    0.9791, 0.9866, 0.9490, 0.9581, 0.8137, 0.5488, 0.3070, 0.1455, 0.1019, 0.2303, //
    0.0531, 0.0337, 0.0247, 0.0147, 0.0106, 0.0068, 0.0068, 0.0725, 0.0228, 0.0058, //
    0.0045, 0.0040, 0.0033, 0.0027, 0.0342, 0.6360, 0.6877, 0.6570, 0.6570, 0.8053, //
    0.9030, 0.7431, 0.5150, 0.8139, 0.9085, 0.8580, 0.5817, 0.4038, 0.3613, 0.1358, //
];

const KHZ16: [f32; 60] = [
    0.0515, 0.0222, 0.0164, 0.0149, 0.0114, 0.0106, 0.0081, 0.0065, 0.0743, 0.6286, //
    0.9033, 0.9190, 0.9827, 0.7421, 0.6174, 0.3422, 0.1553, 0.3001, 0.8460, 0.8240, //
    0.6650, 0.6486, 0.1709, 0.1078, 0.0502, 0.0297, 0.0217, 0.0210, 0.0176, 0.1824, //
    0.0149, 0.0172, 0.0136, 0.0165, 0.0106, 0.0112, 0.0146, 0.0156, 0.0119, 0.0050, //
    0.0026, 0.0020, 0.0018, 0.0020, 0.0170, 0.1375, 0.4507, 0.3863, 0.5252, 0.1949, //
    0.0522, 0.0185, 0.0101, 0.0794, 0.1055, 0.1142, 0.1048, 0.0583, 0.0287, 0.0123, //
];
