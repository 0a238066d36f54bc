//! How far the working copy is.

/// What is known of the store's documents. Whoever takes some, or changes one, has it for as long as that lasts.
#[derive(Debug, Default)]
pub(in crate::serve) struct Known {
    /// The newest revision that is in the working copy with all before it; `None`: that is not known.
    pub(in crate::serve) seq: Option<i64>,
    /// Why documents are not taken, as it was said.
    pub(in crate::serve) said: Option<String>,
}
