//! The language of hand-written scenarios: what happens to a few nodes, told in sentences.
//!
//! *Owns* the world of a story, its people and their money. *Invariants*: a story of the same seed
//! is the same story; every sentence that says what a node or a person sees waits for it only as
//! long as it says. *Never* reaches into a node: it mines by templates, pays by transactions and
//! looks at what readers see, as people outside do.
//!
//! ```text
//! let story = Story::new(1, &["alice"]);
//! let (north, south) = (story.node("north"), story.node("south"));
//! let payment = story.person("alice").pays(&story.person("shop"), 777);
//! north.takes(&payment);
//! let block = north.mines(1);
//! south.follows(block);
//! ```
//!
//! [`Actor`] is a node of the story, [`Person`] somebody with an account. `tests` has the directed
//! scenarios of consensus and synchronisation, `mempool` those of payments.

mod actor;
mod mempool;
mod person;
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::Span;
use crate::node::{CallError, Event, Question, Reply};
use crate::sim::network::{Bandwidths, Cut, CutId, Matrix, NetworkConfig};
use crate::sim::{Behaviour, NodeIndex, World, WorldConfig};
use crate::types::{
    Amount, BlockId, CompactBits, EngineKind, EngineRules, Genesis, Millis, Profile,
};

pub(crate) use actor::Actor;
pub(crate) use person::Person;

/// What everybody who is rich has at the beginning.
pub(crate) const FORTUNE: u64 = 1_000_000_000;
/// How long an answer of a node may take.
const ANSWER_WITHIN: Span = Span::from_secs(5);

/// What everybody in a story shares.
struct Stage {
    world: World,
    /// How many payments each person made.
    nonces: BTreeMap<String, u64>,
    cuts: Vec<CutId>,
    /// The nodes that are there in the order in which they came.
    nodes: Vec<NodeIndex>,
}

/// A scenario.
pub(crate) struct Story {
    stage: Rc<RefCell<Stage>>,
}

impl Story {
    /// A chain on which a block costs a few hashes and these people are rich, with no node yet.
    pub(crate) fn new(seed: u64, rich: &[&str]) -> Self {
        let time = Millis(1_700_000_000_000);
        let mut genesis = Profile::Dev.genesis(EngineKind::Work, "story", time);
        if let EngineRules::Work {
            pow_bits,
            pow_limit,
            ..
        } = &mut genesis.rules.engine
        {
            (*pow_bits, *pow_limit) = (CompactBits(0x207f_ffff), CompactBits(0x207f_ffff));
        }
        let share = |name: &&str| (person::account(name).id(), Amount(FORTUNE));
        genesis.allocations = rich.iter().map(share).collect();
        genesis.allocations.sort();
        genesis.check().expect("the genesis of a story is one");
        let config = WorldConfig {
            network: NetworkConfig {
                matrix: Matrix::Uniform(Span::from_millis(20)),
                bandwidth: Bandwidths::Unlimited,
                slow_start: false,
                ..NetworkConfig::default()
            },
            ..WorldConfig::new(seed, Arc::new(genesis))
        };
        let stage = Stage {
            world: World::new(config),
            nonces: BTreeMap::new(),
            cuts: Vec::new(),
            nodes: Vec::new(),
        };
        Self {
            stage: Rc::new(RefCell::new(stage)),
        }
    }

    /// A node that dials everybody who is there.
    pub(crate) fn node(&self, name: &str) -> Actor {
        let peers = self.stage.borrow().nodes.clone();
        self.add(name, &peers, None)
    }

    /// A node that dials these and knows nobody else.
    pub(crate) fn node_beside(&self, name: &str, peers: &[&Actor]) -> Actor {
        let peers: Vec<NodeIndex> = peers.iter().map(|peer| peer.index()).collect();
        self.add(name, &peers, None)
    }

    /// Somebody dishonest, who dials these.
    pub(crate) fn villain(
        &self,
        name: &str,
        peers: &[&Actor],
        behaviour: Box<dyn Behaviour>,
    ) -> Actor {
        let peers: Vec<NodeIndex> = peers.iter().map(|peer| peer.index()).collect();
        self.add(name, &peers, Some(behaviour))
    }

    fn add(&self, name: &str, peers: &[NodeIndex], behaviour: Option<Box<dyn Behaviour>>) -> Actor {
        let mut stage = self.stage.borrow_mut();
        let index = match behaviour {
            Some(behaviour) => stage.world.add_behaving(name, peers, None, behaviour),
            None => stage.world.add(name, peers, None),
        };
        stage.nodes.push(index);
        // Before anything else happens everybody knows everybody.
        stage.world.run(Span::from_secs(1));
        Actor::new(&self.stage, index, name)
    }

    /// Somebody with a key, by name.
    pub(crate) fn person(&self, name: &str) -> Person {
        Person::new(&self.stage, name)
    }

    /// Time passes.
    pub(crate) fn waits(&self, seconds: u64) {
        self.stage.borrow_mut().world.run(Span::from_secs(seconds));
    }

    /// These hear nothing of the others, and the others nothing of them.
    pub(crate) fn splits_off(&self, side: &[&Actor]) {
        let side = side.iter().map(|actor| actor.index().0).collect();
        self.cuts(Cut::Split(side));
    }

    /// The same, with whoever comes next on the side of these.
    pub(crate) fn splits_off_with_a_newcomer(&self, side: &[&Actor]) {
        let newcomer = self.stage.borrow().world.len();
        let side = side.iter().map(|actor| actor.index().0);
        self.cuts(Cut::Split(side.chain([newcomer]).collect()));
    }

    fn cuts(&self, cut: Cut) {
        let stage = &mut *self.stage.borrow_mut();
        let cut = stage.world.cut(cut);
        stage.cuts.push(cut);
    }

    /// Everybody hears everybody again.
    pub(crate) fn heals(&self) {
        let stage = &mut *self.stage.borrow_mut();
        for cut in std::mem::take(&mut stage.cuts) {
            stage.world.mend(cut);
        }
    }

    /// Every honest node that runs comes to the same tip in this time, and stays there.
    ///
    /// # Panics
    /// When they don't.
    pub(crate) fn everybody_agrees_within(&self, seconds: u64) -> BlockId {
        let stage = &mut *self.stage.borrow_mut();
        let nodes = stage.nodes.clone();
        let tips = |world: &World| {
            let there = nodes
                .iter()
                .filter(|node| world.is_honest(**node) && world.is_running(**node));
            let mut tips: Vec<Option<BlockId>> = there
                .map(|node| world.published(*node).map(|published| published.tip))
                .collect();
            tips.dedup();
            tips
        };
        let is_one = |world: &World| matches!(tips(world)[..], [Some(_)]);
        let agreed = stage.world.run_until(Span::from_secs(seconds), is_one);
        assert!(agreed, "everybody agrees within {seconds} s");
        let agreed = tips(&stage.world);
        stage.world.run(Span::from_secs(1));
        assert_eq!(tips(&stage.world), agreed, "what was agreed on stays");
        agreed[0].expect("a node that runs shows a tip")
    }

    /// Nobody was blamed for anything.
    ///
    /// # Panics
    /// When somebody was.
    pub(crate) fn nobody_is_blamed(&self) {
        let stage = self.stage.borrow();
        for (_, node, event) in stage.world.events() {
            assert!(
                !matches!(event, Event::PeerDiscouraged { .. }),
                "{}: {event:?}",
                stage.world.name(*node)
            );
        }
    }

    /// The greatest number of blocks that any node left at once.
    pub(crate) fn deepest_reorganisation(&self) -> u64 {
        let stage = self.stage.borrow();
        let left = stage
            .world
            .events()
            .iter()
            .map(|(_, _, event)| match event {
                Event::TipChanged { disconnected, .. } => *disconnected,
                _ => 0,
            });
        left.max().unwrap_or(0)
    }

    /// The chain that the story is about.
    pub(crate) fn genesis(&self) -> Arc<Genesis> {
        Arc::clone(&self.stage.borrow().world.config().genesis)
    }
}

/// Asks a node something, and waits for the answer.
fn ask(
    stage: &Rc<RefCell<Stage>>,
    node: NodeIndex,
    question: Question,
) -> Result<Reply, CallError> {
    let world = &mut stage.borrow_mut().world;
    let call = world.call(node, question);
    let end = world.now() + ANSWER_WITHIN;
    loop {
        if let Some(reply) = world.reply(call) {
            return reply;
        }
        assert!(world.now() < end, "{} answers", world.name(node));
        world.run(Span::from_micros(100));
    }
}
