//! Answering other nodes of hivemind's DHT.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::sync::SemaphorePermit;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::Dht;
use super::client::Item;
use super::dictionary::{Dictionary, Entry};
use super::frame::{self, Answer, Call, MAX_MESSAGE, OVERHEAD, corrupt};
use super::id::DhtId;
use super::messages::{
    FindRequest, FindResponse, FindResult, NodeInfo, PLAIN, PingRequest, PingResponse, ResultType, StoreRequest,
    StoreResponse, WHOLE,
};
use super::msgpack::{self, Value};
use super::owner;
use super::signed;
use super::storage::Kept;
use super::swarm::Method;
use super::table::BUCKET;
use crate::trust::Purpose;
use crate::{Error, Result};

/// How long answering may take; hivemind's callers wait for three seconds.
const ANSWER: Duration = Duration::from_millis(2800);
/// How long pinging back may take.
const PING_BACK: Duration = Duration::from_secs(2);
/// Up to how many bytes a request to store is served at once.
const SMALL_STORE: usize = 16 * 1024;
/// The most keys in one request.
const MAX_KEYS: usize = 1024;

impl Dht {
    /// Takes a stream that carries a call. A caller for whom there is no room has its stream reset.
    pub(crate) fn accept(self: &Arc<Dht>, method: Method, caller: PeerId, stream: libp2p::Stream) {
        let Some(permit) = self.calls.take(caller) else { return };
        let this = self.clone();
        self.spawn(async move {
            if let Err(error) = this.serve(method, caller, stream).await {
                tracing::debug!(peer = %crate::net::dispatch::short(&caller), why = %error.message(), "no answer");
            }
            drop(permit);
        });
    }

    async fn serve(self: &Arc<Dht>, method: Method, caller: PeerId, stream: libp2p::Stream) -> Result<()> {
        let mut stream = stream.compat();
        let patience = self.dispatch.limits.header_timeout;
        let late = |_| Error::timeout("the caller does not say what it wants");
        let read = async {
            let length = frame::read_length(&mut stream).await?;
            let room = self.room(length).await;
            Ok::<_, Error>((frame::read_rest(&mut stream, length).await?, room))
        };
        let (message, _room) = tokio::time::timeout(patience, read).await.map_err(late)??;
        let call = Call::decode(&message)?;
        drop(message);
        let answered = async {
            self.dispatch.admit(caller, Purpose::Open).await?;
            let room = match method {
                Method::Find => self.room(2 * self.size_of_answer(&call.data)).await,
                Method::Ping | Method::Store | Method::Check => None,
            };
            Ok((self.answer(method, caller, &call.data).await?, room))
        };
        let outcome = tokio::time::timeout(ANSWER, answered).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Error::timeout("it takes too long")));
        let (outcome, _room) = match outcome {
            Ok((answer, room)) => (Ok(answer), room),
            Err(error) => (Err(error.message().to_owned()), None),
        };
        let frame = Answer { id: call.id, outcome }.encode();
        let sent = async {
            stream.write_all(&frame).await?;
            stream.shutdown().await
        };
        // The caller may be gone.
        let _ = tokio::time::timeout(patience, sent).await;
        Ok(())
    }

    /// Waits until there is room for so many bytes; a few need none.
    async fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        match bytes / 1024 {
            0..=64 => None,
            kib => self.memory.acquire_many(kib as u32).await.ok(),
        }
    }

    /// The most bytes that the values in an answer to a find can have.
    fn size_of_answer(&self, data: &[u8]) -> usize {
        let Ok(FindRequest { keys, .. }) = read(data) else { return 0 };
        let kept = self.kept();
        let sizes = keys.iter().filter_map(|key| DhtId::from_slice(key)).map(|key| kept.size_of(&key));
        sizes.sum::<usize>().min(MAX_MESSAGE)
    }

    async fn answer(self: &Arc<Dht>, method: Method, caller: PeerId, data: &[u8]) -> Result<Vec<u8>> {
        Ok(match method {
            Method::Ping => self.on_ping(caller, read(data)?).await.encode_to_vec(),
            Method::Store => self.on_store_of(caller, data).await?.encode_to_vec(),
            Method::Find => self.on_find(caller, read(data)?)?.encode_to_vec(),
            Method::Check => self.on_check(caller, read(data)?).await.encode_to_vec(),
        })
    }

    async fn on_ping(self: &Arc<Dht>, caller: PeerId, request: PingRequest) -> PingResponse {
        let node_id = request.peer.map(|info| info.node_id).unwrap_or_default();
        let mut available = false;
        if request.validate && !node_id.is_empty() {
            let back = tokio::time::timeout(PING_BACK, self.ping(caller, false)).await;
            let info = back.ok().and_then(Result::ok).and_then(|response| response.peer);
            available = info.is_some_and(|info| info.node_id == node_id);
        }
        if available || !request.validate {
            self.saw(&node_id, caller);
        }
        PingResponse { auth: None, peer: self.info(), dht_time: self.now(), available }
    }

    /// Signatures of many records take long: those of a large request are checked where nothing waits for them, and those of
    /// one such request at a time.
    async fn on_store_of(self: &Arc<Dht>, caller: PeerId, data: &[u8]) -> Result<StoreResponse> {
        let request = read(data)?;
        if data.len() <= SMALL_STORE {
            return self.on_store(caller, request);
        }
        let turn = self.heavy.clone().acquire_owned().await;
        let this = self.clone();
        let work = move || {
            let _turn = turn;
            this.on_store(caller, request)
        };
        let stored = tokio::task::spawn_blocking(work).await;
        stored.unwrap_or_else(|_| Err(Error::internal("a store did not end")))
    }

    fn on_store(self: &Arc<Dht>, caller: PeerId, request: StoreRequest) -> Result<StoreResponse> {
        let StoreRequest { keys, subkeys, mut values, expiration_time, in_cache, peer, .. } = request;
        if keys.len() > MAX_KEYS {
            return Err(Error::invalid_argument(format!("a request has at most {MAX_KEYS} keys")));
        }
        // KwaaiNet's nodes take a request whose lists are shorter than its keys; what is missing then is not kept.
        let kept = keys.iter().enumerate().map(|(i, key)| {
            let item = Item {
                key: DhtId::from_slice(key)?,
                subkey: subkeys.get(i).map_or_else(|| PLAIN.to_vec(), Vec::clone),
                value: std::mem::take(values.get_mut(i)?),
                expiration: *expiration_time.get(i)?,
                in_cache: in_cache.get(i).copied().unwrap_or(false),
            };
            Some(self.keep(item))
        });
        let store_ok = kept.map(|kept| kept.unwrap_or(false)).collect();
        self.saw_caller(&peer, caller);
        Ok(StoreResponse { auth: None, store_ok, peer: self.info() })
    }

    /// Keeps a value, if its owner allows it and it is fresher than what is kept.
    pub(super) fn keep(&self, item: Item) -> bool {
        let Item { key, subkey, value, expiration, in_cache } = item;
        let now = self.now();
        let entries = match &subkey[..] {
            PLAIN => {
                let admitted = owner::admits(&key, PLAIN, &value, expiration);
                return admitted && self.kept().storage(in_cache).store(key, value, expiration, now);
            }
            WHOLE => match Dictionary::decode(&value) {
                Ok(dictionary) => dictionary.entries,
                Err(_) => return false,
            },
            _ => vec![Entry { subkey, value, expiration }],
        };
        let admits = |entry: &Entry| {
            is_subkey(&entry.subkey) && owner::admits(&key, &entry.subkey, &entry.value, entry.expiration)
        };
        if !entries.iter().all(admits) {
            return false;
        }
        let entries: Vec<_> = entries.into_iter().map(|entry| (signed::is_signed(&key, &entry, now), entry)).collect();
        let mut kept = self.kept();
        let storage = kept.storage(in_cache);
        // Every entry gets its chance, whatever becomes of the others.
        let stored: Vec<bool> =
            entries.into_iter().map(|(signed, entry)| storage.store_subkey(key, entry, signed, now)).collect();
        !stored.contains(&false)
    }

    /// What is kept under a key here, the copy when it expires later.
    pub(super) fn lookup_here(&self, key: &DhtId) -> Option<(Kept, f64)> {
        let (now, kept) = (self.now(), self.kept());
        match (kept.records.get(key, now), kept.copies.get(key, now)) {
            (Some(record), Some(copy)) if copy.1 > record.1 => Some(copy),
            (record, copy) => record.or(copy),
        }
    }

    fn on_find(self: &Arc<Dht>, caller: PeerId, request: FindRequest) -> Result<FindResponse> {
        if request.keys.len() > MAX_KEYS {
            return Err(Error::invalid_argument(format!("a request has at most {MAX_KEYS} keys")));
        }
        let mut room = MAX_MESSAGE - OVERHEAD;
        let mut results = Vec::with_capacity(request.keys.len());
        let mut asked = HashSet::new();
        for key in &request.keys {
            let key = DhtId::from_slice(key).ok_or_else(|| corrupt("a key has 20 bytes"))?;
            if !asked.insert(key) {
                return Err(Error::invalid_argument("a request names each key once"));
            }
            let mut result = FindResult::default();
            for (id, peer) in self.table().nearest(&key, BUCKET, Some(&caller)) {
                result.nearest_node_ids.push(id.as_bytes().to_vec());
                result.nearest_peer_ids.push(peer.to_bytes());
            }
            room = room.saturating_sub(result.encoded_len() + 32);
            // What does not fit any more is to be asked for by itself.
            if self.kept().size_of(&key) <= room
                && let Some((kept, expiration)) = self.lookup_here(&key)
            {
                let (found, value) = match kept {
                    Kept::Plain(value) => (ResultType::FoundRegular, value),
                    Kept::Dictionary(dictionary) => (ResultType::FoundDictionary, dictionary.encode()),
                };
                if let Some(left) = room.checked_sub(value.len()) {
                    room = left;
                    result.set_type(found);
                    result.value = value;
                    result.expiration_time = expiration;
                }
            }
            results.push(result);
        }
        self.saw_caller(&request.peer, caller);
        Ok(FindResponse { auth: None, results, peer: self.info() })
    }

    /// Petals asks whether a peer can be reached: this node, or the one that asks. Strangers are dialled for nobody.
    async fn on_check(&self, caller: PeerId, request: PingRequest) -> PingResponse {
        let asked = request.peer.as_ref().and_then(|info| PeerId::from_bytes(&info.node_id).ok());
        let available = match asked {
            Some(peer) if peer == self.local => true,
            Some(peer) if peer == caller => {
                let check = self.check_of(peer, peer);
                matches!(tokio::time::timeout(PING_BACK, check).await, Ok(Ok(true)))
            }
            _ => false,
        };
        PingResponse { auth: None, peer: None, dht_time: 0.0, available }
    }

    fn saw_caller(self: &Arc<Dht>, info: &Option<NodeInfo>, caller: PeerId) {
        if let Some(info) = info {
            self.saw(&info.node_id, caller);
        }
    }
}

fn read<M: Message + Default>(data: &[u8]) -> Result<M> {
    M::decode(data).map_err(|error| corrupt("it is no request").with_source(error))
}

/// Whether a sub-key is one that every implementation can keep: a text, bytes, a number, a truth value, or a tuple of
/// those. Python cannot read a dictionary in which anything else is a sub-key.
fn is_subkey(subkey: &[u8]) -> bool {
    fn is_plain(value: &Value) -> bool {
        match value {
            Value::String(text) => text.is_str(),
            Value::Boolean(_) | Value::Integer(_) | Value::F32(_) | Value::F64(_) | Value::Binary(_) => true,
            _ => false,
        }
    }
    match msgpack::decode(subkey) {
        Ok(value @ Value::Ext(msgpack::TUPLE, _)) => {
            msgpack::items(&value).is_some_and(|items| items.iter().all(is_plain))
        }
        Ok(value) => is_plain(&value),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_key_is_something_that_python_can_look_up() {
        let tuple = msgpack::tuple(vec![Value::from("a"), Value::from(1)]);
        for good in
            [Value::from("a"), Value::from(-7), Value::from(1.5), Value::Binary(vec![1]), Value::from(true), tuple]
        {
            assert!(is_subkey(&msgpack::encode(&good)), "{good}");
        }
        let list = Value::Array(vec![]);
        for bad in [Value::Nil, list.clone(), Value::Map(vec![]), msgpack::tuple(vec![list]), Value::Ext(7, vec![])] {
            assert!(!is_subkey(&msgpack::encode(&bad)), "{bad}");
        }
        assert!(!is_subkey(b"\xa1\xff") && !is_subkey(b"\xa1a\xc0") && !is_subkey(b""));
    }
}
