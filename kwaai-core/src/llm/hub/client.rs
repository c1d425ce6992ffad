//! Requests to a hub: what a model consists of, and its files or parts of them.

use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LOCATION, RANGE,
};
use reqwest::{Method, Response, StatusCode, Url};

use super::cache::is_commit;
use super::description::Description;
use super::id::ModelId;
use super::tag::Tag;
use crate::{Error, ErrorCode, Result};

const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);
/// Nobody waits longer between two tries; a hub that asks for more is told to the caller.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const MAX_HOPS: usize = 8;
/// The list of the files of the largest models has some hundred kilobytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How often a request is made again, and after what first pause; each pause is twice the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub retries: u32,
    pub pause: Duration,
}

impl Patience {
    pub fn after(&self, tries: u32) -> Duration {
        self.pause.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE)
    }
}

pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Url,
    token: Option<String>,
    pub patience: Patience,
}

/// What a hub says of a file before it gives it.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub name: String,
    pub tag: Tag,
    pub size: Option<u64>,
}

/// Bytes of a file, from the first to the one before `to`, or to the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub from: u64,
    pub to: Option<u64>,
}

/// Bytes that are coming.
pub(super) struct Opened {
    /// The place of the first one, which is 0 where the hub gives no parts.
    pub from: u64,
    pub body: Response,
}

/// An answer at the end of its redirects, with what was said on the way.
struct Answer {
    response: Response,
    tag: Option<Tag>,
    size: Option<u64>,
}

impl Client {
    pub fn new(endpoint: &str, token: Option<String>, patience: Patience) -> Result<Client> {
        let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let endpoint = url.ok_or_else(|| {
            Error::invalid_argument("the endpoint is not the address of a hub")
                .with_remedy("set HF_ENDPOINT to one like https://huggingface.co")
        })?;
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Error::invalid_argument("the token has characters that no token has")
                .with_remedy("check HF_TOKEN for spaces and line ends"));
        }
        // Redirects are followed here, so that the token goes to nobody else.
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::internal("the HTTP client cannot be made").with_source(error))?;
        Ok(Client { http, endpoint, token, patience })
    }

    /// The commit of a revision, and its files.
    pub async fn describe(&self, id: &ModelId) -> Result<Description> {
        let url = self.url(&["api", "models", id.owner(), id.name(), "revision", id.revision()]);
        let what = id.to_string();
        let mut response = self.ask(Method::GET, &url, &what, None).await?.response;
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| broken(&what, error))? {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_ANSWER {
                return Err(Error::resource_exhausted(format!(
                    "the hub says more than {MAX_ANSWER} bytes about {what}"
                )));
            }
        }
        let description = Description::read(&body).map_err(|error| error.with("model", &what))?;
        if is_commit(id.revision()) && description.commit != id.revision() {
            return Err(Error::corrupt_data(format!("the hub answers {what} with the commit {}", description.commit))
                .with_remedy("check the revision, or ask another hub"));
        }
        Ok(description)
    }

    /// Tag and size of a file.
    pub async fn look(&self, id: &ModelId, commit: &str, name: &str) -> Result<Remote> {
        let url = self.file(id, commit, name);
        let what = format!("{}/{name}", id.repository());
        let answer = self.ask(Method::HEAD, &url, &what, None).await?;
        let tag = answer.tag.ok_or_else(|| {
            Error::corrupt_data(format!("the hub names no content of {what}"))
                .with_remedy("ask a hub that sends an ETag, or fetch the model yourself and name its folder")
        })?;
        Ok(Remote { name: name.into(), tag, size: answer.size })
    }

    /// Asks for a part of a file.
    ///
    /// # Errors
    /// `conflict` where the file is not what it was when it was looked at.
    pub async fn open(&self, id: &ModelId, commit: &str, remote: &Remote, part: Part) -> Result<Opened> {
        let url = self.file(id, commit, &remote.name);
        let what = format!("{}/{}", id.repository(), remote.name);
        let whole = Part { from: 0, to: remote.size };
        let mut answer = self.ask(Method::GET, &url, &what, Some((part, remote))).await?;
        if answer.response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            answer = self.ask(Method::GET, &url, &what, Some((whole, remote))).await?;
        }
        let changed = || Error::conflict(format!("{what} changed at the hub while it was fetched"));
        if answer.tag.is_some_and(|tag| tag != remote.tag) {
            return Err(changed());
        }
        // Bytes of something else would be taken for those of the file: no hash tells that of a part.
        let headers = answer.response.headers();
        let other = || {
            Error::unreachable(format!("a part of {what} was asked for, and something else came"))
                .with_remedy("try again, or ask another hub; whoever is between may answer in its place")
        };
        if text(headers, CONTENT_ENCODING.as_str()).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(other());
        }
        let from = match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let (from, to, total) = content_range(headers).ok_or_else(changed)?;
                if from != part.from || total.zip(remote.size).is_some_and(|(total, size)| total != size) {
                    return Err(changed());
                }
                if part.to.is_some_and(|wanted| to.checked_add(1) != Some(wanted)) {
                    return Err(other());
                }
                from
            }
            StatusCode::OK => {
                let length: Option<u64> = text(headers, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
                let is_whole = part.from == 0 && part.to == remote.size;
                if !is_whole && (length.is_none() || length != remote.size) {
                    return Err(other());
                }
                0
            }
            status => return Err(refusal(&what, status, answer.response.headers())),
        };
        Ok(Opened { from, body: answer.response })
    }

    fn file(&self, id: &ModelId, commit: &str, name: &str) -> Url {
        let mut segments = vec![id.owner(), id.name(), "resolve", commit];
        segments.extend(name.split('/'));
        self.url(&segments)
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.endpoint.clone();
        // An address over HTTP always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Asks, and asks again as long as there is patience.
    async fn ask(&self, method: Method, url: &Url, what: &str, part: Option<(Part, &Remote)>) -> Result<Answer> {
        let mut tries = 0;
        loop {
            let failure = match self.follow(&method, url, what, part).await {
                Ok(answer) => {
                    let status = answer.response.status();
                    // A look at a file ends at the redirect that names its content.
                    if status.is_success() || status.is_redirection() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                        return Ok(answer);
                    }
                    refusal(what, status, answer.response.headers())
                }
                Err(error) => error,
            };
            let said = failure.context().get("retry_after").and_then(|text| text.parse().ok());
            let pause = said.map_or(self.patience.after(tries), Duration::from_secs);
            // Where nobody listens, somebody seldom does a second later.
            let hopeless = !failure.is_retryable() || nobody_listens(&failure);
            if hopeless || tries == self.patience.retries || pause > LONGEST_PAUSE {
                return Err(failure);
            }
            tries += 1;
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow(&self, method: &Method, url: &Url, what: &str, part: Option<(Part, &Remote)>) -> Result<Answer> {
        let mut url = url.clone();
        let (mut linked_tag, mut linked_size) = (None, None);
        for _ in 0..MAX_HOPS {
            let at_the_hub = url.origin() == self.endpoint.origin();
            let mut request = self.http.request(method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(token) = self.token.as_ref().filter(|_| at_the_hub) {
                request = request.bearer_auth(token);
            }
            if let Some((part, remote)) = part
                && let Some(range) = range_header(part, remote.size)
            {
                request = request.header(RANGE, range);
                // Whoever a hub sends to has tags of its own.
                if at_the_hub {
                    request = request.header(IF_RANGE, format!("\"{}\"", remote.tag.as_str()));
                }
            }
            let response = request.send().await.map_err(|error| broken(what, error))?;
            let headers = response.headers();
            linked_tag = linked_tag.or_else(|| Tag::read(text(headers, "x-linked-etag")?));
            linked_size = linked_size.or_else(|| text(headers, "x-linked-size")?.parse().ok());
            let next = text(headers, LOCATION.as_str()).filter(|_| is_redirect(response.status()));
            let Some(next) =
                next.filter(|_| !(*method == Method::HEAD && linked_tag.is_some() && linked_size.is_some()))
            else {
                let tag = linked_tag.or_else(|| Tag::read(text(headers, ETAG.as_str())?));
                let size = linked_size.or_else(|| text(headers, CONTENT_LENGTH.as_str())?.parse().ok());
                return Ok(Answer { tag, size, response });
            };
            let next = url.join(next).map_err(|_| astray(what, "a place that is no address"))?;
            if !matches!(next.scheme(), "http" | "https") || (url.scheme() == "https" && next.scheme() != "https") {
                return Err(astray(what, "a connection that is not encrypted"));
            }
            url = next;
        }
        Err(astray(what, "one place after the other"))
    }
}

/// Whether a request was not heard by anybody.
pub(super) fn nobody_listens(failure: &Error) -> bool {
    let request = std::error::Error::source(failure).and_then(|source| source.downcast_ref::<reqwest::Error>());
    request.is_some_and(reqwest::Error::is_connect)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Nothing where the whole file is wanted.
fn range_header(part: Part, size: Option<u64>) -> Option<String> {
    match part.to {
        Some(to) if part.from > 0 || size != Some(to) => Some(format!("bytes={}-{}", part.from, to.saturating_sub(1))),
        None if part.from > 0 => Some(format!("bytes={}-", part.from)),
        _ => None,
    }
}

/// The first byte, the last one, and the length of the whole where it is said (RFC 9110, 14.4).
fn content_range(headers: &HeaderMap) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text(headers, CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?, total.parse().ok()))
}

fn astray(what: &str, place: &str) -> Error {
    Error::permission_denied(format!("the hub sends whoever asks for {what} to {place}"))
        .with_remedy("check HF_ENDPOINT")
}

fn refusal(what: &str, status: StatusCode, headers: &HeaderMap) -> Error {
    let gated = text(headers, "x-error-code") == Some("GatedRepo");
    let (code, remedy) = match status.as_u16() {
        401 | 403 if gated => (
            ErrorCode::PermissionDenied,
            "accept the model's terms at the hub, and set HF_TOKEN to a token of that account",
        ),
        401 | 403 => (ErrorCode::PermissionDenied, "check the id, and set HF_TOKEN to a token that may read the model"),
        404 | 410 => (ErrorCode::NotFound, "check the model's id and its revision"),
        408 | 504 => (ErrorCode::Timeout, "try again later"),
        429 | 503 => (ErrorCode::Busy, "try again later; a hub allows more to those who set HF_TOKEN"),
        500..=599 => (ErrorCode::Unreachable, "try again later"),
        _ => (ErrorCode::InvalidArgument, "check the model's id and HF_ENDPOINT"),
    };
    let error = Error::new(code, format!("the hub answered {what} with {status}")).with_remedy(remedy);
    match text(headers, "retry-after") {
        Some(after) => error.with("retry_after", after.trim()),
        None => error,
    }
}

/// A failure of the connection. Addresses of stores have signatures in them, and are left out.
pub(super) fn broken(what: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let code = if error.is_timeout() { ErrorCode::Timeout } else { ErrorCode::Unreachable };
    Error::new(code, format!("{what} could not be fetched"))
        .with_remedy("check the connection, set HF_ENDPOINT to a mirror, or name the folder of a model")
        .with_source(error)
}
