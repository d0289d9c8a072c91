//! Accounts as the event loop reads them, with a memory for pages that can't be read.
//!
//! A job's failure to read a page is part of its result, and recordings have it. The mempool reads
//! accounts on the loop itself: there a failure is no input, and where the recording is replayed
//! the same page may be in memory and sound.
//!
//! *Owns* which accounts could not be read. *Invariants*: an account that could not be read once
//! can't be read again by this process, so that the order of reads does not matter; what is said to
//! be coming ([`PageFailures::foresee`]) comes where it is read, as it came where it was recorded.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::chain::execute::StateFailure;
use crate::types::AccountId;
use crate::types::state::AccountRecord;

use super::super::state::PageError;
use super::StateView;
use super::draft::Accounts;

/// The accounts that could not be read since the process began.
#[derive(Clone, Debug, Default)]
pub struct PageFailures {
    known: RefCell<BTreeMap<AccountId, StateFailure>>,
    /// Those of `known` that the event that is handled has found.
    found: RefCell<Vec<(AccountId, StateFailure)>>,
    /// Those that the event before has found.
    last: Vec<(AccountId, StateFailure)>,
    /// Those that a recording has for the event that is to be handled.
    foreseen: BTreeMap<AccountId, StateFailure>,
}

impl PageFailures {
    /// Those that a snapshot has.
    #[must_use]
    pub const fn restore(known: BTreeMap<AccountId, StateFailure>) -> Self {
        Self {
            known: RefCell::new(known),
            found: RefCell::new(Vec::new()),
            last: Vec::new(),
            foreseen: BTreeMap::new(),
        }
    }

    /// Those that a snapshot is to have.
    #[must_use]
    pub fn known(&self) -> BTreeMap<AccountId, StateFailure> {
        self.known.borrow().clone()
    }

    /// A state whose accounts are read with this memory.
    #[must_use]
    pub const fn watch<'a>(&'a self, view: &'a StateView) -> WatchedView<'a> {
        WatchedView {
            view,
            failures: self,
        }
    }

    /// The next event finds these accounts unreadable, if it reads them.
    pub fn foresee(&mut self, failures: Vec<(AccountId, StateFailure)>) {
        self.foreseen = failures.into_iter().collect();
    }

    /// An event was handled: gives why it could not read an account, if there was one.
    pub fn end_event(&mut self) -> Option<StateFailure> {
        self.foreseen.clear();
        self.last = self.found.take();
        self.last.first().map(|(_, failure)| failure.clone())
    }

    /// The accounts that the last event could not read.
    #[must_use]
    pub fn last(&self) -> &[(AccountId, StateFailure)] {
        &self.last
    }

    fn fail(&self, account: &AccountId, failure: StateFailure) -> PageError {
        let error = PageError::known(&failure);
        self.known.borrow_mut().insert(*account, failure.clone());
        self.found.borrow_mut().push((*account, failure));
        error
    }
}

/// A state, as the event loop reads it.
#[derive(Clone, Copy, Debug)]
pub struct WatchedView<'a> {
    view: &'a StateView,
    failures: &'a PageFailures,
}

impl WatchedView<'_> {
    /// An account.
    pub fn account(&self, id: &AccountId) -> Result<Option<AccountRecord>, PageError> {
        if let Some(failure) = self.failures.known.borrow().get(id) {
            return Err(PageError::known(failure));
        }
        if let Some(failure) = self.failures.foreseen.get(id) {
            return Err(self.failures.fail(id, failure.clone()));
        }
        let account = self.view.account(id);
        account.map_err(|error| self.failures.fail(id, error.into()))
    }
}

impl Accounts for WatchedView<'_> {
    fn account(&self, _: usize, id: &AccountId) -> Result<Option<AccountRecord>, PageError> {
        Self::account(self, id)
    }
}
