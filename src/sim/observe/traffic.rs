//! What goes over the lines.

/// Messages and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub messages: u64,
    /// Their bytes on the line.
    pub bytes: u64,
}

impl Volume {
    const fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }
}

/// The bytes of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeTraffic {
    /// What it sent.
    pub sent: u64,
    /// What was sent to it.
    pub received: u64,
}

/// Totals by the type of messages and by node: small enough to stay in a processor's cache, for
/// they are touched with every message.
#[derive(Clone, Debug)]
pub struct Traffic {
    kinds: Box<[Volume; 256]>,
    nodes: Vec<NodeTraffic>,
    total: Volume,
}

impl Traffic {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            kinds: Box::new([Volume::default(); 256]),
            nodes: vec![NodeTraffic::default(); nodes],
            total: Volume::default(),
        }
    }

    pub(super) fn admit(&mut self, nodes: usize) {
        if nodes > self.nodes.len() {
            self.nodes.resize(nodes, NodeTraffic::default());
        }
    }

    #[inline]
    pub(super) fn message(&mut self, from: usize, to: usize, kind: u8, bytes: u64) {
        self.sent(from, kind, bytes);
        self.received(to, bytes);
    }

    #[inline]
    pub(super) fn sent(&mut self, from: usize, kind: u8, bytes: u64) {
        self.total.add(bytes);
        self.kinds[usize::from(kind)].add(bytes);
        self.admit(from + 1);
        self.nodes[from].sent += bytes;
    }

    #[inline]
    pub(super) fn received(&mut self, to: usize, bytes: u64) {
        self.admit(to + 1);
        self.nodes[to].received += bytes;
    }

    /// Everything that was sent.
    #[must_use]
    pub const fn total(&self) -> Volume {
        self.total
    }

    /// The types of messages that were sent, by their type byte, with how much.
    pub fn kinds(&self) -> impl Iterator<Item = (u8, Volume)> {
        let sent = (0..=u8::MAX).zip(self.kinds.iter().copied());
        sent.filter(|(_, volume)| volume.messages > 0)
    }

    /// What each node sent and received.
    #[must_use]
    pub fn nodes(&self) -> &[NodeTraffic] {
        &self.nodes
    }
}
