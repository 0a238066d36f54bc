//! A call once more, alone: it goes the same way, its journal leads to the same decisions, and so does the same audio of
//! the model in other pieces.

use std::sync::Arc;

use super::call::{Call, Diary, Ended, Stock};
use super::settings;
use crate::base::time::CallTime;
use crate::config::{CallSettings, JournalKeep, Spoken};
use crate::ears::vad::Probability;
use crate::engine::{Action, CallEvent, CallerEvent, Input, ModelEvent};
use crate::lab::journal::Journal;
use crate::lab::replay::Replay;
use crate::lab::sim::{Means, Sim};
use crate::stage::load::random::Random;

/// Where the digest of decisions begins.
pub(super) const EMPTY: u64 = 0xCBF2_9CE4_8422_2325;
/// The model's audio of the trial with pieces, in bytes (3 s), and by when that trial is over.
const TRIAL_BYTES: usize = 24_000;
const TRIAL_MS: u64 = 14_000;
/// What was heard may differ by the rounding to whole milliseconds and by no more. Pieces put the marks elsewhere, but the
/// line never runs dry and gives every mark back after the same time, so what is reckoned between two marks lies on one
/// line through all of them, wherever they are. That time is known from the first mark on, which is back before anyone
/// cuts in: messages are 200 ms at most, the way there and back is 60 ms, and the reply has run for 300 ms.
const ROUNDING_MS: u64 = 1;

/// The call from its beginning to its end, with nothing beside it.
pub(super) fn alone(number: u64, stock: &Stock, diary: Diary, journal: JournalKeep) -> (Ended, Vec<u8>) {
    let mut call = Call::new(number, stock, diary, journal);
    while call.next().is_some() {
        call.step();
    }
    call.ended()
}

/// What is wrong with a call that was among others and led to this digest, if anything.
pub(super) fn differs(number: u64, stock: &Stock, digest: u64) -> Option<String> {
    let (ended, journal) = alone(number, stock, Diary::Digest(EMPTY), JournalKeep::Decisions);
    if !matches!(ended.diary, Diary::Digest(now) if now == digest) {
        return Some("alone it goes another way than among others".to_owned());
    }
    match Journal::parse(&journal) {
        Ok(journal) => {
            if let Some(difference) = Replay::new(&journal).difference {
                return Some(format!("its journal leads to other decisions: {difference}"));
            }
        }
        Err(error) => return Some(format!("its journal cannot be read: {error}")),
    }
    differs_in_pieces(number, stock)
}

/// Plays the same audio to two engines of the call's settings, to one of them in other pieces, and cuts in.
fn differs_in_pieces(number: u64, stock: &Stock) -> Option<String> {
    let mut random = Random::new(stock.seed, number * 8 + 4);
    let (mut settings, _) = settings::draw(&mut Random::new(stock.seed, number * 8), &stock.sounds);
    // The reply is what is tried here.
    (settings.greeting, settings.disclaimer) = (Spoken::None, None);
    let cuts_in_ms = random.range(1_300, 4_500);
    let longest = random.pick(&[7, 200, 1_600, 9_000]);
    let whole = trial(&settings, cuts_in_ms, &mut || TRIAL_BYTES);
    let pieces = trial(&settings, cuts_in_ms, &mut || random.range(1, longest) as usize);
    let same = whole.len() == pieces.len()
        && whole.iter().zip(&pieces).all(|(a, b)| a.0 == b.0 && a.1.abs_diff(b.1) <= ROUNDING_MS);
    (!same).then(|| format!("the same audio in pieces leads to {pieces:?}, and whole to {whole:?}"))
}

/// What was decided about the agent, each with what was heard by then, in ms.
fn trial(settings: &CallSettings, cuts_in_ms: u64, size: &mut dyn FnMut() -> usize) -> Vec<(&'static str, u64)> {
    let mut decided = Vec::new();
    let means = Means { own_ears: false, lists: true, journal: JournalKeep::Off };
    let mut sim = Sim::with(Arc::new(settings.clone()), 30, means, |_, _, _: &Action<'_>| {});
    let model = |sim: &mut Sim, event| sim.input(Input::Model(event));
    sim.run_until(CallTime::from_ms(200));
    model(&mut sim, ModelEvent::Ready { session: "sess".into(), turns: None });
    sim.input(Input::Caller(CallerEvent::Started));
    sim.caller_audio(true);
    sim.run_until(CallTime::from_ms(1_000));
    model(&mut sim, ModelEvent::ResponseStarted { response: "resp_1".into() });
    let (audio, mut left) = ([1; TRIAL_BYTES], TRIAL_BYTES);
    while left > 0 {
        let piece = size().clamp(1, left);
        let payload = &audio[..piece];
        model(&mut sim, ModelEvent::Audio { response: "resp_1".into(), item: "item_1".into(), payload });
        left -= piece;
    }
    sim.run_until(CallTime::from_ms(cuts_in_ms));
    sim.hears(Probability::from_per_mille(930), -24);
    model(&mut sim, ModelEvent::SpeechStarted { item: "item_2".into(), audio_start_ms: cuts_in_ms });
    sim.run_until(CallTime::from_ms(cuts_in_ms + 1_500));
    sim.hears(Probability::from_per_mille(10), -60);
    sim.run_until(CallTime::from_ms(TRIAL_MS));
    for (_, event) in &sim.seen.events {
        decided.extend(match event {
            CallEvent::AgentHeld { heard_ms, .. } => Some(("held", *heard_ms)),
            CallEvent::AgentResumed { from_ms, .. } => Some(("resumed", *from_ms)),
            CallEvent::BargeIn { heard_ms, .. } => Some(("barge-in", *heard_ms)),
            CallEvent::Truncated { heard_ms, .. } => Some(("truncated", *heard_ms)),
            CallEvent::AgentHeard { ms, .. } => Some(("heard", *ms)),
            _ => None,
        });
    }
    decided
}

#[cfg(test)]
mod tests {
    use super::super::{settings::Sounds, voice::Voice};
    use super::*;

    #[test]
    fn pieces_change_nothing_where_messages_would_be_longer_than_the_lead() {
        let stock = Stock { seed: 1, sounds: Sounds::new(), voice: Voice::new() };
        for number in [27_500, 59_650, 97_350, 121_150, 281_100, 361_700, 364_500].into_iter().chain(1..300) {
            assert_eq!(differs_in_pieces(number, &stock), None, "{number}");
        }
    }
}
