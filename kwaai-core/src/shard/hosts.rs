//! The hosts that one generation may use: sessions are opened along the cheapest path, and a host that failed is not used again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;

use super::backend::Backend;
use super::chain::{self, HostPolicy, RemoteHop, Wanted, outcome_of, retry_after};
use super::generate::PREFILL;
use super::plan::{Coverage, Need};
use super::standby::Standby;
use super::wire::Precision;
use crate::llm::HostWishes;
use crate::net::Peers;
use crate::{Error, ErrorCode, Result};

/// Looking for hosts once more, in the middle of an answer, takes no longer than this.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// A host that is busy for longer than this is no better than one that is gone.
const BUSY: Duration = Duration::from_secs(5);

/// Where the sessions of a generation are opened.
pub(super) struct Hosts {
    peers: Arc<dyn Peers>,
    policy: Arc<dyn HostPolicy>,
    wanted: Wanted,
    need: Need,
    coverage: Coverage,
    failed: BTreeMap<PeerId, Error>,
    /// How many failed in the answers before this one.
    failures_before: usize,
    /// What computes the answer, once sessions were opened; `None` before, and where backends may mix.
    backend: Option<Backend>,
    /// Whether sessions were opened. What was wished of the time is decided before that.
    begun: bool,
}

/// Refuses a path that takes longer for a token than an answer wishes.
pub(super) fn soon_enough(cost_ms: f64, wishes: &HostWishes) -> Result<()> {
    match wishes.max_token_ms {
        Some(most) if cost_ms > most => Err(Error::unreachable(format!(
            "the fastest path takes {cost_ms:.1} ms for a token, and no more than {most} ms were wished"
        ))
        .with("expected_ms", cost_ms)
        .with("max_token_ms", most)
        .with_remedy("allow more time, or ask for other hosts")),
        _ => Ok(()),
    }
}

impl Hosts {
    pub fn new(
        (peers, policy): (Arc<dyn Peers>, Arc<dyn HostPolicy>),
        wanted: Wanted,
        need: Need,
        coverage: Coverage,
    ) -> Hosts {
        Hosts {
            peers,
            policy,
            wanted,
            need,
            coverage,
            failed: BTreeMap::new(),
            failures_before: 0,
            backend: None,
            begun: false,
        }
    }

    /// How many blocks the model has.
    pub fn blocks(&self) -> u32 {
        self.coverage.blocks
    }

    /// Begins another answer: asks the policy anew about each host, since where one stands may have changed, and counts failures from
    /// none on. Those that failed stay out.
    pub async fn begin_again(&mut self) {
        self.failures_before = self.failures();
        for host in self.coverage.hosts.iter_mut().filter(|host| host.refused.is_none()) {
            host.refused = self.policy.usable(host.peer, self.wanted.wishes.min_tier).await.err();
        }
    }

    /// Refuses a path that takes longer for a token than is wished.
    pub fn soon_enough(&self, token_ms: f64) -> Result<()> {
        soon_enough(token_ms, &self.wanted.wishes)
    }

    /// Whether a host is among those that may be used.
    pub fn may_use(&self, peer: PeerId) -> bool {
        self.coverage.hosts.iter().any(|host| host.peer == peer && host.refused.is_none())
    }

    /// A host that reads along with one for `blocks`, where that is wished and there is another one than those.
    pub fn standby(&self, blocks: &Range<u32>, not: &[PeerId]) -> Option<Standby> {
        let peer = self.coverage.stand_in(blocks, &self.need, not).filter(|_| self.wanted.wishes.standby)?;
        let (peers, blocks, wanted) = (self.peers.clone(), blocks.clone(), self.wanted.clone());
        // Stages that take over send whole states, and so do those that may.
        let opening = async move { RemoteHop::open(&peers, peer, blocks, &wanted, Precision::F32).await };
        Some(Standby::begin(peer, opening))
    }

    /// A host that says no costs little, and is not counted.
    fn failures(&self) -> usize {
        self.failed.values().filter(|error| outcome_of(error.code()).is_some()).count()
    }

    /// How long a host may be silent.
    pub fn silence(&self) -> Duration {
        self.wanted.patience.silence
    }

    /// Leaves a host out from now on.
    ///
    /// # Errors
    /// The failure itself when it is one too many.
    pub fn failed(&mut self, peer: PeerId, error: &Error) -> Result<()> {
        tracing::debug!(%peer, code = %error.code(), "a host is left out of the path");
        self.failed.insert(peer, error.clone());
        self.leave_out();
        let failures = self.failures().saturating_sub(self.failures_before);
        match failures > self.wanted.patience.failures as usize {
            true => Err(error.clone().with("failed_hosts", failures)),
            false => Ok(()),
        }
    }

    /// Opens sessions that together run `blocks`. A host that refuses or cannot be reached is left out, and the path is planned
    /// again without it. From the first time on only hosts of the same backend are used, unless these may mix: what another one
    /// computes goes on otherwise.
    ///
    /// # Errors
    /// Those of [`Coverage::plan`] when nobody is left for a block, also after asking once more who is there.
    pub async fn open(&mut self, blocks: Range<u32>, precision: Precision) -> Result<Vec<RemoteHop>> {
        let mut may_look = !self.failed.is_empty();
        let mut may_wait = true;
        loop {
            let path = match self.coverage.path(&blocks, &self.need) {
                Ok(path) => path,
                Err(_) if may_wait && self.busy().is_some() => {
                    may_wait = false;
                    tokio::time::sleep(self.busy().unwrap_or_default()).await;
                    self.failed.retain(|_, error| error.code() != ErrorCode::Busy);
                    self.look_again().await;
                    continue;
                }
                Err(_) if may_look => {
                    may_look = false;
                    self.look_again().await;
                    continue;
                }
                Err(gap) => return Err(gap),
            };
            if !self.begun
                && let Some(cost) = self.coverage.cost_ms(&blocks, &self.need)
            {
                soon_enough(cost, &self.wanted.wishes)?;
            }
            let backend = self.coverage.backend_of(&path);
            let opening = path.into_iter().map(|(peer, blocks)| self.session(peer, blocks, precision));
            let mut hops = Vec::new();
            let mut failures = Vec::new();
            for (peer, opened) in futures::future::join_all(opening).await {
                match opened {
                    Ok(hop) => hops.push(hop),
                    Err(error) => failures.push((peer, error)),
                }
            }
            if failures.is_empty() {
                self.begun = true;
                if !self.need.mixed_backends {
                    self.backend = self.backend.or(backend);
                    self.leave_out();
                }
                return Ok(hops);
            }
            futures::future::join_all(hops.into_iter().map(RemoteHop::close)).await;
            for (peer, error) in failures {
                if let Some(outcome) = outcome_of(error.code()) {
                    self.policy.observed(peer, outcome, None).await;
                }
                self.failed(peer, &error)?;
            }
        }
    }

    async fn session(&self, peer: PeerId, blocks: Range<u32>, precision: Precision) -> (PeerId, Result<RemoteHop>) {
        let opened = RemoteHop::open(&self.peers, peer, blocks, &self.wanted, precision).await;
        (
            peer,
            match opened {
                Ok(hop) if (hop.max_step_tokens() as usize) < PREFILL.min(self.wanted.max_tokens as usize) => {
                    hop.close().await;
                    Err(Error::resource_exhausted("the host takes too short steps").with("peer", peer))
                }
                opened => opened,
            },
        )
    }

    /// How long until the first of the hosts that are only busy is worth asking again.
    fn busy(&self) -> Option<Duration> {
        let busy = self.failed.values().filter(|error| error.code() == ErrorCode::Busy);
        busy.map(retry_after).filter(|pause| *pause <= BUSY).min()
    }

    /// Asks once more who provides the model: somebody may have come. Those that failed are not asked.
    async fn look_again(&mut self) {
        let failed: Vec<PeerId> = self.failed.keys().copied().collect();
        let (model, blocks) = (&self.wanted.model, self.coverage.blocks);
        let looking = chain::coverage(
            self.peers.as_ref(),
            self.policy.as_ref(),
            model,
            blocks,
            &failed,
            self.wanted.wishes.min_tier,
        );
        // Without an answer in time, what was known stays: the gap is then named with it.
        let Ok(Ok(mut coverage)) = tokio::time::timeout(LOOK_AGAIN, looking).await else { return };
        let known = std::mem::take(&mut self.coverage.hosts);
        let gone = known.into_iter().filter(|host| coverage.hosts.iter().all(|other| other.peer != host.peer));
        let gone: Vec<_> = gone.filter(|host| failed.contains(&host.peer)).collect();
        coverage.hosts.extend(gone);
        coverage.hosts.sort_by_key(|host| host.peer.to_bytes());
        self.coverage = coverage;
        self.leave_out();
    }

    /// Says no to the hosts that failed, and to those that would compute the rest of the answer otherwise.
    fn leave_out(&mut self) {
        if let Some(backend) = self.backend {
            self.coverage.keep_to(backend);
        }
        for host in &mut self.coverage.hosts {
            if let Some(error) = self.failed.get(&host.peer) {
                host.refused = Some(error.clone());
            }
        }
    }
}
