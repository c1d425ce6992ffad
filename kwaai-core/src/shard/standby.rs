//! A host that reads along with a stage, so that it goes on at once where the stage fails.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::chain::RemoteHop;
use super::wire::Hidden;
use crate::Result;

/// A host that reads along. Dropped, it stops; its session then ends at the host when nobody has used it for some time.
pub(super) struct Standby {
    pub peer: PeerId,
    inputs: UnboundedSender<Hidden>,
    reading: JoinHandle<Option<Along>>,
    stop: DropGuard,
    /// Breaks a step off.
    leave: CancellationToken,
}

/// How far a host has read.
pub(super) struct Along {
    pub hop: RemoteHop,
    /// How long each step took, in milliseconds.
    pub times: Vec<f64>,
}

impl Standby {
    /// Begins to read along once a session is open.
    pub fn begin(peer: PeerId, opening: impl Future<Output = Result<RemoteHop>> + Send + 'static) -> Standby {
        let open = async { Some(Along { hop: opening.await.ok()?, times: Vec::new() }) };
        Standby::start(peer, open)
    }

    /// Goes on from where it stood.
    pub fn resume(along: Along) -> Standby {
        Standby::start(along.hop.peer, std::future::ready(Some(along)))
    }

    fn start(peer: PeerId, along: impl Future<Output = Option<Along>> + Send + 'static) -> Standby {
        let (inputs, coming) = unbounded_channel();
        let stop = CancellationToken::new();
        let leave = CancellationToken::new();
        let reading = tokio::spawn(read(along, coming, stop.clone(), leave.clone()));
        Standby { peer, inputs, reading, stop: stop.drop_guard(), leave }
    }

    /// Lets it read the next step, when it comes to it.
    pub fn read(&self, input: Hidden) {
        // One that has failed reads nothing more.
        let _ = self.inputs.send(input);
    }

    /// Stops, and ends its session.
    pub async fn close(self) {
        if let Some(along) = self.stop(Duration::ZERO).await {
            along.hop.close().await;
        }
    }

    /// Stops behind the step that it is reading, or within it where that takes longer than `patience`; its session is then of no more
    /// use. `None` where none was opened.
    pub async fn stop(mut self, patience: Duration) -> Option<Along> {
        drop(self.stop);
        let read = match timeout(patience, &mut self.reading).await {
            Ok(read) => read,
            Err(_) => {
                self.leave.cancel();
                self.reading.await
            }
        };
        read.ok().flatten()
    }
}

async fn read(
    along: impl Future<Output = Option<Along>>,
    mut inputs: UnboundedReceiver<Hidden>,
    stop: CancellationToken,
    leave: CancellationToken,
) -> Option<Along> {
    let mut along = stop.run_until_cancelled(along).await??;
    while !stop.is_cancelled() {
        let Some(Some(input)) = stop.run_until_cancelled(inputs.recv()).await else { break };
        let start = Instant::now();
        if !matches!(leave.run_until_cancelled(along.hop.step(input)).await, Some(Ok(_))) {
            break;
        }
        along.times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Some(along)
}
