//! The pages for people: files of the source tree, which need nothing from elsewhere.

use hyper::Response;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};

use super::reply::{Body, full};

/// Nothing but the server's own files runs or is shown, whatever a document contains.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Debug)]
pub(super) struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($path:literal, $kind:literal, $file:literal;)*) => {
        [$(Asset { path: $path, kind: $kind, text: include_str!(concat!("page/", $file)) }),*]
    };
}

static ASSETS: [Asset; 14] = assets! {
    "/", "text/html; charset=utf-8", "index.html";
    "/page/style.css", "text/css; charset=utf-8", "style.css";
    "/page/icon.svg", "image/svg+xml", "icon.svg";
    "/page/main.js", "text/javascript; charset=utf-8", "main.js";
    "/page/api.js", "text/javascript; charset=utf-8", "api.js";
    "/page/dom.js", "text/javascript; charset=utf-8", "dom.js";
    "/page/chat.js", "text/javascript; charset=utf-8", "chat.js";
    "/page/documents.js", "text/javascript; charset=utf-8", "documents.js";
    "/page/passage.js", "text/javascript; charset=utf-8", "passage.js";
    "/page/search.js", "text/javascript; charset=utf-8", "search.js";
    "/page/statistics.js", "text/javascript; charset=utf-8", "statistics.js";
    "/status", "text/html; charset=utf-8", "status.html";
    "/page/status.js", "text/javascript; charset=utf-8", "status.js";
    "/page/status.css", "text/css; charset=utf-8", "status.css";
};

/// The file at a path.
pub(super) fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// What the page of the status is made of.
const OF_STATUS: [&str; 7] = [
    "/status",
    "/page/status.js",
    "/page/status.css",
    "/page/style.css",
    "/page/icon.svg",
    "/page/api.js",
    "/page/dom.js",
];

impl Asset {
    /// Whether the page of the status needs it.
    pub fn is_of_status(&self) -> bool {
        OF_STATUS.contains(&self.path)
    }

    pub fn response(&self) -> Response<Body> {
        let mut response = full(StatusCode::OK, self.kind, self.text);
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (X_FRAME_OPTIONS, "DENY"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
