//! Sentence embeddings by BERT models such as all-MiniLM-L6-v2, on this machine's CPU.
//!
//! After Devlin et al., "BERT" (arXiv 1810.04805), with the mean pooling of Reimers and Gurevych, "Sentence-BERT" (arXiv 1908.10084); tensor
//! names and files are those of sentence-transformers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokenizers::{Tokenizer, TruncationParams};

use crate::llm::{Embedder, Text};
use crate::{Error, Result};

mod encoder;

use encoder::Encoder;

/// Texts that are computed together; longer batches only fill the memory.
const BATCH: usize = 32;
/// The files of a model, as sentence-transformers names them.
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";
const LENGTH: &str = "sentence_bert_config.json";
const POOLING: &str = "1_Pooling/config.json";
/// Tokens of a text that are read where the model does not say.
const DEFAULT_LENGTH: usize = 256;

/// The shape of a BERT model, from its `config.json`.
#[derive(Debug, Clone, Deserialize)]
struct BertConfig {
    #[serde(default, rename = "_name_or_path")]
    name: String,
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "tiny")]
    layer_norm_eps: f64,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn two() -> usize {
    2
}

fn tiny() -> f64 {
    1e-12
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl BertConfig {
    fn check(&self) -> std::result::Result<(), String> {
        let sizes = [
            ("hidden_size", self.hidden_size, 16_384),
            ("num_hidden_layers", self.num_hidden_layers, 256),
            ("num_attention_heads", self.num_attention_heads, 1_024),
            ("intermediate_size", self.intermediate_size, 131_072),
            ("vocab_size", self.vocab_size, 4_000_000),
            ("max_position_embeddings", self.max_position_embeddings, 1_000_000),
            ("type_vocab_size", self.type_vocab_size, 64),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return Err(format!("{name} is {value}, not between 1 and {most}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!("{} heads do not divide a width of {}", self.num_attention_heads, self.hidden_size));
        }
        if !(self.layer_norm_eps.is_finite() && self.layer_norm_eps > 0.0) {
            return Err(format!("layer_norm_eps is {}", self.layer_norm_eps));
        }
        Ok(())
    }

    /// What this implementation cannot do, if anything.
    fn unsupported(&self) -> Option<String> {
        if self.model_type != "bert" {
            return Some(format!("its type is {}, not bert", self.model_type));
        }
        if self.hidden_act != "gelu" {
            return Some(format!("its activation is {}, not gelu", self.hidden_act));
        }
        if self.position_embedding_type != "absolute" {
            return Some(format!("its positions are {}, not absolute", self.position_embedding_type));
        }
        None
    }
}

/// Vectors with the places of their texts.
type Placed = Vec<(usize, Vec<f32>)>;

/// An [`Embedder`] that runs a BERT model from a folder in f32.
#[derive(Clone)]
pub struct BertEmbedder(Arc<Inner>);

struct Inner {
    id: String,
    dimension: usize,
    tokenizer: Tokenizer,
    encoder: Encoder,
}

impl fmt::Debug for BertEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BertEmbedder").field("id", &self.0.id).field("dimension", &self.0.dimension).finish()
    }
}

impl BertEmbedder {
    /// Loads a model from a folder with `config.json`, `tokenizer.json` and `model.safetensors`, and `sentence_bert_config.json` and
    /// `1_Pooling/config.json` where the model has them. Its vectors are means over the tokens, of length 1; text beyond the model's length
    /// (256 tokens where it does not say) is not read.
    ///
    /// # Errors
    /// Each names its file: `not_found` for a missing one, `corrupt_data` for broken JSON, missing tensors or wrong shapes, `unsupported`
    /// for a model of another kind.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<BertEmbedder> {
        let dir = dir.into();
        let load = tokio::task::spawn_blocking(move || Inner::load(&dir));
        Ok(BertEmbedder(Arc::new(load.await.map_err(stopped)??)))
    }
}

impl Inner {
    fn load(dir: &Path) -> Result<Inner> {
        let mut digest = Sha256::new();
        let mut read = |name: &str| -> Result<Vec<u8>> {
            let path = dir.join(name);
            let bytes = std::fs::read(&path).map_err(|e| missing(&path, e))?;
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(&bytes);
            Ok(bytes)
        };
        let config_path = dir.join(CONFIG);
        let config: BertConfig = json(&config_path, &read(CONFIG)?)?;
        if let Some(why) = config.unsupported() {
            return Err(Error::unsupported(format!("{} is not a model this can run: {why}", dir.display()))
                .with_file(&config_path)
                .with_remedy("use a BERT model such as all-MiniLM-L6-v2"));
        }
        config.check().map_err(|why| broken(&config_path, &why))?;
        let length = length(dir, &config)?;
        check_pooling(dir)?;

        let path = dir.join(TOKENIZER);
        let mut tokenizer = Tokenizer::from_bytes(read(TOKENIZER)?).map_err(|e| broken(&path, &e.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams { max_length: length, ..TruncationParams::default() }))
            .map_err(|e| broken(&path, &e.to_string()))?;
        let vocabulary = tokenizer.get_vocab_size(true);
        if vocabulary > config.vocab_size {
            return Err(broken(&path, &format!("it knows {vocabulary} tokens, the model {}", config.vocab_size)));
        }

        let path = dir.join(WEIGHTS);
        let tensors = candle_core::safetensors::load_buffer(&read(WEIGHTS)?, &Device::Cpu)
            .map_err(|e| broken(&path, &e.to_string()))?;
        let encoder = Encoder::new(&config, tensors.into_iter().collect::<BTreeMap<_, _>>())
            .map_err(|why| broken(&path, &why))?;
        digest.update((length as u64).to_le_bytes());
        let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let name = config.name.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("bert");
        Ok(Inner { id: format!("{name}@{digest}"), dimension: config.hidden_size, tokenizer, encoder })
    }

    fn embed(&self, texts: &[Text]) -> Result<Vec<Vec<f32>>> {
        let mut tokens = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            let encoding =
                self.tokenizer.encode(text.as_str(), true).map_err(|e| Error::internal(format!("tokenizer: {e}")))?;
            // A text without tokens has no mean; it counts as padding.
            let ids = if encoding.is_empty() { vec![0] } else { encoding.get_ids().to_vec() };
            tokens.push((place, ids));
        }
        // Texts of like length together need little padding. The order decides which texts meet, and is always the same.
        tokens.sort_by_key(|(place, ids)| (ids.len(), *place));
        let batches: Vec<&[(usize, Vec<u32>)]> = tokens.chunks(BATCH).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<Placed> {
            let mut done = Vec::new();
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.extend(self.embed_batch(batch)?);
            }
            Ok(done)
        };
        // The longest batches come last and would keep a single core busy at the end; that costs less than cutting them differently.
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(batches.len()).max(1);
        let results: Vec<Result<Placed>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let join = |other: std::thread::ScopedJoinHandle<'_, _>| {
                other.join().unwrap_or_else(|_| Err(Error::internal("an embedding thread panicked")))
            };
            std::iter::once(mine).chain(others.into_iter().map(join)).collect()
        });
        let mut vectors = vec![Vec::new(); texts.len()];
        for result in results {
            for (place, vector) in result? {
                vectors[place] = vector;
            }
        }
        Ok(vectors)
    }

    fn embed_batch(&self, batch: &[(usize, Vec<u32>)]) -> Result<Placed> {
        let lengths: Vec<usize> = batch.iter().map(|(_, ids)| ids.len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(0);
        let mut ids = Vec::with_capacity(batch.len() * width);
        for (_, tokens) in batch {
            ids.extend_from_slice(tokens);
            ids.resize(ids.len() + width - tokens.len(), 0);
        }
        let vectors = self
            .encoder
            .encode(&ids, &lengths, width)
            .map_err(|e| Error::internal(format!("embedding failed: {e}")))?;
        Ok(batch.iter().zip(vectors).map(|((place, _), vector)| (*place, vector)).collect())
    }
}

#[async_trait]
impl Embedder for BertEmbedder {
    fn id(&self) -> String {
        self.0.id.clone()
    }

    fn dimension(&self) -> usize {
        self.0.dimension
    }

    /// Queries and documents are embedded alike, as this kind of model was trained.
    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || inner.embed(&texts)).await.map_err(stopped)?
    }

    fn count_tokens(&self, texts: &[Text]) -> usize {
        let tokens =
            |text: &Text| self.0.tokenizer.encode_fast(text.as_str(), true).map_or(0, |encoding| encoding.len());
        texts.iter().map(tokens).sum()
    }
}

/// How many tokens of a text are read.
fn length(dir: &Path, config: &BertConfig) -> Result<usize> {
    #[derive(Deserialize)]
    struct Length {
        max_seq_length: usize,
    }
    let path = dir.join(LENGTH);
    let length = match optional(&path)? {
        Some(bytes) => json::<Length>(&path, &bytes)?.max_seq_length,
        None => DEFAULT_LENGTH,
    };
    // The two marks around a text need room as well.
    if length < 4 {
        return Err(broken(&path, &format!("a length of {length} tokens leaves no room for text")));
    }
    Ok(length.min(config.max_position_embeddings))
}

fn check_pooling(dir: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Pooling {
        pooling_mode_mean_tokens: bool,
    }
    let path = dir.join(POOLING);
    match optional(&path)? {
        Some(bytes) if !json::<Pooling>(&path, &bytes)?.pooling_mode_mean_tokens => {
            Err(Error::unsupported(format!("{} asks for another pooling than the mean of the tokens", path.display()))
                .with_file(&path)
                .with_remedy("use a model with mean pooling, such as all-MiniLM-L6-v2"))
        }
        _ => Ok(()),
    }
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::file("read", path, e)),
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| broken(path, &e.to_string()))
}

fn missing(path: &Path, error: std::io::Error) -> Error {
    Error::file("read", path, error).with_remedy("fetch the model first, or name the folder it lies in")
}

fn broken(path: &Path, why: &str) -> Error {
    Error::corrupt_data(format!("{} is not what a BERT model needs: {why}", path.display()))
        .with_file(path)
        .with_remedy("fetch the model again")
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::internal("the embedding task was stopped").with_source(error)
}

/// A tensor of f32 by name and shape, taken out of those that were loaded.
fn take(tensors: &mut BTreeMap<String, Tensor>, name: &str, shape: &[usize]) -> std::result::Result<Tensor, String> {
    // Some files carry the name of the model's class before each tensor.
    let tensor = tensors.remove(name).or_else(|| tensors.remove(&format!("bert.{name}")));
    let tensor = tensor.ok_or_else(|| format!("the tensor {name} is missing"))?;
    if tensor.dims() != shape {
        return Err(format!("the tensor {name} has the shape {:?} instead of {shape:?}", tensor.dims()));
    }
    tensor.to_dtype(DType::F32).map_err(|e| format!("the tensor {name}: {e}"))
}
