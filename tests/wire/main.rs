//! Both wires, held against the vendors' own packages and over real sockets.

mod openai;
