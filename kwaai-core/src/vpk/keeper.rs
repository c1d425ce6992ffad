//! The hosts as an owner reaches them: a depot in this process, or a peer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libp2p::PeerId;

use super::depot::Depot;
use super::request::Request;
use crate::identity::Did;
use crate::net::Peers;
use crate::{Error, Result};

/// How long a host may take for one call.
const TIMEOUT: Duration = Duration::from_secs(30);

const HERE: &str = "here";

/// Which host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostName {
    /// This node, where it [hosts](super::Vpk::host).
    Here,
    /// Another node.
    Peer(PeerId),
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostName::Here => f.write_str(HERE),
            HostName::Peer(peer) => peer.fmt(f),
        }
    }
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<HostName> {
        if text == HERE {
            return Ok(HostName::Here);
        }
        let peer = text.parse().map_err(|_| Error::invalid_argument("a host is `here` or a PeerId"))?;
        Ok(HostName::Peer(peer))
    }
}

/// A host that an owner can ask.
#[async_trait]
pub trait Keeper: Send + Sync + 'static {
    /// Which host it is.
    fn name(&self) -> HostName;

    /// Asks it.
    ///
    /// # Errors
    /// What [`Depot::answer`] says; for a peer also `unreachable`, `timeout`, `unsupported` when it hosts nothing, and
    /// `permission_denied` when this node is below the tier that it asks for.
    async fn call(&self, request: Request) -> Result<Vec<u8>>;
}

/// A depot in this process.
pub(super) struct LocalKeeper {
    pub(super) depot: Arc<Depot>,
    pub(super) caller: Did,
}

#[async_trait]
impl Keeper for LocalKeeper {
    fn name(&self) -> HostName {
        HostName::Here
    }

    async fn call(&self, request: Request) -> Result<Vec<u8>> {
        let (depot, caller) = (self.depot.clone(), self.caller);
        let answered = tokio::task::spawn_blocking(move || depot.answer(caller, &request)).await;
        answered.map_err(|error| Error::internal("a host's answer did not finish").with_source(error)).flatten()
    }
}

/// Another node.
pub(super) struct RemoteKeeper {
    pub(super) peers: Arc<dyn Peers>,
    pub(super) peer: PeerId,
}

#[async_trait]
impl Keeper for RemoteKeeper {
    fn name(&self) -> HostName {
        HostName::Peer(self.peer)
    }

    async fn call(&self, request: Request) -> Result<Vec<u8>> {
        let answer = self.peers.call(self.peer, request.method(), request.to_bytes()?.into(), TIMEOUT).await?;
        Ok(answer.to_vec())
    }
}
