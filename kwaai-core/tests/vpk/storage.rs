//! KwaaiNet's storage protocol: what its clients do works, and what bricked its hosts is refused.

use std::sync::Arc;

use kwaai_core::clock::SystemClock;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::Tier;
use kwaai_core::vpk::{Depot, DepotPolicy, Storage};
use proptest::prelude::*;
use rmpv::Value;

use crate::shapes::{encode, map};

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn host(store: &Store) -> Storage {
    let policy = DepotPolicy { min_tier: Some(Tier::Unknown), ..DepotPolicy::of(64 << 20) };
    let depot = Depot::open(store.clone(), did(1), Arc::new(SystemClock), policy).unwrap();
    Storage::new(Arc::new(depot), Arc::new(SystemClock), did(1).to_peer_id().unwrap())
}

fn numbers(bytes: Vec<u8>) -> Value {
    Value::Array(bytes.into_iter().map(Value::from).collect())
}

fn call(op: &str, tenant: Option<&str>, payload: Vec<u8>) -> Vec<u8> {
    let tenant = tenant.map_or(Value::Nil, Value::from);
    encode(&map(&[("op", op.into()), ("tenant_id", tenant), ("payload", numbers(payload))]))
}

/// What the host answers, as its clients read it.
fn asked(host: &Storage, caller: u8, bytes: &[u8]) -> Result<Value, String> {
    let answer = rmpv::decode::read_value(&mut host.answer(did(caller), bytes).as_slice()).unwrap();
    if answer["ok"].as_bool().unwrap() {
        let payload: Vec<u8> =
            answer["payload"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
        Ok(rmpv::decode::read_value(&mut payload.as_slice()).unwrap())
    } else {
        Err(answer["error"].as_str().unwrap().to_owned())
    }
}

fn ask(host: &Storage, caller: u8, op: &str, tenant: Option<&str>, payload: &Value) -> Result<Value, String> {
    asked(host, caller, &call(op, tenant, encode(payload)))
}

fn vector(values: &[f32]) -> Value {
    Value::Array(values.iter().map(|value| Value::F32(*value)).collect())
}

fn vectors(all: &[(i64, &[f32])]) -> Value {
    let all = all.iter().map(|(id, values)| map(&[("id", (*id).into()), ("embedding", vector(values))]));
    map(&[("vectors", Value::Array(all.collect()))])
}

fn create(host: &Storage, caller: u8) -> String {
    let made = ask(host, caller, "create_tenant", None, &map(&[("vector_dimension", 4.into())])).unwrap();
    let id = made["tenant_id"].as_slice().unwrap();
    assert_eq!((id.len(), made["status"].as_str(), made["vector_dimension"].as_u64()), (16, Some("Active"), Some(4)));
    assert_eq!(made["capacity_limit_mb"].as_i64(), Some(1024));
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn found(host: &Storage, caller: u8, tenant: &str, query: &[f32], k: i64) -> Vec<(i64, f64)> {
    let query = map(&[("query", vector(query)), ("top_k", k.into())]);
    let hits = ask(host, caller, "search_vectors", Some(tenant), &query).unwrap();
    let hits = hits.as_array().unwrap().iter();
    hits.map(|hit| {
        assert_eq!(hit.as_map().unwrap().len(), 2, "ids and scores only");
        (hit["id"].as_i64().unwrap(), hit["score"].as_f64().unwrap())
    })
    .collect()
}

const X: &[f32] = &[1.0, 0.0, 0.0, 0.0];
const Y: &[f32] = &[0.0, 3.0, 0.0, 0.0];
const XY: &[f32] = &[1.0, 1.0, 0.0, 0.0];

#[test]
fn what_kwaainets_clients_do_works_and_is_there_after_a_restart() {
    let store = Store::in_memory().unwrap();
    let open = host(&store);
    let tenant = create(&open, 2);
    let uploaded =
        ask(&open, 2, "upload_vectors", Some(&tenant), &vectors(&[(-1, X), (2, Y), (3, XY), (2, X), (2, Y)]));
    assert_eq!(uploaded.unwrap().as_u64(), Some(5));
    let restarted = host(&store);
    for host in [&open, &restarted] {
        let hits = found(host, 2, &tenant, X, 10);
        assert_eq!(hits.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [-1, 3, 2]);
        assert!(
            (hits[0].1 - 1.0).abs() < 1e-3
                && (hits[1].1 - std::f64::consts::FRAC_1_SQRT_2).abs() < 1e-3
                && hits[2].1.abs() < 1e-3
        );
        assert_eq!(found(host, 2, &tenant, X, 1).len(), 1);
    }
    // Replaced as often as one likes, there is one of each id.
    for _ in 0..5 {
        ask(&open, 2, "upload_vectors", Some(&tenant), &vectors(&[(-1, Y), (2, X)])).unwrap();
    }
    assert_eq!(found(&open, 2, &tenant, X, 10).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3, -1]);
    let gone = map(&[("ids", Value::Array(vec![3.into(), 99.into(), 2.into()]))]);
    assert_eq!(ask(&open, 2, "delete_vectors", Some(&tenant), &gone).unwrap().as_u64(), Some(2));
    assert_eq!(found(&open, 2, &tenant, X, 10).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [-1]);
    let health = ask(&open, 2, "health", None, &Value::Nil).unwrap();
    assert_eq!((health["tenant_count"].as_u64(), health["total_vectors"].as_u64()), (Some(1), Some(1)));
    let listed = ask(&open, 2, "list_tenants", None, &Value::Nil).unwrap();
    assert_eq!(listed[0], ask(&open, 2, "get_tenant", Some(&tenant), &Value::Nil).unwrap());
    assert!(ask(&open, 2, "delete_tenant", Some(&tenant), &Value::Nil).unwrap().is_nil());
    assert!(ask(&open, 2, "get_tenant", Some(&tenant), &Value::Nil).is_err());
    assert_eq!(ask(&open, 2, "list_tenants", None, &Value::Nil).unwrap().as_array().unwrap().len(), 0);
}

#[test]
fn a_tenants_id_opens_nothing_to_anybody_else() {
    let store = Store::in_memory().unwrap();
    let host = host(&store);
    let tenant = create(&host, 2);
    ask(&host, 2, "upload_vectors", Some(&tenant), &vectors(&[(1, X)])).unwrap();
    for (op, payload) in [
        ("get_tenant", Value::Nil),
        ("delete_tenant", Value::Nil),
        ("upload_vectors", vectors(&[(1, Y)])),
        ("search_vectors", map(&[("query", vector(X))])),
        ("delete_vectors", map(&[("ids", Value::Array(vec![1.into()]))])),
    ] {
        let refused = ask(&host, 3, op, Some(&tenant), &payload).unwrap_err();
        assert!(refused.contains("no such tenant"), "{op}: {refused}");
    }
    assert_eq!(ask(&host, 3, "list_tenants", None, &Value::Nil).unwrap().as_array().unwrap().len(), 0);
    let of_another = map(&[("peer_id", did(2).to_peer_id().unwrap().to_string().into())]);
    assert!(ask(&host, 3, "create_tenant", None, &of_another).unwrap_err().contains("not to another"));
    for limit in [0, -1, i64::MIN] {
        let unlimited = map(&[("capacity_limit_mb", limit.into())]);
        assert!(ask(&host, 3, "create_tenant", None, &unlimited).unwrap_err().contains("limit"));
    }
    assert_eq!(found(&host, 2, &tenant, X, 5).len(), 1);
}

/// The message that bricked the original, and what else might.
fn hostile(tenant: &str) -> Vec<(&'static str, Vec<u8>)> {
    let upload = |payload: Value| call("upload_vectors", Some(tenant), encode(&payload));
    let one = |value: Value| upload(map(&[("vectors", Value::Array(vec![value]))]));
    let entry = |id: Value, embedding: Value| one(map(&[("id", id), ("embedding", embedding)]));
    let mut deep = Value::Nil;
    for _ in 0..200 {
        deep = Value::Array(vec![deep]);
    }
    let whole = upload(vectors(&[(1, X)]));
    let cut = whole[..whole.len() / 2].to_vec();
    let query = |payload: Value| call("search_vectors", Some(tenant), encode(&payload));
    let mut claimed = encode(&map(&[("op", "upload_vectors".into()), ("tenant_id", tenant.into())]));
    claimed[0] = 0x83;
    claimed.extend(b"\xa7payload\xdd\xff\xff\xff\xff");
    vec![
        ("two lengths in one batch, the brick", upload(vectors(&[(1, X), (2, &[1.0; 5])]))),
        ("another length than the tenant's", upload(vectors(&[(1, &[1.0; 3])]))),
        ("no numbers", upload(vectors(&[(1, &[])]))),
        ("far too many numbers", upload(vectors(&[(1, &[1.0; 4096])]))),
        ("not a number", upload(vectors(&[(1, &[f32::NAN, 0.0, 0.0, 0.0])]))),
        ("infinity", upload(vectors(&[(1, &[f32::INFINITY, 0.0, 0.0, 0.0])]))),
        ("no direction", upload(vectors(&[(1, &[0.0; 4])]))),
        ("longer than a float can be", upload(vectors(&[(1, &[f32::MAX; 4])]))),
        ("a number beyond a float", entry(1.into(), Value::Array(vec![Value::F64(1e300); 4]))),
        ("texts for numbers", entry(1.into(), Value::Array(vec!["1".into(); 4]))),
        ("no id", one(map(&[("embedding", vector(X))]))),
        ("an id beyond 64 bits", entry(u64::MAX.into(), vector(X))),
        ("an id that is a text", entry("1".into(), vector(X))),
        ("no embedding", one(map(&[("id", 1.into())]))),
        ("an embedding that is a map", entry(1.into(), map(&[]))),
        ("a list in the place of a vector", one(vector(X))),
        ("no vectors", upload(Value::Nil)),
        ("vectors that are a text", upload(map(&[("vectors", "none".into())]))),
        ("deep nesting", upload(map(&[("vectors", deep)]))),
        ("half a message", cut),
        ("more than is there", claimed),
        ("no payload", encode(&map(&[("op", "upload_vectors".into()), ("tenant_id", tenant.into())]))),
        ("a payload of no bytes", encode(&map(&[("op", "upload_vectors".into()), ("payload", numbers(vec![0xc1]))]))),
        (
            "a payload of numbers that are no bytes",
            encode(&map(&[("op", "health".into()), ("payload", Value::Array(vec![256.into()]))])),
        ),
        ("something behind it", [upload(vectors(&[(1, X)])), vec![0]].concat()),
        ("no tenant", call("upload_vectors", None, encode(&vectors(&[(1, X)])))),
        ("a tenant that is no UUID", call("upload_vectors", Some("../../etc"), encode(&vectors(&[(1, X)])))),
        ("another operation", call("drop_everything", Some(tenant), Vec::new())),
        ("a search of another length", query(map(&[("query", vector(&[1.0; 2]))]))),
        ("a search for not a number", query(map(&[("query", vector(&[f32::NAN; 4]))]))),
        ("a search for no hits", query(map(&[("query", vector(X)), ("top_k", 0.into())]))),
        ("a search for all hits there could be", query(map(&[("query", vector(X)), ("top_k", i64::MAX.into())]))),
        ("a search for fewer than none", query(map(&[("query", vector(X)), ("top_k", (-1).into())]))),
        ("nothing", Vec::new()),
    ]
}

#[test]
fn hostile_uploads_are_refused_and_others_are_served_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = {
        let store = Store::open(dir.path()).unwrap();
        let host = host(&store);
        let (mine, other) = (create(&host, 2), create(&host, 3));
        ask(&host, 2, "upload_vectors", Some(&mine), &vectors(&[(7, X)])).unwrap();
        ask(&host, 3, "upload_vectors", Some(&other), &vectors(&[(8, XY)])).unwrap();
        let before = ask(&host, 2, "health", None, &Value::Nil).unwrap();
        let all = hostile(&mine);
        assert!(all.len() > 20);
        for (what, bytes) in all {
            assert!(asked(&host, 2, &bytes).is_err(), "{what}");
            assert_eq!(ask(&host, 2, "health", None, &Value::Nil).unwrap(), before, "{what} left something");
            assert_eq!(found(&host, 3, &other, XY, 5)[0].0, 8, "{what}");
        }
        (mine, other)
    };
    let store = Store::open(dir.path()).unwrap();
    let host = host(&store);
    assert_eq!(found(&host, 2, &tenants.0, X, 5).len(), 1);
    assert_eq!(found(&host, 3, &tenants.1, XY, 5).len(), 1);
}

#[test]
fn a_tenant_ends_at_its_limit_and_at_the_hosts() {
    let store = Store::in_memory().unwrap();
    let host = host(&store);
    let small = map(&[("capacity_limit_mb", 1.into()), ("vector_dimension", 2048.into())]);
    let made = ask(&host, 2, "create_tenant", None, &small).unwrap();
    let hex: String = made["tenant_id"].as_slice().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    let wide = vec![1.0; 2048];
    let batch: Vec<(i64, &[f32])> = (0..40).map(|id| (id, wide.as_slice())).collect();
    let mut refused = None;
    for _ in 0..10 {
        // Other ids, so that nothing is replaced.
        let start = 40 * found(&host, 2, &id, &wide, 10_000).len() as i64;
        let batch: Vec<(i64, &[f32])> = batch.iter().map(|(id, values)| (id + start, *values)).collect();
        if let Err(error) = ask(&host, 2, "upload_vectors", Some(&id), &vectors(&batch)) {
            refused = Some(error);
            break;
        }
    }
    assert!(refused.unwrap().contains("capacity"));
    for _ in 0..63 {
        create(&host, 2);
    }
    assert!(ask(&host, 2, "create_tenant", None, &map(&[])).unwrap_err().contains("collections"));
    create(&host, 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever one tenant sends, another is served.
    #[test]
    fn fuzz_no_message_of_the_storage_protocol_reaches_another_tenant(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let store = Store::in_memory().unwrap();
        let host = host(&store);
        let (mine, other) = (create(&host, 2), create(&host, 3));
        ask(&host, 3, "upload_vectors", Some(&other), &vectors(&[(8, XY)])).unwrap();
        let all = hostile(&mine);
        let mut bytes = all[which.index(all.len())].1.clone();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = asked(&host, 2, &bytes);
        prop_assert_eq!(found(&host, 3, &other, XY, 5).len(), 1);
        found(&host, 2, &mine, X, 5);
    }
}
