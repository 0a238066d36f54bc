//! What bytes are: found in them, since names and media types are whatever somebody wrote.

use super::{Kind, Unreadable, letters};

/// Where a PDF says what it is: some have other bytes before.
const PDF_WITHIN: usize = 1_024;
/// Beginnings of what is sent instead of text.
const OTHERS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a ZIP archive, or a document of an office suite"),
    (b"\xd0\xcf\x11\xe0", "a document of an office suite"),
    (b"{\\rtf", "a document in RTF"),
    (b"%!PS", "PostScript"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x1f\x8b", "compressed"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
];

pub(super) fn decide(bytes: &[u8], declared: &str) -> Result<Kind, Unreadable> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Unreadable("It is empty.".to_owned()));
    }
    let begin = &bytes[..bytes.len().min(PDF_WITHIN)];
    if begin.windows(5).any(|five| five == b"%PDF-") && !letters::has_bom(bytes) {
        return Ok(Kind::Pdf);
    }
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(Unreadable(format!("It is {what}: what is read is text, Markdown, HTML and PDF.")));
    }
    let (kind, _) = letters::declared(declared);
    match kind.as_str() {
        "application/pdf" => Err(Unreadable("It is sent as a PDF, and is none.".to_owned())),
        "text/html" | "application/xhtml+xml" => Ok(Kind::Html),
        _ if looks_like_html(&letters::beginning(bytes)) => Ok(Kind::Html),
        "text/markdown" | "text/x-markdown" => Ok(Kind::Markdown),
        _ => Ok(Kind::Text),
    }
}

/// Whether a text begins as pages of the web do.
fn looks_like_html(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let skipped = rest.strip_prefix("<!--").and_then(|rest| rest.split_once("-->"));
        let skipped = skipped.or_else(|| rest.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")));
        match skipped {
            Some((_, after)) => rest = after.trim_start(),
            None => break,
        }
    }
    let begins = |tag: &str| rest.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    ["<!doctype html", "<html", "<head", "<body"].into_iter().any(begins)
}
