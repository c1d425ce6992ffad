//! The other end of a connection to a model behind HTTP: where it is, the key, and what its refusals mean.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;

use crate::{Error, ErrorCode, Result};

/// Of an error's body, at most this many bytes are read.
const ERROR_BYTES: usize = 64 * 1024;
/// Of an endpoint's own words, at most this many characters go into an error.
const ERROR_CHARS: usize = 300;

/// A model's address. Neither the address, which may hold a secret, nor the key is part of an error.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// What errors call it: the model's name.
    pub name: String,
    url: Url,
    api_key: Option<String>,
    client: Client,
}

impl Endpoint {
    /// A client of `path` below an address. Nothing is sent yet.
    pub fn new(
        name: &str,
        base_url: &str,
        path: &str,
        api_key: Option<String>,
        connect_timeout: Duration,
        idle_timeout: Duration,
    ) -> Result<Endpoint> {
        let wrong = |why: String| {
            // An address may hold a password.
            Error::invalid_argument(format!("this is not the address of an endpoint: {why}"))
                .with_remedy("give one like http://localhost:11434/v1")
        };
        let address = format!("{}{path}", base_url.trim_end_matches('/'));
        let url = Url::parse(&address).map_err(|e| wrong(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("it begins with {}", url.scheme())));
        }
        if api_key.as_ref().is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Error::invalid_argument("the API key has characters that no key has")
                .with_remedy("check for spaces and line ends"));
        }
        // A redirect could carry the key and the texts to somebody else.
        let client = Client::builder()
            .connect_timeout(connect_timeout)
            .read_timeout(idle_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Error::internal("the HTTP client cannot be made").with_source(e))?;
        Ok(Endpoint { name: name.to_owned(), url, api_key, client })
    }

    /// Sends a request. The answer has the status 200, and its body is not read yet.
    pub async fn post(&self, body: &impl Serialize, accept: &str) -> Result<Response> {
        let mut post = self.client.post(self.url.clone()).header("accept", accept).json(body);
        if let Some(key) = &self.api_key {
            post = post.bearer_auth(key);
        }
        let response = post.send().await.map_err(|error| self.failure(error))?;
        if response.status() == StatusCode::OK { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// An error of the connection.
    pub fn failure(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        let name = &self.name;
        if error.is_timeout() {
            return Error::timeout(format!("{name} did not answer in time")).with_source(error);
        }
        if error.is_connect() {
            return Error::unreachable(format!("{name} cannot be reached"))
                .with_remedy("check the address and that the server runs")
                .with_source(error);
        }
        Error::unreachable(format!("the connection to {name} broke")).with_source(error)
    }

    /// An answer other than 200.
    async fn refusal(&self, mut response: Response) -> Error {
        let status = response.status();
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend_from_slice(&bytes);
            if body.len() > ERROR_BYTES {
                break;
            }
        }
        let said = self.said(serde_json::from_slice(&body).ok().as_ref());
        let (code, remedy) = match status.as_u16() {
            401 | 403 => (ErrorCode::PermissionDenied, "check the API key"),
            404 => (ErrorCode::NotFound, "check the address, which usually ends in /v1, and the model's name"),
            408 | 504 => (ErrorCode::Timeout, "try again"),
            413 => (ErrorCode::ResourceExhausted, "send less text"),
            429 | 502 | 503 => (ErrorCode::Busy, "wait and try again"),
            400..=499 => (ErrorCode::InvalidArgument, "check the model's name and the request"),
            300..=399 => (ErrorCode::InvalidArgument, "give the address that the endpoint redirects to"),
            _ => (ErrorCode::Unreachable, "try again, or look at the endpoint's own log"),
        };
        let mut error = Error::new(code, format!("{} answered {status}{said}", self.name))
            .with("status", status.as_u16())
            .with_remedy(remedy);
        if let Some(after) = retry_after {
            error = error.with("retry_after", after);
        }
        error
    }

    /// What the endpoint says about an error, short, and without the key, which some repeat.
    pub fn said(&self, body: Option<&serde_json::Value>) -> String {
        let message = |value: &serde_json::Value| value.get("message").unwrap_or(value).as_str().map(str::to_owned);
        let Some(said) = body.and_then(|body| message(body.get("error").unwrap_or(body))) else { return String::new() };
        let said = match self.api_key.as_deref().filter(|key| !key.is_empty()) {
            Some(key) => said.replace(key, "***"),
            None => said,
        };
        format!(": {}", said.chars().filter(|c| !c.is_control()).take(ERROR_CHARS).collect::<String>())
    }
}
