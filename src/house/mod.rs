//! Who may do what: pure rules over documents and facts.
//!
//! Each rule takes values and answers *yes*, or *no* with a code and the message that people get, the same whichever way
//! they came: console, REST, command line or files. May use [`base`](crate::base) and [`config`](crate::config). Not here:
//! a clock, a store, a principal's password; what is known of the world is handed in.
