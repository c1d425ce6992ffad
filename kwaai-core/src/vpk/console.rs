//! A page for the owner of a host: who keeps how much there, and how much room is left.
//!
//! It is served on loopback alone, to whoever is on this machine, and can be read only. A page of somebody else that a browser on this
//! machine has open reaches it under another name at most (DNS rebinding), so requests for other names than this machine's own are
//! refused. One connection carries one request.

mod page;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::hosts::Hosts;
use crate::blocking::blocking;
use crate::identity::Did;
use crate::{Error, ErrorCode, Result};

/// The port that KwaaiNet's hosts use for this.
pub const CONSOLE_PORT: u16 = 7432;

/// The longest head of a request, and how long it may take to come.
const MAX_HEAD: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at the same time; more wait.
const AT_ONCE: usize = 16;

/// How a host stands, as its page shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct View {
    /// Whether it hosts now.
    pub(super) hosting: bool,
    pub(super) used_bytes: u64,
    pub(super) capacity_bytes: u64,
    /// The most bytes of one tenant.
    pub(super) tenant_bytes: u64,
    /// Those of the highest tier first, in it those with most bytes.
    pub(super) tenants: Vec<TenantView>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TenantView {
    /// The beginning and the end of its identity, which is enough to tell it from others here.
    pub(super) id: String,
    pub(super) tier: String,
    pub(super) bytes: u64,
    pub(super) collections: u32,
}

/// A page that is being served, until this is dropped.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    _serving: DropGuard,
}

impl Console {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to serve it on a port of loopback; 0 takes any that is free.
    pub(super) async fn start(hosts: Arc<Hosts>, port: u16) -> Result<Console> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::AddrInUse => ErrorCode::Busy,
                std::io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
                _ => ErrorCode::Io,
            };
            Error::new(code, format!("port {port} of this machine cannot be used for the console"))
                .with_source(error)
                .with_remedy("name another port, or 0 for any")
        })?;
        let address =
            listener.local_addr().map_err(|error| Error::internal("a port has no number").with_source(error))?;
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        // Weak, so that the node ends with its last handle.
        let hosts = Arc::downgrade(&hosts);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let serve = async move {
            loop {
                let Ok(turn) = room.clone().acquire_owned().await else { return };
                let socket = match listener.accept().await {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        // No file is left, and one will be.
                        tracing::debug!(%error, "a connection to the console could not be taken");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let Some(hosts) = hosts.upgrade() else { return };
                tokio::spawn(async move {
                    let _turn = turn;
                    let answered = tokio::time::timeout(PATIENCE, answer(socket, hosts, address.port())).await;
                    if let Ok(Err(error)) = answered {
                        tracing::debug!(%error, "a connection to the console ended early");
                    }
                });
            }
        };
        tokio::spawn(async move { cancel.run_until_cancelled(serve).await });
        Ok(Console { address, _serving: guard })
    }
}

async fn answer(mut socket: TcpStream, hosts: Arc<Hosts>, port: u16) -> std::io::Result<()> {
    let reply = match head(&mut socket).await? {
        Some(head) => reply(&head, hosts, port).await,
        None => plain(400, "Bad Request"),
    };
    socket.write_all(&reply).await?;
    socket.shutdown().await?;
    // What was sent and not read would cut the reply short.
    let mut rest = [0; 1024];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The head of a request; `None` when it is too long, or ends early.
async fn head(socket: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 1024];
        let read = socket.read(&mut buffer).await?;
        if read == 0 || head.len() + read > MAX_HEAD {
            return Ok(None);
        }
        head.extend_from_slice(&buffer[..read]);
    }
    Ok(Some(head))
}

async fn reply(head: &[u8], hosts: Arc<Hosts>, port: u16) -> Vec<u8> {
    let (method, path) = match what(head, port) {
        Ok(asked) => asked,
        Err((code, reason)) => return plain(code, reason),
    };
    let Ok(view) = blocking(move || view(&hosts)).await else { return plain(500, "Internal Server Error") };
    let mut reply = match path {
        Path::Page => response(200, "OK", "text/html; charset=utf-8", &page::render(&view)),
        Path::Json => match serde_json::to_string(&view) {
            Ok(json) => response(200, "OK", "application/json", &json),
            Err(_) => plain(500, "Internal Server Error"),
        },
    };
    if method == Method::Head
        && let Some(end) = reply.windows(4).position(|end| end == b"\r\n\r\n")
    {
        reply.truncate(end + 4);
    }
    reply
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Page,
    Json,
}

/// What is asked for, or the status that says why there is no answer.
fn what(head: &[u8], port: u16) -> std::result::Result<(Method, Path), (u16, &'static str)> {
    let bad = (400, "Bad Request");
    let text = std::str::from_utf8(head).map_err(|_| bad)?;
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, path, version] = words.as_slice() else { return Err(bad) };
    if !matches!(*version, "HTTP/1.1" | "HTTP/1.0") {
        return Err((505, "HTTP Version Not Supported"));
    }
    let headers = lines.take_while(|line| !line.is_empty()).map(|line| line.split_once(':').ok_or(bad));
    let headers = headers.collect::<std::result::Result<Vec<_>, _>>()?;
    let named: Vec<&str> =
        headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.trim()).collect();
    let [host] = named.as_slice() else { return Err(bad) };
    if !is_this_machine(host, port) {
        return Err((421, "Misdirected Request"));
    }
    let method = match *method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => return Err((405, "Method Not Allowed")),
    };
    match *path {
        "/" => Ok((method, Path::Page)),
        "/api/host.json" => Ok((method, Path::Json)),
        _ => Err((404, "Not Found")),
    }
}

fn is_this_machine(host: &str, port: u16) -> bool {
    let name = host.strip_suffix(&format!(":{port}"));
    // Without a port it is the one of HTTP.
    let name = name.or((port == 80).then_some(host)).unwrap_or_default();
    ["localhost", "127.0.0.1"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

fn plain(code: u16, reason: &str) -> Vec<u8> {
    response(code, reason, "text/plain; charset=utf-8", reason)
}

fn response(code: u16, reason: &str, kind: &str, body: &str) -> Vec<u8> {
    let allow = if code == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n{allow}\
         Content-Security-Policy: default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cache-Control: no-store\r\n\r\n{body}",
        body.len(),
        page::style_hash(),
    )
    .into_bytes()
}

fn view(hosts: &Hosts) -> Result<View> {
    let Some(depot) = hosts.here().clone() else {
        return Ok(View { hosting: false, used_bytes: 0, capacity_bytes: 0, tenant_bytes: 0, tenants: Vec::new() });
    };
    let kept = depot.tenants()?;
    let owners: Vec<Did> = kept.iter().map(|tenant| tenant.owner).collect();
    let scores = hosts.trust().scores(&owners)?;
    let mut tenants: Vec<_> = kept.iter().zip(&scores).collect();
    tenants.sort_by(|(one, a), (other, b)| b.tier.cmp(&a.tier).then(other.bytes.cmp(&one.bytes)));
    let policy = depot.policy();
    Ok(View {
        hosting: true,
        used_bytes: kept.iter().fold(0, |sum: u64, tenant| sum.saturating_add(tenant.bytes)),
        capacity_bytes: policy.capacity_bytes,
        tenant_bytes: policy.tenant_bytes,
        tenants: tenants
            .into_iter()
            .map(|(tenant, score)| TenantView {
                id: shortened(&tenant.owner.to_string()),
                tier: score.tier.to_string(),
                bytes: tenant.bytes,
                collections: tenant.collections,
            })
            .collect(),
    })
}

/// The last characters of what is long, behind its kind.
fn shortened(id: &str) -> String {
    let end: String = id.chars().rev().take(8).collect::<Vec<_>>().into_iter().rev().collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(line: &str, host: &str) -> std::result::Result<(Method, Path), u16> {
        what(format!("{line}\r\nAccept: */*\r\n{host}\r\n\r\n").as_bytes(), 7432).map_err(|(code, _)| code)
    }

    #[test]
    fn only_this_machines_own_names_are_answered_and_only_reading() {
        let own = "Host: localhost:7432";
        assert_eq!(asked("GET / HTTP/1.1", own), Ok((Method::Get, Path::Page)));
        assert_eq!(asked("HEAD /api/host.json HTTP/1.1", "HOST: 127.0.0.1:7432"), Ok((Method::Head, Path::Json)));
        for host in [
            "evil.example:7432",
            "localhost.evil.example:7432",
            "localhost:7431",
            "localhost",
            "127.0.0.1.evil:7432",
            "127.0.0.2:7432",
            "[::1]:7432",
            ":7432",
            "",
        ] {
            assert_eq!(asked("GET / HTTP/1.1", &format!("Host: {host}")), Err(421), "{host}");
        }
        assert_eq!(asked("GET / HTTP/1.1", "Accept: text/html"), Err(400));
        assert_eq!(asked("GET / HTTP/1.1", &format!("{own}\r\n{own}")), Err(400));
        assert_eq!(asked("POST / HTTP/1.1", own), Err(405));
        assert_eq!(asked("GET /../etc/passwd HTTP/1.1", own), Err(404));
        assert_eq!(asked("GET http://evil.example/ HTTP/1.1", own), Err(404));
        assert_eq!(asked("GET / HTTP/2.0", own), Err(505));
        assert_eq!(asked("GET /", own), Err(400));
    }

    proptest! {
        #[test]
        fn fuzz_a_request_to_the_console_is_read_or_refused(head in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = what(&head, 7432);
        }
    }
}
