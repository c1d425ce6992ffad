//! The verbs of private knowledge.

#![expect(clippy::unit_arg, reason = "what answers nothing is compared as null")]

use std::sync::Arc;

use kwaai_core::Error;
use kwaai_ffi::vpk::{CollectionOptions, HostOptions, Metadata, RecoverOptions, USUAL_HITS};
use kwaai_ffi::{CancelToken, HostConsole, Matrix, Result, VectorCollection, Vpk};
use serde_json::Value;

use crate::verbs::{Answer, Arguments, Object, base64, data, object, stream, unknown};

pub async fn on_vpk(name: &str, vpk: &Arc<Vpk>, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    let collection = |made: VectorCollection| object(Object::Collection(Arc::new(made)));
    match name {
        "Vpk.host" => {
            let options: HostOptions = args.record(&["capacity_bytes"])?;
            data(vpk.host(args.get("capacity_bytes")?, options, cancel).await?)
        }
        "Vpk.stop_hosting" => data(vpk.stop_hosting(cancel).await?),
        "Vpk.hosted" => data(vpk.hosted(cancel).await?),
        "Vpk.evict" => data(vpk.evict(args.get("owner")?, cancel).await?),
        "Vpk.discover" => data(vpk.discover(args.record(&[])?, cancel).await?),
        "Vpk.audit" => data(vpk.audit(args.get("name")?, cancel).await?),
        "Vpk.benchmark" => Ok(stream(vpk.benchmark(args.record(&[])?, cancel).await?)),
        "Vpk.create" => {
            let options: CollectionOptions = args.record(&["name"])?;
            collection(vpk.create(args.get("name")?, options, cancel).await?)
        }
        "Vpk.open" => collection(vpk.open(args.get("name")?, cancel).await?),
        "Vpk.device" => data(vpk.device(cancel).await?),
        "Vpk.resolve" => data(vpk.resolve(args.get("collection_id")?, cancel).await?),
        "Vpk.recover" => {
            let options: RecoverOptions = args.record(&["name", "exported"])?;
            collection(vpk.recover(args.get("name")?, args.get("exported")?, options, cancel).await?)
        }
        "Vpk.console" => object(Object::Console(Arc::new(vpk.console(args.get("port")?, cancel).await?))),
        "Vpk.collections" => data(vpk.collections(cancel).await?),
        "Vpk.destroy" => data(vpk.destroy(args.get("name")?, cancel).await?),
        _ => unknown(name),
    }
}

pub async fn on_collection(
    name: &str,
    collection: &VectorCollection,
    args: Arguments,
    cancel: CancelToken,
) -> Result<Answer> {
    match name {
        "VectorCollection.name" => data(collection.name()),
        "VectorCollection.id" => data(collection.id()),
        "VectorCollection.config" => data(collection.config()),
        "VectorCollection.leakage" => data(collection.leakage()),
        "VectorCollection.stats" => data(collection.stats(cancel).await?),
        "VectorCollection.upsert" => {
            let rows = args.get::<Vec<Value>>("vectors")?.iter().map(numbers).collect::<Result<Vec<_>>>()?;
            let columns = rows.first().map_or(0, Vec::len);
            let vectors = Matrix::new(rows.len(), columns, rows.concat())?;
            let payloads: Option<Vec<Option<Value>>> = args.get("payloads")?;
            let payloads = payloads
                .map(|all| all.into_iter().map(|one| one.map(bytes).transpose()).collect::<Result<Vec<_>>>())
                .transpose()?;
            let metadata: Option<Vec<Option<Metadata>>> = args.get("metadata")?;
            data(collection.upsert(args.get("ids")?, vectors, payloads, metadata, cancel).await?)
        }
        "VectorCollection.delete" => data(collection.delete(args.get("ids")?, cancel).await?),
        "VectorCollection.search" => {
            let vector = numbers(&args.get("vector")?)?;
            let (k, filter): (Option<usize>, Option<Metadata>) = (args.get("k")?, args.get("filter")?);
            data(collection.search(vector, k.unwrap_or(USUAL_HITS), filter.unwrap_or_default(), cancel).await?)
        }
        "VectorCollection.flush" => data(collection.flush(cancel).await?),
        "VectorCollection.verify" => data(collection.verify(cancel).await?),
        "VectorCollection.rotate" => data(collection.rotate(cancel).await?),
        "VectorCollection.repair" => data(collection.repair(args.get("hosts")?, cancel).await?),
        "VectorCollection.export_key" => data(collection.export_key(args.get("passphrase")?, cancel).await?),
        "VectorCollection.export_key_to" => data(collection.export_key_to(args.get("device")?, cancel).await?),
        "VectorCollection.destroy" => data(collection.destroy(cancel).await?),
        "VectorCollection.shutdown" => data(collection.shutdown()),
        _ => unknown(name),
    }
}

pub fn on_console(name: &str, console: &HostConsole) -> Result<Answer> {
    match name {
        "HostConsole.url" => data(console.url()),
        "HostConsole.shutdown" => data(console.shutdown()),
        _ => unknown(name),
    }
}

/// A row of numbers, among which may be what JSON cannot write.
fn numbers(row: &Value) -> Result<Vec<f32>> {
    let number = |value: &Value| match value.get("$number").and_then(Value::as_str) {
        Some("nan") => Some(f32::NAN),
        Some(_) => Some(f32::INFINITY),
        None => value.as_f64().map(|number| number as f32),
    };
    let row = row.as_array().map(|row| row.iter().map(number).collect::<Option<Vec<_>>>());
    row.flatten().ok_or_else(|| Error::invalid_argument("a vector is a list of numbers").into())
}

fn bytes(value: Value) -> Result<Vec<u8>> {
    let text = value.get("$base64").and_then(Value::as_str);
    text.map(base64).ok_or_else(|| Error::invalid_argument("a payload is bytes").into())
}
