//! Whatever happens in a call, its journal replays to the same decisions and its recording holds against both.

use proptest::prelude::*;

use offhook::base::time::CallTime;
use offhook::config::{CallSettings, Idle, Interruptions, JournalKeep, Keys, Spoken};
use offhook::engine::*;
use offhook::lab::journal::CallFiles;
use offhook::lab::sim::scenario::settings;
use offhook::lab::verify::{Recorded, Verdict, Verification};

use crate::call::{record_script, tone};

#[derive(Clone, Debug)]
enum Step {
    /// Frames in time, each stamped this much off.
    Frames {
        count: u64,
        off_ms: i64,
    },
    /// No caller audio for so long.
    Gap(u64),
    /// A frame that came before.
    Again(u64),
    /// The line's clock jumps.
    Jump(u64),
    Speech,
    Silence,
    Commit,
    /// A response with so many deltas, in ms, this much apart.
    Reply {
        deltas: u64,
        ms: u64,
        apart_ms: u64,
    },
    Done(ResponseStatus),
    Lose(bool),
    Ready,
    Key,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1_u64..60, -9_i64..10).prop_map(|(count, off_ms)| Step::Frames { count, off_ms }),
        1 => (20_u64..3_000).prop_map(Step::Gap),
        1 => (20_u64..2_000).prop_map(Step::Again),
        1 => (60_000_u64..100_000).prop_map(Step::Jump),
        3 => Just(Step::Speech),
        2 => Just(Step::Silence),
        2 => Just(Step::Commit),
        4 => (1_u64..20, 20_u64..400, 0_u64..500)
            .prop_map(|(deltas, ms, apart_ms)| Step::Reply { deltas, ms, apart_ms }),
        2 => prop_oneof![Just(ResponseStatus::Completed), Just(ResponseStatus::Cancelled)].prop_map(Step::Done),
        1 => any::<bool>().prop_map(Step::Lose),
        1 => Just(Step::Ready),
        1 => Just(Step::Key),
        1 => (1_u64..2_000).prop_map(Step::Wait),
    ]
}

/// The inputs of a call of these steps.
fn inputs(steps: &[Step]) -> Vec<(CallTime, Input<'static>)> {
    fn audio(ms: u64, seed: u64) -> &'static [u8] {
        // For as long as the test runs.
        Box::leak(tone(ms as usize * 8, seed as usize).into_boxed_slice())
    }
    let mut out: Vec<(u64, Input<'static>)> = vec![
        (200, Input::Model(ModelEvent::Ready { session: "s".into(), turns: None })),
        (500, Input::Caller(CallerEvent::Started)),
    ];
    let (mut now, mut media, mut shift, mut turn, mut response) = (500_u64, 0_u64, 0_u64, 0, 0);
    for (i, step) in steps.iter().enumerate() {
        let seed = i as u64;
        let model = |event| (now, Input::Model(event));
        match step {
            Step::Frames { count, off_ms } => {
                for n in 0..*count {
                    let at_ms = (media + shift).saturating_add_signed(*off_ms);
                    (now, media) = (now + 20, media + 20);
                    out.push((now, Input::Caller(CallerEvent::Audio { at_ms, payload: audio(20, seed + n) })));
                }
            }
            Step::Gap(ms) => (now, media) = (now + ms, media + ms),
            // Before the first frame there is none to come again.
            Step::Again(ago) if media > 0 => {
                let at_ms = (media + shift).saturating_sub(*ago);
                out.push((now, Input::Caller(CallerEvent::Audio { at_ms, payload: audio(20, seed) })));
            }
            Step::Again(_) => {}
            // Further than audio can be missing; the next frame in time shows by how much.
            Step::Jump(ms) => {
                shift += ms;
                let at_ms = media + shift;
                (now, media) = (now + 20, media + 20);
                out.push((now, Input::Caller(CallerEvent::Audio { at_ms, payload: audio(20, seed) })));
            }
            Step::Speech => {
                turn += 1;
                let event = ModelEvent::SpeechStarted {
                    item: format!("u{turn}").into(),
                    audio_start_ms: media.saturating_sub(400),
                };
                out.push(model(event));
            }
            Step::Silence => {
                let event = ModelEvent::SpeechStopped { item: format!("u{turn}").into(), audio_end_ms: media };
                out.push(model(event));
            }
            Step::Commit => out.push(model(ModelEvent::Committed { item: format!("u{turn}").into() })),
            Step::Reply { deltas, ms, apart_ms } => {
                response += 1;
                let (r, item) = (format!("r{response}"), format!("a{response}"));
                out.push(model(ModelEvent::ResponseStarted { response: r.clone().into() }));
                for n in 0..*deltas {
                    let (response, item) = (r.clone().into(), item.clone().into());
                    let event = ModelEvent::Audio { response, item, payload: audio(*ms, seed + n) };
                    out.push((now + n * apart_ms, Input::Model(event)));
                }
                let event = ModelEvent::AgentTranscript {
                    response: r.into(),
                    item: item.into(),
                    text: "Some words.".into(),
                    done: true,
                };
                out.push(model(event));
            }
            Step::Done(status) => {
                let (response, usage) = (format!("r{response}").into(), Usage::default());
                out.push(model(ModelEvent::ResponseDone {
                    response,
                    status: *status,
                    detail: None,
                    usage,
                    fatal: false,
                    retry_after_ms: None,
                }));
            }
            Step::Lose(retry) => out.push(model(ModelEvent::Closed { reason: "lost".into(), retry: *retry })),
            Step::Ready => out.push(model(ModelEvent::Ready { session: "again".into(), turns: None })),
            Step::Key => out.push((now, Input::Caller(CallerEvent::Dtmf('5')))),
            Step::Wait(ms) => now += ms,
        }
    }
    out.push((now + 1_000, Input::Caller(CallerEvent::HungUp)));
    // A reply may go on while other things happen, but not after the end.
    out.retain(|(at, _)| *at <= now + 1_000);
    out.sort_by_key(|(at, _)| *at);
    out.into_iter().map(|(at, input)| (CallTime::from_ms(at), input)).collect()
}

fn check(keep: JournalKeep, settings: CallSettings, steps: &[Step]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    record_script(dir.path(), keep, settings, &inputs(steps));
    let files = CallFiles::load(dir.path()).unwrap();
    let recorded = Recorded::read(&files.recording_path()).unwrap();
    let report = files.report().unwrap();
    let verification = Verification::new(&files.journal, report.as_ref(), &recorded);
    let failed: Vec<_> = verification.checks.iter().filter(|c| c.verdict == Verdict::Fail).collect();
    prop_assert!(failed.is_empty(), "{failed:#?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_verifies(
        steps in proptest::collection::vec(step(), 1..60),
        (audio, keys, idle) in any::<(bool, bool, bool)>(),
        interruptions in prop_oneof![Just(Interruptions::On), Just(Interruptions::Off), Just(Interruptions::AfterMs(300))],
    ) {
        let keep = if audio { JournalKeep::Audio } else { JournalKeep::Decisions };
        let keys = keys.then(|| Keys { max_digits: 2, timeout_ms: 700, ..Keys::default() });
        let lines = vec![Spoken::Say("Are you there?".into())];
        let idle = Some(Idle { after_ms: 2_000, lines, times: 2, end: false }).filter(|_| idle);
        check(keep, CallSettings { interruptions, keys, idle, ..settings() }, &steps)?;
    }
}
