//! From a request to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::door::Entry;
use super::meter::Generating;
use super::page::{self, Asset};
use super::path::decoded;
use super::reply::{Body, Failure, full, json};
use super::{Shared, chat, completions, embeddings, knowledge, status};
use crate::metric::prometheus;

/// How long each piece of the body of a request may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// And how many bytes of it have to come a second, after the first minute: slower than any line, faster than a client that only holds a
/// place.
const SLOWEST: u64 = 1024;

/// What a request is about, with the names of its path.
#[derive(Clone)]
enum Route {
    Health,
    Metrics,
    Status,
    Models(Option<String>),
    Chat,
    Completions,
    Embeddings,
    Page(&'static Asset),
    Knowledge,
    Base(String),
    Documents(String),
    Document(String, String),
    Search(String),
    Ask(String),
}

impl Route {
    fn of(path: &str) -> Option<(Route, &'static str)> {
        let (route, name) = match path {
            "/healthz" => (Route::Health, "/healthz"),
            "/metrics" => (Route::Metrics, "/metrics"),
            "/v1/status" => (Route::Status, "/v1/status"),
            "/v1/chat/completions" => (Route::Chat, "/v1/chat/completions"),
            "/v1/completions" => (Route::Completions, "/v1/completions"),
            "/v1/embeddings" => (Route::Embeddings, "/v1/embeddings"),
            "/v1/models" => (Route::Models(None), "/v1/models"),
            "/v1/knowledge" => (Route::Knowledge, "/v1/knowledge"),
            path => match (path.strip_prefix("/v1/models/"), path.strip_prefix("/v1/knowledge/")) {
                (Some(name), _) => (Route::Models(Some(decoded(name))), "/v1/models"),
                (_, Some(rest)) => Route::of_knowledge(&rest.split('/').collect::<Vec<_>>())?,
                _ => (Route::Page(page::asset(path)?), "/"),
            },
        };
        Some((route, name))
    }

    fn of_knowledge(parts: &[&str]) -> Option<(Route, &'static str)> {
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let names: Vec<String> = parts.iter().map(|part| decoded(part)).collect();
        let base = names[0].clone();
        Some(match parts[1..] {
            [] => (Route::Base(base), "/v1/knowledge/{name}"),
            ["documents"] => (Route::Documents(base), "/v1/knowledge/{name}/documents"),
            ["documents", _] => (Route::Document(base, names[2].clone()), "/v1/knowledge/{name}/documents/{id}"),
            ["search"] => (Route::Search(base), "/v1/knowledge/{name}/search"),
            ["ask"] => (Route::Ask(base), "/v1/knowledge/{name}/ask"),
            _ => return None,
        })
    }

    /// The methods that it is asked with, as `Allow` lists them.
    fn methods(&self) -> &'static str {
        match self {
            Route::Health
            | Route::Metrics
            | Route::Status
            | Route::Models(_)
            | Route::Page(_)
            | Route::Knowledge
            | Route::Base(_) => "GET, HEAD",
            Route::Chat | Route::Completions | Route::Embeddings | Route::Search(_) | Route::Ask(_) => "POST",
            Route::Documents(_) => "GET, HEAD, POST",
            Route::Document(..) => "GET, HEAD, DELETE",
        }
    }

    fn entry(&self) -> Entry {
        match self {
            Route::Health | Route::Page(_) => Entry::Open,
            Route::Documents(_) => Entry::File,
            _ => Entry::Json,
        }
    }
}

pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let began = Instant::now();
    let found = Route::of(request.uri().path());
    // The page of knowledge bases is of use only where there are some.
    let found = found.filter(|(route, _)| match route {
        Route::Page(asset) => asset.is_of_status() || !shared.config.knowledge.is_empty(),
        _ => true,
    });
    let name = found.as_ref().map_or("", |(_, name)| name);
    let allowed = found.as_ref().map_or("GET, HEAD", |(route, _)| route.methods());
    let mut response = match find(&shared, request, found.map(|(route, _)| route)).await {
        Ok(response) => response,
        Err(failure) => failure.response(),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    // The name by which a client and its owner can speak of one request.
    if let Ok(id) = HeaderValue::from_str(&format!("req_{:032x}", rand::random::<u128>())) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    shared.meter.answered(name, response.status().as_u16(), began.elapsed());
    tracing::debug!(route = name, status = response.status().as_u16(), "a request was answered");
    response
}

async fn find(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    route: Option<Route>,
) -> Result<Response<Body>, Failure> {
    let entry = route.as_ref().map_or(Entry::Json, Route::entry);
    shared.door.check(request.method(), request.headers(), entry)?;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Some(route) = route else {
        let message = format!("there is nothing at {method} {path:.200}");
        return Err(Failure::new(StatusCode::NOT_FOUND, message).with_code("unknown_url"));
    };
    if !route.methods().split(", ").any(|own| own == method.as_str()) {
        let message = format!("{path:.200} is asked with {}", route.methods().replace(", ", " or "));
        return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, message).with_code("method_not_supported"));
    }
    let most = shared.config.max_body_bytes;
    match route {
        Route::Health => Ok(json(StatusCode::OK, &json!({"status": "ok"}))),
        Route::Metrics => {
            let mut metrics = (shared.backing.metrics)();
            metrics.extend(shared.meter.measurements());
            Ok(full(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", prometheus(&metrics)))
        }
        Route::Status => Ok(status::answer(shared).await),
        Route::Models(name) => models(shared, name.as_deref()),
        Route::Chat => {
            let headers = request.headers().clone();
            chat::answer(shared, &headers, &body(request, most).await?).await
        }
        Route::Completions => {
            let headers = request.headers().clone();
            completions::answer(shared, &headers, &body(request, most).await?).await
        }
        Route::Embeddings => embeddings::answer(shared, &body(request, most).await?).await,
        Route::Page(asset) => Ok(asset.response()),
        Route::Knowledge => Ok(knowledge::list(shared).await),
        Route::Base(name) => knowledge::base(shared, &name).await,
        Route::Documents(name) if method == Method::POST => knowledge::upload(shared, &name, request).await,
        Route::Documents(name) => knowledge::documents(shared, &name).await,
        Route::Document(name, id) if method == Method::DELETE => knowledge::delete(shared, &name, &id).await,
        Route::Document(name, id) => knowledge::document(shared, &name, &id).await,
        Route::Search(name) => knowledge::search(shared, &name, &body(request, most).await?).await,
        Route::Ask(name) => knowledge::ask(shared, &name, &body(request, most).await?).await,
    }
}

/// The body of a request, at most so long. Each piece of it has to come in time, and the whole at no less than a slow line's speed: a file
/// may be large.
pub(super) async fn body(request: Request<Incoming>, most: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let message = format!("the body of this request has at most {most} bytes here");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message).with_code("request_too_large")
    };
    let promised = request.body().size_hint().lower();
    if promised > most as u64 {
        return Err(too_large());
    }
    let mut body = request.into_body();
    let mut bytes = BytesMut::new();
    let began = tokio::time::Instant::now();
    loop {
        let due = began + PATIENCE + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        let due = due.min(tokio::time::Instant::now() + PATIENCE);
        let frame = match tokio::time::timeout_at(due, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(Failure::invalid(None, "the body of the request broke off")),
            Ok(None) => return Ok(bytes.freeze()),
            Err(_) => {
                let message = "the body of the request did not come in time";
                return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, message));
            }
        };
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(data);
        }
    }
}

fn models(shared: &Shared, name: Option<&str>) -> Result<Response<Body>, Failure> {
    let entry = |name: &str| json!({"id": name, "object": "model", "created": shared.since, "owned_by": "kwaainet"});
    let value = match name {
        Some(asked) => {
            entry(shared.config.names().find(|name| *name == asked).ok_or_else(|| Failure::no_model(asked))?)
        }
        None => {
            json!({"object": "list", "data": shared.config.names().map(|name| entry(name)).collect::<Vec<Value>>()})
        }
    };
    Ok(json(StatusCode::OK, &value))
}

/// A turn among the requests that are answered at the same time.
pub(super) fn turn(shared: &Shared) -> Result<Generating, Failure> {
    among(shared, &shared.turns, "requests are being answered")
}

/// A turn among the uploads that are taken at the same time.
pub(super) fn upload_turn(shared: &Shared) -> Result<Generating, Failure> {
    among(shared, &shared.uploads, "documents are being taken")
}

fn among(shared: &Shared, turns: &Arc<Semaphore>, what: &str) -> Result<Generating, Failure> {
    let turn = turns.clone().try_acquire_owned().map_err(|_| {
        let message = format!("{} {what}, which is all at once; try again", shared.config.max_requests);
        Failure::new(StatusCode::TOO_MANY_REQUESTS, message).with_code("rate_limit_exceeded")
    })?;
    Ok(shared.meter.generating(turn))
}
