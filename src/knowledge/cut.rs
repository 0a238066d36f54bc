//! Passages: as long as can be taken in at once, cut where the text itself pauses, and overlapping where it does not.

use super::{Block, Passage};

/// A passage that has so many characters takes no further paragraph.
const ENOUGH: usize = 800;
/// No passage has more.
const MOST: usize = 1_200;
/// Of the passage before, as whole sentences.
const OVERLAP: usize = 160;
/// Characters of a heading, and headings above a passage.
const MAX_HEADING: usize = 160;
const MAX_HEADINGS: usize = 4;

pub(super) fn passages(blocks: &[Block]) -> Vec<Passage> {
    let mut cut = Cut::default();
    for block in blocks {
        match block {
            Block::Heading(level, text) => {
                cut.finish();
                cut.under(*level, text);
            }
            Block::Page(page) => {
                cut.finish();
                cut.page = Some(*page);
            }
            Block::Text(text) => cut.paragraph(text),
        }
    }
    cut.finish();
    cut.bare();
    cut.done
}

#[derive(Default)]
struct Cut {
    done: Vec<Passage>,
    headings: Vec<(u8, String)>,
    page: Option<u32>,
    text: String,
    /// Characters of `text`.
    length: usize,
    /// All of `text` was in the passage before.
    repeats: bool,
    /// Nothing has been said yet below the last heading.
    is_bare: bool,
}

impl Cut {
    fn under(&mut self, level: u8, text: &str) {
        if self.headings.last().is_some_and(|(last, _)| *last >= level) {
            self.bare();
        }
        self.headings.retain(|(above, _)| *above < level);
        self.headings.push((level, text.chars().take(MAX_HEADING).collect()));
        self.is_bare = true;
    }

    /// A heading that nothing stands below says something all the same.
    fn bare(&mut self) {
        if std::mem::take(&mut self.is_bare)
            && let Some((_, text)) = self.headings.last()
        {
            let text = text.clone();
            self.push(text);
        }
    }

    fn paragraph(&mut self, text: &str) {
        let length = text.chars().count();
        if length <= MOST {
            return self.piece(text, length, "\n\n");
        }
        let mut between = "\n\n";
        for sentence in sentences(text) {
            let mut rest = sentence;
            loop {
                let end = rest.char_indices().nth(MOST - OVERLAP - 2).map_or(rest.len(), |(at, _)| at);
                let end = if end == rest.len() { end } else { space_before(rest, end) };
                let (piece, after) = rest.split_at(end);
                self.piece(piece.trim_end(), piece.trim_end().chars().count(), between);
                between = " ";
                rest = after.trim_start();
                if rest.is_empty() {
                    break;
                }
            }
        }
    }

    fn piece(&mut self, text: &str, length: usize, between: &str) {
        self.is_bare = false;
        let fits = self.length + between.len() + length <= MOST;
        let is_full = self.length >= ENOUGH && !self.repeats;
        if self.length > 0 && (is_full || !fits) {
            let overlap = last_sentences(&self.text).to_owned();
            self.finish();
            let room = overlap.chars().count() + between.len() + length <= MOST;
            if room && !overlap.is_empty() {
                self.length = overlap.chars().count();
                self.text = overlap;
                self.repeats = true;
            }
        }
        if self.length > 0 {
            self.text.push_str(between);
            self.length += between.len();
        }
        self.text.push_str(text);
        self.length += length;
        self.repeats = false;
    }

    fn finish(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.length = 0;
        if !std::mem::take(&mut self.repeats) && !text.trim().is_empty() {
            self.push(text);
        }
    }

    fn push(&mut self, text: String) {
        let from = self.headings.len().saturating_sub(MAX_HEADINGS);
        let heading = self.headings[from..].iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" > ");
        self.done.push(Passage { heading, page: self.page, text });
    }
}

/// Parts of a text that end in a full stop, a question or the end of a line. What an abbreviation parts is two.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut chars = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            let stops = matches!(c, '.' | '!' | '?' | '…' | ':' | ';') && next.is_some_and(char::is_whitespace);
            if stops || matches!(c, '\n' | '。' | '！' | '？') {
                end = at + c.len_utf8();
                break;
            }
        }
        let (sentence, after) = rest.split_at(end);
        rest = after.trim_start();
        Some(sentence.trim_end())
    })
}

/// The end of a text, as whole sentences or at least words.
fn last_sentences(text: &str) -> &str {
    let from = text.char_indices().rev().nth(OVERLAP - 1).map_or(0, |(at, _)| at);
    if from == 0 {
        return "";
    }
    let end = &text[from..];
    // The beginning of the first sentence that begins in there.
    let ends = end.char_indices().zip(end.chars().skip(1));
    let mut starts = ends.filter(|((_, c), next)| matches!(c, '.' | '!' | '?' | '\n') && next.is_whitespace());
    let start = starts.next().map(|((at, c), _)| at + c.len_utf8());
    let start = start.or_else(|| end.find(char::is_whitespace)).unwrap_or(end.len());
    end[start..].trim()
}

/// The last white space before `end`, unless that is far away.
fn space_before(text: &str, end: usize) -> usize {
    text[..end].rfind(char::is_whitespace).filter(|at| *at > end / 2).unwrap_or(end)
}
