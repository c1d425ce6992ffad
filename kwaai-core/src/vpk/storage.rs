//! KwaaiNet's storage protocol over the same depot: vectors in the clear, as its clients bring them.
//!
//! A tenant of theirs is a collection under `plain` of the identity that calls: what the original calls a tenant id opens nothing
//! to anybody else. Its vectors are kept in segments like every other's, and beside each a list of their ids. So the quotas,
//! the tiers and the limits are those of the depot, and what is wrong with one tenant is told to that one alone.
//!
//! Searches return ids and scores. Scores are cosines at every size.

mod shape;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use rmpv::Value;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::depot::Depot;
use super::kept::{Described, KeptManifest, Room};
use super::plain::PlainOwner;
use super::random::fresh;
use super::request::{Call, Request};
use super::serve::tenant;
use super::wire::{Kind, Reader, Writer};
use super::{CollectionId, MAX_DIMENSION, MAX_HITS, Metric, Mode, Owner, SegmentStamp, Step};
use crate::clock::Clock;
use crate::identity::Did;
use crate::net::UnaryHandler;
use crate::{Error, ErrorCode, Result};
use shape::{Asked, Fields, malformed, map};

/// The protocol's name.
pub const STORAGE_PROTOCOL: &str = "/kwaai/storage/1.0.0";

/// As in the original.
const DIMENSION: i64 = 384;
const CAPACITY_MB: i64 = 1024;
const TOP_K: i64 = 5;

const MEGABYTE: u64 = 1024 * 1024;
const GIGABYTE: f64 = (1024 * MEGABYTE) as f64;
/// The longest name of a tenant, in bytes.
const MAX_NAME: usize = 256;
/// Changes of a tenant wait for each other, and now and then for those of another one.
const TURNS: usize = 64;

/// Answers KwaaiNet's storage protocol from a depot.
pub struct Storage {
    depot: Arc<Depot>,
    clock: Arc<dyn Clock>,
    host: PeerId,
    turns: [Mutex<()>; TURNS],
    /// As many calls are computed at the same time as there are cores.
    room: Arc<Semaphore>,
}

/// What is known of a tenant beside its vectors; the depot keeps it as the collection's manifest.
#[derive(Serialize, Deserialize)]
struct About {
    display_name: String,
    capacity_limit_mb: i64,
    created_at: String,
}

/// The ids of a segment's vectors, `None` where one was deleted or replaced.
type Ids = Vec<Option<i64>>;

/// Those of each segment, by its nonce.
type Segments = BTreeMap<[u8; 24], Ids>;

impl Storage {
    /// Over a depot, for the host of this PeerId.
    pub fn new(depot: Arc<Depot>, clock: Arc<dyn Clock>, host: PeerId) -> Storage {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = std::array::from_fn(|_| Mutex::default());
        Storage { depot, clock, host, turns, room: Arc::new(Semaphore::new(cores)) }
    }

    /// The answer to one call of `caller`, whom the connection authenticated. What cannot be done is told in the protocol's own
    /// form. Blocks the thread.
    pub fn answer(&self, caller: Did, bytes: &[u8]) -> Vec<u8> {
        match Asked::read(bytes).and_then(|asked| self.done(caller, asked)) {
            Ok(value) => shape::done(&value),
            Err(error) => shape::refused(&error),
        }
    }

    fn done(&self, caller: Did, asked: Asked) -> Result<Value> {
        match asked.op.as_str() {
            "health" => self.health(caller),
            "create_tenant" => self.create(caller, asked.payload),
            "get_tenant" => self.about(caller, asked.tenant()?),
            "delete_tenant" => self.delete_tenant(caller, asked.tenant()?),
            "list_tenants" => self.list(caller),
            "upload_vectors" => self.upload(caller, asked.tenant()?, asked.payload),
            "search_vectors" => self.search(caller, asked.tenant()?, asked.payload),
            "delete_vectors" => self.delete(caller, asked.tenant()?, asked.payload),
            other => Err(Error::unsupported(format!("the storage protocol has no operation {other:.40?}"))),
        }
    }

    fn ask(&self, caller: Did, collection: CollectionId, call: Call) -> Result<Vec<u8>> {
        self.depot.answer(caller, &Request { collection, capability: None, call })
    }

    fn health(&self, caller: Did) -> Result<Value> {
        let room = Room::read(&self.ask(caller, CollectionId([0; 16]), Call::Health)?)?;
        let mut vectors = 0u64;
        let tenants = self.tenants(caller)?;
        for (tenant, ..) in &tenants {
            vectors += self.ids(caller, *tenant)?.1.values().flatten().filter(|id| id.is_some()).count() as u64;
        }
        Ok(map([
            ("status", "ok".into()),
            ("tenant_count", tenants.len().into()),
            ("total_vectors", vectors.into()),
            ("capacity_gb_total", ((room.used + room.left) as f64 / GIGABYTE).into()),
            ("capacity_gb_available", (room.left as f64 / GIGABYTE).into()),
            ("version", concat!("kwaainet/", env!("CARGO_PKG_VERSION")).into()),
            ("peer_id", self.host.to_string().into()),
        ]))
    }

    fn create(&self, caller: Did, mut asked: Fields) -> Result<Value> {
        if let Some(peer) = asked.text("peer_id")?.filter(|peer| !peer.is_empty())
            && peer != caller.to_peer_id()?.to_string()
        {
            return Err(Error::unsupported("a tenant belongs to the node that makes it, not to another that it names"));
        }
        let capacity_limit_mb = asked.number("capacity_limit_mb")?.unwrap_or(CAPACITY_MB);
        if capacity_limit_mb <= 0 {
            return Err(Error::unsupported("a tenant without a limit could fill the disk of everybody"));
        }
        let dimension = asked.number("vector_dimension")?.unwrap_or(DIMENSION);
        if !(1..=MAX_DIMENSION as i64).contains(&dimension) {
            return Err(Error::invalid_argument(format!("vectors have 1 to {MAX_DIMENSION} dimensions")));
        }
        let display_name = asked.text("display_name")?.unwrap_or_default();
        if display_name.len() > MAX_NAME {
            return Err(Error::invalid_argument(format!("a name has at most {MAX_NAME} bytes")));
        }
        let about = About { display_name, capacity_limit_mb, created_at: self.clock.now().to_string() };
        let mut id: [u8; 16] = fresh()?;
        // A random UUID, RFC 9562 §5.4.
        (id[6], id[8]) = (id[6] & 0x0f | 0x40, id[8] & 0x3f | 0x80);
        let tenant = CollectionId(id);
        self.ask(caller, tenant, Call::Create { mode: Mode::Plain, dimension: dimension as u32 })?;
        let written = serde_json::to_vec(&about)
            .map_err(|error| Error::internal("a tenant's record cannot be written").with_source(error))?;
        if let Err(error) = self.ask(caller, tenant, Call::ReplaceManifest(0, written)) {
            self.ask(caller, tenant, Call::Delete)?;
            return Err(error);
        }
        self.about(caller, tenant)
    }

    fn about(&self, caller: Did, tenant: CollectionId) -> Result<Value> {
        let (dimension, _, about) = self.tenant(caller, tenant)?;
        Ok(map([
            ("tenant_id", Value::Binary(tenant.0.to_vec())),
            ("peer_id", caller.to_peer_id()?.to_string().into()),
            ("display_name", about.display_name.into()),
            ("capacity_limit_mb", about.capacity_limit_mb.into()),
            ("status", "Active".into()),
            ("created_at", about.created_at.into()),
            ("vector_dimension", dimension.into()),
        ]))
    }

    /// The dimension and the charged bytes of a tenant, and what is known of it.
    fn tenant(&self, caller: Did, tenant: CollectionId) -> Result<(u32, u64, About)> {
        let none = || Error::not_found("this node has no such tenant here");
        let all = Described::read(&self.ask(caller, tenant, Call::Describe).map_err(|error| match error.code() {
            ErrorCode::NotFound => none(),
            _ => error,
        })?)?;
        let described = all.first().filter(|described| described.mode == Mode::Plain).ok_or_else(none)?;
        let kept = KeptManifest::read(&self.ask(caller, tenant, Call::ReadManifest)?)?;
        let about = serde_json::from_slice(&kept.bytes).map_err(|_| none())?;
        Ok((described.dimension, described.bytes, about))
    }

    fn tenants(&self, caller: Did) -> Result<Vec<(CollectionId, u32, u64, About)>> {
        let all = Described::read(&self.ask(caller, CollectionId([0; 16]), Call::List)?)?;
        let tenants = all.into_iter().filter_map(|one| {
            let (dimension, bytes, about) = self.tenant(caller, one.collection).ok()?;
            Some((one.collection, dimension, bytes, about))
        });
        Ok(tenants.collect())
    }

    fn list(&self, caller: Did) -> Result<Value> {
        self.tenants(caller)?
            .iter()
            .map(|(tenant, ..)| self.about(caller, *tenant))
            .collect::<Result<_>>()
            .map(Value::Array)
    }

    fn delete_tenant(&self, caller: Did, tenant: CollectionId) -> Result<Value> {
        self.tenant(caller, tenant)?;
        let _turn = self.turn(tenant);
        self.ask(caller, tenant, Call::Delete)?;
        Ok(Value::Nil)
    }

    fn upload(&self, caller: Did, tenant: CollectionId, mut asked: Fields) -> Result<Value> {
        let (dimension, used, about) = self.tenant(caller, tenant)?;
        let owner = PlainOwner::new(dimension as usize, Metric::Cosine)?;
        // All are looked at before one is kept; of two with one id the last one counts.
        let mut vectors = BTreeMap::new();
        let listed = asked.list("vectors")?;
        let count = listed.len();
        for value in listed {
            let mut fields = Fields::of(value)?;
            let id = fields.number("id")?.ok_or_else(|| malformed("id"))?;
            let vector = fields.vector("embedding")?;
            let quantized = owner.quantizer().quantize(&vector).map_err(|error| error.with("id", id))?;
            vectors.insert(id, quantized.values);
        }
        if vectors.is_empty() {
            return Ok(0.into());
        }
        let ids: Ids = vectors.keys().copied().map(Some).collect();
        let upload = owner.seal(&vectors.values().cloned().collect::<Vec<_>>())?;
        let part = upload.parts.into_iter().next().ok_or_else(|| Error::internal("a segment has no bytes"))?;
        if used + (part.len() + ids.len() * 9) as u64 > about.capacity_limit_mb as u64 * MEGABYTE {
            return Err(
                Error::resource_exhausted("the tenant's capacity is reached").with("limit", about.capacity_limit_mb)
            );
        }
        let _turn = self.turn(tenant);
        let (_, before) = self.ids(caller, tenant)?;
        self.keep_ids(caller, tenant, &upload.stamp, &ids)?;
        if let Err(error) = self.ask(caller, tenant, Call::PutSegment(part)) {
            self.ask(caller, tenant, Call::RemovePayload(place(&upload.stamp)))?;
            return Err(error);
        }
        // After a crash before this, the later segment is believed.
        self.forget(caller, tenant, before, |id| vectors.contains_key(&id))?;
        Ok(count.into())
    }

    fn delete(&self, caller: Did, tenant: CollectionId, mut asked: Fields) -> Result<Value> {
        self.tenant(caller, tenant)?;
        let ids = asked.list("ids")?;
        let gone: Vec<i64> = ids.iter().map(Value::as_i64).collect::<Option<_>>().ok_or_else(|| malformed("ids"))?;
        let gone: std::collections::BTreeSet<i64> = gone.into_iter().collect();
        let _turn = self.turn(tenant);
        let (_, before) = self.ids(caller, tenant)?;
        self.forget(caller, tenant, before, |id| gone.contains(&id)).map(Value::from)
    }

    fn search(&self, caller: Did, tenant: CollectionId, mut asked: Fields) -> Result<Value> {
        let (dimension, ..) = self.tenant(caller, tenant)?;
        let owner = PlainOwner::new(dimension as usize, Metric::Cosine)?;
        let k = asked.number("top_k")?.unwrap_or(TOP_K);
        if !(1..=MAX_HITS as i64).contains(&k) {
            return Err(Error::invalid_argument(format!("a search has 1 to {MAX_HITS} hits")));
        }
        let query = owner.quantizer().quantize(&asked.vector("query")?)?;
        // Whoever asks must know the segments, so that none may come meanwhile.
        let _turn = self.turn(tenant);
        let (stamps, ids) = self.ids(caller, tenant)?;
        let mut found: BTreeMap<i64, f64> = BTreeMap::new();
        if !stamps.is_empty() {
            let mut question = owner.ask(&query.values, &stamps)?;
            let part = question.parts.pop().ok_or_else(|| Error::internal("a question has no bytes"))?;
            let reply = self.ask(caller, tenant, Call::Ask(part))?;
            let Step::Done(scores) = question.opening.offer(0, &reply)? else {
                return Err(Error::internal("one reply was not enough"));
            };
            for (stamp, dots) in stamps.iter().zip(&scores.exact) {
                let Some(ids) = ids.get(&stamp.nonce) else { continue };
                let live = ids.iter().zip(dots).filter_map(|(id, dot)| Some(((*id)?, owner.quantizer().cosine(*dot))));
                found.extend(live);
            }
        }
        let mut hits: Vec<(i64, f64)> = found.into_iter().collect();
        hits.sort_by(|(one, a), (other, b)| b.total_cmp(a).then(one.cmp(other)));
        let hits =
            hits.into_iter().take(k as usize).map(|(id, score)| map([("id", id.into()), ("score", score.into())]));
        Ok(Value::Array(hits.collect()))
    }

    /// The segments of a tenant in their order, and the ids of each by its nonce.
    fn ids(&self, caller: Did, tenant: CollectionId) -> Result<(Vec<SegmentStamp>, Segments)> {
        let all = Described::read(&self.ask(caller, tenant, Call::Describe)?)?;
        let stamps = all.into_iter().next().map(|described| described.segments).unwrap_or_default();
        let mut ids = BTreeMap::new();
        for stamp in &stamps {
            let bytes = self.ask(caller, tenant, Call::FetchPayload(place(stamp)))?;
            ids.insert(stamp.nonce, read_ids(&bytes, stamp.vectors)?);
        }
        Ok((stamps, ids))
    }

    fn keep_ids(&self, caller: Did, tenant: CollectionId, stamp: &SegmentStamp, ids: &Ids) -> Result<()> {
        self.ask(caller, tenant, Call::PutPayload(place(stamp), write_ids(ids))).map(drop)
    }

    /// Takes ids out of segments, and the segments that hold nothing any more out of the depot.
    fn forget(&self, caller: Did, tenant: CollectionId, segments: Segments, gone: impl Fn(i64) -> bool) -> Result<u64> {
        let mut forgotten = 0;
        for (nonce, mut ids) in segments {
            let before = forgotten;
            for id in ids.iter_mut().filter(|id| id.is_some_and(&gone)) {
                *id = None;
                forgotten += 1;
            }
            let stamp = SegmentStamp { nonce, vectors: ids.len() as u32 };
            if ids.iter().all(Option::is_none) {
                self.ask(caller, tenant, Call::RemoveSegment(stamp))?;
                self.ask(caller, tenant, Call::RemovePayload(place(&stamp)))?;
            } else if forgotten > before {
                self.keep_ids(caller, tenant, &stamp, &ids)?;
            }
        }
        Ok(forgotten)
    }

    fn turn(&self, tenant: CollectionId) -> std::sync::MutexGuard<'_, ()> {
        // Nothing is kept under it that a panic could leave half done.
        self.turns[usize::from(tenant.0[0]) % TURNS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Under which name the ids of a segment are kept.
fn place(stamp: &SegmentStamp) -> [u8; 16] {
    std::array::from_fn(|at| stamp.nonce[at])
}

fn write_ids(ids: &Ids) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Ids, Mode::Plain as u8, ids.len() * 9);
    for id in ids {
        writer.bytes(&[u8::from(id.is_some())]);
        writer.bytes(&id.unwrap_or_default().to_le_bytes());
    }
    writer.finish()
}

fn read_ids(bytes: &[u8], count: u32) -> Result<Ids> {
    let mut reader = Reader::new(Kind::Ids, Mode::Plain as u8, bytes)?;
    let mut ids = Vec::new();
    for _ in 0..count {
        let live = reader.u8()? == 1;
        let id = i64::from_le_bytes(reader.array()?);
        ids.push(live.then_some(id));
    }
    reader.finish()?;
    Ok(ids)
}

/// Serves the protocol to peers.
pub(super) struct Service(pub(super) Arc<Storage>);

#[async_trait]
impl UnaryHandler for Service {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        let caller = tenant(&caller)?;
        let storage = self.0.clone();
        let turn = storage.room.clone().acquire_owned().await.map_err(|_| Error::closed("the host was shut down"))?;
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            storage.answer(caller, &body)
        });
        answer.await.map(Bytes::from).map_err(|error| Error::internal("an answer did not finish").with_source(error))
    }
}
