//! One step of the engine: idle, while the agent speaks, at a barge-in.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use offhook::base::time::CallTime;
use offhook::config::{TurnDetection, TurnSettings};
use offhook::ears::vad::Probability;
use offhook::engine::{CallEngine, CallerEvent, Input, MarkId, ModelEvent};
use offhook::lab::sim::scenario;

const FRAME: [u8; 160] = [0x31; 160];

/// A call that is up, with the media clock at the first value and the time at the second.
struct Call {
    engine: CallEngine,
    at_ms: u64,
    media_ms: u64,
}

impl Call {
    fn up() -> Call {
        let mut settings = scenario::settings();
        settings.limits.max_duration_s = 0;
        Call::with(CallEngine::new(settings.into()))
    }

    /// Turns are ours, and the ears are told: what the detection of speech itself takes is left out.
    fn local() -> Call {
        let mut settings = scenario::settings();
        settings.limits.max_duration_s = 0;
        settings.turn_detection = TurnDetection::Local(TurnSettings::default());
        let mut engine = CallEngine::told(settings.into());
        engine.tell_from_now_on(Probability::ZERO, -60);
        Call::with(engine)
    }

    fn with(engine: CallEngine) -> Call {
        let mut call = Call { engine, at_ms: 10, media_ms: 0 };
        call.input(Input::Model(ModelEvent::Ready { session: "s".into(), turns: None }));
        call.input(Input::Caller(CallerEvent::Started));
        call
    }

    fn speaking() -> Call {
        let mut call = Call::up();
        call.input(Input::Model(ModelEvent::ResponseStarted { response: "r".into() }));
        call.input(Input::Model(ModelEvent::Audio {
            response: "r".into(),
            item: "a".into(),
            payload: &[0x55; 40_000],
        }));
        for _ in 0..25 {
            call.frame();
        }
        call
    }

    fn input(&mut self, input: Input<'_>) {
        self.engine.handle(CallTime::from_ms(self.at_ms), input);
        while let Some(action) = self.engine.poll_action() {
            black_box(&action);
        }
    }

    fn frame(&mut self) {
        self.at_ms += 20;
        self.input(Input::Caller(CallerEvent::Audio { at_ms: self.media_ms, payload: &FRAME }));
        self.media_ms += 20;
    }
}

pub(crate) fn engine(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    let mut call = Call::up();
    group.bench_function("frame_idle", |b| b.iter(|| call.frame()));

    let mut call = Call::local();
    group.bench_function("frame_idle_local", |b| b.iter(|| call.frame()));

    // A second of a call in which the agent speaks: frames in, feeding, marks back, more audio from the model.
    let mut call = Call::speaking();
    let audio = [0x55; 1_600];
    let mut seq = 0;
    group.bench_function("second_while_agent_speaks", |b| {
        b.iter(|| {
            for i in 0..50 {
                if i % 10 == 0 {
                    call.input(Input::Model(ModelEvent::Audio {
                        response: "r".into(),
                        item: "a".into(),
                        payload: &audio,
                    }));
                }
                if i % 5 == 0 {
                    call.input(Input::Caller(CallerEvent::MarkPlayed(MarkId { generation: 0, seq })));
                    seq += 1;
                }
                call.frame();
            }
        });
    });
    group.bench_function("barge_in", |b| {
        b.iter_batched_ref(
            Call::speaking,
            |call| call.input(Input::Model(ModelEvent::SpeechStarted { item: "u".into(), audio_start_ms: 400 })),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
