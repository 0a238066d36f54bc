//! `offhook tune --from`: recorded calls.

use offhook::config::{TurnDetection, TurnSettings};
use offhook::ears::turn::score::score;
use offhook::lab::tune::from_call::{BLIP_MS, Call, EXACT_MS, LOOK_MS, outcomes};
use offhook::lab::tune::measure::{Case, Measured};
use offhook::lab::tune::run::LINE;
use offhook::lab::tune::table::{Align, Table};
use offhook::lab::tune::words::{clock, length};

use super::report;
use crate::cli::Failure;
use crate::cli::ears::{Chosen, Ears};

/// Recorded calls with their estimates.
pub(super) struct Calls {
    calls: Vec<Call>,
    cases: Vec<Case>,
}

impl Calls {
    pub(super) fn new(calls: Vec<Call>) -> Calls {
        let cases = calls.iter().map(|call| call.case.clone()).collect();
        Calls { calls, cases }
    }

    pub(super) fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The settings of the agent who answered, as they are now; where he is gone, as they were then.
    pub(super) fn ears(&self, ears: &Ears) -> Result<Chosen, Failure> {
        let mut agents: Vec<&str> = self.calls.iter().filter_map(|call| call.agent.as_deref()).collect();
        agents.dedup();
        let then = self.calls.iter().find_map(|call| match &call.ran_with {
            Some(TurnDetection::Local(settings)) => Some(settings.clone()),
            _ => None,
        });
        let otherwise = then.map(|settings: TurnSettings| (settings, "what the call ran with".to_owned()));
        let mut chosen = ears.choose(agents.first().copied(), otherwise)?;
        if agents.len() > 1 {
            chosen.notes.push(format!("the calls had several agents: {}", agents.join(", ")));
        }
        Ok(chosen)
    }

    /// Turn by turn: what was decided in the call, and what other settings decide.
    pub(super) fn text(&self, chosen: &Chosen, resume_within_ms: u64, columns: &[(&str, &Measured)]) -> String {
        let mut out = report::head(chosen);
        for (n, call) in self.calls.iter().enumerate() {
            let case = &call.case;
            let then_score = score(&case.truth, &call.then, LINE.rate_hz);
            let then = outcomes(&case.truth.turns, &then_score);
            out += &format!("{}: {}, {}", case.name, length(case.duration_ms()), call.notes.join("; "));
            out += &match &call.ran_with {
                Some(TurnDetection::Local(s)) => format!("; ran with {}\n", offhook::lab::tune::words::settings(s)),
                Some(TurnDetection::Provider { silence_duration_ms, .. }) => {
                    format!("; the provider decided, silence {silence_duration_ms} ms\n")
                }
                Some(TurnDetection::Semantic { .. }) => "; the provider decided, by meaning\n".to_owned(),
                Some(TurnDetection::Disabled { .. }) => "; turns ended by key or API\n".to_owned(),
                None => "; without a journal nobody knows what it ran with\n".to_owned(),
            };
            if case.truth.turns.is_empty() {
                out += "no speech of the caller was found\n\n";
                continue;
            }
            let mut heads = vec![
                ("turn", Align::Right),
                ("speech", Align::Right),
                ("ends (est.)", Align::Right),
                ("in the call", Align::Left),
            ];
            heads.extend(columns.iter().map(|(name, _)| (*name, Align::Left)));
            let mut table = Table::new(&heads);
            let tried: Vec<_> =
                columns.iter().map(|(_, measured)| outcomes(&case.truth.turns, &measured.scores[n])).collect();
            for (i, turn) in case.truth.turns.iter().enumerate() {
                let mut row = vec![
                    (i + 1).to_string(),
                    clock(turn.span.start_ms),
                    clock(turn.audible_end_ms),
                    if call.then.is_empty() { "–".to_owned() } else { then[i].words() },
                ];
                row.extend(tried.iter().map(|outcomes| outcomes[i].words()));
                table.row(row);
            }
            out += &table.text();
            out.push('\n');
        }
        for (name, measured) in columns {
            out += &format!("{name}: {}", report::summary(&self.cases, measured, chosen.unless));
        }
        out += &format!(
            "\nNobody labelled these calls. Speech is what Silero hears with {LOOK_MS} ms of look-ahead, shorter stretches and \
             pauses than {BLIP_MS} ms aside;\na turn ends where none follows for {resume_within_ms} ms (--resume-within). Times are \
             right to about {EXACT_MS} ms, ends rather late. A caller who fell silent\nbecause the agent spoke into his sentence counts as having \
             finished.\n"
        );
        if let [(_, measured)] = columns {
            out += &report::mistakes(&self.cases, measured);
        }
        out
    }
}
