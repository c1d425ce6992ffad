//! A collection on another machine than the one that has lost it.
//!
//! Whoever recovers reads what the hosts keep, as the owner's recovery key allows it, and brings it to a site of its own: under the key
//! of the next epoch, which is random, and as its own tenant. So it never seals anything under a key that another machine has too,
//! whatever that one does at the same time.

use std::sync::Arc;

use futures::stream::{self, StreamExt};

use super::item::unpack;
use super::pages::kept;
use super::shape::Record;
use super::site::Site;
use super::state::{Place, State};
use super::{Collection, Current, blocking, tables};
use crate::store::Store;
use crate::vpk::hosts::Hosts;
use crate::vpk::recovery::RecoveryKey;
use crate::vpk::request::Call;
use crate::vpk::topology::Topology;
use crate::vpk::{Anchor, CollectionConfig, HostName, Manifest, PayloadPlace, open_payload};
use crate::{Error, ErrorCode, Result};

/// Payloads that are fetched at the same time, and those that are written in one transaction.
const AT_ONCE: usize = 16;
const BATCH: usize = 256;

/// How a collection is recovered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoverConfig {
    /// Who is to keep it from now on: the hosts that it had, unless others are named.
    pub hosts: Vec<HostName>,
    /// Whether it is recovered without the payloads that no host has. Their vectors are found all the same.
    pub partial: bool,
}

/// What is recovered, and the rights to it.
pub(in crate::vpk) struct Lost {
    pub(in crate::vpk) recovery: RecoveryKey,
    pub(in crate::vpk) topology: Topology,
    /// What lets this node read it, for each of its hosts.
    pub(in crate::vpk) readers: Vec<String>,
}

impl Collection {
    /// Makes a lost collection one of this node.
    pub(in crate::vpk) async fn recover(
        store: Store,
        name: &str,
        hosts: Arc<Hosts>,
        Lost { recovery, topology, readers }: Lost,
        config: RecoverConfig,
    ) -> Result<Collection> {
        let id = recovery.collection();
        let wanted = name.to_owned();
        store
            .read_async(move |tx| match (tables::record(tx, &wanted)?, tables::knows(tx, id)?) {
                (None, false) => Ok(()),
                _ => Err(Error::already_exists("this node has the collection, or another of that name, already")),
            })
            .await?;
        let here = topology.config.hosts.iter().map(|host| hosts.seen_from_here(*host)).collect();
        let old = CollectionConfig { hosts: here, ..topology.config.clone() };
        old.check()?;
        let (key, owner) = (topology.key.clone(), old.owner(&topology.key)?);
        let next = if config.hosts.is_empty() { old.hosts.clone() } else { config.hosts };
        let site = Arc::new(Site::new(topology.site, old, &hosts, |_| Ok(false))?.read_by(readers));
        let (manifest, anchor) = newest(&site, &topology).await?;
        let state = state_of(&manifest)?;
        let mut record = Record::new(&site.config, &key);
        record.versions = state.known.values().map(|known| known.payload).max().unwrap_or_default();
        let current = Current { state, key, owner, site: site.clone() };
        let collection = Collection::with(store, name, hosts, record.clone(), current)?;
        let moved = collection
            .change(move |inner| async move {
                // What an attempt before this one has left.
                inner.sweep().await?;
                inner
                    .write(move |change| {
                        change.unprepare()?;
                        change.anchor(anchor.sequence, &anchor.digest)?;
                        change.recovery(&recovery)
                    })
                    .await?;
                inner.fetch_payloads(config.partial).await?;
                let mut kept = inner.writing.lock().await;
                let moved = inner.move_to(&mut record, next, &[], None).await;
                *kept = record;
                moved
            })
            .await;
        if let Err(error) = moved {
            let (inner, made) = (&collection.inner, collection.name().to_owned());
            let exists = inner.store.read_async(move |tx| Ok(tables::record(tx, &made)?.is_some())).await?;
            // With a record it counts, and only a host was told too little.
            if !exists {
                inner.write(|change| change.unprepare()).await?;
            }
            return Err(error);
        }
        Ok(collection)
    }
}

impl super::Inner {
    /// Fetches what belongs to the vectors.
    async fn fetch_payloads(&self, partial: bool) -> Result<()> {
        let current = self.current();
        let places: Vec<PayloadPlace> = current
            .state
            .known
            .iter()
            .filter(|(_, known)| known.payload > 0)
            .map(|(id, known)| PayloadPlace { id: *id, version: known.payload })
            .collect();
        let mut missing = 0usize;
        for batch in places.chunks(BATCH) {
            let fetched: Vec<(u64, Result<Vec<u8>>)> = stream::iter(batch.to_vec())
                .map(|place| fetch(&current, place))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            let mut found = Vec::with_capacity(fetched.len());
            for (id, payload) in fetched {
                match payload {
                    Ok(payload) => found.push((id, payload)),
                    Err(error) if error.code() == ErrorCode::Closed => return Err(error),
                    Err(_) => missing += 1,
                }
            }
            self.write(move |change| found.iter().try_for_each(|(id, bytes)| change.payload(*id, Some(bytes)))).await?;
        }
        if missing > 0 && !partial {
            return Err(Error::not_found("no host has some of the payloads")
                .with("missing", missing)
                .with_remedy("try again when more hosts can be reached, or recover it without them"));
        }
        Ok(())
    }
}

/// A payload as the owner's database keeps it, of the first host that has it as it was.
async fn fetch(current: &Current, place: PayloadPlace) -> (u64, Result<Vec<u8>>) {
    let mut failed = Error::not_found("no host has the payload");
    for host in 0..current.site.hosts.len() {
        let fetched = async {
            let sealed = current.site.call(host, Call::FetchPayload(current.key.payload_name(place)?)).await?;
            let clear = open_payload(&current.key, place, &sealed)?.to_vec();
            unpack(&clear)?;
            Ok(clear)
        };
        match fetched.await {
            Ok(clear) => return (place.id, Ok(clear)),
            Err(error) => failed = error,
        }
    }
    (place.id, Err(failed))
}

/// The newest manifest that any host keeps, none of which may be older than the topology.
async fn newest(site: &Site, topology: &Topology) -> Result<(Manifest, Anchor)> {
    let mut failed: Option<Error> = None;
    let mut newest: Option<(Manifest, Anchor)> = None;
    for host in 0..site.hosts.len() {
        let (key, checked) = (topology.key.clone(), topology.clone());
        let opened = async {
            let sealed = kept(site, host).await?;
            blocking(move || {
                let manifest = Manifest::open(&key, &sealed, None)?;
                checked.check(manifest.sequence, &sealed)?;
                Ok((Anchor::of(manifest.sequence, &sealed), manifest))
            })
            .await
        };
        match opened.await {
            Ok((anchor, manifest)) if newest.as_ref().is_none_or(|(before, _)| before.sequence < manifest.sequence) => {
                newest = Some((manifest, anchor));
            }
            Ok(_) => {}
            Err(error) if failed.as_ref().is_some_and(|failed| failed.code() == ErrorCode::Conflict) => drop(error),
            Err(error) => failed = Some(error.with("host", site.name(host))),
        }
    }
    let (manifest, anchor) =
        newest.ok_or_else(|| failed.unwrap_or_else(|| Error::not_found("the collection has no hosts")))?;
    let config = &site.config;
    if (manifest.mode, manifest.dimension as usize, manifest.metric) != (config.mode, config.dimension, config.metric) {
        return Err(Error::corrupt_data("the manifest and the topology are of different collections"));
    }
    Ok((manifest, anchor))
}

fn state_of(manifest: &Manifest) -> Result<State> {
    let mut state = State::default();
    for (order, (stamp, entries)) in manifest.segments.iter().enumerate() {
        let order = order as u64;
        state.add_segment(order, *stamp);
        for (position, entry) in entries.iter().enumerate() {
            let Some(entry) = entry else { continue };
            let place = Place { order, position: position as u32 };
            state.set(entry.id, Some(place), entry.length, entry.payload, None)?;
        }
    }
    Ok(state)
}
