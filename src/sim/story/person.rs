//! People with accounts.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::Rng;
use crate::codec::Encode;
use crate::crypto::ed25519::SecretKey;
use crate::crypto::hash::sha256;
use crate::sim::workload::Account;
use crate::types::{AccountId, Amount, Height, Nonce, Op, Transaction, TxId};

use super::Stage;

/// What a payment pays beyond its amount, where nobody says otherwise: enough to create an account.
const FEE: u64 = 5_000;

/// Everybody's key follows from the name.
pub(super) fn account(name: &str) -> Account {
    Account::of(SecretKey::from_seed(&sha256(name.as_bytes())))
}

/// Somebody with a key.
#[derive(Clone)]
pub(crate) struct Person {
    stage: Rc<RefCell<Stage>>,
    name: String,
    account: Account,
}

/// A payment that nobody was told of yet.
#[derive(Clone)]
pub(crate) struct Payment {
    from: Person,
    to: AccountId,
    amount: u64,
    nonce: u64,
    fee: u64,
    expiry: u64,
}

impl Person {
    pub(super) fn new(stage: &Rc<RefCell<Stage>>, name: &str) -> Self {
        Self {
            stage: Rc::clone(stage),
            name: name.to_owned(),
            account: account(name),
        }
    }

    pub(crate) fn account(&self) -> AccountId {
        self.account.id()
    }

    /// The person's next payment.
    pub(crate) fn pays(&self, to: &Self, amount: u64) -> Payment {
        let mut stage = self.stage.borrow_mut();
        let nonce = stage.nonces.entry(self.name.clone()).or_default();
        let payment = Payment {
            from: self.clone(),
            to: to.account(),
            amount,
            nonce: *nonce,
            fee: FEE,
            expiry: 0,
        };
        *nonce += 1;
        payment
    }
}

impl Payment {
    /// The same with another fee.
    pub(crate) fn with_fee(mut self, fee: u64) -> Self {
        self.fee = fee;
        self
    }

    /// The same, valid up to this height.
    pub(crate) fn until(mut self, height: u64) -> Self {
        self.expiry = height;
        self
    }

    /// The same with another nonce.
    pub(crate) fn with_nonce(mut self, nonce: u64) -> Self {
        self.nonce = nonce;
        self
    }

    /// The same money to somebody else.
    pub(crate) fn redirected_to(&self, to: &Person) -> Self {
        Self {
            to: to.account(),
            ..self.clone()
        }
    }

    /// The transaction, signed.
    pub(crate) fn transaction(&self) -> Transaction {
        let genesis = self.from.stage.borrow().world.config().genesis.id();
        let op = Op::Transfer {
            to: self.to,
            amount: Amount(self.amount),
        };
        // One key signs: nothing is drawn.
        let mut rng = Rng::from_number(0);
        self.from.account.sign(
            &genesis,
            Nonce(self.nonce),
            Amount(self.fee),
            Height(self.expiry),
            vec![op],
            &mut rng,
        )
    }

    pub(crate) fn txid(&self) -> TxId {
        let genesis = self.from.stage.borrow().world.config().genesis.id();
        self.transaction().txid(&genesis)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.transaction().to_bytes()
    }
}
