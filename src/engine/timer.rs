//! What a call may be waiting for.

/// Names a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The media stream must start.
    MediaStart,
}
