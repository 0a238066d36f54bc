//! What others say, made fit for a log line: whole, but bounded, and without numbers and secrets.

use std::error::Error;
use std::fmt::Write as _;

/// Longest text that is logged, in characters.
pub const MAX_CHARS: usize = 2_000;
/// Digits from which on they may be somebody's number. Error codes have fewer.
const NUMBER_DIGITS: usize = 7;
/// Characters from which on a word of letters and digits may be a secret.
const SECRET_CHARS: usize = 24;

/// An error with its causes, from the outside in, each said once. What libraries print of an error is often its first
/// layer alone, such as "error sending request".
pub fn of(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // A chain is short; one that has no end is not followed.
    for _ in 0..16 {
        let Some(error) = cause else { break };
        let words = error.to_string();
        if !text.contains(&words) {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {words}");
        }
        cause = error.source();
    }
    said(&text)
}

/// Words from outside in one line of at most [`MAX_CHARS`] characters. What looks like a phone number or a secret is struck
/// out; ids of the carrier's, two letters and 32 hexadecimal digits, are neither.
pub fn said(text: &str) -> String {
    let mut out = String::new();
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARS).collect();
    for (n, word) in line.split(' ').enumerate() {
        if n > 0 {
            out.push(' ');
        }
        strike(word, &mut out);
    }
    let out = without_numbers(&out);
    if text.chars().nth(MAX_CHARS).is_some() { out + "…" } else { out }
}

/// A word, with its parts that may be secrets struck out.
fn strike(word: &str, out: &mut String) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '.');
    let mut rest = word;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        out.push_str(if is_secret(part) { "[struck out]" } else { part });
        let next = after.find(is_part).unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
}

fn is_secret(part: &str) -> bool {
    let id = part.len() == 34 && part[..2].bytes().all(|b| b.is_ascii_uppercase());
    if id && part[2..].bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    let longest = part.split(['/', '.', '-']).map(str::len).max().unwrap_or(0);
    let mixed = part.bytes().any(|b| b.is_ascii_digit()) && part.bytes().any(|b| b.is_ascii_alphabetic());
    part.starts_with("sk-") || (mixed && longest >= SECRET_CHARS)
}

/// Digits that make a number, with what people put between them, struck out.
fn without_numbers(text: &str) -> String {
    let (mut out, mut run) = (String::with_capacity(text.len()), String::new());
    let flush = |run: &mut String, out: &mut String| {
        if run.bytes().filter(u8::is_ascii_digit).count() >= NUMBER_DIGITS {
            out.push_str("[number]");
            // What ends the run is not part of it.
            out.push_str(&run[run.rfind(|c: char| c.is_ascii_digit()).map_or(0, |at| at + 1)..]);
        } else {
            out.push_str(run);
        }
        run.clear();
    };
    let mut before = ' ';
    for c in text.chars() {
        let within = matches!(c, '-' | ' ' | '(' | ')' | '.') && !run.is_empty();
        // Digits within a word are an id's.
        let begins = (c.is_ascii_digit() || c == '+') && (!run.is_empty() || !before.is_alphanumeric());
        if begins || within {
            run.push(c);
        } else {
            if c.is_alphanumeric() && before.is_ascii_digit() {
                // The word goes on: it is none.
                out.push_str(&std::mem::take(&mut run));
            }
            flush(&mut run, &mut out);
            out.push(c);
        }
        before = c;
    }
    flush(&mut run, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|layer| layer as &(dyn Error + 'static))
        }
    }

    #[test]
    fn an_error_is_told_with_its_causes_each_once() {
        let inner = Layer("connection refused (os error 111)", None);
        let middle = Layer("tcp connect: connection refused (os error 111)", Some(Box::new(inner)));
        let outer = Layer("error sending request", Some(Box::new(middle)));
        assert_eq!(of(&outer), "error sending request: tcp connect: connection refused (os error 111)");
    }

    #[test]
    fn numbers_and_secrets_are_struck_out_and_the_rest_is_whole() {
        for (said_, told) in [
            ("31921: Stream - WebSocket - Close Error", "31921: Stream - WebSocket - Close Error"),
            ("the number +1 (555) 010-0001 is busy", "the number [number] is busy"),
            ("call from +15550100001.", "call from [number]."),
            ("HTTP 404, code 21220 at 12:30:01", "HTTP 404, code 21220 at 12:30:01"),
            ("key sk-proj-abc123 refused", "key [struck out] refused"),
            ("token=9f8e7d6c5b4a39281706f5e4d3c2b1a0 is used", "token=[struck out] is used"),
            ("call CA0f3c9ad14be27a6f0d5b8e6c1a927f44 is over", "call CA0f3c9ad14be27a6f0d5b8e6c1a927f44 is over"),
            ("wss://calls.example.com/twilio/media: 502", "wss://calls.example.com/twilio/media: 502"),
            ("two\nlines\u{7} of\tit", "two lines  of it"),
            ("", ""),
        ] {
            assert_eq!(said(said_), told);
        }
    }

    #[test]
    fn a_text_without_end_is_bounded() {
        let long = "grüß ".repeat(2_000);
        let told = said(&long);
        assert_eq!(told.chars().count(), MAX_CHARS + 1);
        assert!(told.ends_with('…'));
        assert_eq!(said(&"x".repeat(MAX_CHARS)).chars().count(), MAX_CHARS);
    }
}
