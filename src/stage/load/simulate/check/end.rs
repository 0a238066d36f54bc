//! What must hold of a call that is over.

use super::*;

impl Watch {
    /// After the end.
    pub(in crate::stage::load::simulate) fn ended(&mut self, sim: &mut Sim) {
        self.compare_with_line(sim);
        let report = sim.engine().report();
        let now = sim.now();
        if sim.seen.end.as_ref() != Some(&report.end) {
            self.breaks(now, format!("it ended by {:?} and reports {:?}", sim.seen.end, report.end));
        }
        self.compare_turns(now, &report);
        for line in &report.lines {
            let sorted = line.at_ms <= line.end_at_ms && line.media_at_ms <= line.media_end_ms;
            if line.heard_ms > line.received_ms || !sorted {
                self.breaks(
                    now,
                    format!("a line of the report is heard longer than it is, or ends before it begins: {line:?}"),
                );
            }
        }
        for turn in &report.turns {
            let times = [
                turn.speech_start_at_ms,
                turn.speech_end_at_ms,
                turn.stop_decided_at_ms,
                turn.commit_at_ms,
                turn.response_at_ms,
                turn.first_model_audio_at_ms,
                turn.first_audio_sent_at_ms,
                turn.first_audible_at_ms,
                turn.first_heard_at_ms,
            ];
            if !times.iter().flatten().is_sorted() {
                self.breaks(now, format!("a turn's times are not in order: {turn:?}"));
            }
            let parts: Option<u64> = turn.latency.parts().iter().map(|(_, ms)| *ms).sum();
            if parts.is_some_and(|sum| turn.latency.waited_ms.is_some_and(|all| all != sum)) {
                self.breaks(now, format!("the parts of a turn's latency do not add up: {turn:?}"));
            }
        }
        // A call that is over takes what still comes, and answers nothing.
        let actions = sim.seen.actions;
        sim.input(Input::Tick);
        sim.input(Input::Caller(CallerEvent::Audio { at_ms: 0, payload: &[SOUND; 160] }));
        sim.input(Input::Model(ModelEvent::Ready { session: "late".into(), turns: None }));
        sim.input(Input::Caller(CallerEvent::HungUp));
        if sim.seen.after_end > 0 || sim.seen.actions > actions {
            self.breaks(now, "something is done after the end".to_owned());
        }
        if let Some((at, timer)) = sim.engine().next_deadline() {
            self.breaks(now, format!("it waits for {timer:?} at {at} after the end"));
        }
    }
}
