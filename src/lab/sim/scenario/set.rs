//! Settings of a scenario: the lines that begin with `set`.

use super::{destination, http_tool, number, sound};
use crate::config::{
    AfterFailure, Budget, CallSettings, Detect, Eagerness, Idle, Interruptions, KeyAction, Keys, OnMachine, Outbound,
    Price, Spoken, Tool, ToolKind, ToolSound, TurnDetection, TurnSettings, VadEngine,
};

/// Changes a setting, as one line of a script says.
pub(super) fn set(s: &mut CallSettings, words: &[&str]) -> Result<(), String> {
    match words {
        ["interruptions", "on"] => s.interruptions = Interruptions::On,
        ["interruptions", "off"] => s.interruptions = Interruptions::Off,
        ["interruptions", "after_ms", ms] => s.interruptions = Interruptions::AfterMs(number(ms)? as u32),
        ["interruptions", "min_words", n] => s.interruptions = Interruptions::MinWords(number(n)? as u32),
        ["resume_false_interruption", "off"] => s.false_interruptions.resume = false,
        ["min_interruption_ms", ms] => s.false_interruptions.shorter_than_ms = number(ms)? as u32,
        ["verdict_ms", ms] => s.false_interruptions.verdict_ms = number(ms)? as u32,
        ["untranscribed_interruption_ms", ms] => s.false_interruptions.untranscribed_ms = number(ms)? as u32,
        ["transcription", "off"] => s.transcribed = false,
        ["greeting_interruptible", "off"] => s.greeting_interruptible = false,
        ["disclaimer", ms, text] => s.disclaimer = Some(sound("disclaimer", text, number(ms)?)),
        ["mode", "local"] => {
            // The cheapest engine's steps of 16 ms: scenarios are told what is heard.
            let engine = VadEngine::Earshot;
            s.turn_detection = TurnDetection::Local(TurnSettings { engine, ..TurnSettings::default() });
        }
        [
            key @ ("silence_duration_ms" | "prefix_padding_ms" | "max_turn_s" | "level_margin_db" | "min_speech_ms"),
            n,
        ] => {
            let TurnDetection::Local(turn) = &mut s.turn_detection else {
                return Err("set mode local first".into());
            };
            let n = number(n)? as u32;
            match *key {
                "silence_duration_ms" => turn.silence_duration_ms = n,
                "prefix_padding_ms" => turn.prefix_padding_ms = n,
                "max_turn_s" => turn.max_turn_s = n,
                "level_margin_db" => turn.level_margin_db = n,
                _ => turn.min_speech_ms = n,
            }
        }
        ["outbound", detect] => {
            let detect = match *detect {
                "own" => Detect::Own,
                "carrier" => Detect::Carrier,
                "both" => Detect::Both,
                _ => return Err("own, carrier or both".to_owned()),
            };
            s.outbound = Some(Outbound { detect, ..Outbound::default() });
        }
        [key @ ("on_machine" | "wait_for_human" | "beep_timeout_ms"), rest @ ..] => {
            let outbound = s.outbound.as_mut().ok_or("set outbound first")?;
            match (*key, rest) {
                ("on_machine", ["continue"]) => outbound.on_machine = OnMachine::Continue,
                ("on_machine", ["say", text]) => outbound.on_machine = OnMachine::Say((*text).into()),
                ("on_machine", ["play", ms, text]) => {
                    outbound.on_machine = OnMachine::Play(sound("message", text, number(ms)?));
                }
                ("wait_for_human", ["off"]) => outbound.wait_for_human = false,
                ("beep_timeout_ms", [ms]) => outbound.beep_timeout_ms = number(ms)?,
                _ => return Err("unknown setting".to_owned()),
            }
        }
        ["mode", "semantic"] => s.turn_detection = TurnDetection::Semantic { eagerness: Eagerness::Auto },
        ["mode", "disabled"] => s.turn_detection = TurnDetection::Disabled { commit_key: Some('#') },
        ["greeting", "none"] => s.greeting = Spoken::None,
        ["greeting", "say", text] => s.greeting = Spoken::Say((*text).into()),
        ["greeting", "play", ms, text] => s.greeting = Spoken::Play(sound("greeting", text, number(ms)?)),
        ["farewell", "none"] => s.farewell = Spoken::None,
        ["farewell", "say", text] => s.farewell = Spoken::Say((*text).into()),
        ["farewell", "play", ms, text] => s.farewell = Spoken::Play(sound("farewell", text, number(ms)?)),
        ["fallback", "transfer", to] => s.on_failure.then = AfterFailure::Transfer((*to).into()),
        ["fallback", "play", ms, text] => s.on_failure.line = Some(sound("fallback", text, number(ms)?)),
        ["hold", ms] => s.hold_sound = Some(sound("hold", "", number(ms)?)),
        ["filler", ms, text] => s.filler = Some(sound("filler", text, number(ms)?)),
        ["tool", name, timeout_ms] => {
            let tool = http_tool(name, number(timeout_ms)?)?;
            s.tools = s.tools.iter().cloned().chain([tool]).collect();
        }
        ["built_in", name] => {
            let kind = ToolKind::BUILT_IN.iter().find(|(known, _)| known == name).ok_or("no such tool")?.1;
            let tool = Tool::built_in(kind, &s.destinations);
            s.tools = s.tools.iter().cloned().chain(tool).collect();
        }
        ["destination", name, number, ring_s] => {
            let destination = destination(name, number, Spoken::None, ring_s)?;
            s.destinations = s.destinations.iter().cloned().chain([destination]).collect();
        }
        ["destination", name, number, ring_s, ms, text] => {
            let line = Spoken::Play(sound("transfer", text, self::number(ms)?));
            let destination = destination(name, number, line, ring_s)?;
            s.destinations = s.destinations.iter().cloned().chain([destination]).collect();
        }
        ["variable", name, value] => {
            s.variables.insert((*name).to_owned(), (*value).to_owned());
        }
        ["fetches"] => s.fetches = true,
        // A response of a scenario has 10 tokens in and 20 out.
        ["price_per_token", micros] => {
            let micros = number(micros)? * 1_000_000;
            s.price = Some(Price { text_in_micros: micros, text_out_micros: micros, ..Price::default() });
        }
        ["price_per_minute", micros] => {
            s.price = Some(Price { minute_micros: number(micros)?, ..Price::default() });
        }
        ["budget_grows"] => s.budget_grows = true,
        ["budget", of, micros] => s.budget = Some(Budget { micros: number(micros)?, of: (*of).to_owned() }),
        ["max_model_s", n] => s.limits.max_model_s = number(n)?,
        ["max_duration_s", n] => s.limits.max_duration_s = number(n)?,
        ["warn_before_s", n] => s.limits.warn_before_s = number(n)?,
        ["farewell_s", n] => s.limits.farewell_s = number(n)?,
        ["caller_silence_s", n] => s.limits.caller_silence_s = number(n)?,
        ["line_back_s", n] => s.limits.line_back_s = number(n)?,
        ["caller_gone_s", n] => s.limits.caller_gone_s = number(n)?,
        ["model_silence_ms", n] => s.limits.model_silence_ms = number(n)?,
        ["model_recovery_s", n] => s.limits.model_recovery_s = number(n)?,
        ["transcript_wait_ms", n] => s.limits.transcript_wait_ms = number(n)?,
        ["early_audio_ms", n] => s.limits.early_audio_ms = number(n)?,
        ["max_session_min", n] => s.max_session_min = number(n)?,
        ["tool_sound", grace_ms, fade_in_ms, fade_out_ms] => {
            s.tool_sound = Some(ToolSound {
                sound: sound("typing", "", 500),
                volume_db: 0.0,
                grace_ms: number(grace_ms)?,
                fade_in_ms: number(fade_in_ms)?,
                fade_out_ms: number(fade_out_ms)?,
            });
        }
        ["keys", rest @ ..] => set_keys(s.keys.get_or_insert_default(), rest)?,
        ["idle", rest @ ..] => set_idle(&mut s.idle, rest)?,
        ["lead_ms", n] => s.playout.lead_ms = number(n)?,
        ["batch_ms", n] => s.playout.batch_ms = number(n)?,
        ["mark_timeout_ms", n] => s.playout.mark_timeout_ms = number(n)?,
        ["max_queue_s", n] => s.playout.max_queue_s = number(n)?,
        _ => return Err("unknown setting".to_owned()),
    }
    Ok(())
}

fn set_keys(keys: &mut Keys, words: &[&str]) -> Result<(), String> {
    let key = |word: &str| word.chars().next().ok_or("which key?");
    match words {
        [] => {}
        ["max_digits", n] => keys.max_digits = number(n)? as u32,
        ["terminator", "none"] => keys.terminator = None,
        ["terminator", digit] => keys.terminator = Some(key(digit)?),
        ["timeout_ms", n] => keys.timeout_ms = number(n)?,
        ["meaning", text] => keys.meaning = Some((*text).into()),
        ["interrupt", "off"] => keys.interrupt = false,
        ["action", digit, "transfer", to] => {
            keys.actions.insert(key(digit)?, KeyAction::Transfer((*to).into()));
        }
        ["action", digit, name] => {
            let action = match *name {
                "hang_up" => KeyAction::HangUp,
                "commit" => KeyAction::Commit,
                "repeat" => KeyAction::Repeat,
                "ignore" => KeyAction::Ignore,
                _ => return Err("unknown action".into()),
            };
            keys.actions.insert(key(digit)?, action);
        }
        _ => return Err("unknown setting of keys".into()),
    }
    Ok(())
}

fn set_idle(idle: &mut Option<Idle>, words: &[&str]) -> Result<(), String> {
    let say = |text: &str| Spoken::Say(text.to_owned());
    match (idle, words) {
        (idle, ["after_s", n]) => {
            let (after_ms, lines) = (number(n)? * 1_000, vec![say("Are you still there?")]);
            *idle = Some(Idle { after_ms, lines, times: 2, end: true });
        }
        (Some(idle), ["times", n]) => idle.times = number(n)? as u32,
        (Some(idle), ["end", "off"]) => idle.end = false,
        (Some(idle), ["then_say", text]) => idle.lines.push(say(text)),
        (Some(idle), ["play", ms, text]) => idle.lines = vec![Spoken::Play(sound("idle", text, number(ms)?))],
        _ => return Err("unknown setting of idle; set idle after_s first".into()),
    }
    Ok(())
}
