//! Whole processes from outside, as operators and programs meet them.

mod fuzz_seeds;
mod recording;
