//! Weights of a model: safetensors files, one or several with an index, or a GGUF file. Whatever they are written in, they
//! are computed in f32.
//!
//! Only the tensors that are asked for are read, by position. Every name and shape is compared with what the
//! configuration promises before the first value is read.

mod encoding;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use self::encoding::Encoding;
use super::backend::Backend;
use super::config::{ModelConfig, read_bounded};
use crate::llm::hub::PartialFile;
use crate::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const REMEDY: &str = "fetch the model's files again";
/// Headers name each tensor in about 100 bytes; no model has a million of them.
pub(super) const MAX_HEADER: u64 = 100_000_000;
const MAX_INDEX: u64 = 64 * 1024 * 1024;
/// Values are converted in pieces of this many bytes.
const PIECE: usize = 1 << 20;

/// Which tensors of a model are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The blocks.
    pub blocks: Range<usize>,
    /// Embedding, final normalisation and head.
    pub ends: bool,
}

/// The names and shapes of the tensors of `parts`, as Hugging Face transformers names them.
pub fn expected(config: &ModelConfig, parts: &Parts) -> Vec<(String, Vec<usize>)> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (query, kv) = (config.query_size(), config.kv_size());
    let mut tensors = Vec::new();
    if parts.ends {
        tensors.push(("model.embed_tokens.weight".to_string(), vec![config.vocab_size, hidden]));
        tensors.push(("model.norm.weight".to_string(), vec![hidden]));
        if !config.tied_head {
            tensors.push(("lm_head.weight".to_string(), vec![config.vocab_size, hidden]));
        }
    }
    for block in parts.blocks.clone() {
        let mut linear = |name: &str, outputs: usize, inputs: usize, bias: bool| {
            tensors.push((format!("model.layers.{block}.{name}.weight"), vec![outputs, inputs]));
            if bias {
                tensors.push((format!("model.layers.{block}.{name}.bias"), vec![outputs]));
            }
        };
        linear("self_attn.q_proj", query, hidden, config.qkv_bias);
        linear("self_attn.k_proj", kv, hidden, config.qkv_bias);
        linear("self_attn.v_proj", kv, hidden, config.qkv_bias);
        linear("self_attn.o_proj", hidden, query, config.output_bias);
        linear("mlp.gate_proj", inner, hidden, config.mlp_bias);
        linear("mlp.up_proj", inner, hidden, config.mlp_bias);
        linear("mlp.down_proj", hidden, inner, config.mlp_bias);
        for name in ["input_layernorm", "post_attention_layernorm"] {
            tensors.push((format!("model.layers.{block}.{name}.weight"), vec![hidden]));
        }
        if config.qk_norm {
            for name in ["self_attn.q_norm", "self_attn.k_norm"] {
                tensors.push((format!("model.layers.{block}.{name}.weight"), vec![config.head_dim]));
            }
        }
    }
    tensors
}

/// Where one tensor lies, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub file: PathBuf,
    /// The encoding, or the name of one that is not read.
    pub encoding: std::result::Result<Encoding, String>,
    pub shape: Vec<usize>,
    pub start: u64,
    pub bytes: usize,
    /// The rows of each head of this length are written as pairs, first element beside second, and not as halves.
    pub paired: Option<usize>,
}

impl Place {
    /// Bytes that it takes as a backend holds it: in f32 with candle, with ggml as it is written, but for vectors.
    pub fn bytes_in_memory(&self, backend: Backend) -> u64 {
        match backend {
            Backend::Ggml if self.shape.len() > 1 => self.bytes as u64,
            Backend::Candle | Backend::Ggml => self.shape.iter().product::<usize>() as u64 * size_of::<f32>() as u64,
        }
    }
}

/// The tensors of a model, known by their headers.
#[derive(Debug)]
pub struct Weights {
    /// The directory or the file.
    root: PathBuf,
    tensors: BTreeMap<String, Place>,
}

impl Weights {
    /// Reads the headers of a model directory.
    ///
    /// # Errors
    /// `not_found` when the directory has neither a weight file nor an index, or the index names a missing file;
    /// `corrupt_data` for a broken header or a file of the wrong length. Each names the file.
    pub fn open(dir: &Path) -> Result<Weights> {
        let index = dir.join(INDEX);
        let mut tensors = BTreeMap::new();
        if index.exists() {
            for (file, names) in files_of_index(&index)? {
                let mut found = read_header(&dir.join(&file))?;
                for name in names {
                    let place = found.remove(&name).ok_or_else(|| {
                        Error::corrupt_data(format!("{file} has no tensor {name}, though {INDEX} says so"))
                            .with_file(&dir.join(&file))
                            .with("tensor", &name)
                            .with_remedy(REMEDY)
                    })?;
                    tensors.insert(name, place);
                }
            }
        } else {
            let single = dir.join(SINGLE);
            if !single.exists() {
                return Err(Error::not_found(format!("{} has neither {SINGLE} nor {INDEX}", dir.display()))
                    .with_file(dir)
                    .with_remedy("give the directory of a model with safetensors weights"));
            }
            tensors = read_header(&single)?;
        }
        Ok(Weights { root: dir.to_path_buf(), tensors })
    }

    /// Tensors that were found otherwise, by the names of Hugging Face transformers.
    pub(super) fn found(root: &Path, tensors: BTreeMap<String, Place>) -> Weights {
        Weights { root: root.to_path_buf(), tensors }
    }

    /// Reads the tensors of `parts` into memory as f32.
    ///
    /// # Errors
    /// `corrupt_data` naming file, tensor, expected and found shape; `unsupported` for values written in a way that is not
    /// an [`Encoding`], and for a tensor of a block that the configuration has no use for.
    pub fn load(&self, config: &ModelConfig, parts: &Parts) -> Result<VarBuilder<'static>> {
        self.refuse_others(config)?;
        let wanted = expected(config, parts);
        let places: Vec<&Place> = wanted.iter().map(|(name, shape)| self.check(name, shape)).collect::<Result<_>>()?;
        let mut loaded = HashMap::with_capacity(wanted.len());
        for ((name, shape), place) in wanted.iter().zip(places) {
            let values = read_values(name, place)?;
            let tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)
                .map_err(|error| Error::internal(format!("tensor {name} could not be made")).with_source(error))?;
            loaded.insert(name.clone(), tensor);
        }
        Ok(VarBuilder::from_tensors(loaded, DType::F32, &Device::Cpu))
    }

    /// Whether any tensor is written in blocks with scales.
    pub(super) fn are_quantised(&self) -> bool {
        self.tensors.values().any(|place| place.encoding.as_ref().is_ok_and(|encoding| encoding.values() > 1))
    }

    /// Where the tensors of `parts` are, each compared with the configuration; nothing is read.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) that come from headers alone.
    pub(super) fn places(&self, config: &ModelConfig, parts: &Parts) -> Result<Vec<(String, &Place)>> {
        self.refuse_others(config)?;
        let wanted = expected(config, parts).into_iter();
        wanted.map(|(name, shape)| self.check(&name, &shape).map(|place| (name, place))).collect()
    }

    /// The sha256 of everything that decides what the model computes: the configuration, and the content of the files
    /// that its tensors lie in, whatever their names. Of a model that is here in part these contents are as its hub names them.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) that come from headers alone.
    pub fn digest(&self, config: &ModelConfig) -> Result<String> {
        let whole = Parts { blocks: 0..config.blocks, ends: true };
        let files: BTreeSet<&Path> = self.places(config, &whole)?.iter().map(|(_, place)| &*place.file).collect();
        let mut contents = files.into_iter().map(Weights::content).collect::<Result<Vec<String>>>()?;
        contents.sort();
        let mut hash = Sha256::new();
        hash.update(config.fingerprint());
        for content in contents {
            hash.update("\n");
            hash.update(content);
        }
        Ok(data_encoding::HEXLOWER.encode(&hash.finalize()))
    }

    /// The sha256 of a whole file.
    fn content(path: &Path) -> Result<String> {
        if let Some(file) = PartialFile::of(path)? {
            return Ok(file.sha256().to_owned());
        }
        let io = |error| Error::file("read", path, error);
        let mut file = File::open(path).map_err(io)?;
        let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
        loop {
            match file.read(&mut piece).map_err(io)? {
                0 => return Ok(data_encoding::HEXLOWER.encode(&hash.finalize())),
                read => hash.update(&piece[..read]),
            }
        }
    }

    /// Whether every byte of these parts is here.
    ///
    /// # Errors
    /// `not_found` where a model is here in part and they are not; those of [`load`](Self::load) that come from headers alone.
    pub(super) fn require(&self, config: &ModelConfig, parts: &Parts) -> Result<()> {
        let places = self.places(config, parts)?;
        let mut files: BTreeMap<&Path, Option<PartialFile>> = BTreeMap::new();
        for (_, place) in &places {
            if !files.contains_key(&*place.file) {
                files.insert(&place.file, PartialFile::of(&place.file)?);
            }
        }
        let is_missing = |place: &Place| {
            let range = place.start..place.start.saturating_add(place.bytes as u64);
            files[&*place.file].as_ref().is_some_and(|file| !file.has(&range))
        };
        match places.iter().find(|(_, place)| is_missing(place)) {
            None => Ok(()),
            Some((name, place)) => Err(Error::not_found(format!("tensor {name} was not fetched"))
                .with_file(&place.file)
                .with("tensor", name)
                .with_remedy("name the model by its id at the hub, so that what is missing is fetched")),
        }
    }

    /// Path, size and time of change of each file: while these stay, the digest does.
    pub fn stamp(&self) -> Result<Vec<(PathBuf, u64, std::time::SystemTime)>> {
        let mut files: Vec<&PathBuf> = self.tensors.values().map(|place| &place.file).collect();
        files.sort();
        files.dedup();
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path)?;
            Ok((path.clone(), metadata.len(), metadata.modified()?))
        };
        files.into_iter().map(|path| stamp(path).map_err(|error| Error::file("read", path, error))).collect()
    }

    /// A block that has more tensors than its configuration asks for is of another make: computed without them it would
    /// answer, and wrongly.
    fn refuse_others(&self, config: &ModelConfig) -> Result<()> {
        let whole = expected(config, &Parts { blocks: 0..config.blocks, ends: true });
        let known: HashSet<&str> = whole.iter().map(|(name, _)| name.as_str()).collect();
        let other = self.tensors.iter().find(|(name, _)| {
            let of_a_block = name.starts_with("model.layers.") && !known.contains(name.as_str());
            // Old files store the rotary frequencies, which follow from the configuration.
            of_a_block && !name.ends_with(".rotary_emb.inv_freq")
        });
        match other {
            None => Ok(()),
            Some((name, place)) => Err(Error::unsupported(format!(
                "tensor {name} is no part of a {:?} model with {} blocks",
                config.family.name(),
                config.blocks
            ))
            .with_file(&place.file)
            .with("tensor", name)
            .with_remedy("use the configuration and the weights of the same model")),
        }
    }

    fn check(&self, name: &str, shape: &[usize]) -> Result<&Place> {
        let Some(place) = self.tensors.get(name) else {
            return Err(Error::corrupt_data(format!(
                "{} has no tensor {name} of shape {shape:?}",
                self.root.display()
            ))
            .with_file(&self.root)
            .with("tensor", name)
            .with("expected", format!("{shape:?}"))
            .with_remedy(REMEDY));
        };
        let problem = |error: Error| error.with_file(&place.file).with("tensor", name);
        if place.shape != shape {
            return Err(problem(Error::corrupt_data(format!(
                "tensor {name} has shape {:?}, but config.json asks for {shape:?}",
                place.shape
            )))
            .with("expected", format!("{shape:?}"))
            .with("found", format!("{:?}", place.shape))
            .with_remedy("use the config.json and the weights of the same model"));
        }
        written(name, place)?;
        Ok(place)
    }
}

fn written(name: &str, place: &Place) -> Result<Encoding> {
    place.encoding.clone().map_err(|other| {
        Error::unsupported(format!("tensor {name} is written as {other}, which this version does not read"))
            .with_file(&place.file)
            .with("tensor", name)
            .with_remedy("use weights in F32, F16 or BF16, or a GGUF file in Q8_0, Q4_0, Q4_K or Q6_K as well")
    })
}

/// The files that an index names, each with its tensors.
fn files_of_index(path: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let broken =
        |why: &str| Error::corrupt_data(format!("{INDEX} is broken: {why}")).with_file(path).with_remedy(REMEDY);
    let index: Value = serde_json::from_slice(&read_bounded(path, MAX_INDEX)?)
        .map_err(|error| broken(&error.to_string()).with_source(error))?;
    let map = index.get("weight_map").and_then(Value::as_object).ok_or_else(|| broken("it has no weight_map"))?;
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, file) in map {
        let file = file.as_str().ok_or_else(|| broken("weight_map names a file that is no text"))?;
        // The index comes with the model: it must not lead out of the model's directory.
        if Path::new(file).file_name().is_none_or(|name| name != file) || !file.ends_with(".safetensors") {
            return Err(broken(&format!("{file:?} is no name of a safetensors file in the same directory")));
        }
        files.entry(file.to_string()).or_default().push(name.clone());
    }
    Ok(files)
}

fn read_header(path: &Path) -> Result<BTreeMap<String, Place>> {
    let broken = |why: String| {
        Error::corrupt_data(format!("{} is no whole safetensors file: {why}", path.display()))
            .with_file(path)
            .with_remedy(REMEDY)
    };
    let io = |error| Error::file("read", path, error);
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut length = [0; 8];
    if size < 8 {
        return Err(broken(format!("it has {size} bytes")));
    }
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > size - 8 {
        return Err(broken(format!("its header claims {length} bytes, the file has {size}")));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(io)?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| broken(error.to_string()).with_source(error))?;
    let data = size - 8 - length;
    if metadata.data_len() as u64 != data {
        return Err(broken(format!(
            "its header describes {} bytes of tensors, but {data} follow",
            metadata.data_len()
        )));
    }
    let places = metadata.tensors().into_iter().map(|(name, info)| {
        let (start, end) = info.data_offsets;
        let place = Place {
            file: path.to_path_buf(),
            encoding: match info.dtype {
                Dtype::F32 => Ok(Encoding::F32),
                Dtype::F16 => Ok(Encoding::F16),
                Dtype::BF16 => Ok(Encoding::BF16),
                other => Err(format!("{other:?}")),
            },
            shape: info.shape.clone(),
            start: 8 + length + start as u64,
            bytes: end - start,
            paired: None,
        };
        (name, place)
    });
    Ok(places.collect())
}

/// Reads a tensor's bytes through one buffer of `PIECE` bytes.
fn read_pieces(place: &Place, piece: &mut [u8], mut take: impl FnMut(&[u8])) -> Result<()> {
    let io = |error| Error::file("read", &place.file, error);
    let mut file = File::open(&place.file).map_err(io)?;
    file.seek(SeekFrom::Start(place.start)).map_err(io)?;
    let mut left = place.bytes;
    while left > 0 {
        let count = left.min(piece.len());
        file.read_exact(&mut piece[..count]).map_err(io)?;
        take(&piece[..count]);
        left -= count;
    }
    Ok(())
}

/// All values of a tensor as f32, in the order in which transformers has them.
pub(super) fn read_values(name: &str, place: &Place) -> Result<Vec<f32>> {
    let encoding = written(name, place)?;
    let mut values = Vec::with_capacity(place.shape.iter().product());
    let whole_blocks = PIECE / encoding.bytes() * encoding.bytes();
    let mut piece = vec![0; whole_blocks.min(place.bytes)];
    read_pieces(place, &mut piece, |bytes| encoding.decode(bytes, &mut values))?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::corrupt_data(format!("tensor {name} is not finite at index {index}"))
            .with_file(&place.file)
            .with("tensor", name)
            .with_remedy(REMEDY));
    }
    Ok(match place.paired {
        Some(head_dim) => halves(&values, place.shape.get(1).copied().unwrap_or(1), head_dim),
        None => values,
    })
}

/// Puts the rows of each head, written in the order 0, half, 1, half + 1, …, into the order 0, 1, 2, ….
fn halves(values: &[f32], columns: usize, head_dim: usize) -> Vec<f32> {
    let heads = values.chunks_exact(head_dim * columns);
    heads
        .flat_map(|head| {
            let half = |offset: usize| head.chunks_exact(columns).skip(offset).step_by(2).flatten();
            half(0).chain(half(1))
        })
        .copied()
        .collect()
}
