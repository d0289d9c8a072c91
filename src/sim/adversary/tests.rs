//! Each adversary among honest nodes: what must hold holds, and it did what it is there for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::base::Span;
use crate::node::{Event, Mining};
use crate::sim::check::check_bounds;
use crate::sim::observe::Mark;
use crate::sim::workload::{Workload, WorkloadOptions};
use crate::sim::{NodeIndex, World, WorldConfig};
use crate::types::{
    BlockId, CompactBits, EngineKind, EngineRules, Genesis, Millis, NodeKey, Profile,
    WORK_HEADER_BYTES,
};

mod blocks;
mod worth;

/// What the honest miners hash in a second, together: at first a block in two seconds.
const HASHRATE: u64 = 256;
/// Who the honest miners mine for.
const MINERS: AccountId = AccountId([0x11; 32]);

/// A chain whose blocks cost 512 hashes at first and are small, with money for these.
fn genesis(money: &[(AccountId, Amount)], change: impl FnOnce(&mut Genesis)) -> Arc<Genesis> {
    let time = Millis(1_700_000_000_000);
    let mut genesis = Profile::Dev.genesis(EngineKind::Work, "adversaries", time);
    if let EngineRules::Work { pow_bits, .. } = &mut genesis.rules.engine {
        *pow_bits = CompactBits(0x1f7f_ffff);
    }
    genesis.rules.max_block_weight = 100_000;
    genesis.allocations = money.to_vec();
    genesis.allocations.sort();
    change(&mut genesis);
    genesis.check().unwrap();
    Arc::new(genesis)
}

/// Honest nodes, the first two of which mine, and an adversary that dials all of them.
struct Scene {
    world: World,
    honest: Vec<NodeIndex>,
    adversary: NodeIndex,
}

fn honest(world: &mut World, count: usize) -> Vec<NodeIndex> {
    let mut nodes: Vec<NodeIndex> = Vec::new();
    for place in 0..count {
        let mining = (place < 2).then_some(Mining {
            beneficiary: MINERS,
            hashrate: Some(HASHRATE / 2),
        });
        let last = nodes.len().saturating_sub(3);
        let peers = nodes[last..].to_vec();
        nodes.push(world.add(&format!("honest {place}"), &peers, mining));
    }
    nodes
}

impl Scene {
    fn with(genesis: Arc<Genesis>, count: usize, adversary: Box<dyn Behaviour>) -> Self {
        let mut world = World::new(WorldConfig::new(7, genesis));
        let honest = honest(&mut world, count);
        let adversary = world.add_behaving("adversary", &honest, None, adversary);
        Self {
            world,
            honest,
            adversary,
        }
    }

    fn of(kind: AdversaryKind) -> Self {
        let adversary = behaviour(kind, None, &Rng::from_number(3));
        Self::with(genesis(&[(MINERS, Amount(1))], |_| {}), 5, adversary)
    }

    fn run(&mut self, seconds: u64) {
        self.world.run(Span::from_secs(seconds));
    }

    fn height(&self, node: NodeIndex) -> u64 {
        let published = self.world.published(node);
        published.map_or(0, |published| published.header.height.0)
    }

    fn balance(&self, node: NodeIndex, account: AccountId) -> u64 {
        let state = &self.world.published(node).unwrap().state;
        let account = state.account(&account).unwrap();
        account.map_or(0, |account| account.balance.0)
    }

    /// The honest nodes come to one tip of at least this height.
    fn assert_agreement(&mut self, height: u64) {
        let honest = self.honest.clone();
        let agree = |world: &World| {
            let tips: BTreeSet<Option<BlockId>> = honest
                .iter()
                .map(|node| world.published(*node).map(|published| published.tip))
                .collect();
            tips.len() == 1
        };
        let agreed = self.world.run_until(Span::from_secs(60), agree);
        assert!(agreed, "the honest nodes agree");
        let reached = self.height(self.honest[0]);
        assert!(reached >= height, "{reached} of {height}");
    }

    /// Who was discouraged, with the rules, by honest nodes.
    fn discouraged(&self) -> BTreeMap<NodeKey, Vec<(NodeIndex, String)>> {
        let mut found: BTreeMap<NodeKey, Vec<(NodeIndex, String)>> = BTreeMap::new();
        for (_, node, event) in self.world.events() {
            if let Event::PeerDiscouraged { key, rule, .. } = event
                && self.honest.contains(node)
            {
                found.entry(*key).or_default().push((*node, rule.clone()));
            }
        }
        found
    }

    /// Why honest nodes' connections to a machine ended.
    fn partings(&self, from: NodeIndex) -> Vec<String> {
        let socket = self.world.peer_address(from).socket;
        let mut found = Vec::new();
        for (_, node, event) in self.world.events() {
            if let Event::PeerGone { address, why, .. } = event
                && address.ip() == socket.ip()
                && self.honest.contains(node)
                && *node != from
            {
                found.push(why.clone());
            }
        }
        found
    }

    /// No honest node lost, or blamed, another.
    fn assert_honest_unharmed(&self) {
        let discouraged = self.discouraged();
        for node in &self.honest {
            let blamed = discouraged.get(&self.world.key(*node));
            assert_eq!(blamed, None, "nobody blames an honest node");
            assert_eq!(self.partings(*node), Vec::<String>::new());
            assert_eq!(check_bounds(&self.world, *node), None);
        }
    }

    /// Every honest node discouraged the adversary for one of these rules and no others.
    fn assert_discouraged_for(&self, rules: &[&str]) {
        let discouraged = self.discouraged();
        let blamed = discouraged.get(&self.world.key(self.adversary));
        let blamed = blamed.map_or(&[][..], Vec::as_slice);
        for (_, rule) in blamed {
            assert!(rules.iter().any(|known| rule.contains(known)), "{rule}");
        }
        for rule in rules {
            assert!(
                blamed.iter().any(|(_, found)| found.contains(rule)),
                "{rule}: {blamed:?}"
            );
        }
    }

    fn is_blamed(&self) -> bool {
        let key = self.world.key(self.adversary);
        self.discouraged().contains_key(&key)
    }

    fn fired(&self, mark: &'static str) -> u64 {
        let counts = self.world.observations().time_line().counts();
        counts.get(&Mark(mark)).copied().unwrap_or(0)
    }
}

#[test]
fn a_silent_peer_is_let_go_and_not_blamed() {
    let mut scene = Scene::of(AdversaryKind::Silent);
    scene.run(150);
    scene.assert_agreement(50);
    scene.assert_honest_unharmed();
    assert!(!scene.is_blamed());
    assert!(scene.fired("silent: said nothing") > 0);
    let partings = scene.partings(scene.adversary);
    for node in &scene.honest {
        assert!(
            partings.len() >= scene.honest.len(),
            "{node:?}: {partings:?}"
        );
    }
    // Its own node has no answers either, and may be the first to close.
    let silent = |why: &&String| why.contains("did not answer");
    assert!(partings.iter().any(|why| silent(&why)), "{partings:?}");
    let closed = |why: &String| silent(&why) || why.contains("the peer closed");
    assert!(partings.iter().all(closed), "{partings:?}");
}

#[test]
fn garbage_costs_its_sender_every_connection() {
    let mut scene = Scene::of(AdversaryKind::GarbageSender);
    scene.run(300);
    scene.assert_agreement(100);
    scene.assert_honest_unharmed();
    let discouraged = scene.discouraged();
    let blamed = &discouraged[&scene.world.key(scene.adversary)];
    let by: BTreeSet<NodeIndex> = blamed.iter().map(|(node, _)| *node).collect();
    assert_eq!(
        by.len(),
        scene.honest.len(),
        "everybody has had enough of it"
    );
    let kinds = scene.world.observations().time_line().counts();
    let fired = kinds.keys().filter(|mark| mark.0.starts_with("garbage"));
    assert_eq!(fired.count(), 10, "{kinds:?}");
}

#[test]
fn what_a_withholding_relay_tells_of_comes_by_others_in_time() {
    let options = WorkloadOptions {
        accounts: 8,
        shared_accounts: 2,
        ..WorkloadOptions::default()
    };
    let mut workload = Workload::new(options, &Rng::from_number(5));
    let money: Vec<_> = workload.allocations().collect();
    let adversary = behaviour(AdversaryKind::WithholdingRelay, None, &Rng::from_number(3));
    let mut scene = Scene::with(genesis(&money, |_| {}), 6, adversary);
    let end = scene.world.now() + Span::from_secs(240);
    while let Some(next) = workload.next_at()
        && next <= end
    {
        scene.world.run(next.since(scene.world.now()));
        workload.act(&mut scene.world);
    }
    scene.assert_agreement(80);
    scene.assert_honest_unharmed();
    assert!(!scene.is_blamed());
    for mark in ["withholding: a block", "withholding: transactions"] {
        assert!(scene.fired(mark) > 0, "{mark}");
    }
    // A block that it told of first, and that a node then asked it for, is asked of somebody else
    // after two seconds.
    let everywhere = scene.honest.len() as u32;
    let blocks = scene.world.observations().blocks().sightings();
    let spread = blocks.iter().filter(|block| block.reached >= everywhere);
    let delays = spread.filter_map(|block| Some(block.delays()?.last()?.span()));
    let slowest = delays.max().unwrap();
    println!("withholding: the slowest block took {slowest}");
    assert!(slowest < Span::from_secs(20), "{slowest}");
    let waiting = scene.honest.iter().map(|node| {
        let published = scene.world.published(*node).unwrap();
        published.mempool_count
    });
    assert!(waiting.max().unwrap() < 60, "transactions reach the miners");
}

#[test]
fn branches_of_next_to_no_work_are_not_kept() {
    // Half-lives of 60 blocks: whoever begins at genesis when there are 2,300 has easy headers,
    // more of them than one message takes.
    let short = |genesis: &mut Genesis| {
        if let EngineRules::Work { half_life_ms, .. } = &mut genesis.rules.engine {
            *half_life_ms = 120_000;
        }
    };
    let mut world = World::new(WorldConfig::new(7, genesis(&[(MINERS, Amount(1))], short)));
    let honest = honest(&mut world, 3);
    world.run(Span::from_secs(4_700));
    let flood = behaviour(
        AdversaryKind::LowWorkHeaderFlood,
        None,
        &Rng::from_number(3),
    );
    let adversary = world.add_behaving("flood", &honest, None, flood);
    let mut scene = Scene {
        world,
        honest,
        adversary,
    };
    scene.run(400);
    scene.assert_agreement(2_400);
    scene.assert_honest_unharmed();
    assert!(!scene.is_blamed(), "it may be one that is behind");
    // Nine branches, and what it shows when it is greeted; then it has to come again.
    let shown = scene.fired("low-work: showed headers");
    let partings = scene.partings(scene.adversary);
    let connections = (scene.honest.len() + partings.len()) as u64;
    println!("low-work: shown {shown} times on {connections} connections");
    assert!(
        shown > 30 && shown <= 10 * connections,
        "{shown} of {connections}"
    );
    let broken = |why: &String| why.contains("did not answer: headers that it told of");
    assert!(
        partings.len() >= 3 && partings.iter().all(broken),
        "{partings:?}"
    );
    // Some were longer than one message, and still too little.
    let more = scene.fired("low-work: showed more headers");
    assert!(more > 0, "{more}");
    // What is kept branches off near the tip, and was paid for as the chain's own blocks are.
    let sent = scene.world.observations().traffic().nodes()[scene.adversary.0].sent;
    let sent = sent / WORK_HEADER_BYTES as u64;
    for node in scene.honest.clone() {
        let sizes = scene.world.node(node).unwrap().sizes();
        let kept = (sizes.headers + sizes.old_blocks) as u64;
        let beside = kept - scene.height(node) - 1;
        println!("low-work: {beside} headers kept beside the chain, {sent} sent");
        assert!(beside < 300 && sent > 100 * beside, "{beside} of {sent}");
    }
}

#[test]
fn a_peer_of_two_faces_is_found_out_by_each() {
    let mut scene = Scene::of(AdversaryKind::TwoFacedHeight);
    scene.run(240);
    scene.assert_agreement(80);
    scene.assert_honest_unharmed();
    scene.assert_discouraged_for(&["it greeted with a height that is not its tip's"]);
    let partings = scene.partings(scene.adversary);
    let told = |why: &&String| why.contains("headers that it told of");
    assert!(partings.iter().filter(told).count() >= 2, "{partings:?}");
    for mark in [
        "two-faced: claimed a chain far ahead",
        "two-faced: claimed another height for its tip",
        "two-faced: claimed to have nothing",
    ] {
        assert!(scene.fired(mark) > 0, "{mark}");
    }
}

#[test]
fn chosen_times_leave_the_honest_in_agreement() {
    for strategy in TimeStrategy::ALL {
        let adversary = Box::new(TimeTwister::new(strategy, TimeTwister::PERCENT));
        let mut scene = Scene::with(genesis(&[(MINERS, Amount(1))], |_| {}), 4, adversary);
        scene.run(100);
        scene.assert_agreement(50);
        scene.assert_honest_unharmed();
        assert!(!scene.is_blamed(), "{strategy:?}");
        // As many as two thirds of all power find, and each in the chain that all agree on.
        assert!(
            scene.fired("time-twister: chose a block's time") > 50,
            "{strategy:?}"
        );
        let tip = Arc::clone(scene.world.published(scene.honest[0]).unwrap());
        let now = scene.world.now().as_millis();
        let limit = scene.world.config().genesis.rules.future_limit_ms();
        assert!(tip.header.time.0 <= now + limit, "{strategy:?}");
        let twisted = scene.balance(scene.honest[0], AccountId([0x71; 32]));
        assert!(twisted >= 20 * 5_000_000_000, "{strategy:?}: {twisted}");
    }
}

/// The tests of each kind; a new kind does not compile without.
const fn scenes(kind: AdversaryKind) -> &'static [&'static str] {
    match kind {
        AdversaryKind::Silent => &["a_silent_peer_is_let_go_and_not_blamed"],
        AdversaryKind::GarbageSender => &["garbage_costs_its_sender_every_connection"],
        AdversaryKind::InvalidBlockMiner => &[
            "a_block_that_breaks_a_rule_is_nobodys_and_costs_its_sender_the_connection",
            "a_body_that_is_not_its_headers_says_nothing_against_the_header",
        ],
        AdversaryKind::SelfishMiner => {
            &["a_selfish_miner_earns_what_the_paper_says_and_breaks_no_rule"]
        }
        AdversaryKind::WithholdingRelay => {
            &["what_a_withholding_relay_tells_of_comes_by_others_in_time"]
        }
        AdversaryKind::LowWorkHeaderFlood => &["branches_of_next_to_no_work_are_not_kept"],
        AdversaryKind::TransactionFlood => &[
            "a_flood_of_transactions_is_bounded_by_its_money",
            "a_flood_pays_for_what_is_mined_and_rivals_cost_it_a_block_each_time",
        ],
        AdversaryKind::TwoFacedHeight => &["a_peer_of_two_faces_is_found_out_by_each"],
        AdversaryKind::TimeTwister => &["chosen_times_leave_the_honest_in_agreement"],
    }
}

#[test]
fn every_kind_has_its_scenes() {
    let sources = [
        include_str!("tests.rs"),
        include_str!("tests/blocks.rs"),
        include_str!("tests/worth.rs"),
    ];
    for kind in AdversaryKind::ALL {
        let names = scenes(kind);
        assert!(!names.is_empty(), "{kind} has no scene");
        for name in names {
            let head = format!("#[test]\nfn {name}() {{\n");
            let found = sources.iter().any(|source| source.contains(&head));
            assert!(found, "the scene {name} of {kind} is gone");
        }
    }
}

#[test]
fn names_are_read_as_they_are_written() {
    for kind in AdversaryKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(
            behaviour(kind, None, &Rng::from_number(1)).name(),
            kind.name()
        );
        let text = serde_json::to_string(&kind).unwrap();
        assert_eq!(text, format!("\"{kind}\""));
        assert_eq!(serde_json::from_str::<AdversaryKind>(&text).unwrap(), kind);
    }
    let error = "quiet".parse::<AdversaryKind>().unwrap_err().to_string();
    assert!(
        error.starts_with("there is no adversary \"quiet\"; there are silent,"),
        "{error}"
    );
    let flood = AdversaryKind::TransactionFlood.allocation(&Rng::from_number(1));
    assert!(flood.is_some_and(|(_, amount)| amount.0 > 0));
    assert_eq!(AdversaryKind::Silent.allocation(&Rng::from_number(1)), None);
}
