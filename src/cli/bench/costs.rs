//! What the simulator's machines need for what they do, measured from the real code.
//!
//! `life` has what the loop needs for what it is told, `jobs` what cores need; what a connection's
//! bytes cost is here.

mod jobs;
mod life;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::base::{Rng, Time};
use crate::sim::Costs;
use crate::types::{EngineKind, Genesis, Millis, Profile, Services};
use crate::wire::{Handshake, Lane, MessageKind, Network, NodeIdentity, Transport, shake_hands};

use super::super::CommandError;
use super::chain::sample;
use super::clock;

/// Each measurement is the least of so many: what else a machine does only adds.
const ROUNDS: usize = 15;
/// Payments of the block that is measured.
const PAYMENTS: u32 = 1_024;
const KIB: usize = 1_024;

/// How each value is measured, as the file says it.
const HOW: [(&str, &str); 19] = [
    (
        "timeout",
        "the timers that are due: the mean of those that a node lived through, in a replay",
    ),
    (
        "message",
        "opening 64 bytes, and the mean of a node's own part for a message, in a replay",
    ),
    (
        "message_kib",
        "opening 64 KiB, by KiB, less opening 64 bytes",
    ),
    ("send", "framing and sealing 64 bytes"),
    (
        "send_kib",
        "framing and sealing 64 KiB, by KiB, less that of 64 bytes",
    ),
    ("handshake", "a handshake of two ends, by end"),
    (
        "input",
        "any other input: the mean of those that a node lived through, in a replay",
    ),
    (
        "signature",
        "checking 1,024 payments that nobody has seen, by payment",
    ),
    (
        "block_kib",
        "checking a block of 1,024 payments that were seen, by KiB",
    ),
    ("execution", "executing that block, by payment"),
    ("assembly", "assembling a block of 16 payments"),
    (
        "job",
        "a job with nothing to do, from the loop to a worker and back",
    ),
    (
        "hashes_per_millisecond",
        "200,000 nonces on one core; a speed",
    ),
    ("read", "reading an empty block from files, to send it"),
    (
        "read_kib",
        "reading the block of payments to send it, by KiB, less an empty one",
    ),
    (
        "parse_kib",
        "reading it to execute it, by KiB, less an empty one",
    ),
    ("pages", "the pages of the state at genesis"),
    (
        "pages_kib",
        "the pages of a state of 2,049 accounts, by KiB, less those at genesis",
    ),
    ("release", "letting that state go of its pages"),
];

/// The table that is stored and the one of this machine.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) here: Costs,
}

impl Measured {
    /// The file that [`Costs::of_toml`] reads.
    pub(super) fn to_toml(&self) -> String {
        let mut text = "# What a node's loop and cores need for what they do, in nanoseconds, as \
                        `keel bench costs --write`\n# measured it from the code beside this file \
                        in a release build on one core of a server. All of\n# it is measured; what \
                        is charged for an input or a job follows from it in costs.rs. The\n# calls \
                        that sockets and files take are not among it.\n"
            .to_owned();
        let here = json!(self.here);
        for (name, how) in HOW {
            let value = &here[name];
            text += &format!("\n# {how}\n{name} = {value}\n");
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "stored": Costs::default(), "here": self.here })
    }

    pub(super) fn to_text(&self) -> String {
        let (stored, here) = (json!(Costs::default()), json!(self.here));
        let mut text = format!("{:<24}{:>14}{:>14}\n", "nanoseconds for", "stored", "here");
        for (name, value) in stored.as_object().into_iter().flatten() {
            let (value, here) = (value.to_string(), here[name].to_string());
            text += &format!("{name:<24}{value:>14}{here:>14}\n");
        }
        text + "hashes_per_millisecond is a speed. The simulator uses what is stored."
    }
}

/// Measures everything on this core.
pub(super) fn measure() -> Result<Measured, CommandError> {
    let life = life::measure()?;
    let sample = sample(PAYMENTS)?;
    let small = message_cost(64);
    let long = message_cost(KIB * 64);
    let by_kib = |long: u64, small: u64| long.saturating_sub(small) / 63;
    let pages = jobs::page_costs(&sample)?;
    let reads = jobs::read_costs(&sample)?;
    Ok(Measured {
        here: Costs {
            timeout: life.timeout,
            // A message is opened, and then it is an input like others.
            message: small.open + life.message,
            message_kib: by_kib(long.open, small.open),
            send: small.seal,
            send_kib: by_kib(long.seal, small.seal),
            handshake: handshake_cost(),
            input: life.input,
            signature: jobs::signature_cost(&sample),
            block_kib: jobs::block_cost(&sample),
            execution: jobs::execution_cost(&sample),
            assembly: jobs::assembly_cost(&sample),
            job: jobs::empty_job_cost(&sample)?,
            hashes_per_millisecond: jobs::hashing_speed(),
            read: reads.empty,
            read_kib: reads.to_send,
            parse_kib: reads.to_execute,
            pages: pages.first,
            pages_kib: pages.kib,
            release: pages.release,
        },
    })
}

/// The least of several times, in nanoseconds.
fn least(mut act: impl FnMut() -> Duration) -> u64 {
    let times = (0..ROUNDS).map(|_| act());
    times.min().map_or(0, |time| time.as_nanos() as u64)
}

/// Two ends that shook hands.
fn shake(identities: &[NodeIdentity; 2]) -> [Transport; 2] {
    let genesis = chain();
    let network = Network {
        genesis: genesis.id(),
        engine: EngineKind::Work,
        puzzle_bits: 0,
    };
    let [near, far] = identities;
    let record = |identity: &NodeIdentity| {
        let expires = Millis(u64::MAX);
        identity.sign_record(&genesis.id(), 1, expires, Services::FULL_BLOCKS, &[], None)
    };
    let key = |byte| Zeroizing::new([byte; 32]);
    let first = Handshake::initiate(network, near, &record(near), &far.key(), key(1));
    let second = Handshake::respond(network, far, &record(far), key(2));
    shake_hands(first.expect("the key is one"), second).expect("both know each other")
}

fn identities() -> [NodeIdentity; 2] {
    [1, 2].map(|seed| NodeIdentity::generate(&mut Rng::from_number(seed), 0))
}

/// What either end of a handshake costs.
fn handshake_cost() -> u64 {
    let identities = identities();
    least(|| {
        let begun = clock();
        let ends = shake(&identities);
        let took = begun.elapsed();
        drop(ends);
        took
    }) / 2
}

/// What a message costs its two ends.
#[derive(Clone, Copy)]
struct MessageCost {
    seal: u64,
    open: u64,
}

/// What it costs to send and to open a message of so many bytes.
fn message_cost(length: usize) -> MessageCost {
    const MESSAGES: u32 = 64;
    let [mut near, mut far] = shake(&identities());
    let now = Time::from_millis(1);
    // Greetings come first.
    for kind in [MessageKind::Hello, MessageKind::Ready] {
        pass(&mut near, &mut far, now, Lane::Control, kind, 4);
        pass(&mut far, &mut near, now, Lane::Control, kind, 4);
    }
    let lane = Lane::Transactions;
    let mut both = |which: fn((Duration, Duration)) -> Duration| {
        let mut one = || {
            // What nobody asked for is not taken.
            pass(&mut far, &mut near, now, lane, MessageKind::GetTx, 6);
            which(pass(
                &mut near,
                &mut far,
                now,
                lane,
                MessageKind::Txs,
                length,
            ))
        };
        least(|| (0..MESSAGES).map(|_| one()).sum()) / u64::from(MESSAGES)
    };
    MessageCost {
        seal: both(|(seal, _)| seal),
        open: both(|(_, open)| open),
    }
}

/// Sends one message; how long its sender and its receiver were busy.
fn pass(
    from: &mut Transport,
    to: &mut Transport,
    now: Time,
    lane: Lane,
    kind: MessageKind,
    length: usize,
) -> (Duration, Duration) {
    let (bytes, mut sealed) = (vec![5; length], Vec::new());
    let begun = clock();
    let sent = from.send(lane, kind, bytes);
    sent.expect("nothing else is queued");
    from.write(&mut sealed, usize::MAX);
    let seal = begun.elapsed();
    let begun = clock();
    to.receive(now, &sealed).expect("what was sealed opens");
    let message = to.next_message().expect("the message is whole");
    let open = begun.elapsed();
    to.consumed(message.lane, message.bytes.len());
    sealed.clear();
    to.write(&mut sealed, usize::MAX);
    from.receive(now, &sealed).expect("credit opens");
    (seal, open)
}

fn chain() -> Arc<Genesis> {
    Arc::new(Profile::Dev.genesis(EngineKind::Work, "costs", Millis(1_700_000_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_every_value_and_says_how_it_is_measured() {
        let here = Costs {
            release: 12_345,
            ..Costs::default()
        };
        let text = Measured { here }.to_toml();
        assert_eq!(Costs::of_toml(&text).as_ref(), Ok(&here));
        let values = text.lines().filter(|line| line.contains(" = ")).count();
        assert_eq!((values, HOW.len()), (19, 19));
    }
}
