//! A new key for what is there.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::shape::Record;
use super::state::{Place, State};
use super::{Collection, Inner, blocking};
use crate::vpk::request::{Call, Request};
use crate::vpk::{PayloadPlace, SegmentStamp};
use crate::{Error, Result};

/// What a vector is called in its new segment.
type Row = (u64, Place, f32, u32);

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
        let mut record = self.writing.lock().await;
        self.deliver_all(false).await?;
        let (state, (key, owner)) = (self.state(), self.owner());
        let next_key = key.next_epoch()?;
        let next_owner = self.config.owner(&next_key)?;

        let mut vectors: BTreeMap<u64, (Vec<i32>, f32, u32)> = BTreeMap::new();
        for segment in state.segments.values() {
            let mut parts = Vec::with_capacity(self.hosts.len());
            for host in 0..self.hosts.len() {
                parts.push(self.call(host, Call::FetchSegment(segment.stamp)).await.ok());
            }
            let (owner, stamp) = (owner.clone(), segment.stamp);
            let rows = blocking(move || owner.unseal(&stamp, &parts)).await?;
            for (row, live) in rows.into_iter().zip(segment.live.iter()) {
                let Some((id, length)) = live else { continue };
                let payload = state.known.get(id).map_or(0, |known| known.payload);
                vectors.insert(*id, (row, *length, payload));
            }
        }

        let mut next = State { generation: state.generation + 1, tail: state.tail.clone(), ..State::default() };
        let (mut rows, mut late): (Vec<Row>, Vec<(usize, Vec<u8>)>) = (Vec::new(), Vec::new());
        let (first, mut placed) = (state.next_order(), Vec::new());
        let mut vectors = vectors.into_iter().peekable();
        while vectors.peek().is_some() {
            let batch: Vec<(u64, (Vec<i32>, f32, u32))> = vectors.by_ref().take(self.config.segment()).collect();
            let values = batch.iter().map(|(_, (values, ..))| values.clone()).collect();
            let put = self.place(next_owner.clone(), values).await;
            let (stamp, waiting) = match put {
                Ok(put) => put,
                Err(error) => {
                    for stamp in placed {
                        self.take_back(stamp, &[]).await;
                    }
                    return Err(error);
                }
            };
            let order = first + placed.len() as u64;
            placed.push(stamp);
            late.extend(waiting);
            next.add_segment(order, stamp);
            for (position, (id, (_, length, payload))) in batch.into_iter().enumerate() {
                rows.push((id, Place { order, position: position as u32 }, length, payload));
            }
        }
        for (id, place, length, payload) in &rows {
            next.set(*id, Some(*place), *length, *payload, None)?;
        }
        for (id, values) in state.tail.iter() {
            let known = state.known.get(id).ok_or_else(|| Error::internal("a buffered vector is not known"))?;
            next.set(*id, None, known.length, known.payload, Some(values.to_vec()))?;
        }

        let mut new_record = record.clone();
        new_record.epoch = next_key.epoch();
        let committed =
            self.commit_rotation(&state, &key, next_key.clone(), new_record.clone(), rows, late, &placed).await;
        if let Err(error) = committed {
            for stamp in placed {
                self.take_back(stamp, &[]).await;
            }
            return Err(error);
        }
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

    /// Writes the new state down in one transaction, and what the hosts are to forget.
    #[expect(clippy::too_many_arguments, reason = "the parts of one transaction")]
    async fn commit_rotation(
        &self,
        old: &State,
        old_key: &crate::vpk::CollectionKey,
        key: crate::vpk::CollectionKey,
        record: Record,
        rows: Vec<Row>,
        late: Vec<(usize, Vec<u8>)>,
        placed: &[SegmentStamp],
    ) -> Result<()> {
        let first = old.next_order();
        let placed: Vec<(u64, SegmentStamp)> = (first..).zip(placed.iter().copied()).collect();
        let gone: Vec<(u64, SegmentStamp)> = old.segments.iter().map(|(at, segment)| (*at, segment.stamp)).collect();
        let mut payloads = Vec::new();
        for (id, known) in old.known.iter().filter(|(_, known)| known.payload > 0) {
            let place = PayloadPlace { id: *id, version: known.payload };
            payloads.push((place, old_key.payload_name(place)?));
        }
        let (id, hosts, name) = (self.id, self.hosts.len(), self.name.clone());
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
            placed.iter().try_for_each(|(order, stamp)| change.segment(*order, stamp))?;
            rows.iter()
                .try_for_each(|(id, place, length, payload)| change.entry(*id, Some(*place), *length, *payload))?;
            payloads.iter().try_for_each(|(place, _)| change.parcel(hosts, *place, true))?;
            change.replace_key(&key)?;
            change.record(&name, &record)
        })
        .await
    }
}
