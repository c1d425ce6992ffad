//! KwaaiNet's storage protocol between nodes: a tenant is who the connection authenticated.

use std::time::Duration;

use kwaai_core::identity::Did;
use kwaai_core::net::Peers;
use kwaai_core::vpk::{DepotPolicy, STORAGE_PROTOCOL};
use kwaai_core::{Config, ErrorCode, Node};
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
