//! Calls as the API shows them.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::config::Billing;
use crate::engine::Role;
use crate::house::calls::Status;
use crate::house::rates;
use crate::report::{Line, Report};
use crate::serve::feed::Said;
use crate::store::{CallRow, Listed, written};

/// A call as lists show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CallItem {
    /// Sorts by time.
    id: String,
    /// `Scheduled`, `Queued`, `Dialing`, `InProgress`, `Completed`, `NoAnswer`, `Busy`, `Failed`, `Canceled` or `Expired`.
    status: String,
    /// `inbound`, the caller dialled, or `outbound`, we did.
    direction: &'static str,
    agent: String,
    deployment: String,
    /// Who called, E.164, or the carrier's word for a number that is withheld.
    from: Option<String>,
    /// Who was called, E.164.
    to: Option<String>,
    /// When it was placed or came in: RFC 3339, UTC.
    began_at: String,
    /// `null` while it is up, and when nobody knows.
    ended_at: Option<String>,
    /// The kind of its end, as in its report.
    end: Option<String>,
    /// Whether it served its purpose.
    result: ResultItem,
    duration_ms: Option<i64>,
    /// In millionths of the currency; `null`: not known, which is not 0.
    cost_micros: Option<i64>,
    /// The same in credits, to four places; `null`: not known, or nobody says what a credit costs.
    credits: Option<f64>,
    currency: Option<String>,
    /// Turns of the caller.
    turns: Option<i64>,
    /// How often the caller cut in.
    interruptions: Option<i64>,
    /// Whether there is a recording.
    recording: bool,
    /// What was said last, of a call that is up on this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub(super) last_words: Option<LineItem>,
}

/// Whether a call served its purpose.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ResultItem {
    /// `success` or `failure` by the criterion of the agent's analysis, else `unknown`.
    status: String,
}

/// Something that was said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LineItem {
    /// `caller` or `agent`.
    who: &'static str,
    /// When it began, in milliseconds since the call began; of a call that is up, when it was complete.
    at_ms: u64,
    /// When it ended, or was cut off.
    end_at_ms: Option<u64>,
    /// The same as `at_ms`, in the recording.
    media_at_ms: Option<u64>,
    /// What was said and heard.
    text: String,
    /// What the agent went on to say and the caller did not hear.
    unheard: String,
    /// Said over the agent, who went on.
    back_channel: bool,
}

/// A call with all that is known of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CallDetail {
    #[serde(flatten)]
    item: CallItem,
    /// The carrier's id.
    carrier_call: Option<String>,
    /// The configuration that it ran by.
    revision: Option<String>,
    /// The model's name in `models.toml`.
    model: Option<String>,
    /// What it cost, by part.
    cost: CostItem,
    /// How long the caller waited for answers, in milliseconds.
    waits: Option<WaitsItem>,
    /// Its report, without the words.
    #[schema(value_type = Option<Object>)]
    report: Option<Value>,
}

/// What a call cost, by part, in millionths of the currency. `null`: not known, which is not 0.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CostItem {
    currency: Option<String>,
    /// All parts that are known.
    total_micros: Option<i64>,
    /// What the model read, without what was cached.
    model_input_micros: Option<u64>,
    /// What it read again.
    model_cached_micros: Option<u64>,
    /// What it said and wrote.
    model_output_micros: Option<u64>,
    /// The minutes for which its sessions were open.
    model_time_micros: Option<u64>,
    /// Writing down what the caller said, where that is billed apart.
    transcription_micros: Option<u64>,
    /// The voice, where that is billed apart.
    voice_micros: Option<u64>,
    /// The carrier's.
    carrier_micros: Option<u64>,
    /// What was found out about it afterwards.
    analysis_micros: Option<u64>,
    /// Tokens, as the model counted them.
    tokens: Option<TokensItem>,
}

/// Tokens of a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TokensItem {
    input: u64,
    /// Of the input, those that were audio.
    input_audio: u64,
    /// Of the input, those that were cached.
    cached: u64,
    output: u64,
    /// Of the output, those that were audio.
    output_audio: u64,
}

/// How long a caller waited for answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WaitsItem {
    /// Answers of which it is known.
    answers: usize,
    median_ms: u64,
    p95_ms: u64,
}

impl CallItem {
    pub(crate) fn new(listed: Listed, billing: &Billing) -> CallItem {
        let micros = listed.cost_micros.and_then(|micros| u64::try_from(micros).ok());
        CallItem {
            id: listed.id,
            status: listed.status,
            direction: listed.direction.name(),
            agent: listed.agent,
            deployment: listed.deployment,
            from: listed.from_number,
            to: listed.to_number,
            began_at: written(listed.began_ms),
            ended_at: listed.ended_ms.map(written),
            end: listed.end_kind,
            result: ResultItem { status: listed.result },
            duration_ms: listed.duration_ms,
            cost_micros: listed.cost_micros,
            credits: micros.and_then(|micros| rates::credits(micros, billing)),
            currency: billing.currency.clone(),
            turns: listed.turns,
            interruptions: listed.interruptions,
            recording: listed.recording,
            last_words: None,
        }
    }
}

impl CallDetail {
    pub(super) fn new(listed: Listed, row: Option<CallRow>, billing: &Billing, words: Option<Said>) -> CallDetail {
        let (carrier_call, revision) = match &row {
            Some(row) => (Some(row.carrier_call.clone()).filter(|id| !id.is_empty()), Some(row.revision.clone())),
            None => (None, None),
        };
        let text = row.and_then(|row| row.report);
        let report: Option<Report> = text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let total_micros = listed.cost_micros;
        let live = Status::from_name(&listed.status).is_some_and(Status::is_live);
        let mut item = CallItem::new(listed, billing);
        item.last_words = words.filter(|_| live).map(LineItem::from);
        CallDetail {
            item,
            carrier_call,
            revision,
            model: report.as_ref().and_then(|report| report.model.clone()),
            cost: CostItem::new(total_micros, report.as_ref(), billing),
            waits: report.as_ref().and_then(WaitsItem::new),
            report: text.and_then(|text| serde_json::from_str(&text).ok()).map(|mut report: Map<String, Value>| {
                report.remove("lines");
                Value::Object(report)
            }),
        }
    }
}

impl CostItem {
    fn new(total_micros: Option<i64>, report: Option<&Report>, billing: &Billing) -> CostItem {
        let cost = report.and_then(|report| report.cost);
        CostItem {
            currency: billing.currency.clone(),
            total_micros,
            model_input_micros: cost.map(|cost| cost.input_micros),
            model_cached_micros: cost.map(|cost| cost.cached_micros),
            model_output_micros: cost.map(|cost| cost.output_micros),
            model_time_micros: cost.map(|cost| cost.time_micros),
            transcription_micros: None,
            voice_micros: None,
            carrier_micros: None,
            analysis_micros: None,
            tokens: report.map(|report| TokensItem {
                input: report.usage.input_tokens,
                input_audio: report.usage.input_audio_tokens,
                cached: report.usage.cached_tokens,
                output: report.usage.output_tokens,
                output_audio: report.usage.output_audio_tokens,
            }),
        }
    }
}

impl WaitsItem {
    fn new(report: &Report) -> Option<WaitsItem> {
        let mut waits: Vec<u64> = report.turns.iter().filter_map(|turn| turn.latency.waited_ms).collect();
        waits.sort_unstable();
        let at = |percent: usize| waits.get((waits.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(WaitsItem { answers: waits.len(), median_ms: at(50)?, p95_ms: at(95)? })
    }
}

impl From<Line> for LineItem {
    fn from(line: Line) -> Self {
        LineItem {
            who: name(line.who),
            at_ms: line.at_ms,
            end_at_ms: Some(line.end_at_ms),
            media_at_ms: Some(line.media_at_ms),
            text: line.text,
            unheard: line.unheard,
            back_channel: line.back_channel,
        }
    }
}

impl From<Said> for LineItem {
    fn from(said: Said) -> Self {
        LineItem {
            who: name(said.who),
            at_ms: said.at_ms,
            end_at_ms: None,
            media_at_ms: None,
            text: said.text,
            unheard: said.unheard,
            back_channel: false,
        }
    }
}

fn name(who: Role) -> &'static str {
    match who {
        Role::Caller => "caller",
        Role::Agent => "agent",
        Role::System => "system",
    }
}
