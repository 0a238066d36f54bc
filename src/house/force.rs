//! In force (VIS-08): whether a deployment answers now, and if not, the one thing that says so.

use jiff::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

pub use super::access::Visitor;
use super::access::{self, Door};
use super::{hours, switches};
use crate::config::{AgentStanding, Channel, Outside, Schedule, Standing};

/// Whether a deployment answers. It serializes as `{"live": …, "because": null | "agent" | …, "until": …}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    /// It does.
    pub live: bool,
    /// The first that says no; `None` exactly when it is live.
    pub because: Option<Because>,
}

/// What says no, in the order in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The agent is switched off (VIS-05).
    Agent,
    /// The deployment is switched off (DEP-04).
    Deployment,
    /// The schedule of one of them (VIS-07).
    Schedule {
        /// Whose it is.
        of: Whose,
        /// When it will be on; `None`: never again.
        until: Option<Timestamp>,
    },
    /// It is closed, and who comes then is not answered (HRS-02).
    Hours {
        /// When it opens; `None`: never.
        until: Option<Timestamp>,
    },
    /// The agent is internal, and nobody knows who comes (VIS-03).
    Visibility,
    /// The deployment is for others (ACC-01).
    Access,
}

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // named as they are
pub enum Whose {
    Agent,
    Deployment,
}

/// Whether `deployment` of `agent` answers `visitor` at `now`: agent active AND deployment active AND within schedules AND
/// business hours AND visibility AND access.
///
/// Hours say no only where those who come outside of them are not answered; with [`Outside::Answer`] it is live, and the
/// agent knows that it is closed. Running calls and answers are not touched by what is not in force any more.
pub fn in_force(agent: &AgentStanding, deployment: &Standing, visitor: Visitor<'_>, now: Timestamp) -> Effective {
    let because = says_no(agent, deployment, visitor, now);
    Effective { live: because.is_none(), because }
}

/// Whether calls may be placed from `deployment` at `now`: agent and deployment active AND within schedules. Hours, visibility
/// and access are for those who come.
///
/// # Errors
/// What says no.
pub fn places(agent: &AgentStanding, deployment: &Standing, now: Timestamp) -> Result<(), Because> {
    is_off(agent, deployment, now).map_or(Ok(()), Err)
}

fn says_no(agent: &AgentStanding, deployment: &Standing, visitor: Visitor<'_>, now: Timestamp) -> Option<Because> {
    if let Some(because) = is_off(agent, deployment, now) {
        return Some(because);
    }
    if let Some(hours) = deployment.hours.as_ref().filter(|hours| hours.outside != Outside::Answer)
        && !hours::is_open(hours, now)
    {
        return Some(Because::Hours { until: hours::opens_at(hours, now) });
    }
    let admitted = access::admits(deployment.channel, agent.visibility, deployment.access.as_ref(), visitor);
    admitted.err().map(|door| match door {
        Door::Visibility => Because::Visibility,
        Door::Access => Because::Access,
    })
}

/// What is switched off, whoever comes and whatever for.
fn is_off(agent: &AgentStanding, deployment: &Standing, now: Timestamp) -> Option<Because> {
    if !agent.active {
        return Some(Because::Agent);
    }
    if !deployment.active {
        return Some(Because::Deployment);
    }
    let scheduled = [(Whose::Agent, &agent.schedule), (Whose::Deployment, &deployment.schedule)];
    if let Some((of, schedule)) = scheduled.into_iter().find(|(_, schedule)| !switches::is_on(schedule, now)) {
        return Some(Because::Schedule { of, until: on_at(schedule, now) });
    }
    None
}

fn on_at(schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    schedule.activate_at.filter(|at| *at > now)
}

/// What somebody meets where a deployment does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// The server's line for inactive numbers (`refuse_inactive`), spoken, and the end.
    RefuseInactive,
    /// This line: spoken, and the end; or shown.
    Line(&'a str),
    /// Nothing: the widget does not appear.
    Nothing,
    /// To say who they are (VIS-03), or that it is not for them: see [`Door::refusal`].
    Credentials,
}

/// What somebody meets who comes to `deployment` while `because` says no (DEP-04, HRS-02, VIS-03, ACC-06).
pub fn told(because: Because, deployment: &Standing) -> Told<'_> {
    let off = match deployment.channel {
        Channel::Phone => Told::RefuseInactive,
        Channel::Website => Told::Nothing,
        Channel::Internal => Told::Line("This chat is paused."),
    };
    match because {
        Because::Agent | Because::Deployment | Because::Schedule { .. } => off,
        Because::Hours { .. } => match deployment.hours.as_ref().map(|hours| &hours.outside) {
            Some(Outside::Refuse(Some(line))) => Told::Line(line),
            _ => off,
        },
        Because::Visibility | Because::Access => match deployment.channel {
            Channel::Phone => Told::Line("I am sorry, this line is for members only. Goodbye."),
            Channel::Website | Channel::Internal => Told::Credentials,
        },
    }
}

impl Because {
    /// In one word, for programs, labels and logs.
    pub fn name(self) -> &'static str {
        match self {
            Because::Agent => "agent",
            Because::Deployment => "deployment",
            Because::Schedule { .. } => "schedule",
            Because::Hours { .. } => "hours",
            Because::Visibility => "visibility",
            Because::Access => "access",
        }
    }

    /// When this one says no no longer, as far as is known.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Because::Schedule { until, .. } | Because::Hours { until } => until,
            Because::Agent | Because::Deployment | Because::Visibility | Because::Access => None,
        }
    }

    /// In words, for badges; a time is told apart from it ([`Because::until`]), in the reader's time zone.
    pub fn words(self) -> &'static str {
        match self {
            Because::Agent => "The agent is inactive.",
            Because::Deployment => "The deployment is inactive.",
            Because::Schedule { until: Some(_), of: Whose::Agent } => "The agent's schedule keeps it off until later.",
            Because::Schedule { until: None, of: Whose::Agent } => "The agent's schedule is over.",
            Because::Schedule { until: Some(_), of: Whose::Deployment } => {
                "The deployment's schedule keeps it off until later."
            }
            Because::Schedule { until: None, of: Whose::Deployment } => "The deployment's schedule is over.",
            Because::Hours { .. } => "It is outside business hours.",
            Because::Visibility => "The agent is internal.",
            Because::Access => "Nobody without access is let in.",
        }
    }
}

impl Serialize for Effective {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Effective", 3)?;
        map.serialize_field("live", &self.live)?;
        map.serialize_field("because", &self.because.map(Because::name))?;
        let until = self.because.and_then(Because::until);
        map.serialize_field("until", &until.map(|at| at.to_string()))?;
        map.end()
    }
}
