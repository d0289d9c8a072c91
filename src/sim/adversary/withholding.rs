//! A relay that announces and never serves.

use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::wire::MessageKind;

/// Tells of everything that an honest relay tells of, and gives nothing of what it is then asked
/// for, not even the word that it has not got it.
#[derive(Clone, Copy, Debug, Default)]
pub struct WithholdingRelay;

impl WithholdingRelay {
    /// A relay that gives nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Behaviour for WithholdingRelay {
    fn name(&self) -> &'static str {
        "withholding"
    }

    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        let mark = match MessageKind::from_byte(letter.kind) {
            Ok(MessageKind::Block) => "withholding: a block",
            Ok(MessageKind::Txs) => "withholding: transactions",
            Ok(MessageKind::NotFound) => "withholding: that it has nothing",
            _ => return Fate::Pass,
        };
        hands.mark(mark);
        Fate::Drop
    }
}
