//! The tuning lab: labelled audio and recorded calls, how well settings hear them, and which settings would hear them
//! better.
//!
//! ```text
//!  corpus (WAV + labels) ─┐                 ┌─► score per clip ─► table, picture
//!                         ├─► steps ─► decide ┤
//!  from_call (recordings) ┘   once per engine └─► sweep ─► pareto ─► diff to the agent's document
//! ```
//!
//! What audio sounds like is computed once per clip and engine; a setting is then tried in microseconds, because turns
//! rest on steps alone. Only reading and writing files touches the file system ([`corpus`], [`from_call`]); a sweep uses
//! threads, and nothing else here does.

pub mod corpus;
pub mod diff;
pub mod from_call;
pub mod input;
pub mod measure;
pub mod pareto;
pub mod picture;
pub mod run;
pub mod sweep;
pub mod table;
pub mod words;
