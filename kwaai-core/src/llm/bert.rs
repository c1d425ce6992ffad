//! Sentence embeddings by BERT models, on this machine's CPU: all-MiniLM-L6-v2, mxbai-embed-large, nomic-embed-text and their like.
//!
//! After Devlin et al., "BERT" (arXiv 1810.04805), with the pooling of Reimers and Gurevych, "Sentence-BERT" (arXiv 1908.10084), and
//! Nussbaum et al., "Nomic Embed" (arXiv 2402.01613); tensor names and files are those of sentence-transformers.

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

use crate::llm::tokenizer::caught;
use crate::llm::{Embedder, Text};
use crate::{Error, Result};

mod config;
mod encoder;
mod kernels;
mod pooling;

use config::{Family, Refusal, Shape};
use encoder::{Encoder, Scratch};
use pooling::{Pooling, Prompts};

/// Tokens that are computed together, unless one text has more: enough to be worth a look at all weights, and few enough that what lies
/// between two layers stays in a core's cache.
const BATCH_TOKENS: usize = 256;
/// The files of a model, as sentence-transformers names them.
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";
const LENGTH: &str = "sentence_bert_config.json";
/// Tokens of a text that a BERT model reads where it does not say.
const DEFAULT_LENGTH: usize = 256;

/// Vectors with the places of their texts.
type Placed = Vec<(usize, Vec<f32>)>;

/// An [`Embedder`] that runs a BERT model or a NomicBert model from a folder in f32.
#[derive(Clone)]
pub struct BertEmbedder(Arc<Inner>);

struct Inner {
    id: String,
    dimension: usize,
    vocabulary: usize,
    tokenizer: Tokenizer,
    encoder: Encoder,
    prompts: Prompts,
}

impl fmt::Debug for BertEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BertEmbedder").field("id", &self.0.id).field("dimension", &self.0.dimension).finish()
    }
}

impl BertEmbedder {
    /// Loads a model from a folder with `config.json`, `tokenizer.json` and `model.safetensors`, as it is published: of the type `bert`
    /// or `nomic_bert`. What else a folder says is heard: `sentence_bert_config.json` (the tokens of a text that are read, 256 where a
    /// BERT model does not say; the rest of a text is not), `1_Pooling/config.json` (the mean of the tokens, or the first),
    /// `config_sentence_transformers.json` (what is put before queries and documents) and `modules.json`. NomicBert reads no more
    /// tokens than it was trained with, and gets `search_query: ` and `search_document: ` where its folder names no prompts.
    /// Vectors have the length 1.
    ///
    /// The [`id`](Embedder::id) changes with the weights, the tokenizer, the length, the pooling and the prompts.
    ///
    /// # Errors
    /// Each names its file: `not_found` for a missing one, `corrupt_data` for broken JSON, missing tensors or wrong shapes, `unsupported`
    /// for a model of another kind, with another pooling, or with layers behind it.
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
        let shape = Shape::read(&read(CONFIG)?).map_err(|refusal| match refusal {
            Refusal::Broken(why) => broken(&config_path, &why),
            Refusal::Unsupported(why) => unsupported(&config_path, &why),
        })?;
        let length = length(dir, &shape)?;
        let prompts = Prompts::read(dir, shape.family)?;
        let pooling = Pooling::read(dir, &prompts)?;

        let path = dir.join(TOKENIZER);
        let mut tokenizer = Tokenizer::from_bytes(read(TOKENIZER)?).map_err(|e| broken(&path, &e.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams { max_length: length, ..TruncationParams::default() }))
            .map_err(|e| broken(&path, &e.to_string()))?;
        let vocabulary = tokenizer.get_vocab_size(true);
        if vocabulary > shape.vocabulary {
            return Err(broken(&path, &format!("it knows {vocabulary} tokens, the model {}", shape.vocabulary)));
        }

        let path = dir.join(WEIGHTS);
        let tensors = candle_core::safetensors::load_buffer(&read(WEIGHTS)?, &Device::Cpu)
            .map_err(|e| broken(&path, &e.to_string()))?;
        let encoder = Encoder::new(&shape, pooling, length, tensors.into_iter().collect::<BTreeMap<_, _>>())
            .map_err(|why| broken(&path, &why))?;
        digest.update((length as u64).to_le_bytes());
        if pooling != Pooling::Mean || prompts != Prompts::default() {
            for part in [pooling.name(), &prompts.query, &prompts.document] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part);
            }
        }
        let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let named = shape.name.as_deref().and_then(|name| name.rsplit('/').next()).filter(|name| !name.is_empty());
        let name = named.unwrap_or(match shape.family {
            Family::Bert => "bert",
            Family::Nomic => "nomic-bert",
        });
        Ok(Inner {
            id: format!("{name}@{digest}"),
            dimension: shape.width,
            vocabulary: shape.vocabulary,
            tokenizer,
            encoder,
            prompts,
        })
    }

    fn embed(&self, texts: &[Text]) -> Result<Vec<Vec<f32>>> {
        let mut tokens = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            let encoding = caught(|| self.tokenizer.encode(self.prompts.put(text), true))?
                .map_err(|e| Error::internal(format!("tokenizer: {e}")))?;
            // A tokenizer's marks are in its vocabulary only if it says so.
            if let Some(id) = encoding.get_ids().iter().find(|id| **id as usize >= self.vocabulary) {
                let what =
                    format!("the tokenizer of {} gives the token {id}, the model knows {}", self.id, self.vocabulary);
                return Err(Error::corrupt_data(what).with_remedy("fetch the model again"));
            }
            // A text without tokens has no mean; it counts as padding.
            let ids = if encoding.is_empty() { vec![0] } else { encoding.get_ids().to_vec() };
            tokens.push((place, ids));
        }
        let batches = batches(&tokens);
        let next = AtomicUsize::new(0);
        let work = || -> Placed {
            let (mut done, mut scratch) = (Vec::new(), Scratch::default());
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let texts: Vec<&[u32]> = batch.iter().map(|(_, ids)| ids.as_slice()).collect();
                let vectors = self.encoder.encode(&texts, &mut scratch);
                done.extend(batch.iter().zip(vectors).map(|((place, _), vector)| (*place, vector)));
            }
            done
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(batches.len()).max(1);
        let results: Vec<Result<Placed>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let mine = Ok(work());
            let join = |other: std::thread::ScopedJoinHandle<'_, _>| {
                other.join().map_err(|_| Error::internal("an embedding thread panicked"))
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
}

#[async_trait]
impl Embedder for BertEmbedder {
    fn id(&self) -> String {
        self.0.id.clone()
    }

    fn dimension(&self) -> usize {
        self.0.dimension
    }

    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || inner.embed(&texts)).await.map_err(stopped)?
    }

    fn count_tokens(&self, texts: &[Text]) -> usize {
        let Inner { tokenizer, prompts, .. } = self.0.as_ref();
        let tokens = |text: &Text| match caught(|| tokenizer.encode_fast(prompts.put(text), true)) {
            Ok(Ok(encoding)) => encoding.len(),
            _ => 0,
        };
        texts.iter().map(tokens).sum()
    }
}

/// Texts in their order, as they are computed together.
fn batches(mut texts: &[(usize, Vec<u32>)]) -> Vec<&[(usize, Vec<u32>)]> {
    let mut batches = Vec::new();
    while !texts.is_empty() {
        let ends = texts.iter().scan(0, |tokens, (_, ids)| {
            *tokens += ids.len();
            Some(*tokens)
        });
        let count = ends.take_while(|tokens| *tokens <= BATCH_TOKENS).count().max(1);
        let (batch, rest) = texts.split_at(count);
        batches.push(batch);
        texts = rest;
    }
    batches
}

/// How many tokens of a text are read.
fn length(dir: &Path, shape: &Shape) -> Result<usize> {
    #[derive(Deserialize)]
    struct Length {
        max_seq_length: Option<usize>,
    }
    let path = dir.join(LENGTH);
    let said = match optional(&path)? {
        Some(bytes) => json::<Length>(&path, &bytes)?.max_seq_length,
        None => None,
    };
    let length = said.unwrap_or(match shape.family {
        Family::Bert => DEFAULT_LENGTH,
        Family::Nomic => shape.length,
    });
    // The two marks around a text need room as well.
    if length < 4 {
        return Err(broken(&path, &format!("a length of {length} tokens leaves no room for text")));
    }
    Ok(length.min(shape.length))
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

fn unsupported(path: &Path, why: &str) -> Error {
    Error::unsupported(format!("{} is not of a model that this can run: {why}", path.display()))
        .with_file(path)
        .with_remedy("use a model such as all-MiniLM-L6-v2, mxbai-embed-large-v1 or nomic-embed-text-v1.5")
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
