//! Bringing a collection to another site: everything sealed anew, under a new key and a new id, while the old site answers.
//!
//! Nothing of the old site is used again, neither a mask nor a share nor a key for checks. A host that left kept its shares of
//! the old polynomials; with shares of the same ones at its successor's other hosts it could be one of t + 1 some day, with shares of
//! new ones it cannot.
//!
//! The new site counts from one transaction on. What hosts keep of a site that does not count, before or after, is on the list of
//! [leftovers](super::leftovers), so that a crash leaves nothing behind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;

use super::delivery::bring;
use super::shape::{CollectionConfig, Record};
use super::site::Site;
use super::state::{Place, Segment, State};
use super::{Current, Inner, blocking};
use crate::vpk::random::fresh;
use crate::vpk::recovery::RecoveryKey;
use crate::vpk::request::Call;
use crate::vpk::{CollectionId, HostName, Owner, PayloadPlace, SegmentStamp};
use crate::{Error, Result};

/// A vector on its way from an old segment to a new one.
struct Moved {
    id: u64,
    values: Vec<i32>,
    length: f32,
    payload: u32,
}

/// What a vector is called in its new segment.
type Row = (u64, Place, f32, u32);

/// What is at the new site.
#[derive(Default)]
struct Placed {
    segments: Vec<(u64, SegmentStamp)>,
    rows: Vec<Row>,
    /// Parts of hosts that could not be reached.
    late: Vec<(usize, Vec<u8>)>,
}

impl Inner {
    /// Brings everything to a new site at these hosts, and reads it from the old one without asking those that are `lost`. With
    /// another recovery key, the one before opens nothing any more.
    pub(super) async fn move_to(
        self: &Arc<Self>,
        record: &mut Record,
        hosts: Vec<HostName>,
        lost: &[usize],
        recovery: Option<RecoveryKey>,
    ) -> Result<()> {
        let old = self.current();
        let key = old.key.next_epoch()?;
        let config = CollectionConfig { hosts, ..old.site.config.clone() };
        config.check()?;
        let owner = config.owner(&key)?;
        let site = Arc::new(Site::new(CollectionId(fresh()?), config, &self.hosts, |_| Ok(false))?);
        let all = site.config.hosts.clone();
        {
            let (id, hosts) = (site.id, all.clone());
            self.write(move |change| change.leave(id, &hosts)).await?;
        }
        let moved = async {
            let mut placed = self.bring_all(&old, &site, &owner, lost).await?;
            let next = Current { state: moved(&old.state, &placed)?, key: key.clone(), owner, site: site.clone() };
            let new_record = record.moved(site.id, &all, &key);
            self.commit_move(&old, &next, &new_record, &mut placed, recovery).await?;
            Ok((next, new_record))
        };
        let (next, new_record) = match moved.await {
            Ok(done) => done,
            Err(error) => {
                self.sweep().await.and(self.sweep_in_background().await)?;
                return Err(error);
            }
        };
        *record = new_record;
        self.change_current(|current| *current = next);
        self.dirty.store(true, Ordering::Release);
        let delivered = self.deliver_all(true).await;
        self.publish().await?;
        // The old site is forgotten wherever that can be told; nothing is searched there any more.
        self.sweep().await?;
        self.sweep_in_background().await?;
        delivered
    }

    /// Makes the new site, and seals into it all that is sealed and was not deleted.
    async fn bring_all(&self, old: &Current, site: &Site, owner: &Arc<dyn Owner>, lost: &[usize]) -> Result<Placed> {
        for made in join_all((0..site.hosts.len()).map(|host| site.call(host, site.config.creation()))).await {
            made?;
        }
        let mut placed = Placed::default();
        let mut waiting = VecDeque::new();
        let most = site.config.segment();
        for segment in old.state.segments.values() {
            waiting.extend(read(old, segment, lost).await?);
            while waiting.len() >= most {
                place(site, owner, waiting.drain(..most).collect(), &mut placed).await?;
            }
        }
        if !waiting.is_empty() {
            place(site, owner, waiting.into(), &mut placed).await?;
        }
        Ok(placed)
    }

    /// Writes the new state down in one transaction.
    async fn commit_move(
        &self,
        old: &Current,
        next: &Current,
        record: &Record,
        placed: &mut Placed,
        recovery: Option<RecoveryKey>,
    ) -> Result<()> {
        let with_payload = old.state.known.iter().filter(|(_, known)| known.payload > 0);
        let payloads: Vec<PayloadPlace> =
            with_payload.map(|(id, known)| PayloadPlace { id: *id, version: known.payload }).collect();
        let late = std::mem::take(&mut placed.late);
        let (segments, rows) = (placed.segments.clone(), placed.rows.clone());
        let (name, key, record) = (self.name.clone(), next.key.clone(), record.clone());
        let (old, site) = (old.site.clone(), next.site.clone());
        late.iter().for_each(|(host, _)| site.set_behind(*host, true));
        self.write(move |change| {
            change.clear_site()?;
            for (host, bytes) in late {
                change.send(host as u32, &site.request(Call::PutSegment(bytes)))?;
            }
            segments.iter().try_for_each(|(order, stamp)| change.segment(*order, stamp))?;
            rows.iter()
                .try_for_each(|(id, place, length, payload)| change.entry(*id, Some(*place), *length, *payload))?;
            payloads.iter().try_for_each(|place| change.parcel(site.hosts.len(), *place, true))?;
            change.leave(site.id, &[])?;
            change.leave(old.id, &old.config.hosts)?;
            change.replace_key(&key)?;
            recovery.iter().try_for_each(|key| change.recovery(key))?;
            change.record(&name, &record)
        })
        .await
    }
}

/// The vectors of a segment that were not deleted.
async fn read(old: &Current, segment: &Segment, lost: &[usize]) -> Result<Vec<Moved>> {
    let stamp = segment.stamp;
    let parts = join_all((0..old.site.hosts.len()).map(async |host| {
        if lost.contains(&host) {
            return None;
        }
        old.site.call(host, Call::FetchSegment(stamp)).await.ok()
    }))
    .await;
    let owner = old.owner.clone();
    let rows = blocking(move || owner.unseal(&stamp, &parts)).await?;
    let rows = rows.into_iter().zip(segment.live.iter());
    Ok(rows
        .filter_map(|(values, live)| {
            let (id, length) = (*live)?;
            let payload = old.state.known.get(&id).map_or(0, |known| known.payload);
            Some(Moved { id, values, length, payload })
        })
        .collect())
}

/// Seals vectors as one segment and brings it to the site.
async fn place(site: &Site, owner: &Arc<dyn Owner>, batch: Vec<Moved>, placed: &mut Placed) -> Result<()> {
    let order = placed.segments.len() as u64;
    for (position, vector) in batch.iter().enumerate() {
        let place = Place { order, position: position as u32 };
        placed.rows.push((vector.id, place, vector.length, vector.payload));
    }
    let (owner, values) = (owner.clone(), batch.into_iter().map(|vector| vector.values).collect::<Vec<_>>());
    let upload = blocking(move || owner.seal(&values)).await?;
    placed.segments.push((order, upload.stamp));
    let late = bring(site, upload).await?;
    // What comes next goes behind it.
    late.iter().for_each(|(host, _)| site.set_behind(*host, true));
    placed.late.extend(late);
    Ok(())
}

/// The state after it, with the same vectors in the tail.
fn moved(old: &State, placed: &Placed) -> Result<State> {
    let mut next = State { generation: old.generation + 1, ..State::default() };
    placed.segments.iter().for_each(|(order, stamp)| next.add_segment(*order, *stamp));
    for (id, place, length, payload) in &placed.rows {
        next.set(*id, Some(*place), *length, *payload, None)?;
    }
    for (id, values) in old.tail.iter() {
        let known = old.known.get(id).ok_or_else(|| Error::internal("a buffered vector is not known"))?;
        next.set(*id, None, known.length, known.payload, Some(values.to_vec()))?;
    }
    Ok(next)
}
