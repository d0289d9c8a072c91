//! Waiting until a node has nothing to do.

use std::time::Duration;

use super::super::CommandError;
use super::place::{ChainInfo, Running};
use super::{ASK_EVERY, clock, pause};

/// A node that spends no more than a hundredth of a second in this time has nothing to do: two
/// seconds of quiet are followed by a checkpoint, and a busy disk may take a while.
const IDLE: Duration = Duration::from_secs(3);
/// A node that is never idle for so long is taken as it is.
const PATIENCE: Duration = Duration::from_secs(300);
/// The disk may take so long for a checkpoint. Where the last blocks are too few for one, so much
/// time is lost.
const DISK_PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a node has nothing to do, and says where its chain stands then. On a busy machine a
/// node that waits for its disk looks as if it had nothing to do: where `keeps`, it is given time
/// to make a checkpoint of its tip.
pub(super) fn wait_until_idle(
    node: &mut Running<'_>,
    keeps: bool,
) -> Result<ChainInfo, CommandError> {
    let begun = clock();
    let (mut since, mut spent) = (clock(), node.cpu()?);
    while since.elapsed() < IDLE && begun.elapsed() < PATIENCE {
        pause(ASK_EVERY);
        let now = node.cpu()?;
        if now > spent + Duration::from_millis(10) {
            (since, spent) = (clock(), now);
        }
    }
    let idle = clock();
    let mut chain = node.chain_info()?;
    while keeps && chain.checkpoint < chain.height && idle.elapsed() < DISK_PATIENCE {
        pause(ASK_EVERY);
        chain = node.chain_info()?;
    }
    Ok(chain)
}
