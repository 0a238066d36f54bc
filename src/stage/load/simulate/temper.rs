//! What a simulated model is like: how it talks, and what goes wrong with it.

use super::fault::Fault;
use super::words::Say;
use crate::config::{CallSettings, TurnDetection};
use crate::engine::{CommandKind, ResponseStatus};
use crate::stage::load::random::Random;

/// What is wrong with a model, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The first dial is refused for good.
    Refuses,
    /// So many dials fail at first.
    Unreachable(u32),
    /// So many dials are never answered.
    Hangs(u32),
    /// Sessions are lost.
    Drops,
    /// The session is lost, and never another one made.
    NeverBack,
    /// It answers no more after so many replies.
    Silent(u32),
    /// Some requests are not answered.
    Forgetful,
    /// Replies fail.
    Fails,
    /// It complains.
    Complains,
    /// The quota is used up.
    Quota,
    /// It sends what is not of the dialect.
    Garbles,
    /// It speaks unasked.
    Strays,
    /// It is busy with replies that it does not tell of.
    Busy,
    /// It sends silence as audio.
    Mute,
}

/// How a model that detects turns hears.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detection {
    pub(super) prefix_ms: u64,
    pub(super) silence_ms: u64,
}

/// One model's temper.
#[derive(Clone, Debug)]
pub(super) struct Temper {
    flaw: Flaw,
    lost_once: bool,
    /// Its own turn detection; `None`: it is told.
    pub(super) detection: Option<Detection>,
    /// The server detects turns.
    pub(super) local: bool,
    pub(super) transcribes: bool,
    /// How many times faster than it is spoken audio comes.
    pub(super) pace: u64,
    pub(super) longest_item_ms: u64,
    chunk_bytes: (u64, u64),
}

/// What a reply will be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) items: u64,
    pub(super) tool: Option<&'static str>,
    pub(super) status: ResponseStatus,
    /// When it is said to be worth trying again, if it fails.
    pub(super) retry_after_ms: Option<u64>,
    /// None of its audio can be heard.
    pub(super) silent: bool,
    /// Said besides, so many ms after the beginning.
    pub(super) besides: Option<(u64, Say)>,
}

impl Temper {
    pub(super) fn draw(random: &mut Random, settings: &CallSettings) -> Self {
        let flaw = match random.range(0, 999) {
            0..=19 => Flaw::Refuses,
            20..=49 => Flaw::Unreachable(random.skewed(1, 8) as u32),
            50..=69 => Flaw::Hangs(random.range(1, 3) as u32),
            70..=129 => Flaw::Drops,
            130..=149 => Flaw::NeverBack,
            150..=169 => Flaw::Silent(random.range(0, 3) as u32),
            170..=209 => Flaw::Forgetful,
            210..=249 => Flaw::Fails,
            250..=289 => Flaw::Complains,
            290..=299 => Flaw::Quota,
            300..=329 => Flaw::Garbles,
            330..=369 => Flaw::Strays,
            370..=399 => Flaw::Busy,
            400..=429 => Flaw::Mute,
            _ => Flaw::None,
        };
        let detection = match settings.turn_detection {
            TurnDetection::Provider { prefix_padding_ms, silence_duration_ms, .. } => {
                Some(Detection { prefix_ms: prefix_padding_ms.into(), silence_ms: silence_duration_ms.into() })
            }
            TurnDetection::Semantic { .. } => Some(Detection { prefix_ms: 0, silence_ms: random.skewed(200, 4_000) }),
            TurnDetection::Local(_) | TurnDetection::Disabled { .. } => None,
        };
        let smallest = random.pick(&[1, 80, 160, 800]);
        Temper {
            flaw,
            lost_once: false,
            detection,
            local: matches!(settings.turn_detection, TurnDetection::Local(_)),
            transcribes: settings.transcribed,
            pace: random.range(2, 12),
            longest_item_ms: random.pick(&[2_000, 6_000, 15_000]),
            chunk_bytes: (smallest, smallest * 4 + random.range(160, 3_200)),
        }
    }

    /// What becomes of the dial with this number, unless it succeeds.
    pub(super) fn dial(&self, number: u32) -> Option<(Fault, Option<Say>)> {
        let closed = |reason, retry| Some(Say::Closed { reason, retry });
        match self.flaw {
            Flaw::Refuses => Some((Fault::ModelRefuses, closed("HTTP 401", false))),
            Flaw::Unreachable(times) if number <= times => {
                Some((Fault::ModelUnreachable, closed("connection refused", true)))
            }
            Flaw::Hangs(times) if number <= times => Some((Fault::DialUnanswered, None)),
            Flaw::NeverBack if self.lost_once => Some((Fault::ModelNeverBack, closed("HTTP 503", true))),
            _ => None,
        }
    }

    /// A session was lost.
    pub(super) fn dropped(&mut self) {
        self.lost_once = true;
    }

    /// What happens in a session whatever is said, so many ms after its beginning.
    pub(super) fn session(&self, random: &mut Random) -> Option<(u64, Say)> {
        match self.flaw {
            Flaw::Drops | Flaw::NeverBack => {
                Some((random.skewed(300, 60_000), Say::Closed { reason: "1006", retry: true }))
            }
            Flaw::Quota => {
                let about = Some(CommandKind::CreateResponse);
                Some((
                    random.skewed(100, 60_000),
                    Say::Error { code: "insufficient_quota", about, number: None, fatal: true, busy: false },
                ))
            }
            Flaw::Garbles => Some((random.skewed(100, 60_000), Say::Garbage)),
            Flaw::Strays => Some((random.skewed(100, 30_000), Say::Unasked)),
            _ => None,
        }
    }

    /// Whether the request after so many replies is never answered.
    pub(super) fn is_silent(&self, replies: u32, random: &mut Random) -> bool {
        match self.flaw {
            Flaw::Silent(after) => replies >= after,
            Flaw::Forgetful => random.chance(300),
            _ => false,
        }
    }

    /// Whether it refuses a request because of a reply that it has not told of, and for how long that runs.
    pub(super) fn is_busy(&self, random: &mut Random) -> Option<u64> {
        (self.flaw == Flaw::Busy && random.chance(400)).then(|| random.skewed(30, 5_000))
    }

    /// What the reply with this number is.
    pub(super) fn reply(&self, random: &mut Random, number: u32) -> Reply {
        let mut reply = Reply {
            items: 1 + u64::from(random.chance(100)),
            tool: None,
            status: ResponseStatus::Completed,
            retry_after_ms: None,
            silent: false,
            besides: None,
        };
        match random.range(0, 99) {
            0..=1 => reply.items = 0,
            2..=6 => (reply.items, reply.tool) = (0, Some("note")),
            7..=8 => reply.tool = Some("note"),
            9 => (reply.items, reply.tool) = (0, Some("fly")),
            10 => reply.status = ResponseStatus::Incomplete,
            11..=14 if number > 2 => reply.tool = Some("hang_up"),
            _ => {}
        }
        match self.flaw {
            Flaw::Fails if random.chance(500) => {
                (reply.status, reply.items) = (ResponseStatus::Failed, random.range(0, 1));
                reply.retry_after_ms = random.chance(500).then(|| random.skewed(200, 20_000));
            }
            Flaw::Complains if random.chance(500) => {
                let about = random.pick(&[None, Some(CommandKind::AppendAudio), Some(CommandKind::CreateResponse)]);
                let error = Say::Error { code: "server_error", about, number: None, fatal: false, busy: false };
                reply.besides = Some((random.skewed(10, 3_000), error));
            }
            Flaw::Mute => reply.silent = random.chance(500),
            Flaw::Garbles => reply.besides = Some((random.skewed(10, 3_000), Say::Garbage)),
            Flaw::Drops if random.chance(300) => {
                let closed = Say::Closed { reason: "1011", retry: true };
                reply.besides = Some((random.skewed(500, 5_000), closed));
            }
            _ => {}
        }
        reply
    }

    /// Bytes of the next piece of audio.
    pub(super) fn chunk(&self, random: &mut Random) -> u64 {
        random.range(self.chunk_bytes.0, self.chunk_bytes.1)
    }
}
