//! `/v1/knowledge`: what the knowledge bases of a server hold, and what is found in them.

mod answers;
mod documents;

use std::sync::Arc;
use std::time::Duration;

use hyper::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::reply::{Body, Failure, json as reply};
use super::route::turn;
use super::{HttpConfig, HttpServer, KNOWLEDGE_PORT, Shared};
use crate::rag::{Rag, SearchOptions};
use crate::{Error, ErrorCode, Result};

pub(super) use answers::{ask, chat};
pub(super) use documents::{delete, document, documents, upload};

/// What answers may take when the knowledge base is shut down.
const GRACE: Duration = Duration::from_secs(5);
/// Passages of a search that does not say how many.
const USUAL_HITS: u32 = 10;
/// Passages of one search.
const MOST_HITS: u32 = 1000;

impl Rag {
    /// Serves the knowledge base under a name, on port 9090 of this machine alone unless `config` says otherwise: a page for people at
    /// `/`, a model of that name for programs that know OpenAI's API, and `/v1/knowledge`. What else `config` names is served beside
    /// it. The server ends when its last clone is dropped, and with the knowledge base, which stays open while the server does.
    ///
    /// ```no_run
    /// # async fn example(rag: kwaai_core::rag::Rag) -> kwaai_core::Result<()> {
    /// use kwaai_core::http::{HttpConfig, KNOWLEDGE_NAME};
    ///
    /// let server = rag.serve(KNOWLEDGE_NAME, HttpConfig::default()).await?;
    /// println!("http://{}", server.address());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`HttpServer::start`]; `closed` after the shutdown.
    pub async fn serve(&self, name: &str, mut config: HttpConfig) -> Result<HttpServer> {
        if self.is_closed() {
            return Err(Error::closed("the knowledge base was shut down").with_remedy("open it again"));
        }
        config.port.get_or_insert(KNOWLEDGE_PORT);
        config.knowledge.insert(0, (name.to_owned(), self.clone()));
        let server = HttpServer::start(config).await?;
        let (ended, watched) = (server.closing(), server.downgrade());
        self.until_closed(|closing| async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = closing.cancelled() => {
                    if let Some(server) = watched.upgrade() {
                        server.shutdown(GRACE).await;
                    }
                }
            }
        });
        Ok(server)
    }
}

/// The knowledge base of a name, where there is one.
pub(super) fn named<'a>(shared: &'a Shared, name: &str) -> Option<(&'a str, &'a Rag)> {
    shared.config.knowledge.iter().find(|(own, _)| own == name).map(|(name, rag)| (name.as_str(), rag))
}

fn found<'a>(shared: &'a Shared, name: &str) -> std::result::Result<&'a Rag, Failure> {
    named(shared, name).map(|(_, rag)| rag).ok_or_else(|| Failure::no_knowledge(name))
}

/// Every knowledge base; one that cannot be read says why, and hides no other.
pub(super) async fn list(shared: &Arc<Shared>) -> Response<Body> {
    let entries = shared.config.knowledge.iter().map(async |(name, rag)| match stats(shared, name, rag).await {
        Ok(entry) => entry,
        Err(failure) => json!({"object": "knowledge", "name": name, "error": failure.envelope()["error"]}),
    });
    let data = futures::future::join_all(entries).await;
    reply(StatusCode::OK, &json!({"object": "list", "data": data}))
}

pub(super) async fn base(shared: &Arc<Shared>, name: &str) -> std::result::Result<Response<Body>, Failure> {
    Ok(reply(StatusCode::OK, &stats(shared, name, found(shared, name)?).await?))
}

async fn stats(shared: &Shared, name: &str, rag: &Rag) -> std::result::Result<Value, Failure> {
    let mut entry = json!({"object": "knowledge", "name": name, "max_upload_bytes": shared.config.max_upload_bytes});
    merge(&mut entry, json!(rag.stats().await?));
    Ok(entry)
}

pub(super) async fn search(
    shared: &Arc<Shared>,
    name: &str,
    body: &[u8],
) -> std::result::Result<Response<Body>, Failure> {
    let rag = found(shared, name)?;
    let fields = Fields::parse(body)?;
    fields.needed("query")?;
    let query = fields.text("query")?.filter(|query| !query.trim().is_empty());
    let query = query.ok_or_else(|| fields.wrong("query", "a text that is not empty"))?;
    let k = fields.whole("k", 1..=MOST_HITS)?.unwrap_or(USUAL_HITS);
    let options: SearchOptions = options(&fields.without(&["query", "k"]), None)?;
    let _turn = turn(shared)?;
    let found = rag.search(query, k as usize, options).await.map_err(failed)?;
    Ok(reply(StatusCode::OK, &json!(found)))
}

/// How to search or to answer, from an object whose nulls say nothing.
fn options<T: DeserializeOwned>(given: &Value, param: Option<&str>) -> std::result::Result<T, Failure> {
    let given = given.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let given: Map<String, Value> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
    serde_json::from_value(given.into()).map_err(|error| Failure::invalid(param, error.to_string()))
}

/// Why there is no answer; a document that a request names and that is not there is the request's fault.
fn failed(error: Error) -> Failure {
    match error.code() {
        ErrorCode::NotFound => Failure::about_document(error),
        _ => error.into(),
    }
}

/// Adds the members of one object to another.
fn merge(entry: &mut Value, more: Value) {
    if let (Value::Object(entry), Value::Object(more)) = (entry, more) {
        entry.extend(more);
    }
}
