//! What holds for every format: golden bytes, and the laws of encoding.

mod bounds;
mod golden;
mod laws;
mod rewards;
