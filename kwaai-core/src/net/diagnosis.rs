//! Why a node reaches nobody, or nobody reaches it.

use std::time::Duration;

use libp2p::Multiaddr;

use super::dial::SILENT;
use super::reach::Verdict;
use super::{Network, address};
use crate::{Error, ErrorCode, Result};

/// How long a bootstrap may take to answer.
const ANSWERING: Duration = Duration::from_secs(10);

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Nobody is connected, and no bootstrap was named.
    NoBootstrap,
    /// A limit of this node keeps it from a bootstrap.
    LimitReached,
    /// A bootstrap that was named does not answer.
    DeadBootstrap,
    /// A connected peer speaks none of this node's protocols.
    IncompatibleVersion,
    /// This machine's clock is not that of its peers.
    ClockOff,
    /// A relay has no place for this node.
    RelayWithoutSlots,
    /// A relay that was named does not answer, or is none.
    DeadRelay,
    /// Something between this node and the others lets nothing through.
    Firewall,
}

impl Cause {
    /// The fixed name, such as `dead_bootstrap`.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::NoBootstrap => "no_bootstrap",
            Cause::LimitReached => "limit_reached",
            Cause::DeadBootstrap => "dead_bootstrap",
            Cause::IncompatibleVersion => "incompatible_version",
            Cause::ClockOff => "clock_off",
            Cause::RelayWithoutSlots => "relay_without_slots",
            Cause::DeadRelay => "dead_relay",
            Cause::Firewall => "firewall",
        }
    }
}

/// Something that keeps this node from others, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What it is.
    pub cause: Cause,
    /// A sentence that says what was seen, for people.
    pub text: String,
    /// What its owner can do.
    pub remedy: &'static str,
}

impl Diagnosis {
    pub(crate) fn new(cause: Cause, text: impl Into<String>) -> Diagnosis {
        let remedy = match cause {
            Cause::NoBootstrap => "name a bootstrap that answers, or turn mDNS on for nodes of the same network",
            Cause::LimitReached => "disconnect a peer, or raise the limit",
            Cause::DeadBootstrap => "check its address with whoever runs it, or name another",
            Cause::IncompatibleVersion => {
                "update this node or the peer, and check that the peer is a node of this network"
            }
            Cause::ClockOff => "set this machine's clock, best by NTP",
            Cause::RelayWithoutSlots => "name another relay in trusted_relays, or ask its owner for a place",
            Cause::DeadRelay => "check its address, and that its owner allows it to relay",
            Cause::Firewall => {
                "open or forward the port that the node listens on, set upnp, or name a relay in trusted_relays"
            }
        };
        Diagnosis { cause, text: text.into(), remedy }
    }
}

impl Network {
    /// Looks for what keeps this node from others: tries every bootstrap that is not connected, for ten seconds at most,
    /// and reads what is known of peers and relays. Nothing found is an empty list; the order is that of [`Cause`].
    ///
    /// # Errors
    /// `closed`.
    pub async fn diagnose(&self) -> Result<Vec<Diagnosis>> {
        let bootstrap = &self.inner.bootstrap;
        let tried = futures::future::join_all(bootstrap.iter().map(|address| self.try_out(address))).await;
        if self.inner.shared.closing.is_cancelled() {
            return Err(super::closed());
        }
        let dead: Vec<(&Multiaddr, Error)> =
            bootstrap.iter().zip(tried).filter_map(|(address, tried)| Some((address, tried.err()?))).collect();
        let mut found: Vec<Diagnosis> = dead
            .iter()
            .map(|(address, error)| {
                let cause = match error.code() {
                    ErrorCode::ResourceExhausted => Cause::LimitReached,
                    _ => Cause::DeadBootstrap,
                };
                Diagnosis::new(cause, format!("{address}: {}", error.message()))
            })
            .collect();
        if !dead.is_empty()
            && dead.len() == bootstrap.len()
            && dead.iter().all(|(_, error)| error.code() == ErrorCode::Timeout || error.context().contains_key(SILENT))
        {
            let text =
                "no bootstrap gave any answer within ten seconds, not even a refusal: what this node sends is lost";
            found.push(Diagnosis::new(Cause::Firewall, text));
        }
        let directory = self.inner.shared.directory();
        if bootstrap.is_empty() && directory.peers.is_empty() {
            found.push(Diagnosis::new(Cause::NoBootstrap, "nobody is connected, and no bootstrap was named"));
        }
        for (peer, _) in directory.peers.iter().filter(|(_, known)| known.foreign) {
            let text = format!("{peer} is connected and speaks none of this node's protocols");
            found.push(Diagnosis::new(Cause::IncompatibleVersion, text));
        }
        for (peer, refusal) in &directory.refusals {
            let cause = if refusal.full { Cause::RelayWithoutSlots } else { Cause::DeadRelay };
            found.push(Diagnosis::new(cause, format!("the relay {peer} gave no place: {}", refusal.text)));
        }
        let reach = &directory.reachability;
        if reach.verdict == Verdict::Private && reach.relays.is_empty() && !directory.private_by_choice {
            let text = format!("others cannot dial this node, since {}, and no relay was found", reach.why);
            found.push(Diagnosis::new(Cause::Firewall, text));
        }
        found.sort_by_key(|diagnosis| diagnosis.cause);
        Ok(found)
    }

    async fn try_out(&self, address: &Multiaddr) -> Result<()> {
        if address::peer_of(address) == Some(self.inner.shared.local) {
            return Ok(());
        }
        let answered = tokio::time::timeout(ANSWERING, self.connect(address.clone())).await;
        answered.map_err(|_| Error::timeout("it gave no answer within ten seconds"))??;
        Ok(())
    }
}
