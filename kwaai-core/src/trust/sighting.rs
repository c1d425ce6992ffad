//! How often this node found peers up, and the `UptimeVC`s that it issues from that.
//!
//! An `UptimeVC` is worth what its issuer saw. Each look at a peer is a sample, kept as counts of a day; the credential says
//! how many samples there were, over which window, and what share of them found the peer up. Looks are no experience: a peer
//! that is up has not answered anything rightly yet, so that no score moves.

use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition};

use super::TrustGraph;
use super::claims::{Claims, UptimeClaims, Window};
use super::credential::Credential;
use super::experience::{HORIZON_DAYS, MAX_DAYS, day_of};
use crate::identity::Did;
use crate::store::existing;
use crate::{Error, Result};

/// Days of peers that are kept, one for each peer and day: 4,096 peers over 64 days.
pub const MAX_SIGHTING_DAYS: u64 = 4096 * 64;

/// Whom a running node looked at within so many days, it looks at again.
const WATCHED_DAYS: i64 = 7;

/// First look, last look, found up, looks; instants in milliseconds since 1970.
type Day = (i64, i64, u32, u32);

/// The key of the peer, and days since 1970.
type Key = (&'static [u8; 32], i64);

/// Peer and day → the looks of the day.
const SIGHTINGS: TableDefinition<Key, Day> = TableDefinition::new("trust.sightings");

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
    /// On how many days it looked.
    pub days: u64,
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
                forget_farthest(&mut table, peer, day)?;
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
        let now = self.clock.now();
        let today = day_of(now);
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(SIGHTINGS))? else { return Ok(None) };
            let mut all: Option<(i64, i64, u64, u64)> = None;
            let mut days = 0;
            // Days ahead, and looks ahead within today, are from a clock that was put right since.
            for row in table.range((peer.public_key(), today - HORIZON_DAYS)..=(peer.public_key(), today))? {
                let (first, last, found, looks) = row?.1.value();
                let (from, until, up, sum) = all.unwrap_or((first, last, 0, 0));
                let counted = (up + u64::from(found.min(looks)), sum + u64::from(looks));
                days += 1;
                all = Some((from.min(first), until.max(last), counted.0, counted.1));
            }
            let instant = |at| Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
            Ok(all.map(|(from, until, up, looks)| Sightings {
                from: instant(from).min(now),
                until: instant(until).min(now),
                looks,
                up,
                days,
            }))
        })
    }

    /// Issues an `UptimeVC` about a peer from what this node [saw](TrustGraph::sight) of it.
    ///
    /// # Errors
    /// `not_found` when this node did not look at the peer at two instants at least, which make a window, or looked on fewer than half
    /// of the window's days; as [`TrustGraph::issue`].
    pub async fn issue_uptime(&self, peer: Did, valid_for: Option<Duration>) -> Result<Credential> {
        let graph = self.clone();
        let seen = tokio::task::spawn_blocking(move || graph.sightings(&peer)).await;
        let seen = seen.map_err(|error| Error::internal("reading sightings did not finish").with_source(error))??;
        let watched = |seen: &Sightings| {
            let days = day_of(seen.until) - day_of(seen.from) + 1;
            seen.until > seen.from && 2 * seen.days >= u64::try_from(days).unwrap_or(u64::MAX)
        };
        let seen = seen.filter(watched).ok_or_else(|| {
            Error::not_found(format!("this node did not watch {peer}, so that it knows no uptime"))
                .with_remedy("look at the peer now and then, over days, and issue after that")
        })?;
        let window = Window { from: seen.from, until: seen.until, samples: seen.looks };
        self.issue_claims(peer, Claims::Uptime(UptimeClaims { window, up_share: seen.up_share() }), valid_for).await
    }

    /// Whom this node looked at lately.
    pub(crate) fn watched(&self) -> Result<Vec<Did>> {
        let today = day_of(self.clock.now());
        let lately = today - WATCHED_DAYS..=today;
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(SIGHTINGS))? else { return Ok(Vec::new()) };
            let mut found: Vec<Did> = Vec::new();
            for row in table.iter()? {
                let row = row?.0;
                let (key, day) = row.value();
                if let (true, Ok(did)) = (lately.contains(&day), Did::from_public_key(*key))
                    && found.last() != Some(&did)
                {
                    found.push(did);
                }
            }
            Ok(found)
        })
    }
}

/// Makes room for one more day of a peer: the days go first that are farthest from this one, whichever clock wrote them.
fn forget_farthest(table: &mut Table<'_, Key, Day>, peer: &Did, day: i64) -> Result<()> {
    let key = peer.public_key();
    loop {
        let mut days = Vec::new();
        for row in table.range((key, i64::MIN)..=(key, i64::MAX))? {
            days.push(row?.0.value().1);
        }
        if days.len() < MAX_DAYS {
            return Ok(());
        }
        if let Some(farthest) = days.into_iter().max_by_key(|other| other.abs_diff(day)) {
            table.remove((key, farthest))?;
        }
    }
}
