//! Where a replay first decides differently, shown in the manner of a unified diff.

use std::fmt;

use serde::Serialize;

use crate::base::time::CallTime;
use crate::lab::journal::{Journal, trace};
use crate::lab::replay::Step;

/// Lines in common that are shown before a difference.
const BEFORE: usize = 5;
/// Lines of each side that are shown, and aligned, from a difference on.
const AFTER: usize = 12;

/// The first difference between the kept decisions and the replayed ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// When.
    pub at_us: u64,
    /// The input after which they differ, in words; `None`: a new engine's first decisions.
    pub input: Option<String>,
    /// The kept line; `None`: nothing more was decided then.
    pub kept: Option<String>,
    /// The replayed line; `None`: nothing more is decided now.
    pub replayed: Option<String>,
    /// Both around that place, one line each, beginning with ` ` (in both), `-` (kept) or `+` (replayed).
    pub context: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = CallTime::from_us(self.at_us);
        match &self.input {
            Some(input) => writeln!(f, "@@ {at} on: {input}")?,
            None => writeln!(f, "@@ {at} at the beginning")?,
        }
        f.write_str("--- kept in the journal\n+++ replayed\n")?;
        self.context.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Compares step by step. When the call's end is not in the journal, its last step may lack decisions that did not
/// reach the file.
pub(super) fn first(journal: &Journal, kept: &[Step], replayed: &[Step]) -> Option<Difference> {
    debug_assert_eq!(kept.len(), replayed.len(), "both have a step for each input");
    let cut_short = journal.torn || !journal.is_finished();
    let last = kept.len().saturating_sub(1);
    let (step, line) = kept.iter().zip(replayed).enumerate().find_map(|(i, (k, r))| {
        let same = k.lines.iter().zip(&r.lines).take_while(|(a, b)| a == b).count();
        let lacks = cut_short && i == last && same == k.lines.len();
        (!lacks && (same < k.lines.len() || same < r.lines.len())).then_some((i, same))
    })?;
    let input = kept[step].entry.and_then(|entry| journal.entries.get(entry)).and_then(|e| journal.input(e));
    Some(Difference {
        at_us: kept[step].at.as_us(),
        input: input.map(|input| {
            let mut words = String::new();
            trace::write_input(&input, &mut words);
            words
        }),
        kept: kept[step].lines.get(line).cloned(),
        replayed: replayed[step].lines.get(line).cloned(),
        context: context(kept, replayed, step, line),
    })
}

fn context(kept: &[Step], replayed: &[Step], step: usize, line: usize) -> Vec<String> {
    let from = |steps: &[Step]| {
        let rest = steps[step..].iter().enumerate();
        let lines = rest.flat_map(|(i, s)| {
            let skip = if i == 0 { line } else { 0 };
            s.lines[skip..].iter().map(move |text| format!("{} {text}", s.at))
        });
        lines.take(AFTER).collect::<Vec<_>>()
    };
    let mut before: Vec<String> = kept[..=step]
        .iter()
        .enumerate()
        .rev()
        .flat_map(|(i, s)| {
            let until = if i == step { line } else { s.lines.len() };
            s.lines[..until].iter().rev().map(move |text| format!("  {} {text}", s.at))
        })
        .take(BEFORE)
        .collect();
    before.reverse();
    before.extend(align(&from(kept), &from(replayed)));
    before
}

/// The longest common subsequence of two short lists, as a diff.
fn align(old: &[String], new: &[String]) -> Vec<String> {
    // longest[i][j]: the longest that old[i..] and new[j..] have in common.
    let mut longest = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i][j] =
                if old[i] == new[j] { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            out.push(format!("- {}", old[i]));
            i += 1;
        } else {
            out.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::JournalKeep;
    use crate::engine::{Action, CallEvent, CallerCommand, CallerEvent, Input};
    use crate::lab::journal::Pen;
    use crate::lab::journal::tests::settings;
    use crate::lab::replay::kept_steps;

    /// A call of three frames with a decision on each, and its end unless it is cut short.
    fn journal(end: bool) -> Journal {
        let mut pen = Pen::new(&settings(), JournalKeep::Decisions);
        pen.action(CallTime::ZERO, &Action::DialModel);
        for i in 1..=3_u32 {
            let at = CallTime::from_ms(20 * u64::from(i));
            pen.input(at, &Input::Caller(CallerEvent::Audio { at_ms: at.as_ms(), payload: &[0; 160] }));
            pen.action(at, &Action::Emit(CallEvent::TurnCommitted { turn: i, rule: "server_vad".into() }));
            pen.action(at, &Action::SendCaller(CallerCommand::Clear));
        }
        if end {
            pen.action(CallTime::from_ms(60), &Action::End(crate::engine::EndReason::CallerHungUp));
        }
        Journal::parse(&pen.take()).unwrap()
    }

    #[test]
    fn the_same_decisions_are_no_difference() {
        let journal = journal(true);
        let kept = kept_steps(&journal);
        assert_eq!(kept.len(), 4);
        assert_eq!(first(&journal, &kept, &kept), None);
    }

    #[test]
    fn the_first_difference_is_shown_with_its_input_and_aligned() {
        let journal = journal(true);
        let kept = kept_steps(&journal);
        let mut now = kept.clone();
        now[2].lines.insert(1, "SpeechStopped rule=server_vad media_ms=40".into());
        now[3].lines[0] = "TurnCommitted turn=3 rule=other".into();
        let difference = first(&journal, &kept, &now).unwrap();
        assert_eq!(difference.kept.as_deref(), Some("line clear"));
        assert_eq!(difference.replayed.as_deref(), Some("SpeechStopped rule=server_vad media_ms=40"));
        let expected = "\
@@ 00:00.040 on: caller audio at_ms=40 bytes=160
--- kept in the journal
+++ replayed
  00:00.000 model dial
  00:00.020 TurnCommitted turn=1 rule=server_vad
  00:00.020 line clear
  00:00.040 TurnCommitted turn=2 rule=server_vad
+ 00:00.040 SpeechStopped rule=server_vad media_ms=40
  00:00.040 line clear
- 00:00.060 TurnCommitted turn=3 rule=server_vad
+ 00:00.060 TurnCommitted turn=3 rule=other
  00:00.060 line clear
  00:00.060 End caller_hung_up
";
        assert_eq!(difference.to_string(), expected);
    }

    #[test]
    fn a_decision_too_many_or_too_few_is_a_difference() {
        let journal = journal(true);
        let kept = kept_steps(&journal);
        let mut fewer = kept.clone();
        fewer[3].lines.pop();
        assert_eq!(first(&journal, &kept, &fewer).unwrap().replayed, None);
        let mut more = kept.clone();
        more[3].lines.push("line clear".into());
        assert_eq!(first(&journal, &kept, &more).unwrap().kept, None);
    }

    #[test]
    fn what_did_not_reach_the_file_before_a_crash_is_no_difference() {
        let journal = journal(false);
        let kept = kept_steps(&journal);
        let mut now = kept.clone();
        now[3].lines.push("End caller_hung_up".into());
        assert_eq!(first(&journal, &kept, &now), None);
        // Only at the end of the file, though.
        now[2].lines.push("line clear".into());
        assert!(first(&journal, &kept, &now).is_some());
    }
}
