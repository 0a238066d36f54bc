//! Text that comes from callers and models, made fit for SVG and HTML.

use std::fmt;

/// Escaped for text and for quoted attributes. What XML does not allow, and the marks that change the direction of the
/// text around them, are left out.
pub(crate) struct Esc<'a>(pub(crate) &'a str);

impl fmt::Display for Esc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' | '\r' => f.write_str(" ")?,
                '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FFFE}' | '\u{FFFF}' => {}
                c if c.is_control() => {}
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// `m:ss.t`.
pub(crate) fn clock(ms: u64) -> String {
    format!("{}:{:02}.{}", ms / 60_000, ms / 1_000 % 60, ms / 100 % 10)
}

/// `m:ss`, for ticks.
pub(crate) fn clock_s(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60)
}

/// At most `lines` lines of `width` characters, broken at spaces, and what is left for the next place.
pub(crate) fn wrap(text: &str, width: usize, lines: usize) -> (Vec<String>, String) {
    let mut out: Vec<String> = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while out.len() < lines {
        let mut line = String::new();
        let mut used = 0;
        while let Some(word) = words.peek() {
            let length = word.chars().count();
            let needed = if line.is_empty() { length } else { used + 1 + length };
            if needed > width {
                break;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            used = needed;
            words.next();
        }
        if line.is_empty() {
            break;
        }
        out.push(line);
    }
    let rest = words.collect::<Vec<_>>().join(" ");
    (out, rest)
}

/// Cut to `width` characters, with a sign that it was.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_caller_says_becomes_markup() {
        let text = "<script>alert('x')</script> & \"\u{0}\u{202E}\n";
        assert_eq!(Esc(text).to_string(), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot; ");
    }

    #[test]
    fn words_go_on_in_the_next_place() {
        let (lines, rest) = wrap("one two three four", 7, 2);
        assert_eq!((lines, rest.as_str()), (vec!["one two".into(), "three".into()], "four"));
        assert_eq!(wrap("incomprehensible", 5, 2), (vec![], "incomprehensible".into()));
        assert_eq!(shorten("Straße am Ufer", 8), "Straße…");
    }
}
