//! How much of this node strangers may take: connections, calls, streams, memory.

mod ranges;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use ranges::Ranges;

use crate::{Error, Result};

/// Limits that hold from the first moment on. The defaults suit a desktop; a server raises the totals.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Established connections, in both directions together.
    pub max_connections: u32,
    /// Established connections that others opened; less than the total, so that strangers cannot use up every place.
    pub max_incoming_connections: u32,
    /// Connections that others opened from one near range of internet addresses, an IPv4 /24 or an IPv6 /56, those whose
    /// handshake is under way included.
    pub max_incoming_per_range: u32,
    /// The same for a wide range, an IPv4 /16 or an IPv6 /48.
    pub max_incoming_per_wide_range: u32,
    /// The same for a near range of addresses that are not of the internet: loopback, home networks, link-local ones. No
    /// bound of its own unless set, since behind a proxy or a container's bridge everybody comes from one of these.
    pub max_incoming_per_local_range: u32,
    /// Established connections with one peer.
    pub max_connections_per_peer: u32,
    /// Incoming connections whose handshake is under way.
    pub max_pending_incoming: u32,
    /// Outgoing connections whose handshake is under way.
    pub max_pending_outgoing: u32,
    /// Connections that lookups in the DHT opened and nothing else asked for, and that stand after them; the oldest end first.
    pub max_lookup_connections: u32,
    /// New connections are refused while the process uses more than this share of the machine's memory, 0 to 1.
    pub max_memory_share: f64,
    /// How long a connection is kept on which the app, or that of the peer, opens no stream.
    pub idle_connection: Duration,
    /// Unary calls of one peer served at the same time.
    pub max_calls_per_peer: usize,
    /// Unary calls served at the same time.
    pub max_calls: usize,
    /// Raw streams of one peer served at the same time.
    pub max_streams_per_peer: usize,
    /// Raw streams served at the same time.
    pub max_streams: usize,
    /// How long a peer that opened a stream may take to say what it wants.
    pub header_timeout: Duration,
    /// How long the gate may take to decide about a stream; for a call its own deadline counts.
    pub gate_timeout: Duration,
    /// No unary call is served for longer, whatever deadline its caller names.
    pub max_call_duration: Duration,
    /// Unread messages that are kept; the oldest go first.
    pub inbox: usize,
    /// Unread events that are kept for one reader.
    pub events: usize,
    /// Keys for which this node remembers who provides them, its own included. A key takes about 1 kB.
    pub max_provided_keys: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 512,
            max_incoming_connections: 384,
            max_incoming_per_range: 32,
            max_incoming_per_wide_range: 128,
            max_incoming_per_local_range: u32::MAX,
            max_connections_per_peer: 4,
            max_pending_incoming: 100,
            max_pending_outgoing: 100,
            max_lookup_connections: 32,
            max_memory_share: 0.7,
            idle_connection: Duration::from_secs(10 * 60),
            max_calls_per_peer: 32,
            max_calls: 256,
            max_streams_per_peer: 32,
            max_streams: 256,
            header_timeout: Duration::from_secs(10),
            gate_timeout: Duration::from_secs(30),
            max_call_duration: Duration::from_secs(10 * 60),
            inbox: 1024,
            events: 1024,
            max_provided_keys: 16_384,
        }
    }
}

impl Limits {
    /// These limits with every count divided, but at least 1; times stay.
    pub fn divided_by(&self, divisor: u32) -> Limits {
        let divisor = divisor.max(1);
        let small = |count: u32| (count / divisor).max(1);
        let large = |count: usize| (count / divisor as usize).max(1);
        Limits {
            max_connections: small(self.max_connections),
            max_incoming_connections: small(self.max_incoming_connections),
            max_incoming_per_range: small(self.max_incoming_per_range),
            max_incoming_per_wide_range: small(self.max_incoming_per_wide_range),
            max_connections_per_peer: self.max_connections_per_peer,
            max_pending_incoming: small(self.max_pending_incoming),
            max_pending_outgoing: small(self.max_pending_outgoing),
            max_lookup_connections: small(self.max_lookup_connections),
            max_calls_per_peer: large(self.max_calls_per_peer),
            max_calls: large(self.max_calls),
            max_streams_per_peer: large(self.max_streams_per_peer),
            max_streams: large(self.max_streams),
            inbox: large(self.inbox),
            events: large(self.events),
            max_provided_keys: large(self.max_provided_keys),
            ..self.clone()
        }
    }

    /// Refuses limits under which a node could do nothing.
    pub(crate) fn validate(&self) -> Result<()> {
        let counts = [
            ("max_connections", u64::from(self.max_connections)),
            ("max_incoming_per_range", u64::from(self.max_incoming_per_range)),
            ("max_incoming_per_wide_range", u64::from(self.max_incoming_per_wide_range)),
            ("max_connections_per_peer", u64::from(self.max_connections_per_peer)),
            ("max_calls_per_peer", self.max_calls_per_peer as u64),
            ("max_calls", self.max_calls as u64),
            ("max_streams_per_peer", self.max_streams_per_peer as u64),
            ("max_streams", self.max_streams as u64),
            ("inbox", self.inbox as u64),
            ("events", self.events as u64),
            ("max_provided_keys", self.max_provided_keys as u64),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(Error::invalid_argument(format!("the limit {name} is 0, and nothing would work"))
                    .with("limit", name)
                    .with_remedy("set it to at least 1, or leave it out for the default"));
            }
        }
        if !(self.max_memory_share > 0.0 && self.max_memory_share <= 1.0) {
            return Err(Error::invalid_argument("the limit max_memory_share is not between 0 and 1")
                .with("limit", "max_memory_share"));
        }
        Ok(())
    }
}

/// When so much time will have passed; a duration that no clock can hold is as good as for ever.
pub(crate) fn deadline_after(duration: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    Instant::now() + duration.min(FOR_EVER)
}

/// Counts what peers hold at the same time.
pub(crate) struct Quota {
    per_peer: usize,
    total: usize,
    held: Mutex<Held>,
    idle: Notify,
}

#[derive(Default)]
struct Held {
    total: usize,
    by_peer: HashMap<PeerId, usize>,
}

/// One place under a quota, given back when dropped.
pub(crate) struct Permit {
    quota: Arc<Quota>,
    peer: PeerId,
}

impl Quota {
    pub(crate) fn new(per_peer: usize, total: usize) -> Arc<Quota> {
        Arc::new(Quota { per_peer, total, held: Mutex::default(), idle: Notify::new() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // No code that can panic runs under this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(self: &Arc<Quota>, peer: PeerId) -> Option<Permit> {
        let mut held = self.held();
        let of_peer = held.by_peer.get(&peer).copied().unwrap_or(0);
        if held.total >= self.total || of_peer >= self.per_peer {
            return None;
        }
        held.total += 1;
        held.by_peer.insert(peer, of_peer + 1);
        Some(Permit { quota: self.clone(), peer })
    }

    /// How many places are held.
    pub(crate) fn taken(&self) -> usize {
        self.held().total
    }

    /// Waits until nobody holds a place.
    pub(crate) async fn idle(&self) {
        loop {
            let freed = self.idle.notified();
            tokio::pin!(freed);
            // Registered before looking, so that a place given back in between is not missed.
            freed.as_mut().enable();
            if self.held().total == 0 {
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let empty = {
            let mut held = self.quota.held();
            held.total = held.total.saturating_sub(1);
            if let Some(of_peer) = held.by_peer.get_mut(&self.peer) {
                *of_peer -= 1;
                if *of_peer == 0 {
                    held.by_peer.remove(&self.peer);
                }
            }
            held.total == 0
        };
        if empty {
            self.quota.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_cannot_take_every_place() {
        let quota = Quota::new(2, 3);
        let (greedy, other, late) = (PeerId::random(), PeerId::random(), PeerId::random());
        let first = quota.take(greedy).unwrap();
        let _second = quota.take(greedy).unwrap();
        assert!(quota.take(greedy).is_none());
        let _third = quota.take(other).unwrap();
        assert!(quota.take(late).is_none());
        drop(first);
        assert!(quota.take(late).is_some());
    }

    #[tokio::test]
    async fn a_quota_is_idle_when_the_last_place_is_given_back() {
        let quota = Quota::new(1, 1);
        let permit = quota.take(PeerId::random()).unwrap();
        let waiting = tokio::spawn({
            let quota = quota.clone();
            async move { quota.idle().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
        assert!(quota.held().by_peer.is_empty());
    }

    #[test]
    fn limits_that_forbid_everything_are_refused_by_name() {
        Limits::default().validate().unwrap();
        let error = Limits { max_streams: 0, ..Limits::default() }.validate().unwrap_err();
        assert_eq!(error.context()["limit"], "max_streams");
        assert!(Limits { max_memory_share: f64::NAN, ..Limits::default() }.validate().is_err());
    }
}
