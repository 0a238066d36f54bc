//! Traces and properties.
