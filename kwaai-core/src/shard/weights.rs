//! Weights from safetensors files: one file or several with an index; f32, f16 or bf16.
//!
//! Only the tensors that are asked for are read, by position. Every name and shape is compared with what the
//! configuration promises before the first value is read.

use std::collections::{BTreeMap, HashMap};
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

use super::config::{ModelConfig, read_bounded};
use crate::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const REMEDY: &str = "fetch the model's files again";
/// Headers name each tensor in about 100 bytes; no model has a million of them.
const MAX_HEADER: u64 = 100_000_000;
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
        linear("self_attn.q_proj", query, hidden, config.attention_bias);
        linear("self_attn.k_proj", kv, hidden, config.attention_bias);
        linear("self_attn.v_proj", kv, hidden, config.attention_bias);
        linear("self_attn.o_proj", hidden, query, config.attention_bias);
        linear("mlp.gate_proj", inner, hidden, config.mlp_bias);
        linear("mlp.up_proj", inner, hidden, config.mlp_bias);
        linear("mlp.down_proj", hidden, inner, config.mlp_bias);
        for name in ["input_layernorm", "post_attention_layernorm"] {
            tensors.push((format!("model.layers.{block}.{name}.weight"), vec![hidden]));
        }
    }
    tensors
}

/// Where one tensor lies.
#[derive(Debug, Clone)]
struct Place {
    file: PathBuf,
    dtype: Dtype,
    shape: Vec<usize>,
    start: u64,
    bytes: usize,
}

/// The tensors of a model directory, known by their headers.
#[derive(Debug)]
pub struct Weights {
    dir: PathBuf,
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
        Ok(Weights { dir: dir.to_path_buf(), tensors })
    }

    /// Reads the tensors of `parts` into memory as f32.
    ///
    /// # Errors
    /// `corrupt_data` naming file, tensor, expected and found shape; `unsupported` for a type other than f32, f16, bf16.
    pub fn load(&self, config: &ModelConfig, parts: &Parts) -> Result<VarBuilder<'static>> {
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

    /// The sha256 of everything that decides what the model computes: the configuration, and name, type, shape and
    /// bytes of each tensor, in the order of their names. How the tensors are spread over files does not count.
    pub fn digest(&self, config: &ModelConfig) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(config.fingerprint());
        let mut piece = vec![0; PIECE];
        let whole = Parts { blocks: 0..config.blocks, ends: true };
        let mut wanted = expected(config, &whole);
        wanted.sort();
        for (name, shape) in wanted {
            let place = self.check(&name, &shape)?;
            hash.update(format!("{name} {:?} {shape:?}\n", place.dtype));
            read_pieces(place, &mut piece, |bytes| hash.update(bytes))?;
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
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

    fn check(&self, name: &str, shape: &[usize]) -> Result<&Place> {
        let Some(place) = self.tensors.get(name) else {
            return Err(Error::corrupt_data(format!("{} has no tensor {name} of shape {shape:?}", self.dir.display()))
                .with_file(&self.dir)
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
        match place.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(place),
            other => Err(problem(Error::unsupported(format!("tensor {name} is of type {other:?}")))
                .with_remedy("use weights in f32, f16 or bf16")),
        }
    }
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
            dtype: info.dtype,
            shape: info.shape.clone(),
            start: 8 + length + start as u64,
            bytes: end - start,
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

fn read_values(name: &str, place: &Place) -> Result<Vec<f32>> {
    let mut values = Vec::with_capacity(place.shape.iter().product());
    let mut piece = vec![0; PIECE.min(place.bytes)];
    let halves = |bytes: &[u8], convert: fn([u8; 2]) -> f32, values: &mut Vec<f32>| {
        values.extend(bytes.as_chunks().0.iter().map(|half| convert(*half)));
    };
    read_pieces(place, &mut piece, |bytes| match place.dtype {
        Dtype::F16 => halves(bytes, |half| half::f16::from_le_bytes(half).to_f32(), &mut values),
        Dtype::BF16 => halves(bytes, |half| half::bf16::from_le_bytes(half).to_f32(), &mut values),
        _ => values.extend(bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value))),
    })?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::corrupt_data(format!("tensor {name} is not finite at index {index}"))
            .with_file(&place.file)
            .with("tensor", name)
            .with_remedy(REMEDY));
    }
    Ok(values)
}
