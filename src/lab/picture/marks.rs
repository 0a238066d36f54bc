//! What the journal alone tells: the playout marks of a call, when the line said that it had played up to there, and what
//! was heard.

use std::io::{self, BufRead, Read};

use super::curve::Curve;
use crate::engine::{CallerEvent, Input};
use crate::lab::journal::{Journal, Kind, MAX_LINE_BYTES};

/// Ticks in a picture at most: five minutes of an agent that never pauses. Beyond that each would be narrower than a
/// pixel of its row, and the file larger than its waveforms.
pub const MAX_TICKS: usize = 3_000;

/// Of these, marks of cleared audio at most. They are rare and say more, so they are not thinned with the others.
const MAX_CLEARED: usize = 1_000;

/// What is kept of a journal while it is read: six hours of steps and marks.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// The marks that came back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Call times of the marks whose audio was played, in milliseconds.
    pub played_ms: Vec<u64>,
    /// Call times of the marks that a clear sent back: their audio was dropped.
    pub cleared_ms: Vec<u64>,
    /// How many came back, with those that were thinned out.
    pub came_back: u64,
    /// What the server's own ears heard, when they decided.
    pub heard: Option<Curve>,
    /// Why there are none or not all of them, for people.
    pub missing: Option<String>,
}

impl Marks {
    /// Reads the marks of a journal. What cannot be read is missing and [`missing`](Self::missing) says why: a call with a
    /// damaged journal is one that somebody wants to see.
    pub fn read(journal: impl BufRead) -> Marks {
        let missing = |why: String| Marks { missing: Some(why), ..Marks::default() };
        let (kept, cut) = match lines_about_marks(journal) {
            Ok(kept) => kept,
            Err(error) => return missing(format!("the journal cannot be read: {error}")),
        };
        match Journal::parse(&kept) {
            Ok(journal) => {
                let why = || format!("only the first {MAX_KEPT_BYTES} bytes about marks and steps are read");
                Marks { missing: cut.then(why), ..Marks::of(&journal) }
            }
            Err(error) => missing(format!("the journal cannot be read: {}", error.message)),
        }
    }

    /// The marks of a journal that was read.
    fn of(journal: &Journal) -> Marks {
        let (mut played, mut cleared) = (Vec::new(), Vec::new());
        let mut clears = 0;
        for entry in &journal.entries {
            match &entry.kind {
                Kind::Out(line) => clears += u32::from(line == "line clear"),
                Kind::Heard { .. } | Kind::Found(_) => {}
                Kind::In(_) => {
                    if let Some(Input::Caller(CallerEvent::MarkPlayed(mark))) = journal.input(entry) {
                        // A generation is the number of clears before it.
                        let list = if mark.generation < clears { &mut cleared } else { &mut played };
                        list.push(entry.at.as_ms());
                    }
                }
            }
        }
        let came_back = (played.len() + cleared.len()) as u64;
        thin(&mut cleared, MAX_CLEARED);
        thin(&mut played, MAX_TICKS - cleared.len());
        Marks { played_ms: played, cleared_ms: cleared, came_back, heard: Curve::of(journal), missing: None }
    }

    /// Ticks there are to draw.
    pub(super) fn drawn(&self) -> u64 {
        (self.played_ms.len() + self.cleared_ms.len()) as u64
    }
}

/// The journal's head and its lines about marks, clears and steps, and whether some were left out. The rest, which is nearly all
/// of a long call, never has to be in memory at once.
fn lines_about_marks(mut journal: impl BufRead) -> io::Result<(Vec<u8>, bool)> {
    let (mut kept, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = journal.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok((kept, false));
        }
        if read > MAX_LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
        }
        if kept.is_empty() || is_about_marks(&line) {
            if kept.len() + line.len() > MAX_KEPT_BYTES {
                return Ok((kept, true));
            }
            kept.extend_from_slice(&line);
        }
    }
}

/// By the first bytes after the time. A line that only looks so is read and then passed over.
fn is_about_marks(line: &[u8]) -> bool {
    let Some(comma) = line.iter().take(40).position(|&byte| byte == b',') else { return false };
    let rest = &line[comma + 1..];
    rest.starts_with(b"\"in\":{\"mark\"")
        || rest.starts_with(b"\"hear\":[")
        || rest.starts_with(b"\"out\":\"line clear\"")
}

/// Leaves at most `max`, evenly spread, the first among them.
fn thin(list: &mut Vec<u64>, max: usize) {
    let total = list.len();
    if total > max {
        *list = (0..max).map(|n| list[n * total / max]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::CallTime;
    use crate::config::JournalKeep;
    use crate::engine::{Action, CallerCommand, MarkId};
    use crate::lab::journal::Pen;

    fn pen() -> Pen {
        Pen::new(&crate::lab::journal::tests::settings(), JournalKeep::Audio)
    }

    fn back(pen: &mut Pen, at_ms: u64, generation: u32, seq: u32) {
        pen.input(CallTime::from_ms(at_ms), &Input::Caller(CallerEvent::MarkPlayed(MarkId { generation, seq })));
    }

    #[test]
    fn a_mark_that_a_clear_sent_back_was_not_played() {
        let mut pen = pen();
        back(&mut pen, 100, 0, 0);
        pen.input(CallTime::from_ms(110), &Input::Caller(CallerEvent::Audio { at_ms: 0, payload: b"\"mark\"" }));
        pen.action(CallTime::from_ms(200), &Action::SendCaller(CallerCommand::Clear));
        back(&mut pen, 201, 0, 1);
        back(&mut pen, 900, 1, 2);
        let mut bytes = pen.take();
        let marks = Marks::read(&bytes[..]);
        assert_eq!((marks.played_ms, marks.cleared_ms), (vec![100, 900], vec![201]));
        assert_eq!((marks.came_back, marks.missing), (3, None));

        // Killed while it wrote the last line.
        bytes.truncate(bytes.len() - 9);
        assert_eq!(Marks::read(&bytes[..]).played_ms, vec![100]);
    }

    #[test]
    fn long_calls_are_thinned_evenly_but_for_what_is_rare() {
        let mut pen = pen();
        for n in 0..9_000 {
            back(&mut pen, u64::from(n) * 100, 0, n);
        }
        pen.action(CallTime::from_ms(900_000), &Action::SendCaller(CallerCommand::Clear));
        back(&mut pen, 900_001, 0, 9_000);
        let marks = Marks::read(&pen.take()[..]);
        assert_eq!((marks.came_back, marks.drawn(), marks.cleared_ms.len()), (9_001, MAX_TICKS as u64, 1));
        assert!(marks.played_ms.windows(2).all(|pair| (300..=400).contains(&(pair[1] - pair[0]))));
    }

    #[test]
    fn what_is_no_journal_has_no_marks_and_says_so() {
        for bytes in [&b"{}\n"[..], b"", b"{\"offhook_journal\":99,\"settings\":{}}\n"] {
            let marks = Marks::read(bytes);
            assert_eq!(marks.drawn(), 0);
            assert!(marks.missing.is_some_and(|why| why.starts_with("the journal cannot be read")));
        }
    }
}
