//! Where a call is, in the ten words that people and programs get (STAT-02), and how what offhook knows maps to them.

use serde::Serialize;

use super::refusal::Refusal;

/// Where a call is. Every call has exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Status {
    /// It waits for its time.
    Scheduled,
    /// It waits for a slot.
    Queued,
    /// The carrier is being asked for it, or it rings, or it is being taken back and may ring yet.
    Dialing,
    /// Somebody picked up, or it came in.
    InProgress,
    /// It is over.
    Completed,
    /// It rang for as long as it may.
    NoAnswer,
    /// The line was busy.
    Busy,
    /// It came to nothing by a failure of ours, the model's or the carrier's, or nobody knows what became of it.
    Failed,
    /// It was taken back before it was answered.
    Canceled,
    /// Its deadline passed before it was begun.
    Expired,
}

impl Status {
    /// All of them, in the order of a call's life.
    pub const ALL: [Status; 10] = [
        Status::Scheduled,
        Status::Queued,
        Status::Dialing,
        Status::InProgress,
        Status::Completed,
        Status::NoAnswer,
        Status::Busy,
        Status::Failed,
        Status::Canceled,
        Status::Expired,
    ];

    /// As it stands in answers, filters and rows.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Scheduled => "Scheduled",
            Status::Queued => "Queued",
            Status::Dialing => "Dialing",
            Status::InProgress => "InProgress",
            Status::Completed => "Completed",
            Status::NoAnswer => "NoAnswer",
            Status::Busy => "Busy",
            Status::Failed => "Failed",
            Status::Canceled => "Canceled",
            Status::Expired => "Expired",
        }
    }

    /// The one of this name, to the letter.
    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether the call waits, rings or is up.
    pub const fn is_live(self) -> bool {
        matches!(self, Status::Scheduled | Status::Queued | Status::Dialing | Status::InProgress)
    }

    /// Of a call that is over, by the `kind` of its end and, where nobody answered, `how` that was. What is told as
    /// `call.failed` has failed.
    pub fn of_end(kind: &str, how: Option<&str>) -> Status {
        match (kind, how) {
            ("not_answered", Some("busy")) => Status::Busy,
            ("not_answered", Some("no_answer")) => Status::NoAnswer,
            ("not_answered", Some("canceled")) => Status::Canceled,
            ("not_answered", _) => Status::Failed,
            (
                "internal" | "model_unavailable" | "model_silent" | "never_connected" | "server_lost" | "not_admitted",
                _,
            ) => Status::Failed,
            _ => Status::Completed,
        }
    }

    /// Of a placed call that nobody has answered yet, by the state that `/v1/calls` gives it. `None`: its end says more.
    pub fn of_dial(state: &str) -> Option<Status> {
        Some(match state {
            "queued" | "ringing" | "canceling" => Status::Dialing,
            "answered" => Status::InProgress,
            "busy" => Status::Busy,
            "no_answer" => Status::NoAnswer,
            "canceled" => Status::Canceled,
            "failed" | "not_placed" | "unknown" => Status::Failed,
            _ => return None,
        })
    }
}

/// Whether a call served its purpose, which only the analysis of its agent can say (C-20).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallResult {
    /// Nobody has found out.
    #[default]
    Unknown,
    /// By the agent's criterion it did.
    Success,
    /// It did not.
    Failure,
}

impl CallResult {
    /// All of them.
    pub const ALL: [CallResult; 3] = [CallResult::Unknown, CallResult::Success, CallResult::Failure];

    /// As it stands in answers, filters and rows.
    pub const fn name(self) -> &'static str {
        match self {
            CallResult::Unknown => "unknown",
            CallResult::Success => "success",
            CallResult::Failure => "failure",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<CallResult> {
        CallResult::ALL.into_iter().find(|result| result.name() == name)
    }
}

/// From which deployment an agent calls, if the request names the agent alone: the first by name of those that place calls now.
/// `candidates`: the agent's deployments in the order of their names, and why each does not.
///
/// # Errors
/// `no_way_out`: it has no number and no trunk (PAGE-04); or the reason of the first that has one.
pub fn way_out<'a>(candidates: impl IntoIterator<Item = (&'a str, Result<(), Refusal>)>) -> Result<&'a str, Refusal> {
    let mut why = None;
    for (name, may) in candidates {
        match may {
            Ok(()) => return Ok(name),
            Err(refusal) => drop(why.get_or_insert(refusal)),
        }
    }
    Err(why.unwrap_or_else(no_way_out))
}

/// There is nothing that an agent could call from (PAGE-04).
pub fn no_way_out() -> Refusal {
    Refusal::wrong("no_way_out", "agent", "This agent has no number and no SIP trunk to call from.")
}

/// A placed call's field that this version does not act on: accepting it in silence would promise what is not kept (OUT-02).
pub fn not_yet(field: &'static str) -> Refusal {
    let message = match field {
        "priority" => "Calls do not wait in a queue yet, so they have no priority. Leave it out.",
        "deadline" => "Calls are placed at once, so they have no deadline yet. Leave it out.",
        _ => "Calls are placed at once; they cannot be scheduled yet. Leave it out and ask when it is time.",
    };
    Refusal::wrong("not_yet", field, message)
}

/// The longest line that an operator has an agent say, in characters.
pub const MAX_LINE: usize = 500;

/// What an operator has the agent say, or why it cannot be said.
///
/// # Errors
/// `text`: it is empty, too long, or has characters that nobody says.
pub fn line(text: &str) -> Result<&str, Refusal> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_LINE || text.chars().any(char::is_control) {
        let message = format!("A line to say has 1 to {MAX_LINE} characters, without line breaks.");
        return Err(Refusal::wrong("text", "text", message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_02_every_state_that_offhook_knows_has_one_of_the_ten_words() {
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.name()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
        for (state, status) in [
            ("queued", Some(Status::Dialing)),
            ("ringing", Some(Status::Dialing)),
            ("canceling", Some(Status::Dialing)),
            ("answered", Some(Status::InProgress)),
            ("busy", Some(Status::Busy)),
            ("no_answer", Some(Status::NoAnswer)),
            ("failed", Some(Status::Failed)),
            ("canceled", Some(Status::Canceled)),
            ("not_placed", Some(Status::Failed)),
            ("unknown", Some(Status::Failed)),
            ("completed", None),
        ] {
            assert_eq!(Status::of_dial(state), status, "{state}");
        }
        for (kind, how, status) in [
            ("caller_hung_up", None, Status::Completed),
            ("transferred", None, Status::Completed),
            ("operator", None, Status::Completed),
            ("cost_cap", None, Status::Completed),
            ("not_answered", Some("busy"), Status::Busy),
            ("not_answered", Some("no_answer"), Status::NoAnswer),
            ("not_answered", Some("canceled"), Status::Canceled),
            ("not_answered", Some("failed"), Status::Failed),
            ("model_silent", None, Status::Failed),
            ("never_connected", None, Status::Failed),
            ("server_lost", None, Status::Failed),
        ] {
            assert_eq!(Status::of_end(kind, how), status, "{kind} {how:?}");
        }
    }

    #[test]
    fn out_01_an_agent_calls_from_the_first_deployment_that_may() {
        let no = |code| Err(Refusal::wrong(code, "deployment", code));
        assert_eq!(way_out([("a", no("off")), ("b", Ok(())), ("c", Ok(()))]), Ok("b"));
        assert_eq!(way_out([("a", no("off")), ("b", no("hours"))]).unwrap_err().code, "off");
        let none = way_out([]).unwrap_err();
        assert_eq!(
            (none.status, none.message.as_str()),
            (422, "This agent has no number and no SIP trunk to call from.")
        );
    }

    #[test]
    fn a_line_is_one_sentence_that_can_be_said() {
        assert_eq!(line(" We close soon. "), Ok("We close soon."));
        for wrong in ["", "  ", "a\nb", "a\u{0}", &"a".repeat(MAX_LINE + 1)] {
            assert_eq!(line(wrong).unwrap_err().code, "text", "{wrong:?}");
        }
    }
}
