//! A peer that greets, and says nothing more.

use crate::sim::{Behaviour, Fate, Hands, Letter};
use crate::wire::MessageKind;

use super::craft::is;

/// Greets and then answers nothing: no ping, no request for headers, no request for blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Behaviour for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn outgoing(&mut self, letter: &Letter<'_>, hands: &mut Hands<'_>) -> Fate {
        if is(letter, MessageKind::Hello) || is(letter, MessageKind::Ready) {
            return Fate::Pass;
        }
        hands.mark("silent: said nothing");
        Fate::Drop
    }
}
