//! From a request to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::meter::Generating;
use super::reply::{Body, Failure, full, json};
use super::{Shared, chat, completions, embeddings};
use crate::metric::prometheus;

/// How long the body of a request may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Route {
    Health,
    Metrics,
    Models,
    Chat,
    Completions,
    Embeddings,
}

impl Route {
    fn of(path: &str) -> Option<(Route, &'static str)> {
        Some(match path {
            "/healthz" => (Route::Health, "/healthz"),
            "/metrics" => (Route::Metrics, "/metrics"),
            "/v1/chat/completions" => (Route::Chat, "/v1/chat/completions"),
            "/v1/completions" => (Route::Completions, "/v1/completions"),
            "/v1/embeddings" => (Route::Embeddings, "/v1/embeddings"),
            path if path == "/v1/models" || path.starts_with("/v1/models/") => (Route::Models, "/v1/models"),
            _ => return None,
        })
    }

    fn method(self) -> Method {
        match self {
            Route::Health | Route::Metrics | Route::Models => Method::GET,
            Route::Chat | Route::Completions | Route::Embeddings => Method::POST,
        }
    }
}

pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let began = Instant::now();
    let found = Route::of(request.uri().path());
    let route = found.map_or("", |(_, name)| name);
    let mut response = match find(&shared, request, found.map(|(route, _)| route)).await {
        Ok(response) => response,
        Err(failure) => failure.response(),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = found.map_or(Method::GET, |(route, _)| route.method());
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(if allowed == Method::GET { "GET" } else { "POST" }));
    }
    // The name by which a client and its owner can speak of one request.
    if let Ok(id) = HeaderValue::from_str(&format!("req_{:032x}", rand::random::<u128>())) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    shared.meter.answered(route, response.status().as_u16(), began.elapsed());
    tracing::debug!(route, status = response.status().as_u16(), "a request was answered");
    response
}

async fn find(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    route: Option<Route>,
) -> Result<Response<Body>, Failure> {
    let open = matches!(route, Some(Route::Health));
    shared.door.check(request.method(), request.headers(), open)?;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Some(route) = route else {
        let message = format!("there is nothing at {method} {path:.200}");
        return Err(Failure::new(StatusCode::NOT_FOUND, message).with_code("unknown_url"));
    };
    if method != route.method() {
        let message = format!("{path:.200} is asked with {}", route.method());
        return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, message).with_code("method_not_supported"));
    }
    match route {
        Route::Health => Ok(json(StatusCode::OK, &json!({"status": "ok"}))),
        Route::Metrics => {
            let mut metrics = (shared.backing.metrics)();
            metrics.extend(shared.meter.measurements());
            Ok(full(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", prometheus(&metrics)))
        }
        Route::Models => models(shared, path.strip_prefix("/v1/models/")),
        Route::Chat => chat::answer(shared, &body(shared, request).await?).await,
        Route::Completions => completions::answer(shared, &body(shared, request).await?).await,
        Route::Embeddings => embeddings::answer(shared, &body(shared, request).await?).await,
    }
}

async fn body(shared: &Shared, request: Request<Incoming>) -> Result<Bytes, Failure> {
    let most = shared.config.max_body_bytes;
    let too_large = || {
        let message = format!("the body of a request has at most {most} bytes here");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message).with_code("request_too_large")
    };
    if request.body().size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), most).collect();
    match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Failure::invalid(None, "the body of the request broke off")),
        Err(_) => Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time")),
    }
}

fn models(shared: &Shared, name: Option<&str>) -> Result<Response<Body>, Failure> {
    let entry = |name: &str| json!({"id": name, "object": "model", "created": shared.since, "owned_by": "kwaainet"});
    let config = &shared.config;
    let names = || config.models.iter().map(|(name, _)| name).chain(config.embedders.iter().map(|(name, _)| name));
    let value = match name {
        Some(asked) => {
            let asked = decoded(asked);
            entry(names().find(|name| **name == asked).ok_or_else(|| Failure::no_model(&asked))?)
        }
        None => json!({"object": "list", "data": names().map(|name| entry(name)).collect::<Vec<Value>>()}),
    };
    Ok(json(StatusCode::OK, &value))
}

/// A name in a path, whose slashes and spaces a client writes as `%2F` and `%20`.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let coded = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = coded.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A turn among those that are answered at the same time.
pub(super) fn turn(shared: &Shared) -> Result<Generating, Failure> {
    let turn = shared.turns.clone().try_acquire_owned().map_err(|_| {
        let message =
            format!("{} requests are being answered, which is all at once; try again", shared.config.max_requests);
        Failure::new(StatusCode::TOO_MANY_REQUESTS, message).with_code("rate_limit_exceeded")
    })?;
    Ok(shared.meter.generating(turn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_are_decoded_and_what_is_no_code_stays() {
        assert_eq!(decoded("org%2Fmodel%20x"), "org/model x");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%2"), "%zz%2");
        assert_eq!(decoded("%ff"), "\u{fffd}");
    }
}
