//! What looks like a secret in a document is warned of, and never shown.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Doc;
use crate::config::problem::{Place, Problem};
use crate::config::typed;

/// Warns of texts that look like secrets (SEC-01), wherever they stand; never shows them.
pub(super) fn typed_secrets(doc: &Doc<'_>, tree: &DeTable<'_>) {
    let mut left: Vec<(&str, Range<usize>, &Spanned<DeValue<'_>>)> = Vec::new();
    left.extend(tree.iter().map(|(k, v)| (k.get_ref().as_ref(), k.span(), v)));
    let mut found = 0;
    while let Some((key, key_span, value)) = left.pop() {
        match value.get_ref() {
            DeValue::Table(table) => left.extend(table.iter().map(|(k, v)| (k.get_ref().as_ref(), k.span(), v))),
            DeValue::Array(items) => left.extend(items.iter().map(|item| (key, key_span.clone(), item))),
            DeValue::String(text) => {
                let Some(kind) = typed::secret_in(key, text) else { continue };
                let place = Place::new(&doc.file, doc.source, value.span(), value.span());
                let place = place.hidden(&format!("{key} = (hidden)"));
                // Who was told already that no secret belongs there need not hear it twice.
                let told = doc.problems.borrow().iter().any(|p| p.line == place.line && p.is_error());
                if found < MAX_TYPED && !told {
                    found += 1;
                    let message =
                        format!("holds what looks like a secret ({kind}): anyone who reads the document has it");
                    doc.note(Problem::warning(&place, message).allowed(TYPED_ALLOWED));
                }
            }
            _ => {}
        }
    }
}

/// Warnings of one document: the first few say it all.
const MAX_TYPED: usize = 20;
const TYPED_ALLOWED: &str = "its name: { secret = \"NAME\" } in an agent, { env = \"NAME\" } or { file = \"path\" } in offhook.toml and models.toml";

/// Whether the lines of `span`, up to its end, hold something that looks like a secret or its key.
pub(super) fn may_be_secret(source: &str, span: &Range<usize>) -> bool {
    let bytes = source.as_bytes();
    let end = span.end.min(bytes.len());
    let start = bytes[..span.start.min(end)].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let mut text = String::from_utf8_lossy(&bytes[start..end]).to_ascii_lowercase();
    // A table of an agent, and no key to anything.
    if let Some(rest) = text.trim_start().strip_prefix("[keys").or(text.trim_start().strip_prefix("keys =")) {
        text = rest.to_owned();
    }
    for harmless in ["max_output_tokens", "token_ttl_s", "commit_key"] {
        text = text.replace(harmless, "");
    }
    ["key", "token", "secret", "passw", "auth", "bearer", "sk-", "headers"].iter().any(|word| text.contains(word))
}
