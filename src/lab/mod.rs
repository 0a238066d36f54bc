//! What is done with a call that was, or with none at all: kept as a journal, run again, explained, drawn, measured.
//!
//! May use [`engine`](crate::engine) and [`link`](crate::link), and whatever those may. Not here: sockets. Files are read
//! where the folder of a call is loaded, and nowhere else.

pub mod explain;
pub mod journal;
pub mod picture;
pub mod replay;
pub mod sim;
pub mod tune;
pub mod verify;
