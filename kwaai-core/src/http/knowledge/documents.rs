//! `/v1/knowledge/{name}/documents`: what a knowledge base holds, and what comes and goes.

use std::sync::Arc;

use futures::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::ACCEPT;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::{found, merge};
use crate::event::{Item, Stream};
use crate::http::Shared;
use crate::http::meter::Generating;
use crate::http::path::query;
use crate::http::reply::{Body, Failure, event, json as reply, response};
use crate::http::route::{body, upload_turn};
use crate::rag::{IngestEvent, IngestOptions, Metadata, Rag, Source, check_metadata};

/// The longest name of a document in bytes.
const MAX_NAME: usize = 1024;

pub(in crate::http) async fn documents(shared: &Arc<Shared>, name: &str) -> Result<Response<Body>, Failure> {
    let documents = found(shared, name)?.documents().await?;
    Ok(reply(StatusCode::OK, &json!({"object": "list", "data": documents})))
}

/// A document with its text.
pub(in crate::http) async fn document(shared: &Arc<Shared>, name: &str, id: &str) -> Result<Response<Body>, Failure> {
    let rag = found(shared, name)?;
    let info = rag.document(id).await.map_err(Failure::about_document)?;
    let text = rag.document_text(id).await.map_err(Failure::about_document)?;
    let mut entry = json!({"object": "document", "text": text});
    merge(&mut entry, json!(info));
    Ok(reply(StatusCode::OK, &entry))
}

pub(in crate::http) async fn delete(shared: &Arc<Shared>, name: &str, id: &str) -> Result<Response<Body>, Failure> {
    found(shared, name)?.delete_document(id).await.map_err(Failure::about_document)?;
    Ok(reply(StatusCode::OK, &json!({"object": "document.deleted", "id": id, "deleted": true})))
}

/// Takes a file as it is, under the name of the query, and answers when it can be found; as events for whoever accepts no JSON.
pub(in crate::http) async fn upload(
    shared: &Arc<Shared>,
    name: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let rag = found(shared, name)?;
    let asked = request.uri().query().unwrap_or_default();
    let called = query(asked, "name")?.unwrap_or_default();
    if called.trim().is_empty() || called.len() > MAX_NAME || called.chars().any(char::is_control) {
        let message = format!(
            "name the file in the address, as in ?name=notes.md, in at most {MAX_NAME} bytes and without control characters"
        );
        return Err(Failure::invalid(Some("name"), message));
    }
    let options = IngestOptions { metadata: described(asked)? };
    let accepts = request.headers().get(ACCEPT).and_then(|kinds| kinds.to_str().ok()).unwrap_or_default();
    let streamed = accepts.trim_start().starts_with("text/event-stream");
    // Before its bytes are taken, since they lie in memory.
    let turn = upload_turn(shared)?;
    let bytes = body(request, shared.config.max_upload_bytes).await?;
    let events = rag.ingest_with(Source::Bytes { name: called, bytes: bytes.into() }, options)?;
    let progress = Progress { rag: rag.clone(), events, _turn: turn };
    match streamed {
        true => Ok(progress.streamed()),
        false => progress.whole().await,
    }
}

/// What the address says about the document; `None` where it says nothing.
fn described(asked: &str) -> Result<Option<Metadata>, Failure> {
    let Some(text) = query(asked, "metadata")? else { return Ok(None) };
    let metadata: Option<Metadata> = serde_json::from_str(&text).map_err(|error| {
        let message = format!("metadata must be a JSON object whose values are texts, percent-encoded: {error}");
        Failure::invalid(Some("metadata"), message)
    })?;
    if let Some(metadata) = &metadata {
        check_metadata(metadata).map_err(|error| Failure::invalid(Some("metadata"), error.to_string()))?;
    }
    Ok(metadata)
}

/// A document on its way in. Dropping it ends the work, unless the document is being committed.
struct Progress {
    rag: Rag,
    events: Stream<IngestEvent>,
    _turn: Generating,
}

/// How a document came in.
enum Step {
    /// It is not there yet.
    On(IngestEvent),
    /// It is there, for the first time in this form or not.
    Taken(IngestEvent),
}

impl Progress {
    async fn next(&mut self) -> Result<Step, Failure> {
        loop {
            match self.events.next().await? {
                Some(Item::Value(IngestEvent::DocumentFailed { code, message, .. })) => {
                    return Err(Failure::of_file(&code, &message));
                }
                Some(Item::Value(last @ (IngestEvent::DocumentDone { .. } | IngestEvent::Unchanged { .. }))) => {
                    return Ok(Step::Taken(last));
                }
                Some(Item::Value(event)) => return Ok(Step::On(event)),
                // How far it had come in between says nothing any more.
                Some(Item::Lagged { .. }) => {}
                None => return Err(crate::Error::internal("a document was neither taken nor refused").into()),
            }
        }
    }

    /// What was taken: the document as it is listed, and whether it was there already.
    async fn outcome(&self, last: &IngestEvent) -> Result<(StatusCode, Value), Failure> {
        let (status, id, more) = match last {
            IngestEvent::DocumentDone { document_id, ms, .. } => {
                (StatusCode::CREATED, document_id.clone(), json!({"outcome": "ingested", "ms": ms}))
            }
            _ => {
                let name = if let IngestEvent::Unchanged { name } = last { name.as_str() } else { "" };
                let all = self.rag.documents().await?;
                let id = all.into_iter().find(|info| info.name == name).map(|info| info.id).unwrap_or_default();
                (StatusCode::OK, id, json!({"outcome": "unchanged"}))
            }
        };
        let info = self.rag.document(&id).await.map_err(Failure::about_document)?;
        let mut entry = json!({"object": "document"});
        merge(&mut entry, json!(info));
        merge(&mut entry, more);
        Ok((status, entry))
    }

    async fn whole(mut self) -> Result<Response<Body>, Failure> {
        loop {
            if let Step::Taken(last) = self.next().await? {
                let (status, entry) = self.outcome(&last).await?;
                return Ok(reply(status, &entry));
            }
        }
    }

    /// The events of the ingestion, then the document, or the envelope of an error.
    fn streamed(self) -> Response<Body> {
        let frames = unfold(Some(self), |progress| async move {
            let mut progress = progress?;
            let (value, rest) = match progress.next().await {
                Ok(Step::On(event)) => (json!(event), Some(progress)),
                Ok(Step::Taken(last)) => match progress.outcome(&last).await {
                    Ok((_, entry)) => (entry, None),
                    Err(failure) => (failure.envelope(), None),
                },
                Err(failure) => (failure.envelope(), None),
            };
            Some((Ok(Frame::data(event(&value))), rest))
        });
        response(StatusCode::OK, "text/event-stream", StreamBody::new(frames).boxed_unsync())
    }
}
