//! Words as they are looked for: folded, so that `Straße` is `strasse` and `Müller` is `Mueller` is `Muller`; without those that
//! every text has; and what was found, in order.
//!
//! Both databases index the same folded words, find by any of a question's words or what begins with one, and this puts what
//! they found in order: their own measures differ.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Characters of a question that count.
pub const MAX_QUESTION: usize = 1_000;
/// Different words of a question that count.
const MAX_TERMS: usize = 16;
/// Characters of a word; what is longer is cut.
const MAX_WORD: usize = 64;
/// From so many characters on, a word also finds what begins with it.
const PREFIX_FROM: usize = 3;
/// Endings that are left off a question's words, of English and German and what is like them, with the characters that stay at
/// least.
const ENDINGS: &[(&str, usize)] = &[
    ("ungen", 4),
    ("ern", 4),
    ("ies", 4),
    ("en", 4),
    ("er", 4),
    ("es", 4),
    ("em", 4),
    ("e", 3),
    ("n", 3),
    ("s", 3),
    ("y", 4),
];
/// How often a word stands in a passage matters less and less, and long passages have more of everything (BM25).
const SATURATION: f64 = 1.2;
const LENGTH: f64 = 0.75;
/// What stands in a heading, or in the title, counts so often.
const HEADING: f64 = 2.0;

/// Words that are in every text, folded.
const COMMON: &[&str] = &[
    // English
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does",
    "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "is", "it", "its", "me", "my",
    "no", "not", "of", "on", "or", "our", "she", "so", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with",
    "would", "you", "your", // German
    "aber", "als", "am", "auch", "auf", "aus", "bei", "bin", "bis", "bist", "das", "dass", "dem", "den", "der", "des",
    "die", "diese", "dieser", "dieses", "doch", "du", "durch", "ein", "eine", "einem", "einen", "einer", "eines", "er",
    "es", "fur", "hat", "habe", "haben", "ich", "ihr", "ihre", "im", "ist", "kann", "konnen", "man", "mein", "meine",
    "mich", "mir", "mit", "nach", "nicht", "noch", "nur", "oder", "ob", "sich", "sie", "sind", "uber", "um", "und",
    "uns", "unser", "von", "vor", "wann", "warum", "was", "welche", "welcher", "welches", "wenn", "wer", "werden",
    "wie", "wir", "wird", "wo", "zu", "zum", "zur", // French, Italian, Spanish
    "au", "aux", "avec", "ce", "ces", "che", "con", "dans", "de", "del", "della", "di", "el", "elle", "en", "est",
    "et", "gli", "il", "je", "la", "las", "le", "les", "lo", "los", "ma", "mais", "mes", "mon", "ne", "nous", "ou",
    "para", "par", "pas", "per", "por", "pour", "que", "qui", "quel", "quelle", "se", "son", "sont", "sul", "sur",
    "un", "una", "une", "uno", "vos", "votre", "vous", "y",
];

/// A text's words as they are indexed, with a space between them.
pub fn indexed(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let folded = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect::<String>();
    let folded = folded.replace('ß', "ss").replace('æ', "ae").replace('œ', "oe").replace('ø', "o");
    let parts = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(without_second_letter);
    parts.collect::<Vec<_>>().into_iter()
}

/// How umlauts are written without them: `ue` for `ü`, but for `que`.
fn without_second_letter(word: &str) -> String {
    let mut short = String::with_capacity(word.len());
    let (mut before, mut last) = (' ', ' ');
    for c in word.chars().take(MAX_WORD) {
        let second = c == 'e' && matches!(last, 'a' | 'o' | 'u') && before != 'q';
        if !second {
            short.push(c);
        }
        (before, last) = (last, if second { ' ' } else { c });
    }
    short
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    word: String,
    /// Whether it also finds what begins with it.
    begins: bool,
}

impl Question {
    /// Of what somebody asks; `None`: there is no word in it.
    pub fn new(text: &str) -> Option<Question> {
        let text: String = text.chars().take(MAX_QUESTION).collect();
        let all: Vec<String> = words(&text).collect();
        let telling: Vec<&String> = all.iter().filter(|word| !COMMON.contains(&word.as_str())).collect();
        let chosen = if telling.is_empty() { all.iter().collect() } else { telling };
        let mut seen = HashSet::new();
        let terms = chosen.into_iter().map(|word| term(word)).filter(|term| seen.insert(term.word.clone()));
        let terms: Vec<Term> = terms.take(MAX_TERMS).collect();
        (!terms.is_empty()).then_some(Question { terms })
    }

    /// In the words of SQLite's full-text search: letters and digits of ours within its marks, and nothing of whoever asks.
    pub fn for_sqlite(&self) -> String {
        let terms = self.terms.iter().map(|term| format!("\"{}\"{}", term.word, if term.begins { "*" } else { "" }));
        terms.collect::<Vec<_>>().join(" OR ")
    }

    /// The same in PostgreSQL's, of a `tsquery`.
    pub fn for_postgres(&self) -> String {
        let terms = self.terms.iter().map(|term| format!("'{}'{}", term.word, if term.begins { ":*" } else { "" }));
        terms.collect::<Vec<_>>().join(" | ")
    }

    /// The order of what was found, the best first: places in `found`, of which each is a heading and a text. What has none of
    /// the words is not among them.
    pub fn order(&self, found: &[(&str, &str)]) -> Vec<usize> {
        let counted: Vec<Counted> = found.iter().map(|(heading, text)| self.count(heading, text)).collect();
        let total = counted.len().max(1) as f64;
        let mean = counted.iter().map(|one| one.length).sum::<f64>() / total;
        let weights: Vec<f64> = (0..self.terms.len())
            .map(|term| {
                let has = counted.iter().filter(|one| one.times[term] > 0.0).count() as f64;
                (1.0 + (total - has + 0.5) / (has + 0.5)).ln()
            })
            .collect();
        let score = |one: &Counted| {
            let damp = SATURATION * (1.0 - LENGTH + LENGTH * one.length / mean.max(1.0));
            let terms = one.times.iter().zip(&weights);
            terms.map(|(times, weight)| weight * times * (SATURATION + 1.0) / (times + damp)).sum::<f64>()
        };
        let mut scored: Vec<(usize, f64)> = counted.iter().map(score).enumerate().filter(|(_, s)| *s > 0.0).collect();
        scored.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        scored.into_iter().map(|(at, _)| at).collect()
    }

    fn count(&self, heading: &str, text: &str) -> Counted {
        let mut counted = Counted { times: vec![0.0; self.terms.len()], length: 0.0 };
        for (text, weight) in [(heading, HEADING), (text, 1.0)] {
            for word in words(text) {
                counted.length += 1.0;
                for (times, term) in counted.times.iter_mut().zip(&self.terms) {
                    // The word itself says more than what begins with it.
                    if word == term.word {
                        *times += weight;
                    } else if term.begins && word.starts_with(&term.word) {
                        *times += 0.7 * weight;
                    }
                }
            }
        }
        counted
    }
}

struct Counted {
    times: Vec<f64>,
    length: f64,
}

fn term(word: &str) -> Term {
    let stem = ENDINGS
        .iter()
        .find_map(|(ending, least)| word.strip_suffix(ending).filter(|stem| stem.chars().count() >= *least));
    let word = stem.unwrap_or(word);
    Term { word: word.to_owned(), begins: word.chars().count() >= PREFIX_FROM }
}
