//! A new key for what is there.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::shape::Record;
use super::state::{Place, State};
use super::{Collection, Inner, blocking};
use crate::vpk::request::{Call, Request};
use crate::vpk::{CollectionKey, Owner, PayloadPlace, SegmentStamp};
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

/// What is at the hosts under the new key.
#[derive(Default)]
struct Placed {
    segments: Vec<(u64, SegmentStamp)>,
    rows: Vec<Row>,
    /// Parts of hosts that could not be reached.
    late: Vec<(usize, Vec<u8>)>,
}

impl Collection {
    /// Seals everything anew under the key of the next epoch, without the vectors that were deleted, and has the hosts forget
    /// what they had. Nothing is embedded again. Whoever knows the old key reads nothing that is brought to the hosts from now
    /// on; what it copied before, it has.
    ///
    /// The hosts need room for both meanwhile, and searches wait. It happens or it does not: a crash leaves the old key or the
    /// new one.
    ///
    /// # Errors
    /// What a host answers that is needed; `corrupt_data` when a host hands out something else than was brought there.
    pub async fn rotate(&self) -> Result<()> {
        self.change(|inner| async move { inner.rotate().await }).await
    }
}

impl Inner {
    async fn rotate(&self) -> Result<()> {
        let mut record = self.lock().await?;
        self.deliver_all(false).await?;
        let (state, (key, owner)) = (self.state(), self.owner());
        let next_key = key.next_epoch()?;
        let next_owner = self.config.owner(&next_key)?;
        let mut new_record = record.clone();
        new_record.epoch = next_key.epoch();

        let vectors = self.fetch_all(&state, &owner).await?;
        let mut placed = Placed::default();
        let done = async {
            self.place_all(&next_owner, vectors, state.next_order(), &mut placed).await?;
            let next = moved(&state, &placed)?;
            self.commit_rotation(&state, &key, &next_key, &new_record, &mut placed).await?;
            Ok(next)
        };
        let next = match done.await {
            Ok(next) => next,
            Err(error) => {
                for (_, stamp) in placed.segments {
                    self.take_back(stamp, &[]).await;
                }
                return Err(error);
            }
        };
        *record = new_record;
        self.hosts.iter().for_each(|host| host.behind.store(true, Ordering::Release));
        self.change_state(|state| {
            *state = next;
            Ok(())
        })?;
        *self.owner.write().unwrap_or_else(PoisonError::into_inner) = (next_key, next_owner);
        self.dirty.store(true, Ordering::Release);
        // The old segments are forgotten as soon as a host can be told; nothing is searched there before.
        self.deliver_all(true).await?;
        self.publish().await
    }

    /// The sealed vectors that were not deleted, in the order of their ids.
    async fn fetch_all(&self, state: &State, owner: &Arc<dyn Owner>) -> Result<Vec<Moved>> {
        let mut vectors = Vec::new();
        for segment in state.segments.values() {
            let mut parts = Vec::with_capacity(self.hosts.len());
            for host in 0..self.hosts.len() {
                parts.push(self.call(host, Call::FetchSegment(segment.stamp)).await.ok());
            }
            let (owner, stamp) = (owner.clone(), segment.stamp);
            let rows = blocking(move || owner.unseal(&stamp, &parts)).await?;
            for (values, live) in rows.into_iter().zip(segment.live.iter()) {
                let Some((id, length)) = *live else { continue };
                let payload = state.known.get(&id).map_or(0, |known| known.payload);
                vectors.push(Moved { id, values, length, payload });
            }
        }
        vectors.sort_unstable_by_key(|vector| vector.id);
        Ok(vectors)
    }

    /// Seals vectors under a key and brings them to the hosts. What was brought stands in `placed`, also after an error.
    async fn place_all(
        &self,
        owner: &Arc<dyn Owner>,
        vectors: Vec<Moved>,
        first: u64,
        placed: &mut Placed,
    ) -> Result<()> {
        for (number, batch) in vectors.chunks(self.config.segment()).enumerate() {
            let values = batch.iter().map(|vector| vector.values.clone()).collect();
            let (stamp, late) = self.place(owner.clone(), values).await?;
            let order = first + number as u64;
            placed.segments.push((order, stamp));
            placed.late.extend(late);
            for (position, vector) in batch.iter().enumerate() {
                let place = Place { order, position: position as u32 };
                placed.rows.push((vector.id, place, vector.length, vector.payload));
            }
        }
        Ok(())
    }

    /// Writes the new state down in one transaction, and what the hosts are to forget.
    async fn commit_rotation(
        &self,
        old: &State,
        old_key: &CollectionKey,
        key: &CollectionKey,
        record: &Record,
        placed: &mut Placed,
    ) -> Result<()> {
        let gone: Vec<(u64, SegmentStamp)> = old.segments.iter().map(|(at, segment)| (*at, segment.stamp)).collect();
        let mut payloads = Vec::new();
        for (id, known) in old.known.iter().filter(|(_, known)| known.payload > 0) {
            let place = PayloadPlace { id: *id, version: known.payload };
            payloads.push((place, old_key.payload_name(place)?));
        }
        let (id, hosts, name) = (self.id, self.hosts.len(), self.name.clone());
        let (key, record, late) = (key.clone(), record.clone(), std::mem::take(&mut placed.late));
        let (segments, rows) = (placed.segments.clone(), placed.rows.clone());
        self.write(move |change| {
            let request = |call| Request { collection: id, capability: None, call };
            for (host, bytes) in late {
                change.send(host as u32, &request(Call::PutSegment(bytes)))?;
            }
            for host in 0..hosts as u32 {
                for (_, stamp) in &gone {
                    change.send(host, &request(Call::RemoveSegment(*stamp)))?;
                }
                for (_, payload) in &payloads {
                    change.send(host, &request(Call::RemovePayload(*payload)))?;
                }
            }
            gone.iter().try_for_each(|(order, _)| change.remove_segment(*order))?;
            segments.iter().try_for_each(|(order, stamp)| change.segment(*order, stamp))?;
            rows.iter()
                .try_for_each(|(id, place, length, payload)| change.entry(*id, Some(*place), *length, *payload))?;
            payloads.iter().try_for_each(|(place, _)| change.parcel(hosts, *place, true))?;
            change.replace_key(&key)?;
            change.record(&name, &record)
        })
        .await
    }
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
