//! Where a call is, in the ten words that people and programs get (STAT-02), and how what offhook knows maps to them.

use serde::Serialize;

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
}
