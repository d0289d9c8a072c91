//! How many files and connections the system lets the process have open.
//!
//! Shells and old systems give a process 1,024 at first and many more when it asks. A node that
//! runs out of them in the midst of its work can't begin a segment of its log, so it makes sure
//! when it starts.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::{CommandError, Config};

/// What may be open beside the inbound connections: 64 that are half open, 256 of the RPC, 64
/// segments at hand of each of five logs, and 128 for outgoing connections, for what is written
/// and held, and for the process itself.
const BESIDES_INBOUND: u64 = 64 + 256 + 5 * 64 + 128;

/// Asks for as many as this configuration may need; an error when it can't have them.
pub(super) fn allow(config: &Config) -> Result<(), CommandError> {
    let needed = needed(config.inbound);
    let limit = getrlimit(Resource::Nofile);
    let Some(raised) = raised(&limit, needed) else {
        return Ok(());
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        let allowed = limit.current.unwrap_or(u64::MAX);
        CommandError::config(format!(
            "inbound: {} connections may need {needed} open files, and this process may have \
             {allowed} ({error}): raise that (`ulimit -n`, or LimitNOFILE= of a service), or set a \
             lower `inbound`",
            config.inbound
        ))
    })
}

fn needed(inbound: usize) -> u64 {
    inbound as u64 + BESIDES_INBOUND
}

/// The limit to ask for, if the present one is too low.
fn raised(limit: &Rlimit, needed: u64) -> Option<Rlimit> {
    let is_low = limit.current.is_some_and(|current| current < needed);
    is_low.then(|| Rlimit {
        current: Some(needed),
        // Only a privileged process may raise this one; the system refuses it to others.
        maximum: limit.maximum.map(|maximum| maximum.max(needed)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_node_fits_what_a_shell_gives() {
        assert!(needed(125) <= 1_024);
        assert!(needed(1_000) > 1_024);
    }

    #[test]
    fn only_a_limit_that_is_too_low_is_raised() {
        let limit = |current, maximum| Rlimit { current, maximum };
        assert_eq!(raised(&limit(Some(893), Some(900)), 893), None);
        assert_eq!(raised(&limit(None, None), 893), None);
        let low = limit(Some(256), Some(4_096));
        assert_eq!(raised(&low, 893), Some(limit(Some(893), Some(4_096))));
        let lowest = limit(Some(256), Some(300));
        assert_eq!(raised(&lowest, 893), Some(limit(Some(893), Some(893))));
        let endless = limit(Some(256), None);
        assert_eq!(raised(&endless, 893), Some(limit(Some(893), None)));
    }
}
