//! Which setting governs a decision: the rule that a line of the trace names is looked up in the [`table`](super::table).

use serde::Serialize;

use super::governing::{Governing, governing};
use super::table::TABLE;
use crate::config::CallSettings;
use crate::engine::Timer;

/// A rule that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The decision's name, such as `BargeIn`.
    pub decision: String,
    /// The rule's name as the decision shows it; empty for decisions that follow one rule only.
    pub rule: String,
    /// What it says.
    pub meaning: &'static str,
    /// The settings that govern it; none for what no setting changes.
    pub settings: Vec<Governing>,
}

/// The rule behind a line of the trace; `None` for observations and for plain commands.
pub fn rule_of(line: &str, settings: &CallSettings) -> Option<Rule> {
    let (decision, rest) = line.split_once(' ').unwrap_or((line, ""));
    let name = match decision {
        // An end shows its kind first.
        "End" => rest.split(' ').next(),
        "LineQueued" => field(rest, "what"),
        // The words behind it are another server's.
        "EffectDone" => None,
        _ => ["rule", "why", "then"].iter().find_map(|key| field(rest, key)),
    };
    // The words after a kind are the model's or the vendor's.
    let name = name.and_then(|name| name.split(' ').next()).unwrap_or("");
    let known = TABLE.iter().find(|row| row.0 == decision && (row.1 == name || row.1.is_empty()));
    let (meaning, keys) = match known {
        Some((_, _, meaning, keys)) => (*meaning, *keys),
        None if name.is_empty() => return None,
        None => ("a rule that this version of explain does not know; the line above is all there is", &[][..]),
    };
    let settings = keys.iter().filter_map(|key| governing(key, settings)).collect();
    Some(Rule { decision: decision.to_owned(), rule: name.to_owned(), meaning, settings })
}

/// A deadline in words, with the key that sets it where there is one.
pub(super) fn deadline(timer: Timer) -> String {
    let (words, key) = match timer {
        Timer::MediaStart => ("the media stream must have started", "limits.media_start_s"),
        Timer::Feed => ("the next agent audio is due at the line", "playout.lead_ms"),
        Timer::MarkOverdue => ("marks count as lost", "playout.mark_timeout_ms"),
        Timer::Pad => ("silence for the model in place of missing caller audio", ""),
        Timer::CallerGone => ("no caller audio for too long", "limits.caller_gone_s"),
        Timer::CallerSilent => ("the caller has said nothing for too long", "limits.caller_silence_s"),
        Timer::Interrupt => ("the caller has spoken long enough to interrupt", "interruptions"),
        Timer::Verdict => ("the transcript that decides on an interruption must be there", "verdict_ms"),
        Timer::Held => ("the agent who is held goes on, though it is not known yet what was said", ""),
        Timer::ModelDial => ("the model's session must be set up", "dial_timeout_ms"),
        Timer::ModelRedial => ("a lost model is dialled again", ""),
        Timer::ModelRecovery => ("a lost model must be back", "limits.model_recovery_s"),
        Timer::ModelSilent => ("the model must have answered", "limits.model_silence_ms"),
        Timer::ModelRetry => ("a response that failed is asked for again", "limits.model_recovery_s"),
        Timer::ModelRenew => ("the model's session is to be renewed", "max_session_min"),
        Timer::Hold => ("the hold sound is due", "hold_sound"),
        Timer::ToolSound => ("the sound that is heard while tools run is due", "tool_sound.grace_ms"),
        Timer::Keys => ("the next key must have followed", "keys.timeout_ms"),
        Timer::Idle => ("the caller has said nothing for a while", "idle.after_s"),
        Timer::Answering => ("it must be known who picked up, or the greeting be over", "outbound.decide_within_ms"),
        Timer::CapWarning => ("the model is told that the call will end", "limits.warn_before_s"),
        Timer::Cap => ("the call's longest duration", "limits.max_minutes"),
        Timer::Farewell => ("the farewell has had its time", "limits.farewell_s"),
        Timer::Tools => ("a tool must have answered", "tools"),
        Timer::Away => ("the carrier must have answered, or the line be back", "limits.line_back_s"),
        Timer::Budget => ("what the call may use up is looked at", "limits.max_model_minutes"),
        Timer::HangUp => ("the carrier has had its time to end the call", ""),
        Timer::Words => ("the caller's last words must be there", "limits.transcript_wait_ms"),
    };
    if key.is_empty() { format!("{timer:?}: {words}") } else { format!("{timer:?}: {words} ({key})") }
}

/// The value of `key=value` in a line of the trace, without its quotes.
pub(super) fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let mut rest = line;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => after.split_at(after.find(' ').unwrap_or(after.len())),
        };
        if name == key {
            return Some(value);
        }
        rest = next.trim_start();
    }
    None
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let end = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        end
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::table::BY_AGENT;
    use super::*;
    use crate::config::{Budget, Destination, Eagerness, Tool, ToolKind, TurnDetection};
    use crate::lab::journal::tests::settings;

    #[test]
    fn a_rule_names_the_settings_that_govern_it() {
        let rule = rule_of("BargeIn rule=server_vad heard_ms=1200 unheard_ms=3400", &settings()).unwrap();
        assert_eq!((rule.decision.as_str(), rule.rule.as_str()), ("BargeIn", "server_vad"));
        let shown: Vec<_> = rule.settings.iter().map(|s| (s.key, s.value.as_str(), s.file.as_str())).collect();
        assert_eq!(
            shown,
            [("interruptions", "\"on\"", "agents/mia.toml"), ("turn_detection.threshold", "0.5", "agents/mia.toml")]
        );
        let rule = rule_of("End duration_cap", &settings()).unwrap();
        assert_eq!(rule.settings[0].key, "limits.max_minutes");
        assert_eq!(
            (rule.settings[0].value.as_str(), rule.settings[0].file.as_str()),
            ("10", "deployments/front-desk.toml")
        );
    }

    #[test]
    fn reasons_with_words_behind_them_are_found() {
        let line = r#"Closing why="agent_hung_up (done \"for now\", rule=x)""#;
        assert_eq!(rule_of(line, &settings()).unwrap().meaning, BY_AGENT);
        let line = r#"ModelSlow waited_ms=4000 then=fall_back"#;
        assert_eq!(rule_of(line, &settings()).unwrap().rule, "fall_back");
        let line = r#"End agent_hung_up (bye)"#;
        assert_eq!(rule_of(line, &settings()).unwrap().meaning, BY_AGENT);
    }

    #[test]
    fn an_unknown_rule_is_shown_as_such_and_an_observation_is_none() {
        let rule = rule_of("TurnCommitted turn=1 rule=phase_of_the_moon", &settings()).unwrap();
        assert_eq!(rule.rule, "phase_of_the_moon");
        assert!(rule.meaning.contains("does not know") && rule.settings.is_empty());
        assert_eq!(rule_of("MediaStarted", &settings()), None);
        assert_eq!(rule_of("EffectRun id=1 what=hang_up", &settings()), None);
        assert_eq!(rule_of("line clear", &settings()), None);
        assert_eq!(rule_of("ResponseEnded response=r1 status=completed", &settings()), None);
        assert_eq!(rule_of(r#"EffectDone id=1 result=output:"a rule=b""#, &settings()), None);
        // What somebody said is not a rule, whatever it says.
        assert_eq!(rule_of(r#"Said who=caller text="rule=off why=x" unheard="""#, &settings()), None);
    }

    #[test]
    fn every_rule_of_local_detection_is_known() {
        let source = sources("engine/local").concat();
        let mut found = 0;
        for (call, decision) in [
            ("drop_turn(", "TurnDropped"),
            ("release_agent(", "AgentResumed"),
            ("release_if_settled(", "AgentResumed"),
            ("resume_agent(", "AgentResumed"),
            ("self.interrupt(", "BargeIn"),
            ("give_way(", "BargeIn"),
            ("is_interruption(", "BargeIn"),
            ("interrupt_by_verdict(", "BargeIn"),
            ("Over::Agent { until_ms: min_ms, rule: ", "BargeIn"),
            ("Over::Agent { until_ms: untranscribed_ms, rule: ", "BargeIn"),
            ("Over::Ignored { rule: ", "InterruptionIgnored"),
            ("InterruptionIgnored { rule: ", "InterruptionIgnored"),
            ("ignore_interruption(", "InterruptionIgnored"),
            ("answer_later(", "InterruptionIgnored"),
            ("Interruptions::MinWords(_) => ", "InterruptionIgnored"),
            ("set_aside(", "BackChannel"),
            ("commit_aside(", "BackChannel"),
            ("commit_unasked(", "TurnCommitted"),
        ] {
            for rest in source.split(call).skip(1) {
                let Some(rule) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) else { continue };
                let rule = rule_of(&format!("{decision} rule={rule}"), &settings()).unwrap();
                assert!(!rule.meaning.contains("does not know"), "{rule:?}");
                found += 1;
            }
        }
        assert!(found > 25, "{found}");
    }

    /// The texts of a folder of the code, and of those in it.
    fn sources(folder: &str) -> Vec<String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
        let mut texts = Vec::new();
        for file in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap()) {
            if file.file_type().unwrap().is_dir() {
                texts.extend(sources(&format!("{folder}/{}", file.file_name().to_string_lossy())));
            } else {
                texts.push(std::fs::read_to_string(file.path()).unwrap());
            }
        }
        texts
    }

    /// What stands in quotes right behind `before`, wherever that is in the engine.
    fn named_in_the_engine(before: &str) -> Vec<String> {
        let mut names = Vec::new();
        for text in sources("engine") {
            let named = text.split(before).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
            names.extend(named.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
        names
    }

    #[test]
    fn every_reason_for_a_response_a_recording_and_an_end_is_known() {
        let decisions: [(&str, &str, &[&str]); 7] = [
            ("ResponseAsked why=", "", &["self.ask(", "self.owe("]),
            ("LineQueued what=", "", &["&sound,", "(ItemKind::Line, sound,", "&line,", "&filler,"]),
            ("KeysCollected digits=1 rule=", "", &["note_digits(", "collected("]),
            ("LineBack rule=", " after_ms=1", &["end_errand(", "TransferOutcome::Busy => ", "map_or("]),
            ("AgentStopped rule=", "", &["stop_agent("]),
            ("ToolSoundEnded rule=", "", &["ToolSoundEnded { rule: "]),
            ("WrapUpAsked why=", "", &["if dear {"]),
        ];
        for (decision, rest, calls) in decisions {
            let names: Vec<_> = calls.iter().flat_map(|call| named_in_the_engine(call)).collect();
            assert!(!names.is_empty(), "{decision}");
            for name in names {
                let rule = rule_of(&format!("{decision}{name}{rest}"), &settings()).unwrap();
                assert!(!rule.meaning.contains("does not know"), "{rule:?}");
            }
        }
        let text = include_str!("../../engine/event.rs");
        let kinds = text.split_once("pub fn kind(").unwrap().1.split_once("\n    }\n").unwrap().0;
        let kinds: Vec<_> = kinds.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(kinds.len() > 15);
        for kind in kinds {
            assert!(!rule_of(&format!("End {kind}"), &settings()).unwrap().meaning.contains("does not know"), "{kind}");
        }
    }

    #[test]
    fn a_days_budget_is_told_by_what_was_left_of_it() {
        let of = |of: &str| {
            let budget = Some(Budget { micros: 250_000, of: of.into() });
            let rule = rule_of(&format!("End cost_cap ({of})"), &CallSettings { budget, ..settings() }).unwrap();
            rule.settings.into_iter().map(|s| (s.key, s.value)).collect::<Vec<_>>()
        };
        assert_eq!(of("call"), [("limits.max_cost", "0.25".to_owned())]);
        let left = "more by 0.25 than was spent when the call began".to_owned();
        assert_eq!(of("day"), [("limits.max_cost_per_day", left)]);
    }

    #[test]
    fn a_setting_is_named_with_the_document_that_says_it() {
        let files = |elsewhere: &[&str]| {
            let elsewhere = elsewhere.iter().map(|key| (*key).to_owned()).collect();
            let settings = CallSettings { elsewhere, ..settings() };
            ["interruptions", "on_failure.then", "limits.farewell_s"].map(|key| governing(key, &settings).unwrap().file)
        };
        let (agent, deployment) = (settings().agent, settings().deployment);
        let (agent, deployment) = (format!("agents/{agent}.toml"), format!("deployments/{deployment}.toml"));
        assert_eq!(files(&[]), [agent.clone(), agent.clone(), deployment.clone()]);
        assert_eq!(files(&["interruptions", "limits.farewell_s"]), [deployment.clone(), agent.clone(), agent.clone()]);
        assert_eq!(files(&["on_failure"]), [agent, deployment.clone(), deployment]);
    }

    #[test]
    fn every_key_of_the_table_has_a_value_in_some_mode() {
        let modes = [
            settings().turn_detection,
            TurnDetection::Semantic { eagerness: Eagerness::Auto },
            TurnDetection::Disabled { commit_key: Some('#') },
            TurnDetection::Local(Default::default()),
        ];
        let tool = Tool { does: ToolKind::Http, ..Tool::built_in(ToolKind::Note, &[]).unwrap() };
        let full = |mode: &TurnDetection, of: &str| CallSettings {
            turn_detection: mode.clone(),
            outbound: Some(Default::default()),
            budget: Some(Budget { micros: 1, of: of.into() }),
            tools: Arc::from([tool.clone()]),
            destinations: Arc::from([Destination::number("+15550100199")]),
            ..settings()
        };
        for key in TABLE.iter().flat_map(|row| row.3) {
            let mut all = modes.iter().flat_map(|mode| ["call", "number", "day"].map(|of| full(mode, of)));
            let known = all.any(|settings| governing(key, &settings).is_some());
            assert!(known, "{key}");
        }
    }
}
