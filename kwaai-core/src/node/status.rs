//! Carrying status lists between nodes, since there is no web server to fetch them from.
//!
//! The unary method `kwaainet.trust.status` takes `{"issuer": DID, "url": name}` as JSON and answers with the status list of
//! that name as its issuer signed it: one of the node's own, or one that it keeps for a credential in its wallet. It is open
//! to everybody, because lists say nothing about who holds what.
//!
//! A list that is wanted is asked of the peer that showed the credential, which keeps the list of its own credential at hand,
//! then of the issuer, then of the nodes that announce in the DHT that they have it. Whoever answers, the list is checked as
//! if it came from a stranger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use libp2p::PeerId;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::Node;
use crate::identity::Did;
use crate::net::{Peers, UnaryHandler};
use crate::trust::{Purpose, TrustGraph, WantedStatusList};
use crate::{Error, Result};

const METHOD: &str = "kwaainet.trust.status";
const TIMEOUT: Duration = Duration::from_secs(5);
/// Peers of the DHT that have gone are waited for, several times in a row.
const DHT_TIMEOUT: Duration = Duration::from_secs(30);
/// A question is a DID and a name of a list.
const MAX_QUESTION: usize = 4096;
/// So many holders of a list are asked for it.
const MAX_HOLDERS: usize = 4;
/// So long an issuer is not asked again for a list that could not be had, while somebody waits.
const MISSED: Duration = Duration::from_secs(60);
/// So many lists of issuers that this node does not trust are looked for in one round.
const MAX_WANTED: usize = 256;
/// So many lists are fetched at the same time.
const PARALLEL: usize = 8;
/// So many lists of others are announced in the DHT; a node's own all are, as far as its table of keys reaches.
const MAX_ANNOUNCED: usize = 64;
/// How often a running node looks for newer copies. A list is wanted from the middle of its time on, hours before it is stale.
const ROUND: Duration = Duration::from_secs(600);

/// What looking for status lists brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusRefresh {
    /// How many lists came and were kept.
    pub fetched: usize,
    /// Those of which nobody had a young copy. Credentials that name them count half once the kept copy is stale.
    pub missing: Vec<WantedStatusList>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    issuer: String,
    url: String,
}

/// Fetches and hands out status lists.
pub(super) struct StatusLists {
    trust: TrustGraph,
    // Weak: the network holds the gate, and the gate holds this.
    peers: Weak<dyn Peers>,
    announced: Mutex<BTreeSet<String>>,
    /// Which lists could not be had when they were asked for last, and when that was.
    missed: Mutex<BTreeMap<WantedStatusList, Instant>>,
}

impl StatusLists {
    /// Begins to answer.
    pub(super) fn serve(peers: &Arc<dyn Peers>, trust: TrustGraph) -> Result<StatusLists> {
        peers.serve_unary(METHOD, Purpose::Open, Arc::new(HandOut(trust.clone())))?;
        Ok(StatusLists { trust, peers: Arc::downgrade(peers), announced: Mutex::default(), missed: Mutex::default() })
    }

    /// Fetches what is wanted and announces what is at hand.
    async fn refresh(&self) -> Result<StatusRefresh> {
        let mut wanted = self.trust.wanted_status_lists()?;
        // Those of trusted issuers come first. Of more than a round can ask for, others have their turn in the next ones.
        if wanted.len() > MAX_WANTED {
            let named = self.trust.issuers()?.into_iter().map(|issuer| issuer.did).collect::<BTreeSet<_>>();
            let first = wanted.iter().take_while(|list| named.contains(&list.issuer)).count();
            let late = &mut wanted[first..];
            late.shuffle(&mut rand::rng());
            wanted.truncate(first.max(MAX_WANTED));
        }
        let fetched = self.fetch_all(wanted, None).await?;
        // What has just come is announced too.
        self.announce().await?;
        Ok(fetched)
    }

    /// Fetches what is wanted of these issuers, of the peer that showed their credentials first.
    pub(super) async fn fetch_shown(&self, shown_by: PeerId, issuers: &BTreeSet<Did>) -> Result<()> {
        let wanted = self.trust.wanted_of(issuers)?;
        let refresh = self.fetch_all(wanted, Some(shown_by)).await?;
        let now = Instant::now();
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.extend(refresh.missing.into_iter().map(|list| (list, now)));
        Ok(())
    }

    async fn fetch_all(&self, wanted: Vec<WantedStatusList>, shown_by: Option<PeerId>) -> Result<StatusRefresh> {
        let peers = self.peers()?;
        let fetched: Vec<Option<WantedStatusList>> =
            stream::iter(wanted).map(|list| self.fetch(&*peers, shown_by, list)).buffered(PARALLEL).collect().await;
        let count = fetched.iter().filter(|missing| missing.is_none()).count();
        Ok(StatusRefresh { fetched: count, missing: fetched.into_iter().flatten().collect() })
    }

    fn peers(&self) -> Result<Arc<dyn Peers>> {
        self.peers.upgrade().ok_or_else(|| Error::closed("the network was shut down"))
    }

    /// The list itself when it could not be had.
    async fn fetch(
        &self,
        peers: &dyn Peers,
        shown_by: Option<PeerId>,
        list: WantedStatusList,
    ) -> Option<WantedStatusList> {
        let (local, mut asked) = (peers.local_peer(), BTreeSet::new());
        // An issuer that is gone does not hold up everybody who shows its credentials.
        let issuer = list.issuer.to_peer_id().ok().filter(|_| shown_by.is_none() || !self.was_missed(&list));
        let first = shown_by.into_iter().chain(issuer);
        for holder in first {
            if holder != local && asked.insert(holder) && self.ask(peers, holder, &list).await {
                return None;
            }
        }
        if shown_by.is_some() {
            // Somebody waits to be let in; the next round asks the DHT.
            return Some(list);
        }
        let holders = tokio::time::timeout(DHT_TIMEOUT, peers.providers(&key(&list.url))).await;
        let holders = holders.ok().and_then(Result::ok).unwrap_or_default();
        for holder in holders.into_iter().take(MAX_HOLDERS) {
            if asked.insert(holder) && self.ask(peers, holder, &list).await {
                return None;
            }
        }
        Some(list)
    }

    fn was_missed(&self, list: &WantedStatusList) -> bool {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.retain(|_, at| at.elapsed() < MISSED);
        missed.contains_key(list)
    }

    async fn ask(&self, peers: &dyn Peers, holder: PeerId, list: &WantedStatusList) -> bool {
        let kept = async {
            let question = Question { issuer: list.issuer.to_string(), url: list.url.clone() };
            let body = serde_json::to_vec(&question)
                .map_err(|error| Error::internal("a question could not be written as JSON").with_source(error))?;
            let answer = peers.call(holder, METHOD, body.into(), TIMEOUT).await?;
            let text = std::str::from_utf8(&answer)
                .map_err(|_| Error::invalid_argument("the peer's status list is not UTF-8"))?;
            self.trust.settle_status_list(list, text).await
        };
        match kept.await {
            Ok(settled) => settled,
            Err(error) => {
                tracing::debug!(peer = %holder, code = %error.code(), "a status list could not be had of a peer");
                false
            }
        }
    }

    /// Says in the DHT which lists can be had here: each once, since the DHT repeats it by itself.
    async fn announce(&self) -> Result<()> {
        let peers = self.peers()?;
        let own = self.trust.status_lists()?.into_iter().map(|url| url.to_string());
        let held = self.trust.kept_status_lists()?.into_iter().take(MAX_ANNOUNCED);
        let current: BTreeSet<String> = own.chain(held).collect();
        let (new, gone): (Vec<String>, Vec<String>) = {
            let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
            (current.difference(&announced).cloned().collect(), announced.difference(&current).cloned().collect())
        };
        for url in gone {
            // Whoever asks for it meanwhile is told that it is not here.
            if tokio::time::timeout(DHT_TIMEOUT, peers.withdraw(&key(&url))).await.is_ok_and(|told| told.is_ok()) {
                self.announced.lock().unwrap_or_else(PoisonError::into_inner).remove(&url);
            }
        }
        // Without a peer in the DHT there is nobody to tell; the next round tries again.
        let told: Vec<Option<String>> = stream::iter(new)
            .map(|url| async {
                let told = tokio::time::timeout(DHT_TIMEOUT, peers.announce(&key(&url))).await;
                told.is_ok_and(|told| told.is_ok()).then_some(url)
            })
            .buffered(PARALLEL)
            .collect()
            .await;
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).extend(told.into_iter().flatten());
        Ok(())
    }
}

impl Node {
    /// Looks at once for the status lists that this node [wants](TrustGraph::wanted_status_lists), at their issuers and at the
    /// nodes that announce copies, and announces those that it has. A running node does this by itself every ten minutes, and
    /// when a peer shows it a credential that can be withdrawn.
    ///
    /// # Errors
    /// `closed` after a shutdown; failures of the disk. A list that cannot be had is no error.
    pub async fn refresh_status_lists(&self) -> Result<StatusRefresh> {
        self.open()?;
        self.inner.gate.status_lists()?.refresh().await
    }

    /// Looks for status lists until the node is shut down or dropped.
    pub(super) fn keep_status_lists(&self) {
        self.every(ROUND, "looking for status lists", |inner| {
            let lists = inner.gate.status_lists();
            async move { lists?.refresh().await.map(drop) }
        });
    }
}

/// Under which key the holders of a list are found.
fn key(url: &str) -> String {
    format!("status/{url}")
}

struct HandOut(TrustGraph);

#[async_trait]
impl UnaryHandler for HandOut {
    async fn call(&self, _caller: PeerId, body: Bytes) -> Result<Bytes> {
        let question: Option<Question> = match body.len() {
            0..=MAX_QUESTION => serde_json::from_slice(&body).ok(),
            _ => None,
        };
        let question = question.ok_or_else(|| {
            Error::invalid_argument("not a question for a status list: an object with `issuer` and `url`")
        })?;
        let issuer: Did = question.issuer.parse()?;
        self.0.status_list(&issuer, &question.url).await.map(Bytes::from)
    }
}
