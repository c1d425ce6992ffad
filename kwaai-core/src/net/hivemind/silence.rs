//! Which nodes did not answer lately. Others go on naming them for a while, and each attempt would cost seconds.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::PeerId;
use tokio::time::Instant;

/// How long a node is left alone after its first failure; each further one doubles that, as in hivemind.
const FIRST: Duration = Duration::from_secs(5);
/// And at most so long.
const LONGEST: Duration = Duration::from_secs(320);
/// The most nodes that are remembered.
const MAX_REMEMBERED: usize = 4096;

/// Nodes that did not answer, until when they are left alone, and for how long that was.
#[derive(Default)]
pub(super) struct Silence {
    nodes: HashMap<PeerId, (Instant, Duration)>,
}

impl Silence {
    /// Notes that a node did not answer.
    pub(super) fn failed(&mut self, peer: PeerId, now: Instant) {
        if self.nodes.len() >= MAX_REMEMBERED {
            self.nodes.retain(|_, (until, _)| *until > now);
        }
        if self.nodes.len() < MAX_REMEMBERED || self.nodes.contains_key(&peer) {
            let pause = self.nodes.get(&peer).map_or(FIRST, |(_, pause)| (*pause * 2).min(LONGEST));
            self.nodes.insert(peer, (now + pause, pause));
        }
    }

    /// Notes that a node is there.
    pub(super) fn answered(&mut self, peer: &PeerId) {
        self.nodes.remove(peer);
    }

    /// Whether a node is to be left alone.
    pub(super) fn covers(&self, peer: &PeerId, now: Instant) -> bool {
        self.nodes.get(peer).is_some_and(|(until, _)| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_left_alone_twice_as_long_each_time_until_it_answers() {
        let (mut silence, peer, now) = (Silence::default(), PeerId::random(), Instant::now());
        silence.failed(peer, now);
        assert!(silence.covers(&peer, now + Duration::from_secs(4)));
        assert!(!silence.covers(&peer, now + Duration::from_secs(5)));
        silence.failed(peer, now);
        assert!(silence.covers(&peer, now + Duration::from_secs(9)));
        silence.answered(&peer);
        assert!(!silence.covers(&peer, now));
    }
}
