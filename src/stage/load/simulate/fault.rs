//! What goes wrong in calls, by name, and how often it did.

use std::collections::BTreeMap;

/// Something that went wrong, at the line, at the carrier, or at the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // said by `name`
pub(super) enum Fault {
    NeverConnects,
    LineLost,
    LineBreaks,
    AudioStops,
    FramesLost,
    ClockRestarts,
    ClockDrifts,
    LineStalls,
    MarksHeld,
    MarksLost,
    StartsTwice,
    EffectFails,
    EffectUnanswered,
    ModelRefuses,
    ModelUnreachable,
    DialUnanswered,
    ModelDrops,
    DropsMidReply,
    ModelNeverBack,
    ModelSilent,
    ReplyFails,
    ModelErrors,
    ModelQuota,
    ModelGarbage,
    StrayReply,
    UnseenReply,
    SilentReply,
    CommitUnnamed,
    CommitRefused,
}

impl Fault {
    /// All of them.
    pub(super) const ALL: [Fault; 29] = {
        use Fault::*;
        [
            NeverConnects,
            LineLost,
            LineBreaks,
            AudioStops,
            FramesLost,
            ClockRestarts,
            ClockDrifts,
            LineStalls,
            MarksHeld,
            MarksLost,
            StartsTwice,
            EffectFails,
            EffectUnanswered,
            ModelRefuses,
            ModelUnreachable,
            DialUnanswered,
            ModelDrops,
            DropsMidReply,
            ModelNeverBack,
            ModelSilent,
            ReplyFails,
            ModelErrors,
            ModelQuota,
            ModelGarbage,
            StrayReply,
            UnseenReply,
            SilentReply,
            CommitUnnamed,
            CommitRefused,
        ]
    };

    /// What it is.
    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::NeverConnects => "line never connects",
            Fault::LineLost => "line lost",
            Fault::LineBreaks => "line breaks off and comes back",
            Fault::AudioStops => "caller's audio stops",
            Fault::FramesLost => "caller's frames lost",
            Fault::ClockRestarts => "line's clock restarts",
            Fault::ClockDrifts => "line's clock runs apart",
            Fault::LineStalls => "line stalls",
            Fault::MarksHeld => "marks held up",
            Fault::MarksLost => "marks lost",
            Fault::StartsTwice => "stream starts twice",
            Fault::EffectFails => "hang-up or transfer fails",
            Fault::EffectUnanswered => "hang-up or transfer unanswered",
            Fault::ModelRefuses => "model refuses",
            Fault::ModelUnreachable => "model unreachable",
            Fault::DialUnanswered => "dial unanswered",
            Fault::ModelDrops => "model drops",
            Fault::DropsMidReply => "model drops mid-reply",
            Fault::ModelNeverBack => "model never back",
            Fault::ModelSilent => "model silent",
            Fault::ReplyFails => "reply fails",
            Fault::ModelErrors => "model complains",
            Fault::ModelQuota => "model's quota is used up",
            Fault::ModelGarbage => "model sends garbage",
            Fault::StrayReply => "model speaks unasked",
            Fault::UnseenReply => "model busy with a reply it does not tell of",
            Fault::SilentReply => "reply of silence",
            Fault::CommitUnnamed => "turn never named",
            Fault::CommitRefused => "turn refused",
        }
    }
}

/// How often each fault was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults(BTreeMap<Fault, u64>);

impl Faults {
    pub(super) fn met(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Faults) {
        other.0.iter().for_each(|(fault, times)| *self.0.entry(*fault).or_default() += times);
    }

    /// By name, those that were not met too.
    pub(super) fn named(&self) -> Vec<(&'static str, u64)> {
        Fault::ALL.iter().map(|fault| (fault.name(), self.0.get(fault).copied().unwrap_or_default())).collect()
    }
}
