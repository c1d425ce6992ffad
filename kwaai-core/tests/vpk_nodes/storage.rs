//! KwaaiNet's storage protocol between nodes: a tenant is who the connection authenticated.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use kwaai_core::identity::Did;
use kwaai_core::net::Peers;
use kwaai_core::vpk::{DepotPolicy, STORAGE_PROTOCOL};
use kwaai_core::{Config, ErrorCode, Node};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::{Behaviour, Control, OpenStreamError};
use rmpv::Value;

use crate::hosts::{GRACE, Host, open_policy};
use crate::shapes::{encode, map};

async fn ask(from: &Host, to: &Node, op: &str, tenant: Value, payload: Value) -> Result<Value, kwaai_core::Error> {
    let call = map(&[("op", op.into()), ("tenant_id", tenant), ("payload", Value::Binary(encode(&payload)))]);
    let body = encode(&call).into();
    let answer = from.network.call(to.peer_id(), STORAGE_PROTOCOL, body, Duration::from_secs(20)).await?;
    Ok(rmpv::decode::read_value(&mut &answer[..]).unwrap())
}

fn payload(answer: &Value) -> Value {
    assert_eq!(answer["ok"], true.into(), "{answer}");
    let bytes: Vec<u8> =
        answer["payload"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
    rmpv::decode::read_value(&mut &bytes[..]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_the_right_tier_is_a_tenant_and_another_peer_finds_nothing_of_it() {
    let host = Node::start(Config::default()).await.unwrap();
    let (owner, other) = (Host::start(31).await, Host::start(32).await);
    for caller in [&owner, &other] {
        host.connect(&caller.network.listen_addresses()[0].to_string()).await.unwrap();
        // The one that was dialled is told a little later.
        while caller.network.connected().iter().all(|peer| peer.peer != host.peer_id()) {
            tokio::task::yield_now().await;
        }
    }
    let health = async |from: &Host| ask(from, &host, "health", Value::Nil, Value::Nil).await;
    assert_eq!(health(&owner).await.unwrap_err().code(), ErrorCode::Unsupported);
    host.vpk().host(DepotPolicy::of(1 << 20)).await.unwrap();
    assert_eq!(health(&owner).await.unwrap_err().code(), ErrorCode::PermissionDenied);
    host.vpk().stop_hosting().await.unwrap();
    host.vpk().host(open_policy()).await.unwrap();
    assert_eq!(payload(&health(&owner).await.unwrap())["peer_id"], host.peer_id().to_string().into());

    let made = ask(&owner, &host, "create_tenant", Value::Nil, map(&[("vector_dimension", 2.into())])).await.unwrap();
    let made = payload(&made);
    assert_eq!(made["peer_id"], owner.network.local_peer().to_string().into());
    let hex: String = made["tenant_id"].as_slice().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let id = Value::from(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]));
    let vector = Value::Array(vec![Value::F32(1.0), Value::F32(0.0)]);
    let vectors = map(&[("vectors", Value::Array(vec![map(&[("id", 5.into()), ("embedding", vector.clone())])]))]);
    payload(&ask(&owner, &host, "upload_vectors", id.clone(), vectors.clone()).await.unwrap());
    let query = map(&[("query", vector)]);
    let found = payload(&ask(&owner, &host, "search_vectors", id.clone(), query.clone()).await.unwrap());
    assert_eq!(found[0]["id"], 5.into());
    for (op, body) in [("search_vectors", query), ("upload_vectors", vectors), ("delete_tenant", Value::Nil)] {
        let refused = ask(&other, &host, op, id.clone(), body).await.unwrap();
        assert_eq!(refused["ok"], false.into(), "{op}");
    }
    // What it keeps is charged to whom the connection authenticated.
    let tenants = host.vpk().hosted().unwrap().tenants().unwrap();
    let did = Did::from_peer_id(&owner.network.local_peer()).unwrap();
    assert_eq!(tenants.iter().map(|tenant| tenant.owner).collect::<Vec<_>>(), [did]);
    host.shutdown(GRACE).await.unwrap();
}

/// A peer with nothing of ours in it: libp2p, and the frame that KwaaiNet's client writes.
struct Kwaai {
    control: Control,
    id: libp2p::PeerId,
    host: libp2p::PeerId,
    swarm: tokio::task::JoinHandle<()>,
}

impl Kwaai {
    async fn of(host: &Node) -> Kwaai {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| Behaviour::new())
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let (control, id) = (swarm.behaviour().new_control(), *swarm.local_peer_id());
        swarm.dial(host.info().unwrap().addresses[0].to_string().parse::<Multiaddr>().unwrap()).unwrap();
        while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
        let swarm = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Kwaai { control, id, host: host.peer_id(), swarm }
    }

    /// Opens a stream, says the call, closes its side as go-libp2p does, and reads the answer.
    async fn call(&mut self, call: &[u8]) -> Result<Value, OpenStreamError> {
        let protocol = StreamProtocol::new(STORAGE_PROTOCOL);
        let mut stream = self.control.open_stream(self.host, protocol).await?;
        let unary = [field(1, self.host.to_bytes()), field(2, STORAGE_PROTOCOL), field(3, call)].concat();
        let message = [field(1, [3; 16]), field(3, unary)].concat();
        stream.write_all(&[varint(message.len()), message].concat()).await.unwrap();
        stream.close().await.unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.unwrap();
        let (_, message) = sized(&reply);
        assert_eq!(message[..18], [field(1, [3; 16])].concat());
        assert_eq!(message[18], 4 << 3 | 2, "an answer");
        let (_, answer) = sized(&message[19..]);
        assert_eq!(answer[0], 1 << 3 | 2, "no error: {:?}", String::from_utf8_lossy(answer));
        let (_, mut data) = sized(&answer[1..]);
        Ok(rmpv::decode::read_value(&mut data).unwrap())
    }

    async fn ask(&mut self, op: &str, tenant: Value, payload: Value) -> Value {
        // rmp-serde writes bytes as a list of numbers.
        let payload = encode(&payload).into_iter().map(Value::from).collect();
        let call = map(&[("op", op.into()), ("tenant_id", tenant), ("payload", Value::Array(payload))]);
        self.call(&encode(&call)).await.unwrap()
    }
}

impl Drop for Kwaai {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn field(tag: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![tag << 3 | 2], varint(bytes.as_ref().len()), bytes.as_ref().to_vec()].concat()
}

/// The bytes behind a length, and what comes before them.
fn sized(bytes: &[u8]) -> (&[u8], &[u8]) {
    let head = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let length = bytes[..head].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
    (&bytes[..head], &bytes[head..head + length])
}

/// What KwaaiNet 0.6.2 writes to ask how a host stands.
const HEALTH: &[u8] = b"\x83\xa2op\xa6health\xa9tenant_id\xc0\xa7payload\x90";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_kwaainet_opens_a_stream_and_is_a_tenant_of_its_own() {
    let host = Node::start(Config::default()).await.unwrap();
    let (mut owner, mut other) = (Kwaai::of(&host).await, Kwaai::of(&host).await);
    let unsupported = owner.call(HEALTH).await.unwrap_err();
    assert!(matches!(unsupported, OpenStreamError::UnsupportedProtocol(_)), "{unsupported}");
    host.vpk().host(open_policy()).await.unwrap();
    assert_eq!(payload(&owner.call(HEALTH).await.unwrap())["peer_id"], host.peer_id().to_string().into());

    let made = payload(&owner.ask("create_tenant", Value::Nil, map(&[("vector_dimension", 384.into())])).await);
    assert_eq!(made["peer_id"], owner.id.to_string().into());
    let hex: String = made["tenant_id"].as_slice().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let id = Value::from(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]));
    let embedding =
        |id: usize| Value::Array((0..384).map(|at| Value::F32(if at == id % 384 { 1.0 } else { 0.1 })).collect());
    // As many as the original sends at once unless it is told otherwise, which is more than a call of ours carries.
    let vectors = (0..500).map(|id| map(&[("id", id.into()), ("embedding", embedding(id))])).collect();
    let uploaded = owner.ask("upload_vectors", id.clone(), map(&[("vectors", Value::Array(vectors))])).await;
    assert_eq!(payload(&uploaded), 500.into());
    let query = map(&[("query", embedding(7)), ("top_k", 2.into())]);
    let found = payload(&owner.ask("search_vectors", id.clone(), query.clone()).await);
    assert_eq!((&found[0]["id"], &found[1]["id"]), (&7.into(), &391.into()));
    assert_eq!(other.ask("search_vectors", id.clone(), query).await["ok"], false.into());
    assert_eq!(other.ask("delete_tenant", id, Value::Nil).await["ok"], false.into());
    let tenants = host.vpk().hosted().unwrap().tenants().unwrap();
    assert_eq!(tenants.iter().map(|tenant| tenant.owner).collect::<Vec<_>>(), [Did::from_peer_id(&owner.id).unwrap()]);

    host.vpk().stop_hosting().await.unwrap();
    assert!(owner.call(HEALTH).await.is_err());
    host.shutdown(GRACE).await.unwrap();
}
