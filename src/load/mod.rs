//! `offhook load`: many calls at once, to see what a server bears and whether it keeps its promises.

pub mod simulate;
