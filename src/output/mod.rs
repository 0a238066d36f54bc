//! What the process says at its terminal: results on standard output, remarks on standard error, and the log.
//!
//! Whoever reads them may go away at any moment: `| head` has read enough, the log's collector is restarted, the terminal
//! is closed. That is no failure of ours, and `println!` and `eprintln!` would panic of it, so nothing uses them.

pub mod log;
pub mod words;

use std::fmt::Display;
use std::io::{self, Write};

/// Writes results to standard output as they are, without an end of line. A reader who is gone has read enough.
pub fn say(text: &str) {
    put(&mut io::stdout().lock(), text.as_bytes());
}

/// Writes a remark to standard error, as a line of its own. It is lost when nobody reads there.
pub fn remark(text: impl Display) {
    // In one piece, so that the lines of two threads do not mix.
    put(&mut io::stderr().lock(), format!("{text}\n").as_bytes());
}

fn put(to: &mut impl Write, bytes: &[u8]) {
    let _ = to.write_all(bytes).and_then(|()| to.flush());
}
