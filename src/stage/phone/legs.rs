//! How long audio takes through a server, from the stamps that its two ends took on the same clock: the caller's, and the
//! model's ([`rehearsal::Probe`](crate::stage::rehearsal::Probe)).

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::time::{Duration, Instant};

/// When how much audio had passed one end, and what the message that carried it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When.
    pub at: Instant,
    /// Bytes of audio up to and including this message.
    pub bytes: u64,
    /// Tells the message's audio from other audio, in the caller's direction; 0 in the other.
    pub digest: u64,
}

/// For each message of the caller's that reached the model as it was: when it was sent, and how long it took.
///
/// Messages are known by their content and taken in order, so it does not matter that a server which hears for itself
/// passes on only turns. What waited for a decision does not count: the audio that was kept until speech was certain, or
/// until the model was there, arrives in one message that is like none of the caller's. Neither does audio that noise
/// reduction has changed. Content that the caller sent more than once in `within` (digital silence) tells nothing.
pub fn caller_to_model(sent: &[Stamp], heard: &[Stamp], within: Duration) -> Vec<(Instant, Duration)> {
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for (place, stamp) in sent.iter().enumerate() {
        places.entry(stamp.digest).or_default().push(place);
    }
    let mut passed = Vec::new();
    let mut next = 0;
    for stamp in heard {
        let Some(places) = places.get(&stamp.digest) else { continue };
        let recent = |place: &&usize| {
            sent[**place].at <= stamp.at && stamp.at.saturating_duration_since(sent[**place].at) <= within
        };
        let mut recent = places.iter().filter(recent);
        if let (Some(&place), None) = (recent.next(), recent.next())
            && place >= next
        {
            next = place + 1;
            passed.push((sent[place].at, stamp.at.saturating_duration_since(sent[place].at)));
        }
    }
    passed
}

/// For the first audio of each of the model's replies: when it was sent, and how long it took to the caller. The rest of
/// a reply is paced on purpose and does not count. A reply begins after a pause of `gap` in the model's sending.
pub fn model_to_caller(sent: &[Stamp], received: &[Stamp], gap: Duration) -> Vec<(Instant, Duration)> {
    let mut passed = Vec::new();
    let mut last: Option<Instant> = None;
    for stamp in sent {
        let begins = last.is_none_or(|last| stamp.at.saturating_duration_since(last) > gap);
        last = Some(stamp.at);
        let arrival = received.partition_point(|received| received.at < stamp.at);
        if let (true, Some(received)) = (begins, received.get(arrival)) {
            passed.push((stamp.at, received.at - stamp.at));
        }
    }
    passed
}

/// Audio is told apart by this.
pub(crate) fn digest(audio: &[u8]) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(audio);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Messages of the given content (by letter), each at its millisecond.
    fn stamps(began: Instant, messages: &[(u64, &str)]) -> Vec<Stamp> {
        let stamp = |(ms, audio): &(u64, &str)| Stamp {
            at: began + Duration::from_millis(*ms),
            bytes: 0,
            digest: digest(audio.as_bytes()),
        };
        messages.iter().map(stamp).collect()
    }

    #[test]
    fn only_what_arrives_as_it_was_sent_counts() {
        let began = Instant::now();
        let sent = stamps(began, &[(0, "a"), (20, "b"), (40, "c"), (60, "d"), (80, "e"), (100, "-"), (120, "-")]);
        // The prefix of a turn in one message, two messages of it, a second turn that goes without its prefix.
        let heard = stamps(began, &[(41, "abc"), (62, "d"), (85, "e"), (101, "-"), (121, "-"), (130, "x")]);
        let ms: Vec<_> = caller_to_model(&sent, &heard, SECOND).iter().map(|(_, took)| took.as_millis()).collect();
        assert_eq!(ms, [2, 5, 1], "the second silence may be either");
    }

    #[test]
    fn of_a_reply_only_the_beginning_counts() {
        let began = Instant::now();
        let sent = stamps(began, &[(0, "a"), (10, "b"), (500, "c"), (600, "d")]);
        let received = stamps(began, &[(3, "a"), (23, "b"), (507, "c"), (700, "d")]);
        let passed = model_to_caller(&sent, &received, Duration::from_millis(300));
        let ms: Vec<_> = passed.iter().map(|(_, took)| took.as_millis()).collect();
        assert_eq!(ms, [3, 7]);
    }
}
