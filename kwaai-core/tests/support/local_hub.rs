//! A hub on this machine, with a store that it sends to for large files, as Hugging Face's does. What it does wrong is said
//! request by request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a hub was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whether it was the store that was asked.
    pub store: bool,
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    /// Whether the bytes of this file are asked for, wherever they are.
    pub fn is_for(&self, name: &str) -> bool {
        self.method == "GET" && self.path.ends_with(&format!("/{name}")) && !self.path.starts_with("/api/")
    }

    pub fn range(&self) -> Option<&str> {
        self.headers.get("range").map(String::as_str)
    }
}

/// What goes wrong with an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status, with these headers.
    Status(u16, &'static str),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// The whole file whatever range is asked for.
    Whole,
    /// This tag in place of the right one.
    Tag(String),
    /// These bytes for a body.
    Body(Vec<u8>),
    /// A redirect to this place.
    Away(String),
}

type Faults = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

struct State {
    files: BTreeMap<String, Vec<u8>>,
    commit: String,
    asked: Vec<Asked>,
    faults: Faults,
}

#[derive(Clone)]
pub struct LocalHub {
    pub endpoint: String,
    store: String,
    repository: String,
    state: Arc<Mutex<State>>,
}

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl LocalHub {
    /// One that has one model.
    pub async fn with(repository: &str, files: Vec<(String, Vec<u8>)>) -> LocalHub {
        let (hub, store) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            files: files.into_iter().collect(),
            commit: COMMIT.into(),
            asked: Vec::new(),
            faults: Box::new(|_| None),
        };
        let this = LocalHub {
            endpoint: address(&hub),
            store: address(&store),
            repository: repository.into(),
            state: Arc::new(Mutex::new(state)),
        };
        for (listener, is_store) in [(hub, false), (store, true)] {
            let this = this.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let this = this.clone();
                    tokio::spawn(async move {
                        // Whoever asked may have gone.
                        let _ = this.serve(stream, is_store).await;
                    });
                }
            });
        }
        this
    }

    pub fn failing(&self, faults: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) {
        self.state.lock().unwrap().faults = Box::new(faults);
    }

    pub fn set(&self, name: &str, content: &[u8], commit: &str) {
        let mut state = self.state.lock().unwrap();
        state.files.insert(name.into(), content.to_vec());
        state.commit = commit.into();
    }

    /// What it was asked since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    async fn serve(&self, mut stream: TcpStream, store: bool) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ');
        let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let asked = Asked { store, method, path, headers };
        let (fault, commit, file) = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(asked.clone());
            let name = match store {
                true => asked.path.strip_prefix("/"),
                false => asked.path.strip_prefix(&format!("/{}/resolve/", self.repository)).and_then(|rest| {
                    let (revision, name) = rest.split_once('/')?;
                    (revision == "main" || revision == state.commit).then_some(name)
                }),
            };
            let file = name.and_then(|name| Some((name.to_owned(), state.files.get(name)?.clone())));
            ((state.faults)(&asked), state.commit.clone(), file)
        };
        let answer = self.answer(&asked, fault.as_ref(), &commit, file);
        let mut length = answer.body.len();
        if let Some(Fault::Cut(after)) = fault {
            length = length.min(after);
        }
        let mut bytes = format!("HTTP/1.1 {} X\r\n{}", answer.status, answer.headers);
        if !answer.headers.to_ascii_lowercase().contains("content-length:") {
            bytes += &format!("Content-Length: {}\r\n", answer.body.len());
        }
        bytes += "Connection: close\r\n\r\n";
        stream.write_all(bytes.as_bytes()).await?;
        if asked.method != "HEAD" {
            stream.write_all(&answer.body[..length]).await?;
        }
        stream.shutdown().await
    }

    fn answer(&self, asked: &Asked, fault: Option<&Fault>, commit: &str, file: Option<(String, Vec<u8>)>) -> Answer {
        match fault {
            Some(Fault::Status(status, headers)) => return Answer::of(*status, *headers, b""),
            Some(Fault::Away(place)) => return Answer::of(302, format!("Location: {place}\r\n"), b""),
            Some(Fault::Body(body)) => return Answer::of(200, "", body),
            _ => {}
        }
        if asked.path.starts_with(&format!("/api/models/{}/revision/", self.repository)) {
            let files = &self.state.lock().unwrap().files;
            let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
            let body = serde_json::json!({"id": self.repository, "sha": commit, "siblings": siblings}).to_string();
            return Answer::of(200, "Content-Type: application/json\r\n", body.as_bytes());
        }
        let Some((name, content)) = file else { return Answer::of(404, "X-Error-Code: EntryNotFound\r\n", b"") };
        let tag = match fault {
            Some(Fault::Tag(tag)) => tag.clone(),
            _ => tag(&name, &content),
        };
        if is_large(&name) && !asked.store {
            let linked = format!("X-Linked-Etag: \"{tag}\"\r\nX-Linked-Size: {}\r\n", content.len());
            let place = format!("Location: {}/{name}\r\nETag: \"of the redirect\"\r\n", self.store);
            return Answer::of(302, format!("X-Repo-Commit: {commit}\r\n{linked}{place}"), b"");
        }
        // A store has tags of its own.
        let tag = if asked.store { "\"f00d-2\"".to_owned() } else { format!("\"{tag}\"") };
        let headers = format!("ETag: {tag}\r\nAccept-Ranges: bytes\r\nX-Repo-Commit: {commit}\r\n");
        let same = asked.headers.get("if-range").is_none_or(|asked| *asked == tag);
        let range = asked.range().filter(|_| same && !matches!(fault, Some(Fault::Whole)));
        let Some((from, to)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
            let length = format!("Content-Length: {}\r\n", content.len());
            return Answer::of(200, headers + &length, &content);
        };
        let from: usize = from.parse().unwrap();
        let to = to.parse().map_or(content.len(), |to: usize| (to + 1).min(content.len()));
        if from >= content.len() {
            return Answer::of(416, format!("Content-Range: bytes */{}\r\n", content.len()), b"");
        }
        let range = format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, content.len());
        Answer::of(206, headers + &range, &content[from..to])
    }
}

struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn of(status: u16, headers: impl Into<String>, body: &[u8]) -> Answer {
        Answer { status, headers: headers.into(), body: body.to_vec() }
    }
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".gguf")
}

/// sha256 of what lies in a store, and what git calls the rest.
pub fn tag(name: &str, content: &[u8]) -> String {
    let bytes: Vec<u8> = match is_large(name) {
        true => Sha256::digest(content).to_vec(),
        false => Sha1::digest([format!("blob {}\0", content.len()).as_bytes(), content].concat()).to_vec(),
    };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
