//! What the model has of the caller's turns, byte by byte: when it refuses one, and when it is lost with one.

use std::sync::Arc;

use offhook::base::time::CallTime;
use offhook::config::{JournalKeep, TurnDetection, TurnSettings};
use offhook::ears::vad::Probability;
use offhook::engine::{Action, CallerEvent, CommandKind, Input, ModelCommand, ModelEvent};
use offhook::lab::sim::{Means, Sim, scenario};

/// What happens, and when, in ms.
enum Step {
    Ready,
    /// The caller begins or stops speaking.
    Speaks(bool),
    Committed(&'static str),
    /// The commit with this number is refused.
    Refused(u32),
    Words(&'static str),
    Lost,
}

/// The model's input buffer, and the turns that it made of it, of all sessions in order.
#[derive(Default)]
struct Far {
    buffer: Vec<u8>,
    turns: Vec<Vec<u8>>,
}

impl Far {
    fn sees(&mut self, action: &Action<'_>) {
        match action {
            Action::SendModel(ModelCommand::AppendAudio(bytes)) => self.buffer.extend_from_slice(bytes),
            Action::SendModel(ModelCommand::ClearAudio) | Action::DialModel => self.buffer.clear(),
            Action::SendModel(ModelCommand::CommitAudio { .. }) => self.turns.push(std::mem::take(&mut self.buffer)),
            _ => {}
        }
    }
}

/// The turns that the model was sent in a call in which this happens.
fn turns(steps: &[(u64, Step)]) -> Vec<Vec<u8>> {
    let mut settings = scenario::settings();
    settings.turn_detection = TurnDetection::Local(TurnSettings::default());
    settings.limits.transcript_wait_ms = 3_000;
    let means = Means { own_ears: false, lists: false, journal: JournalKeep::Off };
    let mut far = Far::default();
    let mut sim = Sim::with(Arc::new(settings), 30, means, |_, _, action| far.sees(action));
    // No two stretches of the line's audio are alike.
    let mut state = 7u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    sim.caller_sound((0..160 * 50 * 20).map(|_| noise()).collect());
    sim.input_seen(Input::Caller(CallerEvent::Started), |_, _, action| far.sees(action));
    sim.caller_audio(true);
    for (at_ms, step) in steps {
        let at = CallTime::from_ms(*at_ms);
        while sim.next_at().is_some_and(|next| next <= at) {
            sim.step(|_, _, action| far.sees(action));
        }
        sim.pass_to(at);
        let event = match step {
            Step::Speaks(speaks) => {
                let (per_mille, level_db) = if *speaks { (900, -20) } else { (0, -60) };
                sim.hears(Probability::from_per_mille(per_mille), level_db);
                continue;
            }
            Step::Ready => ModelEvent::Ready { session: "s".into(), turns: None },
            Step::Committed(item) => ModelEvent::Committed { item: (*item).into() },
            Step::Words(item) => {
                ModelEvent::CallerTranscript { item: (*item).into(), text: "words".into(), done: true }
            }
            Step::Refused(number) => ModelEvent::Error {
                code: "input_audio_buffer_commit_empty".into(),
                message: "too small".into(),
                about: Some(CommandKind::CommitAudio),
                number: Some(*number),
                fatal: false,
                busy: false,
                passing: false,
                retry_after_ms: None,
            },
            Step::Lost => ModelEvent::Closed { reason: "gone".into(), retry: true },
        };
        sim.input_seen(Input::Model(event), |_, _, action| far.sees(action));
    }
    far.turns
}

fn two_turns() -> Vec<(u64, Step)> {
    use Step::*;
    vec![
        (100, Ready),
        (1_000, Speaks(true)),
        (1_600, Speaks(false)),
        (2_000, Speaks(true)),
        (3_000, Speaks(false)),
        (5_000, Speaks(false)),
    ]
}

fn with(mut steps: Vec<(u64, Step)>, more: Vec<(u64, Step)>) -> Vec<(u64, Step)> {
    steps.extend(more);
    steps.sort_by_key(|(at, _)| *at);
    steps
}

/// Two turns, the first of them twice.
fn again(turns: &[Vec<u8>]) -> [Vec<u8>; 3] {
    [turns[0].clone(), turns[0].clone(), turns[1].clone()]
}

fn lengths(turns: &[Vec<u8>]) -> Vec<usize> {
    turns.iter().map(Vec::len).collect()
}

#[test]
fn a_refused_turn_is_sent_again_whole_and_the_open_one_is_not_torn() {
    let plain = turns(&two_turns());
    let [one, two] = plain.as_slice() else { panic!("{} turns", plain.len()) };
    assert!(one.len() > 8 * 600 && two.len() > 8 * 1_000, "{} and {} bytes", one.len(), two.len());
    // Between the turns, in the middle of the second, and behind it.
    for refused_ms in [1_900, 2_500, 4_000] {
        let sent = turns(&with(two_turns(), vec![(refused_ms, Step::Refused(1))]));
        let expected = if refused_ms < 3_000 { vec![one, one, two] } else { vec![one, two, one] };
        assert!(sent.iter().collect::<Vec<_>>() == expected, "refused at {refused_ms} ms: {:?}", lengths(&sent));
    }
}

#[test]
fn a_turn_whose_words_did_not_come_is_given_to_the_next_session() {
    use Step::*;
    let plain = turns(&two_turns());
    let lost = |at_ms| vec![(at_ms, Lost), (at_ms + 300, Ready)];
    // Before it is named, after that, and while the next is being said.
    for (lost_ms, named) in [(1_850, false), (1_900, true), (2_400, true)] {
        let mut more = lost(lost_ms);
        if named {
            more.push((1_860, Committed("u1")));
        }
        let sent = turns(&with(two_turns(), more));
        assert!(sent == again(&plain), "lost at {lost_ms} ms: {:?}", lengths(&sent));
    }
    // Its words are there: nothing is sent twice.
    let more = with(vec![(1_860, Committed("u1")), (1_880, Words("u1"))], lost(1_900));
    assert!(turns(&with(two_turns(), more)) == plain);
}

#[test]
fn a_turn_that_had_waited_for_the_model_is_kept_like_any_other() {
    use Step::*;
    let late = || {
        let mut steps = two_turns();
        steps[0] = (1_900, Ready);
        steps.sort_by_key(|(at, _)| *at);
        steps
    };
    let waited = turns(&late());
    assert!(waited == turns(&two_turns()), "what waits is sent as it was said: {:?}", lengths(&waited));
    let sent = turns(&with(late(), vec![(2_500, Lost), (2_800, Ready)]));
    assert!(sent == again(&waited), "{:?}", lengths(&sent));
    let sent = turns(&with(late(), vec![(2_500, Refused(1))]));
    assert!(sent == again(&waited), "{:?}", lengths(&sent));
}
