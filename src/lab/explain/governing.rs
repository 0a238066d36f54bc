//! The settings behind the rules: each key's value in one call, and the document in which it stands.

use serde::Serialize;

use crate::config::{
    AfterFailure, Budget, CallSettings, Eagerness, Keys, OnFailure, OnMachine, Sound, Spoken, ToolKind, TurnDetection,
};

/// A setting that governs a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Governing {
    /// The key in the document, with its table.
    pub key: &'static str,
    /// Its value in this call.
    pub value: String,
    /// The document, relative to the configuration's directory.
    pub file: String,
}

/// A key's value in this call; `None` where the mode in force has no such key.
pub(super) fn governing(key: &'static str, settings: &CallSettings) -> Option<Governing> {
    let limits = &settings.limits;
    let playout = &settings.playout;
    let agent = || format!("agents/{}.toml", settings.agent);
    let deployment = || format!("deployments/{}.toml", settings.deployment);
    // A deployment may have otherwise what is the agent's, and an agent may have defaults of a deployment's.
    let table = key.split('.').next().unwrap_or_default();
    let elsewhere =
        settings.elsewhere.iter().any(|said| said == key || (table != key && table == "on_failure" && said == table));
    let in_agent = |value: String| (value, if elsewhere { deployment() } else { agent() });
    let deployments = || if elsewhere { agent() } else { deployment() };
    let in_deployment = |value: u64| (value.to_string(), deployments());
    let in_models = |value: u64| (value.to_string(), "models.toml".to_owned());
    let (value, file) = match key {
        "interruptions" => in_agent(settings.interruptions.to_string()),
        "min_interruption_ms" => in_agent(settings.false_interruptions.shorter_than_ms.to_string()),
        "verdict_ms" => in_agent(settings.false_interruptions.verdict_ms.to_string()),
        "untranscribed_interruption_ms" => in_agent(settings.false_interruptions.untranscribed_ms.to_string()),
        "back_channels" => in_agent(format!("{} phrases", settings.back_channels.len())),
        "resume_false_interruption" => in_agent(settings.false_interruptions.resume.to_string()),
        "echo_guard" => in_agent(settings.echo_guard.to_string()),
        "greeting_interruptible" => in_agent(settings.greeting_interruptible.to_string()),
        "disclaimer" => in_agent(sound(settings.disclaimer.as_ref())),
        "transcription" => in_agent(if settings.transcribed { "on" } else { "off" }.to_owned()),
        "greeting" => in_agent(match &settings.greeting {
            Spoken::None => quoted("none"),
            Spoken::Say(text) => format!("{{ say = {text:?} }}"),
            Spoken::Play(sound) => format!("{{ play = {:?} }}", sound.name),
        }),
        "farewell" => in_agent(match &settings.farewell {
            Spoken::None => quoted("none"),
            Spoken::Say(text) => format!("{{ say = {text:?} }}"),
            Spoken::Play(sound) => format!("{{ play = {:?} }}", sound.name),
        }),
        "outbound.ring_s" => in_deployment(settings.outbound.as_ref()?.ring_s),
        "outbound.decide_within_ms" => in_deployment(settings.outbound.as_ref()?.decide_within_ms),
        "outbound.monologue_ms" => in_deployment(settings.outbound.as_ref()?.monologue_ms.into()),
        "outbound.beep_timeout_ms" => in_deployment(settings.outbound.as_ref()?.beep_timeout_ms),
        "outbound.detect" | "outbound.wait_for_human" | "outbound.on_machine" => {
            let outbound = settings.outbound.as_ref()?;
            let value = match key {
                "outbound.detect" => quoted(outbound.detect.name()),
                "outbound.wait_for_human" => outbound.wait_for_human.to_string(),
                _ => match &outbound.on_machine {
                    OnMachine::HangUp => quoted("hang_up"),
                    OnMachine::Continue => quoted("continue"),
                    OnMachine::Say(text) => format!("{{ say = {text:?} }}"),
                    OnMachine::Play(sound) => format!("{{ play = {:?} }}", sound.name),
                },
            };
            (value, deployments())
        }
        "tools" => {
            let names: Vec<_> = settings.tools.iter().map(|tool| quoted(&tool.name)).collect();
            in_agent(format!("[{}]", names.join(", ")))
        }
        "tool.timeout_ms" => in_agent(each(
            settings.tools.iter().filter(|tool| tool.does == ToolKind::Http).map(|tool| (&tool.name, tool.timeout_ms)),
        )?),
        "destination.ring_s" => in_agent(each(settings.destinations.iter().map(|to| (&to.name, to.ring_s)))?),
        "filler" => in_agent(sound(settings.filler.as_ref())),
        "hold_sound" => in_agent(sound(settings.hold_sound.as_ref())),
        "on_failure.play" => in_agent(sound(settings.on_failure.line.as_ref())),
        "on_failure.then" => in_agent(match &settings.on_failure {
            OnFailure { then: AfterFailure::HangUp, .. } => quoted("hang_up"),
            // The number is in the document; it is nobody's business here.
            OnFailure { then: AfterFailure::Transfer(_), .. } => "{ transfer = … }".to_owned(),
        }),
        "limits.max_minutes" => in_deployment(limits.max_duration_s / 60),
        "limits.max_model_minutes" => in_deployment(limits.max_model_s / 60),
        "limits.max_cost" | "limits.max_cost_per_number_and_day" | "limits.max_cost_per_day" => {
            (budget(key, settings.budget.as_ref()?)?, deployments())
        }
        "limits.warn_before_s" => in_deployment(limits.warn_before_s),
        "limits.farewell_s" => in_deployment(limits.farewell_s),
        "limits.caller_silence_s" => in_deployment(limits.caller_silence_s),
        "limits.caller_gone_s" => in_deployment(limits.caller_gone_s),
        "limits.line_back_s" => in_deployment(limits.line_back_s),
        "limits.model_silence_ms" => in_deployment(limits.model_silence_ms),
        "limits.model_recovery_s" => in_deployment(limits.model_recovery_s),
        "limits.transcript_wait_ms" => in_deployment(limits.transcript_wait_ms),
        "limits.media_start_s" => in_deployment(limits.media_start_s),
        "playout.lead_ms" => in_deployment(playout.lead_ms),
        "playout.max_queue_s" => in_deployment(playout.max_queue_s),
        "playout.mark_timeout_ms" => in_deployment(playout.mark_timeout_ms),
        "keys.terminator" | "keys.max_digits" | "keys.timeout_ms" | "keys.meaning" | "keys.interrupt"
        | "keys.actions" => in_agent(of_keys(key, settings.keys.as_ref())),
        "idle.after_s" => in_agent(settings.idle.as_ref().map_or(0, |idle| idle.after_ms / 1_000).to_string()),
        "idle.times" => in_agent(settings.idle.as_ref().map_or(0, |idle| idle.times).to_string()),
        "idle.end" => in_agent(settings.idle.as_ref().is_some_and(|idle| idle.end).to_string()),
        "tool_sound.sound" => {
            let name = sound(settings.tool_sound.as_ref().map(|tool| &tool.sound));
            (name, deployments())
        }
        "tool_sound.grace_ms" => in_deployment(settings.tool_sound.as_ref().map_or(0, |sound| sound.grace_ms)),
        "tool_sound.fade_out_ms" => in_deployment(settings.tool_sound.as_ref().map_or(0, |sound| sound.fade_out_ms)),
        "max_session_min" => in_models(settings.max_session_min),
        "dial_timeout_ms" => in_models(settings.dial_timeout_ms),
        _ => in_agent(turn_detection(key, &settings.turn_detection)?),
    };
    Some(Governing { key, value, file })
}

/// The budget of the call, if it is the key's: the smallest of all is kept, and of a day's only what was left.
fn budget(key: &str, budget: &Budget) -> Option<String> {
    let amount = budget.micros as f64 / 1e6;
    match (key, budget.of.as_str()) {
        ("limits.max_cost", "call") => Some(amount.to_string()),
        ("limits.max_cost_per_number_and_day", "number") | ("limits.max_cost_per_day", "day") => {
            Some(format!("more by {amount} than was spent when the call began"))
        }
        _ => None,
    }
}

/// A key that each entry of a list has of its own; `None`: there is no entry.
fn each<'a>(entries: impl Iterator<Item = (&'a String, u64)>) -> Option<String> {
    let shown: Vec<_> = entries.map(|(name, value)| format!("{value} for {name:?}")).collect();
    if shown.is_empty() { None } else { Some(shown.join(", ")) }
}

fn of_keys(key: &str, keys: Option<&Keys>) -> String {
    let Some(keys) = keys else { return quoted("off") };
    match key {
        "keys.terminator" => quoted(&keys.terminator.map_or("none".to_owned(), |key| key.to_string())),
        "keys.max_digits" => keys.max_digits.to_string(),
        "keys.timeout_ms" => keys.timeout_ms.to_string(),
        "keys.meaning" => keys.meaning.as_deref().map_or("none".to_owned(), quoted),
        "keys.interrupt" => keys.interrupt.to_string(),
        // Numbers are in the document; they are nobody's business here.
        _ => keys.actions.keys().map(|key| quoted(&key.to_string())).collect::<Vec<_>>().join(", "),
    }
}

fn turn_detection(key: &str, detection: &TurnDetection) -> Option<String> {
    Some(match (key, detection) {
        ("turn_detection.mode", detection) => quoted(detection.mode()),
        (_, TurnDetection::Local(turn)) => match key {
            "turn_detection.engine" => quoted(turn.engine.name()),
            "turn_detection.threshold" => turn.threshold.to_string(),
            "turn_detection.hysteresis" => turn.hysteresis.to_string(),
            "turn_detection.prefix_padding_ms" => turn.prefix_padding_ms.to_string(),
            "turn_detection.silence_duration_ms" => turn.silence_duration_ms.to_string(),
            "turn_detection.min_speech_ms" => turn.min_speech_ms.to_string(),
            "turn_detection.max_turn_s" => turn.max_turn_s.to_string(),
            "turn_detection.level_margin_db" => turn.level_margin_db.to_string(),
            _ => return None,
        },
        ("turn_detection.threshold", TurnDetection::Provider { threshold, .. }) => threshold.to_string(),
        ("turn_detection.prefix_padding_ms", TurnDetection::Provider { prefix_padding_ms, .. }) => {
            prefix_padding_ms.to_string()
        }
        ("turn_detection.silence_duration_ms", TurnDetection::Provider { silence_duration_ms, .. }) => {
            silence_duration_ms.to_string()
        }
        ("turn_detection.eagerness", TurnDetection::Semantic { eagerness }) => quoted(match eagerness {
            Eagerness::Auto => "auto",
            Eagerness::Low => "low",
            Eagerness::Medium => "medium",
            Eagerness::High => "high",
        }),
        ("turn_detection.commit_key", TurnDetection::Disabled { commit_key: Some(key) }) => quoted(&key.to_string()),
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn sound(sound: Option<&Sound>) -> String {
    sound.map_or_else(|| "none".to_owned(), |sound| quoted(&sound.name))
}
