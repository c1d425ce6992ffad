//! What this machine's servers answer.

use kwaai_ffi::Result;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a page of this machine answers; nothing where nobody serves one.
pub async fn page(url: String) -> Result<Option<String>> {
    Ok(ask(&url, "GET", "", "").await.map(|(_, body)| body))
}

/// The status and the body that a request gets, a POST where it has a body; nothing where nobody listens.
pub async fn request(url: String, token: Option<String>, body: Option<Value>) -> Result<Option<Value>> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let reply = match body {
        None => ask(&url, "GET", &token, "").await,
        Some(body) => ask(&url, "POST", &format!("{token}Content-Type: application/json\r\n"), &body.to_string()).await,
    };
    Ok(reply.map(|(status, body)| {
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        json!({"status": status, "body": body})
    }))
}

async fn ask(url: &str, method: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let (at, path) = url.trim_start_matches("http://").split_once('/').expect("an address has a path");
    let mut socket = TcpStream::connect(at).await.ok()?;
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let asked = format!("{method} /{path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{length}{headers}\r\n{body}");
    // A server that is ending lets go of a connection that the system had taken for it.
    socket.write_all(asked.as_bytes()).await.ok()?;
    let mut reply = String::new();
    socket.read_to_string(&mut reply).await.ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().expect("a status");
    Some((status, body.to_owned()))
}
