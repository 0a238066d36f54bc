//! How much an agent may have to look things up in (AGT-04).

use reqwest::Url;

use super::refusal::Refusal;

/// Documents of one agent.
pub const MAX_DOCUMENTS: u64 = 200;
/// Bytes of one document.
pub const MAX_BYTES: u64 = 10_000_000;
/// Bytes of all documents of one agent.
pub const MAX_BYTES_IN_ALL: u64 = 100_000_000;
/// Bytes of a page that is fetched.
pub const MAX_PAGE_BYTES: u64 = 2_000_000;
/// Characters of a title.
pub const MAX_TITLE: usize = 200;
/// Characters of an address.
pub const MAX_URL: usize = 2_000;

/// What an agent has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Documents, whatever became of them.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Whether one more document of `bytes` may be added; of a page that is to be fetched, as many as it may have.
///
/// # Errors
/// `document_empty`, `document_size`, `documents_number`, `documents_size`.
pub fn may_add(held: Held, bytes: u64) -> Result<(), Refusal> {
    if bytes == 0 {
        return Err(Refusal::wrong("document_empty", "body", "The document is empty."));
    }
    if bytes > MAX_BYTES {
        return Err(too_large());
    }
    if held.documents >= MAX_DOCUMENTS {
        let message = format!("An agent has at most {MAX_DOCUMENTS} documents ({} / {MAX_DOCUMENTS}).", held.documents);
        return Err(Refusal::wrong("documents_number", "body", message));
    }
    if held.bytes + bytes > MAX_BYTES_IN_ALL {
        let (most, has, more) = (megabytes(MAX_BYTES_IN_ALL), megabytes(held.bytes), megabytes(bytes));
        let message =
            format!("An agent's documents have at most {most} MB in all; they have {has} MB, and this has {more} MB.");
        return Err(Refusal::wrong("documents_size", "body", message));
    }
    Ok(())
}

/// A document is beyond what one may have.
pub fn too_large() -> Refusal {
    Refusal::wrong("document_size", "body", format!("A document has at most {} MB.", megabytes(MAX_BYTES)))
}

/// A title, without what surrounds it.
///
/// # Errors
/// `document_title`.
pub fn title(title: &str) -> Result<String, Refusal> {
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    if title.is_empty() || title.chars().count() > MAX_TITLE || title.contains('\0') {
        return Err(Refusal::wrong(
            "document_title",
            "title",
            format!("A document's title has 1 to {MAX_TITLE} characters."),
        ));
    }
    Ok(title)
}

/// The address of a page, as it is fetched. Whether it is a public one is found out when it is.
///
/// # Errors
/// `page_url`.
pub fn page_url(text: &str) -> Result<String, Refusal> {
    let url = Url::parse(text.trim()).ok().filter(|url| {
        let plain = url.username().is_empty() && url.password().is_none();
        plain && matches!(url.scheme(), "http" | "https") && url.host_str().is_some() && text.len() <= MAX_URL
    });
    let shape = "The address of a page begins with http:// or https://, and has no password in it.";
    let mut url = url.ok_or_else(|| Refusal::wrong("page_url", "url", shape))?;
    url.set_fragment(None);
    Ok(url.to_string())
}

/// In words: with one digit, unless it is whole.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agt_04_bounds_are_said_with_what_there_is() {
        let held = |documents, bytes| Held { documents, bytes };
        for (held, bytes, code) in [
            (held(0, 0), 1, None),
            (held(0, 0), MAX_BYTES, None),
            (held(0, 0), 0, Some(("document_empty", "The document is empty."))),
            (held(0, 0), MAX_BYTES + 1, Some(("document_size", "A document has at most 10 MB."))),
            (held(199, 0), 1, None),
            (held(200, 0), 1, Some(("documents_number", "An agent has at most 200 documents (200 / 200)."))),
            (held(10, 99_000_000), 1_000_000, None),
            (
                held(10, 99_000_000),
                1_250_000,
                Some((
                    "documents_size",
                    "An agent's documents have at most 100 MB in all; they have 99 MB, and this has 1.3 MB.",
                )),
            ),
        ] {
            let said = may_add(held, bytes).map_err(|no| (no.code, no.message, no.status));
            let expected = code.map_or(Ok(()), |(code, message)| Err((code, message.to_owned(), 422)));
            assert_eq!(said, expected);
        }
        assert_eq!(title(" House \n rules ").as_deref(), Ok("House rules"));
        assert_eq!(page_url("https://a.example/b#c").as_deref(), Ok("https://a.example/b"));
        for wrong in
            ["", "a.example", "ftp://a.example", "file:///etc/passwd", "https://me:pw@a.example", "javascript:x"]
        {
            assert_eq!(page_url(wrong).map_err(|no| no.code), Err("page_url"), "{wrong}");
        }
        assert!(title(" ").is_err() && title(&"x".repeat(201)).is_err());
    }
}
