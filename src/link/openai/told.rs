//! What the far end says that the session is, held against what it was asked to be.

use serde_json::Value;

use crate::base::audio::{AudioFormat, Codec};

/// Sample rates that are converted.
const RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=48_000;
/// The rate of linear audio that is told without one.
const LINEAR_HZ: u32 = 24_000;

/// A session as it is told. What is not told is as it was asked to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Audio to the model; the error is a format that cannot be converted.
    pub(super) input: Option<Result<AudioFormat, String>>,
    /// Audio from the model.
    pub(super) output: Option<Result<AudioFormat, String>>,
    pub(super) detection: Detection,
}

/// Turn detection at the far end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Detection {
    #[default]
    Untold,
    Off,
    On {
        kind: String,
        prefix_ms: u32,
        silence_ms: u32,
        /// It answers a turn by itself.
        answers: bool,
    },
}

impl Told {
    /// Reads a `session.updated`, in the API's shape or with the keys of its beta at the session's top.
    pub(super) fn read(text: &str) -> Self {
        let Ok(event) = serde_json::from_str::<Value>(text) else { return Told::default() };
        let session = &event["session"];
        let first = |keys: [&str; 3]| keys.into_iter().filter_map(|key| session.pointer(key)).find(|v| !v.is_null());
        let detections = ["/audio/input/turn_detection", "/turn_detection"].map(|key| session.pointer(key));
        let input_hz = rate(&session["input_audio_sampling_rate"]);
        Told {
            input: first(["/audio/input/format", "/input_audio_format", "/input_audio_format/type"])
                .and_then(|v| format(v, input_hz)),
            output: first(["/audio/output/format", "/output_audio_format", "/output_audio_format/type"])
                .and_then(|v| format(v, None)),
            detection: match detections.iter().flatten().find(|v| !v.is_null()) {
                Some(on) => detection(on),
                None if detections.iter().flatten().next().is_some() => Detection::Off,
                None => Detection::Untold,
            },
        }
    }
}

fn detection(told: &Value) -> Detection {
    let kind = told["type"].as_str().unwrap_or_else(|| told.as_str().unwrap_or("server_vad"));
    if kind == "none" || told == &Value::Bool(false) {
        return Detection::Off;
    }
    let ms = |key: &str, default: u32| told[key].as_f64().map_or(default, |ms| ms.clamp(0.0, 10_000.0) as u32);
    Detection::On {
        kind: crate::link::complaint::fit(kind),
        prefix_ms: ms("prefix_padding_ms", if kind.contains("semantic") { 0 } else { 300 }),
        silence_ms: ms("silence_duration_ms", if kind.contains("semantic") { 0 } else { 200 }),
        answers: told["create_response"].as_bool().unwrap_or(true),
    }
}

/// A format by its name, in any of the spellings.
fn format(told: &Value, hz: Option<u64>) -> Option<Result<AudioFormat, String>> {
    let (name, rate) = match told {
        Value::String(name) => (name.as_str(), hz),
        told => (told["type"].as_str()?, rate(&told["rate"]).or(rate(&told["sample_rate"])).or(hz)),
    };
    let lower = name.to_ascii_lowercase();
    let bare = lower.trim_start_matches("audio/");
    let (codec, default_hz) = match bare {
        "pcmu" | "g711_ulaw" | "ulaw" | "mulaw" | "x-mulaw" | "basic" => (Codec::Pcmu, 8_000),
        "pcma" | "g711_alaw" | "alaw" | "x-alaw" => (Codec::Pcma, 8_000),
        "pcm16_8000hz" => (Codec::Linear16, 8_000),
        "pcm16_16000hz" => (Codec::Linear16, 16_000),
        "pcm" | "pcm16" | "linear16" | "l16" | "pcm_s16le" => (Codec::Linear16, LINEAR_HZ),
        _ => return Some(Err(crate::link::complaint::fit(name))),
    };
    // G.711 has no other rate, whatever is written beside it.
    let rate = rate.filter(|_| codec == Codec::Linear16);
    let rate_hz = rate.map_or(default_hz, |rate| u32::try_from(rate).unwrap_or(u32::MAX));
    if !RATES_HZ.contains(&rate_hz) {
        return Some(Err(format!("{} at {rate_hz} Hz", crate::link::complaint::fit(name))));
    }
    Some(Ok(AudioFormat { codec, rate_hz }))
}

/// A rate in Hz, also as some servers write it: with a decimal point, or in quotes.
fn rate(told: &Value) -> Option<u64> {
    let hz = told.as_f64().or_else(|| told.as_str().and_then(|text| text.trim().parse().ok()))?;
    (hz >= 1.0).then_some(hz as u64)
}

/// A format in words.
pub(super) fn name(format: AudioFormat) -> String {
    match format.codec {
        Codec::Pcmu => "audio/pcmu".to_owned(),
        Codec::Pcma => "audio/pcma".to_owned(),
        Codec::Linear16 => format!("audio/pcm at {} Hz", format.rate_hz),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(session: &str) -> Told {
        Told::read(&format!(r#"{{"type":"session.updated","session":{session}}}"#))
    }

    #[test]
    fn formats_are_read_in_any_spelling() {
        let linear = |rate_hz| Some(Ok(AudioFormat { codec: Codec::Linear16, rate_hz }));
        for (session, input, output) in [
            (r#"{"audio":{"input":{"format":{"type":"audio/pcmu"}}}}"#, Some(Ok(AudioFormat::PHONE)), None),
            (r#"{"audio":{"output":{"format":{"type":"audio/pcm","rate":24000}}}}"#, None, linear(24_000)),
            (r#"{"audio":{"output":{"format":{"type":"audio/pcm","rate":16000}}}}"#, None, linear(16_000)),
            (r#"{"audio":{"output":{"format":{"type":"audio/pcm"}}}}"#, None, linear(24_000)),
            (
                r#"{"input_audio_format":"pcm16","output_audio_format":"g711_ulaw"}"#,
                linear(24_000),
                Some(Ok(AudioFormat::PHONE)),
            ),
            (r#"{"input_audio_format":"pcm16","input_audio_sampling_rate":16000}"#, linear(16_000), None),
            (r#"{"audio":{"output":{"format":{"type":"audio/pcm","rate":16000.0}}}}"#, None, linear(16_000)),
            (r#"{"audio":{"output":{"format":{"type":"audio/pcm","rate":"16000"}}}}"#, None, linear(16_000)),
            (r#"{"audio":{"output":{"format":{"type":"audio/pcm","sample_rate":"16000"}}}}"#, None, linear(16_000)),
            (
                r#"{"audio":{"output":{"format":{"type":"audio/pcmu","rate":24000}}}}"#,
                None,
                Some(Ok(AudioFormat::PHONE)),
            ),
            (r#"{"output_audio_format":"pcm16_8000hz"}"#, None, linear(8_000)),
            (r#"{"audio":{"output":{"format":{"type":"audio/opus"}}}}"#, None, Some(Err("audio/opus".to_owned()))),
            (
                r#"{"audio":{"output":{"format":{"type":"audio/pcm","rate":4000}}}}"#,
                None,
                Some(Err("audio/pcm at 4000 Hz".to_owned())),
            ),
            (r#"{"audio":{"output":{"format":null}}}"#, None, None),
            (r#"{"audio":7}"#, None, None),
            ("null", None, None),
        ] {
            let told = told(session);
            assert_eq!((told.input, told.output), (input, output), "{session}");
        }
    }

    #[test]
    fn detection_is_on_off_or_not_told() {
        let on = |kind: &str, prefix_ms, silence_ms, answers| Detection::On {
            kind: kind.to_owned(),
            prefix_ms,
            silence_ms,
            answers,
        };
        for (session, expected) in [
            (r#"{}"#, Detection::Untold),
            (r#"{"audio":{"input":{"turn_detection":null}}}"#, Detection::Off),
            (
                r#"{"audio":{"input":{"turn_detection":null}},"turn_detection":{"type":"server_vad"}}"#,
                on("server_vad", 300, 200, true),
            ),
            (
                r#"{"turn_detection":{"type":"server_vad","prefix_padding_ms":100,"silence_duration_ms":650.0,"create_response":false}}"#,
                on("server_vad", 100, 650, false),
            ),
            (r#"{"audio":{"input":{"turn_detection":{"type":"semantic_vad"}}}}"#, on("semantic_vad", 0, 0, true)),
            (r#"{"turn_detection":{"type":"none"}}"#, Detection::Off),
        ] {
            assert_eq!(told(session).detection, expected, "{session}");
        }
    }
}
