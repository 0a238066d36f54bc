//! The session object: defaults, updates and their validation.

use serde_json::{Map, Value, json};

use crate::base::audio::{AudioFormat, Codec};

use super::outbox::ApiError;
use super::vad::Rules;

/// The fully resolved session.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    value: Value,
    /// The voice cannot change once it was heard.
    pub(super) voice_locked: bool,
}

/// Who takes turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Detection {
    pub(super) rules: Rules,
    pub(super) create_response: bool,
    pub(super) interrupt_response: bool,
}

impl Settings {
    /// The defaults with which a session begins.
    pub(super) fn new(id: &str, model: &str, expires_at: u64) -> Self {
        let value = json!({
            "type": "realtime", "object": "realtime.session", "id": id, "expires_at": expires_at,
            "model": model, "instructions": "You are a helpful voice assistant.", "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": { "type": "audio/pcm", "rate": 24000 }, "noise_reduction": null, "transcription": null,
                    "turn_detection": server_vad()
                },
                "output": { "format": { "type": "audio/pcm", "rate": 24000 }, "voice": "marin", "speed": 1.0 }
            },
            "tools": [], "tool_choice": "auto", "max_output_tokens": "inf",
            "tracing": null, "truncation": "auto", "prompt": null, "include": null
        });
        Settings { value, voice_locked: false }
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// Merges the fields that are present. One that is wrong or unknown refuses the whole update.
    pub(super) fn update(&mut self, update: &Value) -> Result<(), ApiError> {
        let Some(fields) = update.as_object() else { return Err(ApiError::missing("session")) };
        match fields.get("type").map(Value::as_str) {
            None => return Err(ApiError::missing("session.type")),
            Some(Some("realtime")) => {}
            Some(_) => return Err(ApiError::invalid("session.type", "this server supports 'realtime'")),
        }
        let mut next = self.value.clone();
        for (key, value) in fields {
            let path = format!("session.{key}");
            match key.as_str() {
                "type" => {}
                "model" if *value == next["model"] => {}
                "model" => return Err(ApiError::invalid(&path, "the model of a session cannot change")),
                "audio" => self.audio(&mut next["audio"], value, &path, true)?,
                _ => {
                    check_common(key, value, &path)?;
                    next[key] = value.clone();
                }
            }
        }
        self.value = next;
        Ok(())
    }

    /// Checks the `response` of a `response.create` and answers the session that is in force for it.
    pub(super) fn for_response(&self, params: &Map<String, Value>) -> Result<Settings, ApiError> {
        let mut next = self.value.clone();
        for (key, value) in params {
            let path = format!("response.{key}");
            match key.as_str() {
                "audio" => self.audio(&mut next["audio"], value, &path, false)?,
                "conversation" if value == "auto" || value == "none" => {}
                "conversation" => return Err(ApiError::invalid(&path, "'auto' and 'none' are supported")),
                "metadata" if value.is_null() || value.is_object() => {}
                "metadata" => return Err(ApiError::invalid(&path, "an object is expected")),
                "input" if value.is_array() => {}
                "input" => return Err(ApiError::invalid(&path, "a list of items is expected")),
                "tracing" | "truncation" | "include" => return Err(ApiError::unknown(&path)),
                _ => {
                    check_common(key, value, &path)?;
                    next[key] = value.clone();
                }
            }
        }
        Ok(Settings { value: next, voice_locked: self.voice_locked })
    }

    pub(super) fn input_format(&self) -> AudioFormat {
        format_of(&self.value["audio"]["input"]["format"])
    }

    pub(super) fn output_format(&self) -> AudioFormat {
        format_of(&self.value["audio"]["output"]["format"])
    }

    pub(super) fn detection(&self) -> Option<Detection> {
        let detection = &self.value["audio"]["input"]["turn_detection"];
        let number = |key: &str, otherwise: u64| detection[key].as_u64().unwrap_or(otherwise);
        let rules = match detection["type"].as_str()? {
            "server_vad" => Rules {
                threshold: detection["threshold"].as_f64().unwrap_or(0.5),
                prefix_padding_ms: number("prefix_padding_ms", 300),
                silence_duration_ms: number("silence_duration_ms", 200),
            },
            // Nothing here understands words: eagerness is a longer or shorter silence.
            _ => Rules {
                threshold: 0.5,
                prefix_padding_ms: 300,
                silence_duration_ms: match detection["eagerness"].as_str() {
                    Some("low") => 1_500,
                    Some("high") => 400,
                    _ => 800,
                },
            },
        };
        let flag = |key: &str| detection[key].as_bool().unwrap_or(true);
        Some(Detection {
            rules,
            create_response: flag("create_response"),
            interrupt_response: flag("interrupt_response"),
        })
    }

    pub(super) fn transcribes(&self) -> bool {
        !self.value["audio"]["input"]["transcription"].is_null()
    }

    pub(super) fn speaks(&self) -> bool {
        self.value["output_modalities"][0] != "text"
    }

    pub(super) fn has_tool(&self, name: &str) -> bool {
        self.value["tool_choice"] != "none"
            && self.value["tools"].as_array().is_some_and(|tools| tools.iter().any(|tool| tool["name"] == name))
    }

    pub(super) fn instructions(&self) -> &str {
        self.value["instructions"].as_str().unwrap_or_default()
    }

    /// `audio` of a session (`whole`) or of one response (output format and voice only).
    fn audio(&self, next: &mut Value, update: &Value, path: &str, whole: bool) -> Result<(), ApiError> {
        for (side, fields) in object(update, path)? {
            let path = format!("{path}.{side}");
            if side != "output" && !(whole && side == "input") {
                return Err(ApiError::unknown(&path));
            }
            for (key, value) in object(fields, &path)? {
                let path = format!("{path}.{key}");
                let target = &mut next[side][key];
                match (side.as_str(), key.as_str()) {
                    (_, "format") => *target = check_format(value, &path)?,
                    ("input", "noise_reduction") => *target = noise_reduction(target, value, &path)?,
                    ("input", "transcription") => *target = transcription(value, &path)?,
                    ("input", "turn_detection") => *target = turn_detection(target, value, &path)?,
                    ("output", "voice") => {
                        let named = value.is_string() || value["id"].is_string();
                        check(named, &path, "a voice's name or an object with its id is expected")?;
                        if self.voice_locked && *value != *target {
                            let message = "Cannot update a conversation's voice if assistant audio is present.";
                            return Err(ApiError::of("cannot_update_voice", path, message));
                        }
                        *target = value.clone();
                    }
                    ("output", "speed") if whole => {
                        in_range(value, 0.25..=1.5, &path)?;
                        *target = value.clone();
                    }
                    _ => return Err(ApiError::unknown(&path)),
                }
            }
        }
        Ok(())
    }
}

fn server_vad() -> Value {
    json!({ "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200,
        "idle_timeout_ms": null, "create_response": true, "interrupt_response": true })
}

fn semantic_vad() -> Value {
    json!({ "type": "semantic_vad", "eagerness": "auto", "create_response": true, "interrupt_response": true })
}

fn format_of(format: &Value) -> AudioFormat {
    match format["type"].as_str() {
        Some("audio/pcmu") => AudioFormat::PHONE,
        Some("audio/pcma") => AudioFormat { codec: Codec::Pcma, rate_hz: 8_000 },
        _ => AudioFormat::PCM_24K,
    }
}

/// The fields that a session and a response have in common, beside `audio`.
fn check_common(key: &str, value: &Value, path: &str) -> Result<(), ApiError> {
    match key {
        "instructions" => check(value.is_string(), path, "a string is expected"),
        "output_modalities" => check(
            *value == json!(["audio"]) || *value == json!(["text"]),
            path,
            "[\"audio\"] or [\"text\"] is supported",
        ),
        "tools" => {
            let Some(tools) = value.as_array() else { return check(false, path, "a list is expected") };
            for (index, tool) in tools.iter().enumerate() {
                let path = format!("{path}[{index}]");
                for key in object(tool, &path)?.keys() {
                    let known = match tool["type"].as_str() {
                        Some("function") => ["type", "name", "description", "parameters"].contains(&key.as_str()),
                        Some("mcp") => true,
                        _ => {
                            return Err(ApiError::invalid(
                                &format!("{path}.type"),
                                "'function' and 'mcp' are supported",
                            ));
                        }
                    };
                    if !known {
                        return Err(ApiError::unknown(&format!("{path}.{key}")));
                    }
                }
                if tool["type"] == "function" && !tool["name"].is_string() {
                    return Err(ApiError::missing(&format!("{path}.name")));
                }
            }
            Ok(())
        }
        "tool_choice" => {
            let known = matches!(value.as_str(), Some("auto" | "none" | "required")) || value["type"].is_string();
            check(known, path, "'auto', 'none', 'required' or an object is expected")
        }
        "max_output_tokens" => {
            let allowed = value == "inf" || value.as_u64().is_some_and(|tokens| (1..=4_096).contains(&tokens));
            check(allowed, path, "1 to 4096 or 'inf' is allowed")
        }
        "tracing" | "truncation" | "prompt" | "include" | "parallel_tool_calls" | "reasoning" => Ok(()),
        _ => Err(ApiError::unknown(path)),
    }
}

fn check_format(value: &Value, path: &str) -> Result<Value, ApiError> {
    let fields = object(value, path)?;
    if let Some(key) = fields.keys().find(|key| !["type", "rate"].contains(&key.as_str())) {
        return Err(ApiError::unknown(&format!("{path}.{key}")));
    }
    match (value["type"].as_str(), &value["rate"]) {
        (Some("audio/pcm"), rate) if *rate == 24_000 || rate.is_null() => {
            Ok(json!({ "type": "audio/pcm", "rate": 24000 }))
        }
        (Some("audio/pcm"), _) => Err(ApiError::invalid(&format!("{path}.rate"), "24000 is the only rate")),
        (Some("audio/pcmu" | "audio/pcma"), Value::Null) => Ok(json!({ "type": value["type"] })),
        (Some("audio/pcmu" | "audio/pcma"), _) => Err(ApiError::unknown(&format!("{path}.rate"))),
        _ => Err(ApiError::invalid(&format!("{path}.type"), "audio/pcm, audio/pcmu and audio/pcma are supported")),
    }
}

fn noise_reduction(now: &Value, value: &Value, path: &str) -> Result<Value, ApiError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let mut next = if now.is_null() { json!({ "strength": 1.0 }) } else { now.clone() };
    for (key, value) in object(value, path)? {
        let path = format!("{path}.{key}");
        match key.as_str() {
            "type" => {
                check(value == "near_field" || value == "far_field", &path, "near_field and far_field are supported")?
            }
            "strength" => check(value.is_number(), &path, "a number is expected")?,
            _ => return Err(ApiError::unknown(&path)),
        }
        next[key] = value.clone();
    }
    match next["type"] {
        Value::Null => Err(ApiError::missing(&format!("{path}.type"))),
        _ => Ok(next),
    }
}

fn transcription(value: &Value, path: &str) -> Result<Value, ApiError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    for (key, value) in object(value, path)? {
        let path = format!("{path}.{key}");
        match key.as_str() {
            "model" | "language" | "prompt" | "delay" => {
                check(value.is_string() || value.is_null(), &path, "a string is expected")?;
            }
            "languages" | "keywords" => check(value.is_array() || value.is_null(), &path, "a list is expected")?,
            _ => return Err(ApiError::unknown(&path)),
        }
    }
    Ok(value.clone())
}

fn turn_detection(now: &Value, value: &Value, path: &str) -> Result<Value, ApiError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let fields = object(value, path)?;
    let kind = match fields.get("type").or(now.get("type")).and_then(Value::as_str) {
        Some("server_vad") => "server_vad",
        Some("semantic_vad") => "semantic_vad",
        _ => return Err(ApiError::invalid(&format!("{path}.type"), "server_vad and semantic_vad are supported")),
    };
    let mut next = match kind {
        kind if now["type"] == kind => now.clone(),
        "server_vad" => server_vad(),
        _ => semantic_vad(),
    };
    for (key, value) in fields {
        let path = format!("{path}.{key}");
        if next.get(key).is_none() {
            return Err(ApiError::unknown(&path));
        }
        match key.as_str() {
            "threshold" => in_range(value, 0.0..=1.0, &path)?,
            "prefix_padding_ms" | "silence_duration_ms" => {
                check(
                    value.as_u64().is_some_and(|ms| ms <= 60_000),
                    &path,
                    "a whole number of milliseconds is expected",
                )?;
            }
            "idle_timeout_ms" if value.is_null() => {}
            "idle_timeout_ms" => in_range(value, 5_000.0..=30_000.0, &path)?,
            "eagerness" => {
                let known = matches!(value.as_str(), Some("low" | "medium" | "high" | "auto"));
                check(known, &path, "low, medium, high and auto are supported")?;
            }
            "create_response" | "interrupt_response" => check(value.is_boolean(), &path, "a boolean is expected")?,
            _ => {}
        }
        next[key] = value.clone();
    }
    Ok(next)
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, ApiError> {
    value.as_object().ok_or_else(|| ApiError::invalid(path, "an object is expected"))
}

fn in_range(value: &Value, range: std::ops::RangeInclusive<f64>, path: &str) -> Result<(), ApiError> {
    let allowed = format!("{} to {} is allowed", range.start(), range.end());
    check(value.as_f64().is_some_and(|number| range.contains(&number)), path, &allowed)
}

fn check(holds: bool, path: &str, allowed: &str) -> Result<(), ApiError> {
    if holds { Ok(()) } else { Err(ApiError::invalid(path, allowed)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_field_refuses_the_whole_update() {
        let mut settings = Settings::new("sess_1", "rehearsal", 0);
        let before = settings.value().clone();
        for (update, param, code) in [
            (json!({ "instructions": "x" }), "session.type", "missing_required_parameter"),
            (
                json!({ "type": "realtime", "instructions": "x", "temperature": 1 }),
                "session.temperature",
                "unknown_parameter",
            ),
            (json!({ "type": "realtime", "model": "other" }), "session.model", "invalid_value"),
            (
                json!({ "type": "realtime", "audio": { "output": { "speed": 2 } } }),
                "session.audio.output.speed",
                "invalid_value",
            ),
            (
                json!({ "type": "realtime", "audio": { "input": { "turn_detection": { "threshold": 1.5 } } } }),
                "session.audio.input.turn_detection.threshold",
                "invalid_value",
            ),
            (
                json!({ "type": "realtime", "audio": { "input": { "turn_detection": { "type": "semantic_vad", "threshold": 0.5 } } } }),
                "session.audio.input.turn_detection.threshold",
                "unknown_parameter",
            ),
            (
                json!({ "type": "realtime", "audio": { "input": { "format": { "type": "audio/pcmu", "rate": 8000 } } } }),
                "session.audio.input.format.rate",
                "unknown_parameter",
            ),
            (
                json!({ "type": "realtime", "tools": [{ "type": "function", "function": {} }] }),
                "session.tools[0].function",
                "unknown_parameter",
            ),
        ] {
            let error = settings.update(&update).unwrap_err();
            assert_eq!((error.param.as_deref(), error.code), (Some(param), code), "{update}");
            assert_eq!(*settings.value(), before);
        }
    }

    #[test]
    fn updates_merge_and_null_switches_off() {
        let mut settings = Settings::new("sess_1", "rehearsal", 0);
        let update = json!({ "type": "realtime", "audio": {
            "input": { "format": { "type": "audio/pcmu" }, "turn_detection": { "silence_duration_ms": 700, "interrupt_response": false },
                "noise_reduction": { "type": "far_field" } },
            "output": { "voice": "cedar" } } });
        settings.update(&update).unwrap();
        assert_eq!((settings.input_format(), settings.output_format()), (AudioFormat::PHONE, AudioFormat::PCM_24K));
        let detection = settings.detection().unwrap();
        assert_eq!((detection.rules.silence_duration_ms, detection.rules.prefix_padding_ms), (700, 300));
        assert!(detection.create_response && !detection.interrupt_response);
        assert_eq!(
            settings.value()["audio"]["input"]["noise_reduction"],
            json!({ "type": "far_field", "strength": 1.0 })
        );
        settings.voice_locked = true;
        let voice = |name: &str| json!({ "type": "realtime", "audio": { "output": { "voice": name } } });
        assert_eq!(settings.update(&voice("ash")).unwrap_err().code, "cannot_update_voice");
        settings.update(&voice("cedar")).unwrap();
        settings.update(&json!({ "type": "realtime", "audio": { "input": { "turn_detection": null } } })).unwrap();
        assert_eq!(settings.detection(), None);
    }
}
