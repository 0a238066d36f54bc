//! Made-up reports for tests: like those of a real run, and the same every time.

use std::collections::BTreeMap;

use super::report::{
    AudioCounts, CallCounts, CapacityReport, Floor, Judged, Latency, LoadReport, LoadShape, ProcessReport, SCHEMA,
    Second, TargetReport, Trial,
};

/// Key, name, meaning, and p50 in milliseconds under 200 calls.
const MEASURED: [(&str, &str, &str, f64); 7] = [
    ("setup", "setup", "From the caller's webhook request to the first media the target accepts.", 6.4),
    ("caller_to_model", "caller -> model", "From when a caller's frame was due to its arrival at the model.", 0.14),
    ("caller_to_model_sent", "caller -> model, sent", "From when a caller's frame was written to its arrival.", 0.11),
    ("model_to_caller", "model -> caller", "From the model's write of audio to its arrival at the caller.", 0.12),
    ("speech_to_clear", "speech -> clear", "From the first frame of speech over the agent to the clear.", 96.2),
    ("turn_to_audio", "turn -> audio", "From the end of the caller's speech to the first audio of the answer.", 812.0),
    ("tester_late", "tester late", "How late the tester itself was; the other figures contain it.", 0.06),
];

/// A test of 200 calls with one of everything.
pub(super) fn report() -> LoadReport {
    with_calls(200, 0.34)
}

/// A search from 200 calls up to where it was too much.
pub(super) fn capacity() -> CapacityReport {
    let trial = |calls: usize, cores: f64, caller_to_model: f64| {
        let mut report = with_calls(calls, cores);
        report.floor = None;
        for latency in report.latencies.iter_mut().filter(|latency| latency.key == "caller_to_model") {
            latency.p99 = Some(caller_to_model);
        }
        let held = caller_to_model <= 20.0;
        report.objectives = vec![
            judged("model_to_caller.p99 <= 20", 1.1, true),
            judged("caller_to_model.p99 <= 20", caller_to_model, held),
        ];
        Trial { calls, held, report }
    };
    CapacityReport {
        schema: SCHEMA,
        trials: vec![
            trial(200, 0.34, 0.6),
            trial(400, 0.66, 1.3),
            trial(800, 1.1, 140.0),
            trial(600, 0.94, 41.0),
            trial(500, 0.81, 7.5),
        ],
        calls: 500,
        calls_per_core: 250.0,
        calls_per_target_core: Some(617.3),
        limited_by: Some("caller_to_model.p99 <= 20".to_owned()),
    }
}

fn with_calls(calls: usize, cores: f64) -> LoadReport {
    let stretch = calls as f64 / 200.0;
    LoadReport {
        schema: SCHEMA,
        started: "2026-01-02T03:04:05Z".to_owned(),
        command: "offhook load --calls 200 --steady 60 --bad 2 'two words'".to_owned(),
        cores: 2,
        target: TargetReport {
            kind: "offhook".to_owned(),
            name: "local VAD, recording and journal on".to_owned(),
            pid: Some(4_242),
        },
        load: LoadShape {
            calls,
            ramp_s: 10.0,
            steady_s: 60.0,
            ramp_down_s: 8.0,
            call_s: [20.0, 40.0],
            think_s: [0.5, 2.0],
            barge_in_percent: 20,
            hang_up_percent: 3,
            bad_percent: 2,
            clips: vec!["harbour-1".to_owned(), "table-for-two".to_owned(), "<b>&\"quiet\"".to_owned()],
            model_think_ms: 300,
            seed: 7,
        },
        calls: CallCounts {
            placed: 612,
            connected: 609,
            refused: 1,
            failed: 2,
            completed: 609,
            peak: calls,
            call_seconds: 60.0 * calls as f64,
        },
        latencies: MEASURED.iter().map(|&(key, name, meaning, p50)| latency(key, name, meaning, p50)).collect(),
        audio: AudioCounts {
            caller_frames: 612_345,
            caller_frames_refused: 3,
            model_frames: 598_112,
            model_frames_lost: 1,
            agent_messages: 401_223,
            agent_lost_ms: 20,
            gaps: 2,
            gap_ms: 140,
        },
        failures: [("no_answer".to_owned(), 3), ("closed <early>".to_owned(), 2)].into(),
        hostile: [("huge_frame".to_owned(), 4), ("no_start".to_owned(), 5)].into(),
        process: Some(process(cores, 0.16)),
        tester: process(cores * 0.8, 0.05),
        objectives: vec![
            judged("caller_to_model.p99 <= 20", 0.42, true),
            judged("model_to_caller.p99 <= 20", 0.36, true),
            judged("speech_to_clear.p50 <= 80", 96.2, false),
            judged("failures <= 10", 5.0, true),
        ],
        floor: Some(Floor {
            latencies: MEASURED[..4]
                .iter()
                .map(|&(k, name, meaning, p50)| latency(k, name, meaning, p50 * 0.8))
                .collect(),
            process: Some(process(0.28, 0.27)),
            ratios: [("cpu", 1.21), ("memory", 0.6), ("caller_to_model.p50", 1.25), ("model_to_caller.p99", 1.3)]
                .map(|(key, ratio)| (key.to_owned(), ratio))
                .into(),
        }),
        series: (0..79).map(|n| second(n, calls, cores, stretch)).collect(),
    }
}

fn latency(key: &'static str, name: &'static str, meaning: &'static str, p50: f64) -> Latency {
    let at = |factor: f64| Some(p50 * factor);
    let curve =
        [(0.0, 0.6), (10.0, 0.75), (25.0, 0.88), (50.0, 1.0), (75.0, 1.2), (90.0, 1.6), (95.0, 2.0), (99.0, 3.0)];
    let tail = [(99.5, 3.9), (99.9, 8.0), (99.99, 19.0), (100.0, 31.0)];
    Latency {
        key,
        name,
        meaning,
        count: 61_234,
        p50: at(1.0),
        p90: at(1.6),
        p99: at(3.0),
        p999: at(8.0),
        max: at(31.0),
        curve: curve.iter().chain(&tail).map(|&(percentile, factor)| (percentile, p50 * factor)).collect(),
    }
}

fn process(cores: f64, mb_per_call: f64) -> ProcessReport {
    ProcessReport {
        cpu_ms_per_call_second: cores * 5.0,
        cores,
        idle_mb: 18.4,
        peak_mb: 18.4 + mb_per_call * 200.0,
        kb_per_call: mb_per_call * 1_000.0,
        settled_mb: [44.1, 44.3],
    }
}

fn judged(objective: &str, value: f64, held: bool) -> Judged {
    Judged { objective: objective.to_owned(), value: Some(value), held }
}

/// A second of it: calls rise for 10 s, stay for 60 and go within 8; one in nine has a slow tail.
fn second(n: usize, calls: usize, cores: f64, stretch: f64) -> Second {
    let (phase, up) = match n {
        0..10 => ("ramp", calls * n / 10),
        10..70 => ("steady", calls - n % 3),
        _ => ("down", calls * (78 - n) / 8),
    };
    let share = up as f64 / calls.max(1) as f64;
    let wobble = 1.0 + (n * 7 % 5) as f64 * 0.06;
    let tail = if n % 9 == 4 { 11.0 } else { 3.0 };
    let mut latencies = BTreeMap::new();
    for &(key, _, _, p50) in &MEASURED {
        let there = match key {
            "setup" => n < 12 || n.is_multiple_of(6),
            "speech_to_clear" => n % 4 == 1 && up > 0,
            "turn_to_audio" => n > 4 && up > 0,
            _ => up > 0,
        };
        if there {
            let p50 = p50 * wobble * (0.7 + 0.3 * share) * stretch;
            latencies.insert(key, [p50, p50 * tail]);
        }
    }
    Second {
        at_s: n as f64,
        phase,
        calls: up,
        latencies,
        failures: match n {
            0..31 => 0,
            31..52 => 2,
            _ => 5,
        },
        target_cores: Some(cores * share * wobble),
        tester_cores: cores * 0.8 * share,
        target_mb: Some(18.4 + share * 26.0),
    }
}
