//! The thread that answers readers.
//!
//! What callers want to see of a published moment may take long to read, to hash or to put into
//! words. It is done beside the jobs of the node and not among them: readers do not wait for
//! blocks, nor blocks for readers, and a replay has no part in it.

use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

/// What is to be answered: the text of the answer, when it is run.
pub type Query = Box<dyn FnOnce() -> String + Send>;

/// A thread that answers one query after the other. It ends when this is dropped.
pub struct QueryThread {
    // Whoever asks bounds how many wait.
    queries: Sender<(u64, Query)>,
    answers: Receiver<(u64, String)>,
}

impl QueryThread {
    /// Starts the thread. `wake` is called whenever an answer is there.
    pub fn start(wake: &Arc<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let (queries, waiting) = unbounded::<(u64, Query)>();
        let (done, answers) = unbounded();
        let wake = Arc::clone(wake);
        thread::Builder::new()
            .name("queries".to_owned())
            .spawn(move || {
                for (number, query) in waiting {
                    if done.send((number, query())).is_err() {
                        return;
                    }
                    wake();
                }
            })?;
        Ok(Self { queries, answers })
    }

    /// Hands over a query; its answer will bear the same number.
    pub fn run(&self, number: u64, query: Query) {
        self.queries
            .send((number, query))
            .expect("the thread ends after its owner");
    }

    /// Takes an answer that is there.
    pub fn take_done(&self) -> Option<(u64, String)> {
        self.answers.try_recv().ok()
    }
}
