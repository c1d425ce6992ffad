//! The client of OpenAI-compatible endpoints, against servers on real sockets that behave well and badly.

use std::time::Duration;

use kwaai_core::event::{Item, Stream};
use kwaai_core::llm::{
    ChatMessage, FinishReason, GenerateEvent, GenerateRequest, LanguageModel, OpenAiConfig, OpenAiModel, Usage,
};
use kwaai_core::{Error, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Takes one request and gives it out; the rest is up to the test.
async fn request(listener: &TcpListener) -> (TcpStream, String) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the client went away inside its request");
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap() {
                return (socket, text);
            }
        }
    }
}

async fn listener() -> (TcpListener, OpenAiConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    (listener, OpenAiConfig::new(address, "tiny"))
}

/// A server that answers one request with these pieces, each sent on its own, and then closes.
async fn answering(pieces: Vec<Vec<u8>>) -> OpenAiConfig {
    let (listener, config) = listener().await;
    tokio::spawn(async move {
        let (mut socket, _) = request(&listener).await;
        socket.set_nodelay(true).unwrap();
        for piece in pieces {
            if socket.write_all(&piece).await.is_err() {
                return;
            }
            socket.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    config
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

fn asked() -> GenerateRequest {
    GenerateRequest {
        messages: vec![ChatMessage::user("What is the port?")],
        max_tokens: 7,
        ..GenerateRequest::default()
    }
}

async fn all(mut stream: Stream<GenerateEvent>) -> (String, Option<GenerateEvent>, Option<Error>) {
    let (mut text, mut done) = (String::new(), None);
    loop {
        match stream.next().await {
            Ok(Some(Item::Value(GenerateEvent::Token { text: piece, .. }))) => text.push_str(&piece),
            Ok(Some(Item::Value(end))) => done = Some(end),
            Ok(Some(Item::Lagged { missed })) => panic!("{missed} events were lost"),
            Ok(None) => return (text, done, None),
            Err(error) => return (text, done, Some(error)),
        }
    }
}

async fn refusal(status: &str, body: &str) -> Error {
    let answer = format!("HTTP/1.1 {status}\r\nretry-after: 3\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut config = answering(vec![answer.into_bytes()]).await;
    config.api_key = Some("sk-secret".to_owned());
    OpenAiModel::new(config).unwrap().generate(asked()).await.err().expect("the endpoint refuses")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_read_however_the_network_cuts_it() {
    let body = concat!(
        ": ping\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Grü\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"ße 🙂\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\ndata: [DONE]\n\n",
    );
    for size in [1, 2, 3, 7, 64, 4096] {
        let mut pieces = vec![HEAD.to_vec()];
        pieces.extend(body.as_bytes().chunks(size).map(<[u8]>::to_vec));
        let model = OpenAiModel::new(answering(pieces).await).unwrap();
        let (text, done, error) = all(model.generate(asked()).await.unwrap()).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(text, "Grüße 🙂");
        let usage = Usage { prompt_tokens: 5, completion_tokens: 2, cached_tokens: 3 };
        assert_eq!(done, Some(GenerateEvent::done(FinishReason::Length, usage, Vec::new())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_says_what_was_asked_and_carries_the_key_only_in_its_header() {
    let (listener, mut config) = listener().await;
    config.api_key = Some("sk-secret".to_owned());
    let model = OpenAiModel::new(config).unwrap();
    assert!(!format!("{model:?}").contains("sk-secret"));
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, text) = request(&listener).await;
        socket
            .write_all(&[HEAD, b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n"].concat())
            .await
            .unwrap();
        sender.send(text).unwrap();
    });
    let (text, done, error) = all(model.generate(asked()).await.unwrap()).await;
    assert_eq!((text.as_str(), error.is_none()), ("x", true));
    assert!(matches!(done, Some(GenerateEvent::Done { finish_reason: FinishReason::Stop, .. })));
    let sent = receiver.await.unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer sk-secret"));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["messages"][0]["content"], "What is the port?");
    assert_eq!((&body["model"], &body["stream"], &body["max_tokens"]), (&"tiny".into(), &true.into(), &7.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_code_that_says_what_to_do() {
    let cases = [
        ("401 Unauthorized", ErrorCode::PermissionDenied),
        ("404 Not Found", ErrorCode::NotFound),
        ("400 Bad Request", ErrorCode::InvalidArgument),
        ("429 Too Many Requests", ErrorCode::Busy),
        ("503 Service Unavailable", ErrorCode::Busy),
        ("500 Internal Server Error", ErrorCode::Unreachable),
        ("307 Temporary Redirect", ErrorCode::InvalidArgument),
    ];
    for (status, code) in cases {
        let error = refusal(status, r#"{"error":{"message":"no, sk-secret is wrong\n"}}"#).await;
        assert_eq!(error.code(), code, "{status}");
        assert_eq!(error.is_retryable(), matches!(code, ErrorCode::Busy | ErrorCode::Unreachable));
        assert!(error.message().contains("no, *** is wrong"), "{error}");
        assert!(!format!("{error:?}").contains("sk-secret"));
        assert_eq!(error.context()["retry_after"], "3");
    }
    assert_eq!(refusal("502 Bad Gateway", "<html>").await.code(), ErrorCode::Busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_or_breaks_the_form_is_an_error_after_what_came() {
    let token = b"data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n";
    let cases: [(&[u8], ErrorCode); 4] = [
        (b"", ErrorCode::Unreachable),
        (b"data: {\"choices\":[{\"delta\":{\"con", ErrorCode::Unreachable),
        (b"data: {nonsense\n\n", ErrorCode::CorruptData),
        (b"data: {\"error\":{\"message\":\"out of memory\"}}\n\n", ErrorCode::Unreachable),
    ];
    for (rest, code) in cases {
        let config = answering(vec![[HEAD, token, rest].concat()]).await;
        let (text, done, error) = all(OpenAiModel::new(config).unwrap().generate(asked()).await.unwrap()).await;
        assert_eq!((text.as_str(), done), ("half", None));
        assert_eq!(error.expect("it broke off").code(), code, "{}", String::from_utf8_lossy(rest));
    }
    // The connection itself says that more was to come.
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n31\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n".to_vec();
    let (_, done, error) =
        all(OpenAiModel::new(answering(vec![chunked]).await).unwrap().generate(asked()).await.unwrap()).await;
    assert!(done.is_none());
    assert_eq!(error.unwrap().code(), ErrorCode::Unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_with_a_timeout_and_nobody_there_with_unreachable() {
    let (silent, mut config) = listener().await;
    config.idle_timeout = Duration::from_millis(50);
    let error = OpenAiModel::new(config.clone()).unwrap().generate(asked()).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error:?}");
    drop(silent);
    let error = OpenAiModel::new(config).unwrap().generate(asked()).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unreachable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_stream_closes_the_connection() {
    let (listener, config) = listener().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = request(&listener).await;
        let token = b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
        socket.write_all(&[HEAD, token].concat()).await.unwrap();
        // Reading ends when the client has gone, and only then.
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        rest
    });
    let mut stream = OpenAiModel::new(config).unwrap().generate(asked()).await.unwrap();
    assert!(matches!(stream.next().await, Ok(Some(Item::Value(GenerateEvent::Token { .. })))));
    drop(stream);
    assert!(server.await.unwrap().is_empty());
}

#[test]
fn addresses_and_keys_that_cannot_be_used_are_refused() {
    for address in ["", "not an address", "ftp://host/v1", "file:///etc/passwd"] {
        assert_eq!(
            OpenAiModel::new(OpenAiConfig::new(address, "m")).unwrap_err().code(),
            ErrorCode::InvalidArgument,
            "{address}"
        );
    }
    let mut config = OpenAiConfig::new("http://localhost/v1", "m");
    config.api_key = Some("two\nlines".to_owned());
    let error = OpenAiModel::new(config).unwrap_err();
    assert!(error.code() == ErrorCode::InvalidArgument && !format!("{error:?}").contains("lines\""));
}
