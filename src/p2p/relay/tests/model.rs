//! The schedule against a naive model: lists that are searched from end to end.

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_oneof, proptest};

use super::*;

const PEERS: u64 = 4;

#[derive(Clone, Debug)]
enum Step {
    Announce(u64, u32),
    /// The transaction that was asked of a peer first comes.
    Answer(u64),
    NotFound(u64),
    Wait(u64),
    Leave(u64),
    Accept(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let peer = 0..PEERS;
    let step = prop_oneof![
        6 => (peer.clone(), 0..6_u32).prop_map(|(peer, id)| Step::Announce(peer, id)),
        2 => peer.clone().prop_map(Step::Answer),
        2 => peer.clone().prop_map(Step::NotFound),
        3 => (0..1_200_u64).prop_map(Step::Wait),
        1 => peer.prop_map(Step::Leave),
        1 => (0..6_u32).prop_map(Step::Accept),
    ];
    vec(step, 1..60)
}

#[derive(Clone, Debug, Default)]
struct Model {
    here: Vec<u64>,
    /// Announcements in their order: peer, transaction, from when it may be asked.
    announced: Vec<(u64, u32, u64)>,
    /// Transaction, peer, until when.
    asked: Vec<(u32, u64, u64)>,
    slow: BTreeMap<u64, u32>,
}

fn is_outbound(peer: u64) -> bool {
    peer == 0
}

impl Model {
    fn announce(&mut self, peer: u64, id: u32, now: u64) {
        let told = self
            .announced
            .iter()
            .any(|(p, i, _)| (*p, *i) == (peer, id));
        let asked = self.asked.iter().any(|(i, p, _)| (*p, *i) == (peer, id));
        if self.here.contains(&peer) && !told && !asked {
            let waits = !is_outbound(peer) && self.here.contains(&0);
            let delay = if waits { INBOUND_DELAY.as_millis() } else { 0 };
            self.announced.push((peer, id, now + delay));
        }
    }

    fn drop_id(&mut self, id: u32) {
        self.announced.retain(|(_, i, _)| *i != id);
        self.asked.retain(|(i, ..)| *i != id);
    }

    fn schedule(&mut self, now: u64) -> BTreeSet<(u64, u32)> {
        for (_, peer, _) in self.asked.iter().filter(|(.., until)| *until <= now) {
            *self.slow.entry(*peer).or_default() += 1;
        }
        self.asked.retain(|(.., until)| *until > now);
        let mut asks = BTreeSet::new();
        for id in 0..6 {
            if self.asked.iter().any(|(i, ..)| *i == id) {
                continue;
            }
            let able = |(_, (_, i, from)): &(usize, &(u64, u32, u64))| *i == id && *from <= now;
            let rank = |(place, (peer, ..)): &(usize, &(u64, u32, u64))| {
                let slow = self.slow.get(peer).copied().unwrap_or(0);
                (slow, !is_outbound(*peer), *place)
            };
            let best = self
                .announced
                .iter()
                .enumerate()
                .filter(able)
                .min_by_key(rank);
            if let Some((place, (peer, ..))) = best {
                let peer = *peer;
                self.announced.remove(place);
                self.asked.push((id, peer, now + 2_000));
                asks.insert((peer, id));
            }
        }
        asks
    }

    fn deadline(&self) -> Option<u64> {
        let asked = |id| self.asked.iter().any(|(i, ..)| i == id);
        let waits = self.announced.iter().filter(|(_, id, _)| !asked(id));
        let until = self.asked.iter().map(|(.., until)| *until);
        waits.map(|(.., from)| *from).chain(until).min()
    }
}

fn run(steps: &[Step]) {
    let (mut relay, mut model, mut now) = (empty(), Model::default(), 0);
    for peer in 0..PEERS {
        let direction = if is_outbound(peer) {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        relay.joined(ConnId(peer), direction, std::iter::empty(), at(0));
        model.here.push(peer);
    }
    for step in steps {
        match *step {
            Step::Announce(peer, number) => {
                announce(&mut relay, ConnId(peer), now, &[id(number)]);
                model.announce(peer, number, now);
            }
            Step::Answer(peer) | Step::NotFound(peer) => {
                let Some((number, ..)) = model.asked.iter().find(|(_, p, _)| *p == peer).copied()
                else {
                    continue;
                };
                if matches!(step, Step::Answer(_)) {
                    let came = relay.came(ConnId(peer), &id(number), 200, at(now));
                    assert_eq!(came, Arrival::Wanted);
                    relay.checked(ConnId(peer), 200);
                    model.drop_id(number);
                    let slow = model.slow.entry(peer).or_default();
                    *slow = slow.saturating_sub(1);
                } else {
                    relay.not_found(ConnId(peer), &[id(number)], at(now));
                    model.asked.retain(|(i, ..)| *i != number);
                }
            }
            Step::Wait(millis) => now += millis,
            Step::Leave(peer) => {
                relay.left(ConnId(peer), at(now));
                model.here.retain(|p| *p != peer);
                model.announced.retain(|(p, ..)| *p != peer);
                model.asked.retain(|(_, p, _)| *p != peer);
            }
            Step::Accept(number) => {
                relay.accepted(id(number), at(now));
                model.drop_id(number);
            }
        }
        let asked = asks(&mut relay, now).into_iter();
        let asked = asked.flat_map(|(conn, ids)| ids.into_iter().map(move |id| (conn.0, id)));
        let expected = model.schedule(now).into_iter();
        let expected: BTreeSet<_> = expected.map(|(peer, number)| (peer, id(number))).collect();
        assert_eq!(asked.collect::<BTreeSet<_>>(), expected, "after {step:?}");
        // It never sleeps through something, and wakes in vain at most for a delay that ended
        // while somebody else was asked.
        let (real, least) = (relay.deadline(), model.deadline().map(at));
        assert!(least.is_none_or(|least| real.is_some_and(|real| real <= least)));
    }
    for peer in model.here {
        relay.left(ConnId(peer), at(now));
    }
    assert_eq!((relay.requests.wants(), relay.deadline()), (0, None));
}

proptest! {
    #[test]
    fn the_schedule_is_that_of_the_model(steps in steps()) {
        run(&steps);
    }
}
