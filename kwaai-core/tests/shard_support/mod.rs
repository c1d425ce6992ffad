//! What the tests of sharded inference share: models of any shape with random weights, and nodes over TCP.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod answers;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::{PeerStream, Peers, StreamHandler, UnaryHandler};
use kwaai_core::shard::HostPolicy;
use kwaai_core::trust::{Minimum, Purpose};
use kwaai_core::{Error, Result};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The `config.json` of a small model.
pub fn config(blocks: usize, heads: usize, kv_heads: usize, head_dim: usize, tied: bool) -> Value {
    json!({
        "model_type": "llama", "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": blocks,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": 262,
        "tie_word_embeddings": tied, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 512,
        "eos_token_id": 257
    })
}

/// The same of another family, with what the family is known for.
pub fn of_family(family: &str, blocks: usize) -> Value {
    let mut config = config(blocks, 4, 2, 6, family != "qwen2");
    config["model_type"] = family.into();
    match family {
        "mistral" => config["sliding_window"] = json!(40),
        "qwen2" => {
            config["use_sliding_window"] = json!(true);
            config["sliding_window"] = json!(30);
            config["max_window_layers"] = json!(1);
        }
        _ => {}
    }
    config
}

/// Names and shapes of the tensors of such a model.
pub fn tensors(config: &Value) -> Vec<(String, Vec<usize>)> {
    let size = |key: &str| config[key].as_u64().unwrap() as usize;
    let (hidden, inner, vocabulary) = (size("hidden_size"), size("intermediate_size"), size("vocab_size"));
    let query = size("num_attention_heads") * size("head_dim");
    let kv = size("num_key_value_heads") * size("head_dim");
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_string(), vec![vocabulary, hidden]),
        ("model.norm.weight".to_string(), vec![hidden]),
    ];
    if config["tie_word_embeddings"] == false {
        tensors.push(("lm_head.weight".to_string(), vec![vocabulary, hidden]));
    }
    for block in 0..size("num_hidden_layers") {
        for (name, shape) in [
            ("self_attn.q_proj", vec![query, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, query]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
        ] {
            tensors.push((format!("model.layers.{block}.{name}.weight"), shape));
        }
        let of_family: &[(&str, usize)] = match config["model_type"].as_str().unwrap() {
            "qwen2" => &[("q_proj.bias", query), ("k_proj.bias", kv), ("v_proj.bias", kv)],
            "qwen3" => &[("q_norm.weight", size("head_dim")), ("k_norm.weight", size("head_dim"))],
            _ => &[],
        };
        for (name, length) in of_family {
            tensors.push((format!("model.layers.{block}.self_attn.{name}"), vec![*length]));
        }
    }
    tensors
}

/// Values from a linear congruential sequence, large enough for attention to be far from uniform.
pub fn values(seed: u64, shape: &[usize]) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let scale = 2.0 / (*shape.last().unwrap() as f32).sqrt();
    let centre = if shape.len() == 1 { 1.0 } else { 0.0 };
    (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            centre + ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 2.0 * scale
        })
        .collect()
}

/// Writes safetensors with the given tensors in f32.
pub fn write_tensors(path: &Path, seed: u64, tensors: &[(String, Vec<usize>)]) {
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = (seed..)
        .zip(tensors)
        .map(|(seed, (name, shape))| {
            let bytes = values(seed, shape).into_iter().flat_map(f32::to_le_bytes).collect();
            (name.clone(), shape.clone(), bytes)
        })
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes.as_slice()).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Writes a whole model directory, with a tokenizer whose tokens are bytes.
pub fn write_model(dir: &Path, seed: u64, config: &Value) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    write_tensors(&dir.join("model.safetensors"), seed, &tensors(config));
    let mut alphabet: Vec<char> = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let vocabulary: BTreeMap<String, usize> =
        alphabet.into_iter().enumerate().map(|(id, letter)| (letter.to_string(), id)).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [special(256, "<s>"), special(257, "</s>")],
        "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}
    });
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let template = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
    let tokenizer_config = json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": template});
    std::fs::write(dir.join("tokenizer_config.json"), tokenizer_config.to_string()).unwrap();
}

/// Everybody may compute, but for those named.
#[derive(Default)]
pub struct AllBut(pub Vec<PeerId>);

#[async_trait]
impl HostPolicy for AllBut {
    async fn usable(&self, peer: PeerId, _least: Option<Minimum>) -> Result<()> {
        match self.0.contains(&peer) {
            true => Err(Error::untrusted_peer("stands below the minimum tier").with("peer", peer)),
            false => Ok(()),
        }
    }
}

/// What the nodes of a test know of each other: a phone book in place of a DHT.
#[derive(Default)]
pub struct Town {
    addresses: Mutex<HashMap<PeerId, std::net::SocketAddr>>,
    providers: Mutex<BTreeMap<String, Vec<PeerId>>>,
}

#[derive(Default)]
struct Handlers {
    unary: HashMap<String, Arc<dyn UnaryHandler>>,
    streams: HashMap<String, Arc<dyn StreamHandler>>,
}

/// A node over plain TCP sockets on this machine: it says who it is, which only a test may believe.
pub struct TcpNode {
    peer: PeerId,
    town: Arc<Town>,
    handlers: Arc<Mutex<Handlers>>,
    listener: tokio::task::JoinHandle<()>,
    streams: Arc<Mutex<tokio::task::JoinSet<()>>>,
}

impl TcpNode {
    /// A node that listens and is listed.
    pub async fn start(town: &Arc<Town>, seed: u8) -> Arc<TcpNode> {
        let peer = Keypair::from_seed([seed; 32]).peer_id();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        town.addresses.lock().unwrap().insert(peer, listener.local_addr().unwrap());
        let handlers = Arc::new(Mutex::new(Handlers::default()));
        let streams = Arc::new(Mutex::new(tokio::task::JoinSet::new()));
        let (at_listener, of_listener) = (handlers.clone(), streams.clone());
        let listener = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let handlers = at_listener.clone();
                of_listener.lock().unwrap().spawn(async move {
                    let _ = answer(socket, handlers).await;
                });
            }
        });
        Arc::new(TcpNode { peer, town: town.clone(), handlers, listener, streams })
    }

    /// Goes away without a word: every stream is cut, nothing listens any more.
    pub fn vanish(&self) {
        self.listener.abort();
        self.streams.lock().unwrap().abort_all();
    }

    async fn dial(&self, peer: PeerId, kind: u8, name: &str) -> Result<TcpStream> {
        let address = self.town.addresses.lock().unwrap().get(&peer).copied();
        let address = address.ok_or_else(|| Error::unreachable("no such peer"))?;
        let mut socket = TcpStream::connect(address).await.map_err(|error| Error::unreachable(error.to_string()))?;
        socket.set_nodelay(true).unwrap();
        let io = |error: std::io::Error| Error::unreachable(error.to_string());
        socket.write_u8(kind).await.map_err(io)?;
        for part in [&self.peer.to_bytes()[..], name.as_bytes()] {
            socket.write_u32(part.len() as u32).await.map_err(io)?;
            socket.write_all(part).await.map_err(io)?;
        }
        Ok(socket)
    }
}

async fn read_part(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = socket.read_u32().await?;
    let mut part = vec![0; length as usize];
    socket.read_exact(&mut part).await?;
    Ok(part)
}

async fn answer(mut socket: TcpStream, handlers: Arc<Mutex<Handlers>>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let kind = socket.read_u8().await?;
    let caller = PeerId::from_bytes(&read_part(&mut socket).await?).unwrap();
    let name = String::from_utf8(read_part(&mut socket).await?).unwrap();
    if kind == 0 {
        let body = Bytes::from(read_part(&mut socket).await?);
        let handler = handlers.lock().unwrap().unary.get(&name).cloned();
        if let Some(handler) = handler
            && let Ok(reply) = handler.call(caller, body).await
        {
            socket.write_u32(reply.len() as u32).await?;
            socket.write_all(&reply).await?;
        }
    } else {
        let handler = handlers.lock().unwrap().streams.get(&name).cloned();
        if let Some(handler) = handler {
            let _ = handler.serve(caller, Box::new(socket)).await;
        }
    }
    Ok(())
}

#[async_trait]
impl Peers for TcpNode {
    fn local_peer(&self) -> PeerId {
        self.peer
    }

    async fn call(&self, peer: PeerId, method: &str, body: Bytes, _timeout: Duration) -> Result<Bytes> {
        let io = |error: std::io::Error| Error::unreachable(error.to_string());
        let mut socket = self.dial(peer, 0, method).await?;
        socket.write_u32(body.len() as u32).await.map_err(io)?;
        socket.write_all(&body).await.map_err(io)?;
        read_part(&mut socket).await.map(Bytes::from).map_err(io)
    }

    async fn open_stream(&self, peer: PeerId, protocol: &str, _timeout: Duration) -> Result<PeerStream> {
        Ok(Box::new(self.dial(peer, 1, protocol).await?))
    }

    fn serve_unary(&self, method: &str, _purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.handlers.lock().unwrap().unary.insert(method.to_string(), handler);
        Ok(())
    }

    fn serve_streams(&self, protocol: &str, _purpose: Purpose, handler: Arc<dyn StreamHandler>) -> Result<()> {
        self.handlers.lock().unwrap().streams.insert(protocol.to_string(), handler);
        Ok(())
    }

    fn serve_foreign(&self, _: &str, _: Purpose, _: Arc<dyn UnaryHandler>) -> Result<()> {
        Err(Error::unsupported("this wire carries our own protocols alone"))
    }

    fn stop_serving(&self, name: &str) {
        let mut handlers = self.handlers.lock().unwrap();
        handlers.unary.remove(name);
        handlers.streams.remove(name);
    }

    async fn announce(&self, key: &str) -> Result<()> {
        let mut providers = self.town.providers.lock().unwrap();
        let list = providers.entry(key.to_string()).or_default();
        if !list.contains(&self.peer) {
            list.push(self.peer);
        }
        Ok(())
    }

    async fn withdraw(&self, key: &str) -> Result<()> {
        let mut providers = self.town.providers.lock().unwrap();
        providers.entry(key.to_string()).or_default().retain(|peer| *peer != self.peer);
        Ok(())
    }

    async fn providers(&self, key: &str) -> Result<Vec<PeerId>> {
        let providers = self.town.providers.lock().unwrap();
        Ok(providers.get(key).into_iter().flatten().filter(|peer| **peer != self.peer).copied().collect())
    }
}
