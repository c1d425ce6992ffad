//! The page of a host, over real sockets.

use kwaai_core::vpk::{HostName, Mode};
use kwaai_core::{Config, ErrorCode, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hosts::{GRACE, config, items, open_policy};

async fn get(address: std::net::SocketAddr, line: &str, host: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_host_sees_who_keeps_what_and_no_other_name_leads_there() {
    let node = Node::start(Config::default()).await.unwrap();
    let console = node.vpk().console(0).await.unwrap();
    let address = console.address();
    assert!(address.ip().is_loopback());
    let own = format!("localhost:{}", address.port());
    let (_, body) = get(address, "GET /", &own).await;
    assert!(body.contains("does not host"));
    node.vpk().host(open_policy()).await.unwrap();
    let notes = node.vpk().create("notes", config(Mode::Seal, vec![HostName::Here])).await.unwrap();
    notes.upsert(items(0..5)).await.unwrap();
    notes.flush().await.unwrap();
    let (head, body) = get(address, "GET /", &own).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for header in ["default-src 'none'; style-src 'sha256-", "nosniff", "no-store", "no-referrer", "same-origin"] {
        assert!(head.contains(header), "{header}");
    }
    let did = node.did().to_string();
    assert!(body.contains(&did[did.len() - 8..]) && !body.contains(&did), "shortened");
    let (head, body) = get(address, "GET /api/host.json", &format!("127.0.0.1:{}", address.port())).await;
    assert!(head.contains("application/json") && !head.contains("Access-Control"));
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let kept = node.vpk().hosted().unwrap().tenants().unwrap()[0].bytes;
    assert_eq!((json["hosting"].as_bool(), json["tenants"][0]["bytes"].as_u64()), (Some(true), Some(kept)));
    assert_eq!(json["used_bytes"].as_u64(), Some(kept));
    // A page that reaches it under a name of its own learns nothing.
    let (head, body) = get(address, "GET /api/host.json", &format!("evil.example:{}", address.port())).await;
    assert!(head.starts_with("HTTP/1.1 421 ") && !body.contains("tenants"), "{head}");
    let (head, body) = get(address, "HEAD /", &own).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty());
    let (head, _) = get(address, "POST /", &own).await;
    assert!(head.starts_with("HTTP/1.1 405 "));
    let (head, _) = get(address, &format!("GET /{}", "x".repeat(9000)), &own).await;
    assert!(head.starts_with("HTTP/1.1 400 "));

    let taken = node.vpk().console(address.port()).await.unwrap_err();
    assert_eq!(taken.code(), ErrorCode::Busy);
    drop(console);
    crate::hosts::until(async || TcpStream::connect(address).await.is_err().then_some(())).await;
    node.shutdown(GRACE).await.unwrap();
}
