//! Putting vectors in and taking them out.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use tokio::sync::MutexGuard;

use super::item::Item;
use super::shape::Record;
use super::state::Place;
use super::{Collection, Current, Inner, blocking};
use crate::vpk::request::Call;
use crate::vpk::{PayloadPlace, Quantized, SegmentStamp};
use crate::{Error, Result};

/// Vectors that wait for being sealed; more are refused while no host takes them.
const MAX_TAIL: usize = 65_536;

/// A vector as it is written down.
struct Row {
    id: u64,
    quantized: Quantized,
    /// The version, and the bytes.
    payload: Option<(u32, Vec<u8>)>,
    /// The version of the one it replaces.
    old_payload: Option<u32>,
}

impl Collection {
    /// Puts vectors in, all or none; those with an id that is there replace it. They are durable and found when this returns,
    /// and go to the hosts as soon as there are enough for a segment.
    ///
    /// # Errors
    /// `invalid_argument` for a vector of another length, with a value that is not finite, or without a direction where cosines
    /// are compared, and for a payload that is too long; `conflict` while a knowledge base [has](crate::rag::Rag::outsource) its vectors
    /// here; `resource_exhausted` when too many wait for hosts that do not take them; failures of the disk.
    pub async fn upsert(&self, items: Vec<Item>) -> Result<()> {
        self.change(|inner| async move { inner.upsert(items, None).await }).await
    }

    /// Takes vectors out, with their payloads, and answers how many there were. The hosts keep the numbers of those until
    /// their segment is empty, or [`rotate`](Collection::rotate) leaves them out.
    ///
    /// # Errors
    /// `conflict` while a knowledge base [has](crate::rag::Rag::outsource) its vectors here; failures of the disk.
    pub async fn delete(&self, ids: Vec<u64>) -> Result<usize> {
        self.change(|inner| async move { inner.delete(ids, None).await }).await
    }

    /// Seals what is buffered and brings everything to the hosts, the manifest too.
    ///
    /// # Errors
    /// What a host answers that is needed: `unreachable`, `resource_exhausted`, `permission_denied` and others. Nothing is lost
    /// then, and everything is found as before.
    pub async fn flush(&self) -> Result<()> {
        self.change(|inner| async move {
            let record = inner.lock().await?;
            inner.sweep().await?;
            inner.deliver_all(true).await?;
            inner.seal_tail(&record, 1).await?;
            inner.publish().await
        })
        .await
    }
}

impl Inner {
    /// Puts in what a knowledge base brings, or the app where none is named.
    pub(super) async fn upsert(&self, items: Vec<Item>, knowledge: Option<&str>) -> Result<()> {
        let mut record = self.lock().await?;
        self.check_whose(record.knowledge.as_deref(), knowledge)?;
        let Current { state, owner, site, .. } = self.current();
        let (rows, versions) = {
            let (known, mut versions) = (state.known.clone(), record.versions);
            blocking(move || {
                let mut rows = Vec::with_capacity(items.len());
                let mut seen = BTreeSet::new();
                // The last one of an id counts.
                for item in items.iter().rev().filter(|item| seen.insert(item.id)) {
                    let quantized =
                        owner.quantizer().quantize(&item.vector).map_err(|error| error.with("id", item.id))?;
                    let payload = match item.packed().map_err(|error| error.with("id", item.id))? {
                        Some(packed) => {
                            let spent = || Error::resource_exhausted("the collection has had too many payloads");
                            versions = versions.checked_add(1).ok_or_else(spent)?;
                            Some((versions, packed))
                        }
                        None => None,
                    };
                    let old_payload = known.get(&item.id).map(|known| known.payload).filter(|version| *version > 0);
                    rows.push(Row { id: item.id, quantized, payload, old_payload });
                }
                rows.reverse();
                Ok((rows, versions))
            })
            .await?
        };
        if state.tail.len() + rows.len() > MAX_TAIL {
            self.seal_tail(&record, 1).await.map_err(|error| {
                Error::resource_exhausted("too many vectors wait for hosts that do not take them").with_source(error)
            })?;
            if rows.len() > MAX_TAIL {
                return Err(Error::invalid_argument(format!("at most {MAX_TAIL} vectors are put in at once")));
            }
        }
        let mut next = record.clone();
        next.versions = versions;
        let rows = {
            let (name, next, hosts) = (self.name.clone(), next.clone(), site.hosts.len());
            let id = self.id;
            let work = self.store.write_async(move |tx| {
                let change = super::Change { tx, id };
                for row in &rows {
                    let version = row.payload.as_ref().map_or(0, |(version, _)| *version);
                    change.entry(row.id, None, row.quantized.length, version)?;
                    change.tail(row.id, Some(&row.quantized.values))?;
                    change.payload(row.id, row.payload.as_ref().map(|(_, bytes)| bytes.as_slice()))?;
                    if let Some(version) = row.old_payload {
                        change.parcel(hosts, PayloadPlace { id: row.id, version }, false)?;
                    }
                    if version > 0 {
                        change.parcel(hosts, PayloadPlace { id: row.id, version }, true)?;
                    }
                }
                change.record(&name, &next)?;
                Ok(rows)
            });
            work.await?
        };
        *record = next;
        self.dirty.store(true, Ordering::Release);
        self.change_state(|state| {
            rows.into_iter().try_for_each(|row| {
                let version = row.payload.map_or(0, |(version, _)| version);
                state.set(row.id, None, row.quantized.length, version, Some(row.quantized.values))
            })
        })?;
        self.drop_empty().await?;
        if let Err(error) = self.seal_tail(&record, site.config.segment()).await {
            tracing::debug!(code = %error.code(), "a segment waits for its hosts");
        }
        Ok(())
    }

    /// Takes out what a knowledge base gives up, or the app where none is named.
    pub(super) async fn delete(&self, ids: Vec<u64>, knowledge: Option<&str>) -> Result<usize> {
        let record = self.lock().await?;
        self.check_whose(record.knowledge.as_deref(), knowledge)?;
        self.take_out(ids).await
    }

    /// Takes vectors out, by whoever holds the record.
    pub(super) async fn take_out(&self, ids: Vec<u64>) -> Result<usize> {
        let known = self.state().known;
        let ids: BTreeSet<u64> = ids.into_iter().filter(|id| known.contains_key(id)).collect();
        let gone: Vec<(u64, u32)> =
            ids.iter().filter_map(|id| known.get(id).map(|known| (*id, known.payload))).collect();
        drop(known);
        let (hosts, count) = (self.site().hosts.len(), gone.len());
        self.write(move |change| {
            gone.iter().try_for_each(|(id, version)| {
                change.remove_entry(*id)?;
                change.payload(*id, None)?;
                match version {
                    0 => Ok(()),
                    version => change.parcel(hosts, PayloadPlace { id: *id, version: *version }, false),
                }
            })
        })
        .await?;
        self.dirty.store(true, Ordering::Release);
        self.change_state(|state| {
            ids.iter().for_each(|id| {
                state.remove(*id);
            });
            Ok(())
        })?;
        self.drop_empty().await?;
        Ok(count)
    }

    /// Has the hosts forget the segments that hold nothing any more.
    async fn drop_empty(&self) -> Result<()> {
        let empty = self.state().empty_segments();
        if empty.is_empty() {
            return Ok(());
        }
        let (site, gone) = (self.site(), empty.clone());
        let removing = site.clone();
        self.write(move |change| {
            for (order, stamp) in &gone {
                change.remove_segment(*order)?;
                let request = removing.request(Call::RemoveSegment(*stamp));
                (0..removing.hosts.len()).try_for_each(|host| change.send(host as u32, &request))?;
            }
            Ok(())
        })
        .await?;
        (0..site.hosts.len()).for_each(|host| site.set_behind(host, true));
        self.change_state(|state| {
            empty.iter().for_each(|(order, _)| state.remove_segment(*order));
            Ok(())
        })?;
        if let Err(error) = self.deliver_all(true).await {
            tracing::debug!(code = %error.code(), "a host keeps a segment that is empty");
        }
        Ok(())
    }

    /// Seals the vectors of the tail, as long as there are `least` of them.
    pub(super) async fn seal_tail(&self, _record: &MutexGuard<'_, Record>, least: usize) -> Result<()> {
        loop {
            let Current { state, owner, site, .. } = self.current();
            if state.tail.len() < least.max(1) {
                return Ok(());
            }
            let batch: Vec<u64> = state.tail.keys().copied().take(site.config.segment()).collect();
            let vectors: Vec<Vec<i32>> = batch.iter().filter_map(|id| state.tail.get(id)).map(|v| v.to_vec()).collect();
            let (stamp, late) = self.place(owner, vectors).await?;
            let order = state.next_order();
            let entries: Vec<(u64, Place, f32, u32)> = batch
                .iter()
                .enumerate()
                .filter_map(|(position, id)| {
                    let known = state.known.get(id)?;
                    Some((*id, Place { order, position: position as u32 }, known.length, known.payload))
                })
                .collect();
            drop(state);
            let rows = entries.clone();
            self.commit_segment(stamp, late, move |change| {
                change.segment(order, &stamp)?;
                rows.iter().try_for_each(|(id, place, length, payload)| {
                    change.entry(*id, Some(*place), *length, *payload)?;
                    change.tail(*id, None)
                })
            })
            .await?;
            self.change_state(|state| {
                state.add_segment(order, stamp);
                entries
                    .into_iter()
                    .try_for_each(|(id, place, length, payload)| state.set(id, Some(place), length, payload, None))
            })?;
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Writes down that a segment is where it is, and what waits for the hosts that have not got it.
    async fn commit_segment(
        &self,
        stamp: SegmentStamp,
        late: Vec<(usize, Vec<u8>)>,
        work: impl FnOnce(&super::Change<'_>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let site = self.site();
        let waiting: Vec<usize> = late.iter().map(|(host, _)| *host).collect();
        // Marked before it is written: a host that is taken for late is asked, one that is taken for current is believed.
        waiting.iter().for_each(|host| site.set_behind(*host, true));
        let written = self
            .write(move |change| {
                work(&change)?;
                late.into_iter().try_for_each(|(host, bytes)| {
                    let request = site.request(Call::PutSegment(bytes));
                    change.send(host as u32, &request)
                })
            })
            .await;
        if written.is_err() {
            self.take_back(stamp, &waiting).await;
        }
        written
    }
}
