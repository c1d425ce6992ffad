//! What keeps this node from others, this machine's clock included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use libp2p::PeerId;

use super::Node;
use crate::Result;
use crate::clock::Clock;
use crate::net::{Cause, Diagnosis, Peers, UnaryHandler};
use crate::trust::Purpose;

/// The unary method that says what time it is: an empty body, answered by milliseconds since 1970 in eight bytes, the most
/// significant first.
const METHOD: &str = "kwaainet.clock";
/// How long a peer may take to say it.
const TIMEOUT: Duration = Duration::from_secs(3);
/// So many peers are asked.
const ASKED: usize = 5;
/// Records of hivemind's DHT are refused by clocks that differ by three seconds.
const TOLERANCE_MS: i64 = 3000;

/// Says what time it is here.
struct Tells(Arc<dyn Clock>);

#[async_trait]
impl UnaryHandler for Tells {
    async fn call(&self, _: PeerId, _: Bytes) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(&self.0.now().as_millisecond().to_be_bytes()))
    }
}

pub(super) fn serve(peers: &dyn Peers, clock: Arc<dyn Clock>) -> Result<()> {
    peers.serve_unary(METHOD, Purpose::Open, Arc::new(Tells(clock)))
}

fn read(answer: &[u8]) -> Option<i64> {
    let told = i64::from_be_bytes(answer.try_into().ok()?);
    Timestamp::from_millisecond(told).ok().map(Timestamp::as_millisecond)
}

/// What several peers say of the difference, so that one that is wrong does not count.
fn middle(mut ahead: Vec<i64>) -> Option<i64> {
    ahead.sort_unstable();
    ahead.get(ahead.len() / 2).copied()
}

impl Node {
    /// Looks for what keeps this node from others, and says what to do: bootstraps that do not answer, a clock that is off, a
    /// version that nobody understands, relays without a place, a firewall. Takes ten seconds at most when something does
    /// not answer; nothing found is an empty list.
    pub async fn diagnose(&self) -> Result<Vec<Diagnosis>> {
        self.open()?;
        let mut found = self.inner.network.diagnose().await?;
        found.extend(self.diagnose_clock().await);
        found.sort_by_key(|diagnosis| diagnosis.cause);
        Ok(found)
    }

    async fn diagnose_clock(&self) -> Option<Diagnosis> {
        let peers = self.inner.network.connected().into_iter().take(ASKED);
        let told = futures::future::join_all(peers.map(|peer| self.ahead_of(peer.peer))).await;
        let ahead: Vec<i64> = told.into_iter().flatten().collect();
        let asked = ahead.len();
        let by = middle(ahead).filter(|by| by.abs() > TOLERANCE_MS)?;
        let (seconds, which) = (by.unsigned_abs() as f64 / 1000.0, if by > 0 { "ahead of" } else { "behind" });
        let text = format!(
            "this machine's clock is {seconds:.1} seconds {which} that of its peers, of which {asked} answered"
        );
        Some(Diagnosis::new(Cause::ClockOff, text))
    }

    /// By how many milliseconds this clock is ahead of a peer's; the half of the round trip is taken for the way back.
    async fn ahead_of(&self, peer: PeerId) -> Option<i64> {
        let asked = Instant::now();
        let answer = self.inner.network.call(peer, METHOD, Bytes::new(), TIMEOUT).await.ok()?;
        let back = i64::try_from(asked.elapsed().as_millis() / 2).ok()?;
        let told = read(&answer)?.checked_add(back)?;
        Some(self.inner.clock.now().as_millisecond().saturating_sub(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_wrong_length_or_out_of_range_is_none() {
        assert_eq!(read(&1_700_000_000_000i64.to_be_bytes()), Some(1_700_000_000_000));
        for answer in [&[][..], &[0; 7], &[0; 9], &i64::MAX.to_be_bytes(), &i64::MIN.to_be_bytes()] {
            assert_eq!(read(answer), None);
        }
    }

    #[test]
    fn one_wrong_clock_among_three_does_not_count() {
        assert_eq!(middle(vec![3, 1_000_000, -2]), Some(3));
        assert_eq!(middle(Vec::new()), None);
    }
}
