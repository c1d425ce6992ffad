//! How often this node found peers up, and the `UptimeVC`s that it issues from that.
//!
//! An `UptimeVC` is worth what its issuer saw. Each look at a peer is a sample, kept as counts of a day; the credential says
//! how many samples there were, over which window, and what share of them found the peer up. Looks are no experience: a peer
//! that is up has not answered anything rightly yet, so that no score moves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition};

use super::TrustGraph;
use super::claims::{Claims, UptimeClaims, Window};
use super::credential::Credential;
use super::experience::{HORIZON_DAYS, MAX_DAYS, day_of};
use crate::blocking::blocking;
use crate::identity::Did;
use crate::store::existing;
use crate::{Error, Result};

/// Days of peers that are kept, one for each peer and day: 1,365 peers over 192 days, or more over fewer.
pub const MAX_SIGHTING_DAYS: u64 = 4096 * 64;

/// So many peers are looked at in one round: each may be looked at for [`MAX_DAYS`] days then, and there is room for all.
const MAX_WATCHED: usize = MAX_SIGHTING_DAYS as usize / MAX_DAYS;

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
    /// `invalid_argument` for this node itself; `resource_exhausted` when [`MAX_SIGHTING_DAYS`] are kept of peers that were looked at
    /// on two days or more; failures of the disk.
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
                    forget_passers_by(&mut table, day)?;
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
        let seen = blocking(move || graph.sightings(&peer)).await?;
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

    /// Which of these connected peers, and of those that this node looked at lately, it looks at next, at most [`MAX_WATCHED`]: first
    /// whom it found up on the most days, then whom it knows by credentials or dealings, then whom it found up at all, then who is
    /// connected. So names that are made up today take no place of those that were there before.
    pub(crate) fn to_watch(&self, connected: &[Did]) -> Result<Vec<Did>> {
        let mut days: BTreeMap<Did, u32> = self.watched()?.into_iter().collect();
        for peer in connected.iter().filter(|peer| **peer != self.did()) {
            days.entry(*peer).or_default();
        }
        if days.len() <= MAX_WATCHED {
            return Ok(days.into_keys().collect());
        }
        let known = self.known(days.keys().copied().collect())?;
        let connected: BTreeSet<&Did> = connected.iter().collect();
        let mut ranked: Vec<Did> = days.keys().copied().collect();
        ranked.sort_by_key(|peer| {
            let seen = days[peer];
            // One day is no history: anybody has that.
            (Reverse(seen.max(1)), !known.contains(peer), Reverse(seen), !connected.contains(peer))
        });
        ranked.truncate(MAX_WATCHED);
        Ok(ranked)
    }

    /// Whom this node looked at lately, and on how many days it found each up.
    fn watched(&self) -> Result<Vec<(Did, u32)>> {
        let today = day_of(self.clock.now());
        let lately = today - WATCHED_DAYS..=today;
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(SIGHTINGS))? else { return Ok(Vec::new()) };
            let mut found: Vec<([u8; 32], u32, bool)> = Vec::new();
            for row in table.iter()? {
                let (key, looks) = row?;
                let ((key, day), (.., up, _)) = (key.value(), looks.value());
                if found.last().is_none_or(|(last, ..)| last != key) {
                    found.push((*key, 0, false));
                }
                if let Some((_, days, recent)) = found.last_mut() {
                    *days += u32::from(up > 0 && day <= today);
                    *recent |= lately.contains(&day);
                }
            }
            let recent = found.into_iter().filter(|(.., recent)| *recent);
            Ok(recent.filter_map(|(key, days, _)| Some((Did::from_public_key(key).ok()?, days))).collect())
        })
    }
}

/// Makes room by forgetting who was looked at on one day alone, and not on this one.
fn forget_passers_by(table: &mut Table<'_, Key, Day>, day: i64) -> Result<()> {
    let mut days: BTreeMap<[u8; 32], (u32, i64)> = BTreeMap::new();
    for row in table.iter()? {
        let row = row?.0;
        let (key, then) = row.value();
        let (count, last) = days.entry(*key).or_default();
        (*count, *last) = (*count + 1, then);
    }
    table.retain(|(key, _), _| !days.get(key).is_some_and(|(count, last)| *count == 1 && *last != day))?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ErrorCode;
    use crate::clock::{Clock, ManualClock};
    use crate::identity::Keypair;
    use crate::store::Store;
    use crate::trust::{Observation, Outcome};

    const DAY: Duration = Duration::from_secs(86_400);

    fn key(number: u32) -> Did {
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        Keypair::from_seed(seed).did().unwrap()
    }

    fn graph() -> (TrustGraph, ManualClock) {
        let clock: ManualClock = "2026-06-01T10:30:00Z".parse().unwrap();
        let signer = Keypair::from_seed([1; 32]).signer().unwrap();
        (TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(clock.clone())).unwrap(), clock)
    }

    #[test]
    fn names_made_up_today_take_no_place_of_peers_that_were_there_before() {
        let (watcher, clock) = graph();
        let (old, known, once, silent) = (key(1), key(2), key(3), key(4));
        for day in 0..3 {
            watcher.sight(&old, day > 0).unwrap();
            watcher.sight(&silent, false).unwrap();
            clock.advance(DAY);
        }
        watcher.sight(&once, true).unwrap();
        for _ in 0..5 {
            watcher.record(&known, Observation::new(Outcome::Good, clock.now())).unwrap();
        }
        let mut connected: Vec<Did> = (1000..1000 + MAX_WATCHED as u32).map(key).collect();
        connected.extend([known, watcher.did()]);
        let watched = watcher.to_watch(&connected).unwrap();
        assert_eq!(watched.len(), MAX_WATCHED);
        assert_eq!(watched[..3], [old, known, once]);
        assert!(!watched.contains(&silent), "it was never up, and is not connected");
        clock.advance(8 * DAY);
        assert_eq!(watcher.to_watch(&[known]).unwrap(), [known], "the others were not looked at for a week");
    }

    #[test]
    fn a_full_table_forgets_who_was_looked_at_on_one_day_alone() {
        let (watcher, clock) = graph();
        let today = day_of(clock.now());
        let fill = |days: i64| {
            watcher.store.write(|transaction| {
                let mut table = transaction.open_table(SIGHTINGS)?;
                table.retain(|_, _| false)?;
                for number in 0..MAX_SIGHTING_DAYS {
                    let mut key = [0; 32];
                    key[..8].copy_from_slice(&(number / days as u64).to_be_bytes());
                    table.insert((&key, today - 1 - (number % days as u64) as i64), (0, 0, 1, 1))?;
                }
                Ok(())
            })
        };
        fill(1).unwrap();
        watcher.sight(&key(1), true).unwrap();
        assert_eq!(watcher.sightings(&key(1)).unwrap().unwrap().looks, 1);
        fill(2).unwrap();
        let full = watcher.sight(&key(1), true).unwrap_err();
        assert_eq!((full.code(), full.context().contains_key("limit")), (ErrorCode::ResourceExhausted, true));
    }
}
