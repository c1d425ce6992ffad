//! Bytes that PyPI's hivemind 1.1.12 wrote, read and written again.

use kwaai_core::net::hivemind::messages::{
    FindRequest, FindResponse, PingRequest, PingResponse, StoreRequest, StoreResponse,
};
use kwaai_core::net::hivemind::{
    Answer, Call, DhtId, Dictionary, MAX_MESSAGE, ServerInfo, Value, admits, msgpack, without_signature,
};
use prost::Message;
use serde_json::Value as Json;

#[path = "support/shared.rs"]
mod shared;

fn golden() -> Option<Json> {
    let file = shared::shared("vectors/hivemind/hivemind-1.1.12-golden.json")?;
    Some(serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_else(|| panic!("no text: {json}"))
}

fn unhex(json: &Json) -> Vec<u8> {
    let digits = text(json).as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn list(json: &Json) -> &Vec<Json> {
    json.as_array().unwrap_or_else(|| panic!("no list: {json}"))
}

/// A JSON value as Python would pass it to msgpack; `{"tuple": […]}` and `{"bytes": hex}` stand for themselves.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(it) => Value::from(*it),
        Json::Number(it) if it.is_i64() => Value::from(it.as_i64().unwrap()),
        Json::Number(it) => Value::from(it.as_f64().unwrap()),
        Json::String(it) => Value::from(it.as_str()),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(map) => match (map.get("tuple"), map.get("bytes")) {
            (Some(items), _) => msgpack::tuple(list(items).iter().map(value).collect()),
            (_, Some(bytes)) => Value::Binary(unhex(bytes)),
            _ => Value::Map(map.iter().map(|(key, of)| (Value::from(key.as_str()), value(of))).collect()),
        },
    }
}

#[test]
fn every_key_lies_where_hivemind_looks_for_it() {
    let Some(golden) = golden() else { return };
    for case in list(&golden["dhtid"]) {
        let source = &case["source"];
        let key = match text(&source["type"]) {
            "bytes" => Value::Binary(unhex(&source["hex"])),
            "tuple" => msgpack::tuple(list(&source["value"]).iter().map(value).collect()),
            _ => value(&source["value"]),
        };
        if !case["msgpack"].is_null() {
            assert_eq!(msgpack::encode(&key), unhex(&case["msgpack"]), "{case}");
        }
        assert_eq!(DhtId::of_value(&key).as_bytes(), &unhex(&case["dhtid"])[..], "{case}");
    }
}

/// A value with its maps in the order of their keys.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, of)| (key.clone(), sorted(of))).collect();
            entries.sort_by_key(|(key, _)| key.to_string());
            Value::Map(entries)
        }
        Value::Ext(..) => msgpack::tuple(msgpack::items(value).unwrap().iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[test]
fn every_value_is_written_and_read_as_hivemind_does() {
    let Some(golden) = golden() else { return };
    let written = list(&golden["msgpack"]).iter().map(|case| (&case["value"], &case["hex"]));
    for (json, hex) in written {
        let read = msgpack::decode(&unhex(hex)).unwrap();
        assert_eq!(msgpack::encode(&read), unhex(hex), "{json}");
        assert_eq!(sorted(&read), sorted(&value(json)), "{json}");
    }
    for name in ["petals_server_info", "petals_model_info"] {
        let bytes = unhex(&golden[name]["hex"]);
        assert_eq!(msgpack::encode(&msgpack::decode(&bytes).unwrap()), bytes, "{name}");
    }
}

#[test]
fn a_dictionary_of_sub_keys_is_read_whole_and_written_to_the_byte() {
    let Some(golden) = golden() else { return };
    let case = &golden["dictionary_value"];
    let bytes = unhex(&case["hex"]);
    let dictionary = Dictionary::decode(&bytes).unwrap();
    assert_eq!(dictionary.max_size, None);
    assert_eq!(Some(dictionary.latest_expiration), case["latest_expiration_time"].as_f64());
    assert_eq!(dictionary.entries.len(), list(&case["items"]).len());
    for (entry, item) in dictionary.entries.iter().zip(list(&case["items"])) {
        assert_eq!(msgpack::decode(&entry.subkey).unwrap(), value(&item[0]));
        assert_eq!(entry.value, unhex(&item[1]));
        assert_eq!(Some(entry.expiration), item[2].as_f64());
    }
    assert_eq!(dictionary.encode(), bytes);
}

#[test]
fn a_server_of_petals_is_read_whole_and_written_to_the_byte() {
    let Some(golden) = golden() else { return };
    let bytes = unhex(&golden["petals_server_info"]["hex"]);
    let info = ServerInfo::decode(&bytes).unwrap();
    assert!(info.is_online());
    assert_eq!((info.throughput, info.blocks()), (1250.5, Some(0..8)));
    assert_eq!(info.fields.text("quant_type"), Some("nf4"));
    assert_eq!(info.fields.texts("adapters"), Some(vec![]));
    assert_eq!(info.fields.count("cache_tokens_left"), Some(100_000));
    assert_eq!((info.fields.number("network_rps"), info.fields.flag("using_relay")), (Some(10.0), Some(false)));
    assert_eq!(info.encode(), bytes);
}

fn again<M: Message + Default>(golden: &Json, names: &[&str]) -> Vec<M> {
    let read = names.iter().map(|name| {
        let bytes = unhex(&golden["protobuf"][name]);
        let message = M::decode(&bytes[..]).unwrap();
        assert_eq!(message.encode_to_vec(), bytes, "{name}");
        message
    });
    read.collect()
}

#[test]
fn every_message_is_read_and_written_to_the_byte() {
    let Some(golden) = golden() else { return };
    let pings = again::<PingRequest>(&golden, &["ping_request_validate", "ping_request_client_mode"]);
    assert!(pings.iter().all(|ping| ping.validate));
    assert_eq!(pings[0].peer.as_ref().unwrap().node_id.len(), DhtId::LEN);
    assert_eq!(pings[1].peer.as_ref().unwrap().node_id, b"");
    assert!(again::<PingResponse>(&golden, &["ping_response"])[0].available);
    let stores = ["store_request_subkey", "store_request_regular", "store_request_two_keys"];
    assert_eq!(again::<StoreRequest>(&golden, &stores)[2].in_cache, [false, false]);
    assert_eq!(again::<StoreResponse>(&golden, &["store_response"])[0].store_ok, [true, false]);
    again::<FindRequest>(&golden, &["find_request"]);
    let finds = ["find_response_not_found", "find_response_dictionary", "find_response_regular"];
    let finds = again::<FindResponse>(&golden, &finds);
    assert_eq!(finds[0].results[0].nearest_peer_ids.len(), 1);
    assert!(Dictionary::decode(&finds[1].results[0].value).is_ok());
}

#[test]
fn every_frame_is_read_and_written_to_the_byte() {
    let Some(golden) = golden() else { return };
    let frames = &golden["unary_frames"];
    let call = unhex(&frames["call"]);
    let read = Call::decode(&call[1..]).unwrap();
    assert_eq!(read.method, "DHTProtocol.rpc_find");
    assert_eq!(read.encode(), call);
    for name in ["reply", "error_reply"] {
        let frame = unhex(&frames[name]);
        let answer = Answer::decode(&frame[1..]).unwrap();
        assert_eq!(answer.outcome.is_err(), name == "error_reply");
        assert_eq!(answer.encode(), frame);
        assert!(frame.len() < MAX_MESSAGE);
    }
}

#[test]
fn a_record_with_an_owner_stands_only_with_its_signature() {
    let Some(golden) = golden() else { return };
    let case = &golden["rsa_signature_validator"];
    let key = DhtId::from_slice(&unhex(&case["key"])).unwrap();
    let (subkey, signed) = (unhex(&case["subkey"]), unhex(&case["value_with_signature"]));
    let expiration = case["expiration_time"].as_f64().unwrap();
    assert!(admits(&key, &subkey, &signed, expiration));
    assert_eq!(*without_signature(&signed), unhex(&case["value"]));
    assert!(!admits(&key, &subkey, &unhex(&case["value"]), expiration));
    assert!(!admits(&key, &subkey, &signed, expiration + 1.0));
    assert!(!admits(&DhtId::of_text("another"), &subkey, &signed, expiration));
    for at in (0..signed.len()).step_by(7) {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        assert!(!admits(&key, &subkey, &changed, expiration), "byte {at}");
    }
    let twice = [&signed[..], &signed[4..]].concat();
    assert!(!admits(&key, &subkey, &twice, expiration));
}
