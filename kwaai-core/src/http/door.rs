//! Who may come in.

use std::net::SocketAddr;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use hyper::{HeaderMap, Method, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::reply::Failure;

/// What a browser sends for any page without asking the server first (CORS-safelisted, <https://fetch.spec.whatwg.org>).
const OF_FORMS: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// What a request wants, as far as the door cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// What everybody may see, without a token.
    Open,
    /// An answer to JSON.
    Json,
    /// To leave a file.
    File,
}

/// Compares what a request says with what the server asks of everybody.
pub(super) struct Door {
    /// Kept as its digest, so that comparing takes as long for every guess of every length.
    token: Option<[u8; 32]>,
    port: u16,
    loopback: bool,
}

impl Door {
    pub fn new(token: Option<&str>, address: SocketAddr) -> Door {
        Door { token: token.map(digest), port: address.port(), loopback: address.ip().is_loopback() }
    }

    /// Lets a request in or says why not.
    pub fn check(&self, method: &Method, headers: &HeaderMap, entry: Entry) -> Result<(), Failure> {
        let mut hosts = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Failure::invalid(None, "a request has one Host header"));
        };
        // Behind loopback only this machine's own names are meant; another name led here is somebody else's.
        if self.loopback && !self.is_this_machine(host) {
            return Err(Failure::new(StatusCode::MISDIRECTED_REQUEST, "this server answers to localhost alone"));
        }
        // A browser says whose page asks. Only a page of this server's own may.
        let foreign = |origin: &str| origin.strip_prefix("http://").or(origin.strip_prefix("https://")) != Some(host);
        if headers.get_all(ORIGIN).iter().any(|origin| origin.to_str().map_or(true, foreign)) {
            return Err(Failure::new(StatusCode::FORBIDDEN, "pages of other sites may not use this server"));
        }
        if entry != Entry::Open {
            self.token(headers)?;
        }
        // A page of another site can send what a form sends without being asked, but nothing else.
        if method == Method::POST {
            let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let (fits, message) = match entry {
                Entry::File => (
                    !kind.is_empty() && !OF_FORMS.contains(&kind.as_str()),
                    "send the bytes of the file, and say so: Content-Type: application/octet-stream",
                ),
                _ => (kind == "application/json", "send JSON, and say so: Content-Type: application/json"),
            };
            if !fits {
                return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
            }
        }
        Ok(())
    }

    fn token(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(token) = &self.token else { return Ok(()) };
        let said = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = said.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match given {
            Some(given) if bool::from(digest(given).ct_eq(token)) => Ok(()),
            Some(_) => Err(Failure::unauthorized("the API key is not this server's token")),
            None => Err(Failure::unauthorized("send this server's token: Authorization: Bearer TOKEN")),
        }
    }

    fn is_this_machine(&self, host: &str) -> bool {
        let name = host.strip_suffix(&format!(":{}", self.port));
        // Without a port it is the one of HTTP.
        let name = name.or((self.port == 80).then_some(host)).unwrap_or_default();
        ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| name.eq_ignore_ascii_case(own))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn json() -> (HeaderName, &'static str) {
        (CONTENT_TYPE, "application/json; charset=utf-8")
    }

    fn at(address: &str, token: Option<&str>, headers: &[(HeaderName, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let door = Door::new(token, address.parse().unwrap());
        door.check(&Method::POST, &map, Entry::Json).map_or_else(|failure| failure.status.as_u16(), |()| 200)
    }

    #[test]
    fn a_file_is_taken_as_everything_that_a_form_cannot_send() {
        let door = Door::new(None, "127.0.0.1:9090".parse().unwrap());
        let sent = |kind: Option<&'static str>| {
            let mut map = HeaderMap::new();
            map.insert(HOST, HeaderValue::from_static("localhost:9090"));
            kind.map(|kind| map.insert(CONTENT_TYPE, HeaderValue::from_static(kind)));
            door.check(&Method::POST, &map, Entry::File).map_or_else(|failure| failure.status.as_u16(), |()| 200)
        };
        for good in ["application/octet-stream", "application/pdf", "text/markdown; charset=utf-8"] {
            assert_eq!(sent(Some(good)), 200, "{good}");
        }
        for form in ["text/plain", "Text/Plain;charset=utf-8", "multipart/form-data; boundary=x", ""] {
            assert_eq!(sent(Some(form)), 415, "{form}");
        }
        assert_eq!(sent(Some("application/x-www-form-urlencoded")), 415);
        assert_eq!(sent(None), 415);
    }

    #[test]
    fn on_loopback_only_this_machines_own_names_are_answered() {
        let here = "127.0.0.1:11435";
        for own in ["localhost:11435", "127.0.0.1:11435", "LOCALHOST:11435", "[::1]:11435"] {
            assert_eq!(at(here, None, &[(HOST, own), json()]), 200, "{own}");
        }
        for other in ["evil.example:11435", "localhost:80", "localhost", "localhost.evil.example:11435", ":11435"] {
            assert_eq!(at(here, None, &[(HOST, other), json()]), 421, "{other}");
        }
        assert_eq!(at("127.0.0.1:80", None, &[(HOST, "localhost"), json()]), 200);
        assert_eq!(at("10.0.0.1:11435", None, &[(HOST, "any.example"), json()]), 200);
        assert_eq!(at(here, None, &[json()]), 400);
        assert_eq!(at(here, None, &[(HOST, "localhost:11435"), (HOST, "localhost:11435"), json()]), 400);
    }

    #[test]
    fn pages_of_other_sites_are_refused_by_origin_and_by_the_type_of_what_they_send() {
        let own = (HOST, "localhost:11435");
        let here = "127.0.0.1:11435";
        for foreign in ["https://evil.example", "null", "http://localhost:3000", "http://localhost:11435.evil.example"]
        {
            assert_eq!(at(here, None, &[own.clone(), (ORIGIN, foreign), json()]), 403, "{foreign}");
        }
        assert_eq!(at(here, None, &[own.clone(), (ORIGIN, "http://localhost:11435"), json()]), 200);
        assert_eq!(at(here, None, &[own.clone(), (CONTENT_TYPE, "text/plain")]), 415);
        assert_eq!(at(here, None, &[own]), 415);
    }

    #[test]
    fn the_token_is_asked_for_and_compared() {
        let with =
            |value: &'static str| at("10.0.0.1:80", Some("secret"), &[(HOST, "a"), (AUTHORIZATION, value), json()]);
        assert_eq!(with("Bearer secret"), 200);
        assert_eq!(with("bearer  secret"), 200);
        for wrong in ["Bearer secre", "Bearer secrett", "Bearer ", "Basic secret", "secret", ""] {
            assert_eq!(with(wrong), 401, "{wrong}");
        }
        assert_eq!(at("10.0.0.1:80", Some("secret"), &[(HOST, "a"), json()]), 401);
    }
}
