//! Text of bytes: which letters they stand for.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::{Kind, Unreadable};

/// Bytes of a page in which it may say its own encoding.
const META_WITHIN: usize = 1_024;

/// The media type in small letters, and its `charset`.
pub(super) fn declared(declared: &str) -> (String, Option<&'static Encoding>) {
    let mut parts = declared.split(';');
    let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    (kind, charset.and_then(|label| Encoding::for_label(label.as_bytes())))
}

pub(super) fn has_bom(bytes: &[u8]) -> bool {
    Encoding::for_bom(bytes).is_some()
}

/// How it begins, as far as that can be told: to find out what it is.
pub(super) fn beginning(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(4_096)];
    let encoding = Encoding::for_bom(bytes).map_or(UTF_8, |(encoding, _)| encoding);
    encoding.decode(bytes).0.into_owned()
}

/// The text, and what should be known of how it was read.
pub(super) fn text(bytes: &[u8], sent_as: &str, kind: Kind) -> Result<(String, Option<String>), Unreadable> {
    let (text, remark) = decode(bytes, declared(sent_as).1, kind);
    let odd = text.chars().filter(|c| is_odd(*c)).count();
    // A form feed here and there is text; a program is not.
    if odd > 8 + text.len() / 1_000 {
        return Err(Unreadable("It is not text: what is read is text, Markdown, HTML and PDF.".to_owned()));
    }
    Ok((clean(&text), remark))
}

fn decode(bytes: &[u8], charset: Option<&'static Encoding>, kind: Kind) -> (String, Option<String>) {
    let lossy = |encoding: &'static Encoding, bytes: &[u8]| {
        let (text, broken) = encoding.decode_without_bom_handling(bytes);
        let remark = broken.then(|| format!("Some of it is not {}, and was left out.", encoding.name()));
        (text.replace('\u{fffd}', ""), remark)
    };
    if let Some((encoding, skip)) = Encoding::for_bom(bytes) {
        return lossy(encoding, &bytes[skip..]);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (text.to_owned(), None);
    }
    let own = || if kind == Kind::Html { meta(bytes) } else { None };
    if let Some(encoding) = charset.or_else(own).filter(|encoding| *encoding != UTF_8) {
        return lossy(encoding, bytes);
    }
    // A slip in UTF-8 leaves its other letters whole; Latin-1 has hardly two that look like one of UTF-8.
    let (mut whole, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    if whole > broken {
        return lossy(UTF_8, bytes);
    }
    let (text, _) = lossy(WINDOWS_1252, bytes);
    (text, Some("It is not UTF-8, and was read as Latin-1 (windows-1252).".to_owned()))
}

/// What a page says of its own encoding.
fn meta(bytes: &[u8]) -> Option<&'static Encoding> {
    let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(META_WITHIN)]).to_ascii_lowercase();
    let (_, rest) = begin.split_once("charset=")?;
    let label: String = rest.trim_start_matches(['"', '\'']).chars().take_while(|c| !"\"' />;".contains(*c)).collect();
    Encoding::for_label(label.as_bytes())
}

fn is_odd(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{85}')
}

/// Without what nobody sees, and with one kind of line end.
pub(super) fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace(['\r', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'], "\n");
    let hidden = |c: char| is_odd(c) || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars().filter(|c| !hidden(*c)).map(|c| if c == '\u{a0}' { ' ' } else { c }).collect()
}

/// In one line, with one space between words.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
