//! Where pages come from that only the disk holds.

use std::fmt;
use std::sync::Arc;

use crate::chain::execute::StateFailure;
use crate::store::{Kind, Log, Lsn, ReadError, Reader};

/// Pages of the state log, by position.
pub trait PageSource: Send + Sync {
    /// Shows the body of the Page record at a position.
    fn show(&self, at: Lsn, show: &mut dyn FnMut(&[u8])) -> Result<(), ReadError>;

    /// Shows the Page records that begin in the `bytes` from `from` on, which is the position of a
    /// record or of a segment's begin, as far as the segment goes; damaged ones are passed over.
    /// Gives where to go on; none at the segment's end.
    fn scan(
        &self,
        from: Lsn,
        bytes: u64,
        see: &mut dyn FnMut(Lsn, &[u8]),
    ) -> Result<Option<Lsn>, ReadError>;
}

impl PageSource for Reader {
    fn show(&self, at: Lsn, show: &mut dyn FnMut(&[u8])) -> Result<(), ReadError> {
        self.view(Log::State, at, |kind, body| {
            if kind == Kind::Page {
                show(body);
                Ok(())
            } else {
                Err(ReadError::Damaged)
            }
        })?
    }

    fn scan(
        &self,
        from: Lsn,
        bytes: u64,
        see: &mut dyn FnMut(Lsn, &[u8]),
    ) -> Result<Option<Lsn>, ReadError> {
        self.walk(Log::State, from, bytes, |at, kind, body| {
            if kind == Kind::Page {
                see(at, body);
            }
        })
    }
}

/// A page can't be had. It is a failure of this machine and says nothing about a block or a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageError {
    /// Where its record should stand in the state log; 0 when that is no longer known.
    pub at: Lsn,
    /// Why not.
    pub why: PageFailure,
}

/// Why a page can't be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageFailure {
    /// Its record can't be read.
    Unreadable(ReadError),
    /// Its bytes are no page, or not the one that belongs there; the text says what is wrong.
    Malformed(&'static str),
    /// The tree was never on a disk.
    NoSource,
    /// It was found out before; the text says all that was wrong then.
    Known(String),
}

impl PageError {
    /// It was found out before.
    pub(in crate::chain) fn known(failure: &StateFailure) -> Self {
        Self {
            at: failure.at,
            why: PageFailure::Known(failure.why.clone()),
        }
    }

    /// Something is wrong with a page that was taken into memory before that showed.
    pub(in crate::chain) const fn in_memory(what: &'static str) -> Self {
        Self {
            at: Lsn::new(0),
            why: PageFailure::Malformed(what),
        }
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let PageFailure::Known(why) = &self.why {
            return f.write_str(why);
        }
        if self.at == Lsn::new(0) {
            f.write_str("a page of the state: ")?;
        } else {
            write!(f, "the page of the state at {}: ", self.at)?;
        }
        match &self.why {
            PageFailure::Unreadable(error) => error.fmt(f),
            PageFailure::Malformed(what) => write!(f, "its bytes are no page: {what}"),
            PageFailure::NoSource => f.write_str("no state log is open"),
            PageFailure::Known(_) => Ok(()),
        }
    }
}

impl std::error::Error for PageError {}

/// The source of a tree, if it has one.
#[derive(Clone, Default)]
pub(super) struct Source(Option<Arc<dyn PageSource>>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Disk" } else { "None" })
    }
}

impl Source {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn of(pages: Arc<dyn PageSource>) -> Self {
        Self(Some(pages))
    }

    /// Shows the pages of a part of a segment.
    pub(super) fn scan(
        &self,
        from: Lsn,
        bytes: u64,
        see: &mut dyn FnMut(Lsn, &[u8]),
    ) -> Result<Option<Lsn>, PageError> {
        let error = |why| PageError { at: from, why };
        let pages = self.0.as_ref().ok_or(error(PageFailure::NoSource))?;
        let scanned = pages.scan(from, bytes, see);
        scanned.map_err(|why| error(PageFailure::Unreadable(why)))
    }

    /// What `read` makes of the bytes of the page at a position.
    pub(super) fn page<T>(
        &self,
        at: Lsn,
        read: impl FnOnce(&[u8]) -> Result<T, &'static str>,
    ) -> Result<T, PageError> {
        let error = |why| PageError { at, why };
        let pages = self.0.as_ref().ok_or(error(PageFailure::NoSource))?;
        let (mut read, mut page) = (Some(read), None);
        let shown = pages.show(at, &mut |bytes| {
            page = read.take().map(|read| read(bytes));
        });
        shown.map_err(|why| error(PageFailure::Unreadable(why)))?;
        let page = page.unwrap_or(Err("there are none"));
        page.map_err(|what| error(PageFailure::Malformed(what)))
    }
}
