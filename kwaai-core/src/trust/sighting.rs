//! How often this node found peers up, and the `UptimeVC`s that it issues from that.
//!
//! An `UptimeVC` is worth what its issuer saw. Each look at a peer is a sample, kept as counts of a day; the credential says
//! how many samples there were, over which window, and what share of them found the peer up. Looks are no experience: a peer
//! that is up has not answered anything rightly yet, so that no score moves.

use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};

use super::TrustGraph;
use super::claims::{Claims, UptimeClaims, Window};
use super::credential::Credential;
use super::experience::{HORIZON_DAYS, day_of};
use crate::identity::Did;
use crate::store::existing;
use crate::{Error, Result};

/// Days of peers that are kept, one for each peer and day: 4,096 peers over 64 days.
pub const MAX_SIGHTING_DAYS: u64 = 4096 * 64;

/// Whom a running node looked at within so many days, it looks at again.
const WATCHED_DAYS: i64 = 7;

/// First look, last look, found up, looks; instants in milliseconds since 1970.
type Day = (i64, i64, u32, u32);

/// (key of the peer, days since 1970) → the looks of the day.
const SIGHTINGS: TableDefinition<(&[u8; 32], i64), Day> = TableDefinition::new("trust.sightings");

/// How often a peer was found up, over the last 128 days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sightings {
    /// The first look.
    pub from: Timestamp,
    /// The last look.
    pub until: Timestamp,
    /// How often this node looked.
    pub looks: u64,
    /// How often it found the peer up.
    pub up: u64,
}

impl Sightings {
    /// The share of the looks that found the peer up, from 0 to 1.
    pub fn up_share(&self) -> f64 {
        self.up as f64 / self.looks.max(1) as f64
    }
}

impl TrustGraph {
    /// Notes whether a peer was up just now, durably. Blocks the thread.
    ///
    /// # Errors
    /// `invalid_argument` for this node itself; `resource_exhausted` when [`MAX_SIGHTING_DAYS`] are kept; failures of the disk.
    pub fn sight(&self, peer: &Did, up: bool) -> Result<()> {
        if *peer == self.did() {
            return Err(Error::invalid_argument("a node does not look at itself").with("argument", "peer"));
        }
        let now = self.clock.now();
        let (at, day) = (now.as_millisecond(), day_of(now));
        self.store.write(|transaction| {
            let mut table = transaction.open_table(SIGHTINGS)?;
            let key = (peer.public_key(), day);
            let seen = table.get(key)?.map(|row| row.value());
            if seen.is_none() {
                let (first, old) = ((peer.public_key(), i64::MIN), (peer.public_key(), day - HORIZON_DAYS));
                table.retain_in(first..old, |_, _| false)?;
                if table.len()? >= MAX_SIGHTING_DAYS {
                    table.retain(|(_, then), _| then >= day - HORIZON_DAYS)?;
                }
                if table.len()? >= MAX_SIGHTING_DAYS {
                    return Err(Error::resource_exhausted("this node keeps sightings of too many peers")
                        .with("limit", MAX_SIGHTING_DAYS));
                }
            }
            let (first, last, found, looks) = seen.unwrap_or((at, at, 0, 0));
            let row = (first.min(at), last.max(at), found.saturating_add(u32::from(up)), looks.saturating_add(1));
            table.insert(key, row)?;
            Ok(())
        })
    }

    /// How often this node found a peer up; `None` when it never looked within the last 128 days.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn sightings(&self, peer: &Did) -> Result<Option<Sightings>> {
        let today = day_of(self.clock.now());
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(SIGHTINGS))? else { return Ok(None) };
            let mut all: Option<(i64, i64, u64, u64)> = None;
            // Days ahead are from a clock that was put right since.
            for row in table.range((peer.public_key(), today - HORIZON_DAYS)..=(peer.public_key(), today))? {
                let (first, last, found, looks) = row?.1.value();
                let (from, until, up, sum) = all.unwrap_or((first, last, 0, 0));
                let counted = (up + u64::from(found.min(looks)), sum + u64::from(looks));
                all = Some((from.min(first), until.max(last), counted.0, counted.1));
            }
            let instant = |at| Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
            let seen =
                all.map(|(from, until, up, looks)| Sightings { from: instant(from), until: instant(until), looks, up });
            Ok(seen)
        })
    }

    /// Issues an `UptimeVC` about a peer from what this node [saw](TrustGraph::sight) of it.
    ///
    /// # Errors
    /// `not_found` when this node did not look at the peer at two instants at least, which make a window; as
    /// [`TrustGraph::issue`].
    pub async fn issue_uptime(&self, peer: Did, valid_for: Option<Duration>) -> Result<Credential> {
        let graph = self.clone();
        let seen = tokio::task::spawn_blocking(move || graph.sightings(&peer)).await;
        let seen = seen.map_err(|error| Error::internal("reading sightings did not finish").with_source(error))??;
        let seen = seen.filter(|seen| seen.until > seen.from).ok_or_else(|| {
            Error::not_found(format!("this node did not watch {peer}, so that it knows no uptime"))
                .with_remedy("look at the peer now and then, over days, and issue after that")
        })?;
        let window = Window { from: seen.from, until: seen.until, samples: seen.looks };
        self.issue_claims(peer, Claims::Uptime(UptimeClaims { window, up_share: seen.up_share() }), valid_for).await
    }

    /// Whom this node looked at lately.
    pub(crate) fn watched(&self) -> Result<Vec<Did>> {
        let since = day_of(self.clock.now()) - WATCHED_DAYS;
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(SIGHTINGS))? else { return Ok(Vec::new()) };
            let mut found: Vec<Did> = Vec::new();
            for row in table.iter()? {
                let row = row?.0;
                let (key, day) = row.value();
                if let (true, Ok(did)) = (day >= since, Did::from_public_key(*key))
                    && found.last() != Some(&did)
                {
                    found.push(did);
                }
            }
            Ok(found)
        })
    }
}
