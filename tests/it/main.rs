//! Whole processes from outside, as operators and programs meet them.

mod bench;
mod devnet;
mod fuzz_seeds;
mod journey;
mod mining;
mod peers;
mod process;
mod recording;
mod rpc;
mod running;
mod service;
mod sim;
mod support;
