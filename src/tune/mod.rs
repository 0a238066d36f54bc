//! The tuning lab: labelled audio, and how well settings hear it.

pub mod corpus;
