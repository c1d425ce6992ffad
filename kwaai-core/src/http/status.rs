//! `GET /v1/status`: what the page at `/status` shows, for programs too.

use std::time::{Duration, Instant};

use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::Shared;
use super::reply::{Body, json as reply};
use crate::Error;
use crate::llm::BlockStatus;

/// Who asks the network for nothing more often than this, however many look.
const FRESH: Duration = Duration::from_secs(5);
/// Hosts that do not say within this what they have are left out, with the reason.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was asked of the network last, and when.
#[derive(Default)]
pub(super) struct Status(Mutex<Option<(Instant, Value, Value)>>);

pub(super) async fn answer(shared: &Shared) -> Response<Body> {
    let (models, node) = asked(shared).await;
    let names = |names: Vec<&String>| -> Value { names.into_iter().map(String::as_str).collect() };
    let work = shared.meter.work();
    let since = shared.backing.clock.now().as_second() - shared.since;
    let status = json!({
        "object": "status",
        "uptime_seconds": since.max(0),
        "requests": {"active": work.active, "at_once": shared.config.max_requests},
        "tokens": {"input": work.read, "output": work.written},
        "models": models,
        "embedders": names(shared.config.embedders.iter().map(|(name, _)| name).collect()),
        "knowledge": names(shared.config.knowledge.iter().map(|(name, _)| name).collect()),
        "node": node,
    });
    reply(StatusCode::OK, &status)
}

/// The models with their blocks, and the node.
async fn asked(shared: &Shared) -> (Value, Value) {
    let mut kept = shared.status.0.lock().await;
    if let Some((_, models, node)) = kept.as_ref().filter(|(when, ..)| when.elapsed() < FRESH) {
        return (models.clone(), node.clone());
    }
    let models = shared.config.models.iter().map(|(name, model)| async move {
        let asked = tokio::time::timeout(PATIENCE, model.blocks()).await;
        let blocks = asked.unwrap_or_else(|_| Err(Error::timeout("the hosts did not say in time what they have")));
        described(name, &model.name(), blocks)
    });
    let (models, node) = futures::future::join(futures::future::join_all(models), (shared.backing.status)()).await;
    let models = Value::from(models);
    *kept = Some((Instant::now(), models.clone(), node.clone()));
    (models, node)
}

fn described(name: &str, id: &str, blocks: crate::Result<Option<BlockStatus>>) -> Value {
    let (blocks, error) = match blocks {
        Ok(blocks) => (json!(blocks), Value::Null),
        Err(error) => (Value::Null, error.message().into()),
    };
    json!({"name": name, "id": id, "blocks": blocks, "error": error})
}
