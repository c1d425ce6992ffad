//! GGUF files: a model in one file, as llama.cpp and Ollama use them (versions 2 and 3 of ggml's specification, little
//! endian).
//!
//! A file is a head of typed metadata and tensor descriptions, and the tensors after it. The head is read whole and
//! checked whole, counts, lengths, types, alignment and places, before anything in it is believed; tensors are read later
//! and one by one. What the metadata means is told by `model` and `vocabulary`.

mod model;
mod vocabulary;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::weights::{Encoding, Place};
use crate::{Error, Result};

const MAGIC: &[u8; 4] = b"GGUF";
/// A vocabulary of 256,000 tokens with its merges takes about 10 MB.
const MAX_HEAD: u64 = 256 * 1024 * 1024;
const MAX_ENTRIES: u64 = 1 << 16;
const MAX_NAME: u64 = 1 << 16;
const MAX_TEXT: u64 = 16 * 1024 * 1024;
const MAX_ARRAY: u64 = 1 << 22;
const MAX_DIMENSIONS: u32 = 4;
const MAX_DIMENSION: u64 = 1 << 40;
const MAX_ALIGNMENT: u64 = 1 << 20;
const DEFAULT_ALIGNMENT: u64 = 32;
const ARRAY: u32 = 9;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Integer(i128),
    Float(f64),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    /// Well formed, and of a type that no key of interest has.
    Other,
}

/// The head of a GGUF file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Place>,
}

impl Gguf {
    /// Whether a path leads to a GGUF file, by its name or its first bytes.
    pub fn is_at(path: &Path) -> bool {
        let begins = || {
            let mut magic = [0; 4];
            File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == *MAGIC
        };
        let named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        !path.is_dir() && (named || begins())
    }

    /// Reads the head of a file.
    ///
    /// # Errors
    /// `not_found` without the file; `corrupt_data` for a file that is cut, is none, or contradicts itself; `unsupported`
    /// for another version, for big endian, and for one of several files of a model. Each names the file.
    pub fn open(path: &Path) -> Result<Gguf> {
        let io = |error| Error::file("read", path, error);
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut reader = Reader { path, inner: BufReader::new(file), at: 0, size, known: size, cut: false };
        reader.gguf().map_err(|error| error.with_file(path))
    }

    /// Where the head of a file ends, of which only the first `known` bytes are there; `None` where it goes on.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn head_within(path: &Path, known: u64) -> Result<Option<u64>> {
        let io = |error| Error::file("read", path, error);
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut reader = Reader { path, inner: BufReader::new(file), at: 0, size, known, cut: false };
        match reader.gguf() {
            Err(_) if reader.cut => Ok(None),
            Err(error) => Err(error.with_file(path)),
            Ok(_) => Ok(Some(reader.at)),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.mistyped(key, "no text")),
        }
    }

    fn texts(&self, key: &str) -> Result<Option<&[String]>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Texts(texts)) => Ok(Some(texts)),
            Some(_) => Err(self.mistyped(key, "no list of texts")),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.mistyped(key, "neither true nor false")),
        }
    }

    fn integer(&self, key: &str) -> Result<Option<u64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => {
                u64::try_from(*number).map(Some).map_err(|_| self.mistyped(key, "below zero"))
            }
            Some(_) => Err(self.mistyped(key, "no whole number")),
        }
    }

    fn float(&self, key: &str) -> Result<Option<f64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Float(number)) => Ok(Some(*number)),
            Some(Value::Integer(number)) => Ok(Some(*number as f64)),
            Some(_) => Err(self.mistyped(key, "no number")),
        }
    }

    fn mistyped(&self, key: &str, found: &str) -> Error {
        corrupt(format!("{key} is {found}")).with("key", key).with_file(&self.path)
    }

    fn unsupported(&self, key: &str, why: impl Into<String>) -> Error {
        Error::unsupported(why).with("key", key).with_file(&self.path)
    }
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::corrupt_data(message).with_remedy("fetch the GGUF file again, or convert the model anew")
}

/// The number of bytes of a value of a fixed size.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Reads on, and never beyond the end that is known.
struct Reader<'a, R> {
    path: &'a Path,
    inner: R,
    at: u64,
    size: u64,
    /// So many bytes are there; the rest is a hole.
    known: u64,
    /// Whether it came to the hole.
    cut: bool,
}

impl<R: Read> Reader<'_, R> {
    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        if count > self.size.min(MAX_HEAD) - self.at {
            return Err(corrupt(match count > self.size - self.at {
                true => format!("the file ends at byte {}, inside of its head", self.size),
                false => format!("the head of the file is longer than {MAX_HEAD} bytes"),
            }));
        }
        if count > self.known.saturating_sub(self.at) {
            self.cut = true;
            return Err(corrupt("the head of the file is not there yet"));
        }
        let mut bytes = vec![0; count as usize];
        self.inner.read_exact(&mut bytes).map_err(|error| Error::file("read", self.path, error))?;
        self.at += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.bytes(N as u64)?;
        bytes.try_into().map_err(|_| corrupt("the file changed while it was read"))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn count(&mut self, what: &str, max: u64) -> Result<u64> {
        let count = self.u64()?;
        if count > max {
            return Err(corrupt(format!("the file claims {count} {what}; no more than {max} are read")));
        }
        Ok(count)
    }

    /// A text, or nothing where its bytes are no UTF-8.
    fn text(&mut self, max: u64) -> Result<Option<String>> {
        let length = self.count("bytes of one text", max)?;
        Ok(String::from_utf8(self.bytes(length)?).ok())
    }

    fn name(&mut self) -> Result<String> {
        self.text(MAX_NAME)?.ok_or_else(|| corrupt(format!("a name before byte {} is no UTF-8", self.at)))
    }

    fn scalar(&mut self, kind: u32) -> Result<Value> {
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => match self.array::<1>()? {
                [0] => Value::Flag(false),
                [1] => Value::Flag(true),
                [other] => return Err(corrupt(format!("a truth value is {other}, before byte {}", self.at))),
            },
            8 => self.text(MAX_TEXT)?.map_or(Value::Other, Value::Text),
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(corrupt(format!("a value has the type {other}, which GGUF does not have"))),
        })
    }

    fn value(&mut self, kind: u32) -> Result<Value> {
        if kind != ARRAY {
            return self.scalar(kind);
        }
        let (of, count) = (self.u32()?, self.count("elements of one list", MAX_ARRAY)?);
        match of {
            8 => {
                let mut texts = Some(Vec::new());
                for _ in 0..count {
                    let text = self.text(MAX_TEXT)?;
                    texts = texts.zip(text).map(|(mut texts, text)| {
                        texts.push(text);
                        texts
                    });
                }
                Ok(texts.map_or(Value::Other, Value::Texts))
            }
            4 | 5 => {
                let bytes = self.bytes(count * 4)?;
                let integer = |bytes: &[u8; 4]| match of {
                    4 => u32::from_le_bytes(*bytes).into(),
                    _ => i32::from_le_bytes(*bytes).into(),
                };
                Ok(Value::Integers(bytes.as_chunks().0.iter().map(integer).collect()))
            }
            6 => {
                let bytes = self.bytes(count * 4)?;
                Ok(Value::Floats(bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()))
            }
            ARRAY => Err(Error::unsupported("a list of lists in the metadata is not read by this version")),
            _ => {
                let width =
                    width(of).ok_or_else(|| corrupt(format!("a list has the type {of}, which GGUF does not have")))?;
                self.bytes(count * width)?;
                Ok(Value::Other)
            }
        }
    }

    fn gguf(&mut self) -> Result<Gguf> {
        let broken = |why: &str| corrupt(format!("{} is no GGUF file: {why}", self.path.display()));
        if self.size < 24 {
            return Err(broken("it is too short"));
        }
        if self.array::<4>()? != *MAGIC {
            return Err(corrupt(format!("{} is no GGUF file: it begins otherwise", self.path.display())));
        }
        match self.u32()? {
            2 | 3 => {}
            version if (1..=3).contains(&version.swap_bytes()) => {
                return Err(Error::unsupported("a big-endian GGUF file is not read by this version"));
            }
            version => {
                return Err(Error::unsupported(format!("version {version} of GGUF is not read; versions 2 and 3 are"))
                    .with_remedy("convert the model anew with a current llama.cpp"));
            }
        }
        let tensors = self.count("tensors", MAX_ENTRIES)?;
        let entries = self.count("metadata entries", MAX_ENTRIES)?;
        let mut metadata = BTreeMap::new();
        for _ in 0..entries {
            let (key, kind) = (self.name()?, self.u32()?);
            let value = self.value(kind).map_err(|error| error.with("key", &key))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(corrupt(format!("the metadata has {key} twice")).with("key", key));
            }
        }
        let described = (0..tensors).map(|_| self.tensor()).collect::<Result<Vec<_>>>()?;
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Integer(number)) => u64::try_from(*number).unwrap_or(0),
            Some(_) => 0,
        };
        if !alignment.is_power_of_two() || !(8..=MAX_ALIGNMENT).contains(&alignment) {
            return Err(corrupt(format!("general.alignment is no power of two from 8 to {MAX_ALIGNMENT}"))
                .with("key", "general.alignment"));
        }
        let places = self.places(described, self.at.next_multiple_of(alignment), alignment)?;
        let gguf = Gguf { path: self.path.to_path_buf(), metadata, tensors: places };
        if gguf.integer("split.count")?.is_some_and(|count| count > 1) {
            return Err(Error::unsupported("one of several files of a model is not read by this version")
                .with("key", "split.count")
                .with_remedy("put the files together with llama.cpp's gguf-split --merge"));
        }
        Ok(gguf)
    }

    fn tensor(&mut self) -> Result<Described> {
        let name = self.name()?;
        let dimensions = self.u32()?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(corrupt(format!("tensor {name} has {dimensions} dimensions")).with("tensor", name));
        }
        let mut shape = (0..dimensions).map(|_| self.u64()).collect::<Result<Vec<u64>>>()?;
        shape.reverse();
        Ok(Described { name, shape, kind: self.u32()?, offset: self.u64()? })
    }

    /// Where the tensors are, in a file that must hold them all, each for itself.
    fn places(&self, described: Vec<Described>, data: u64, alignment: u64) -> Result<BTreeMap<String, Place>> {
        let mut taken = Vec::with_capacity(described.len());
        let mut places = BTreeMap::new();
        let mut names = HashSet::new();
        for Described { name, shape, kind, offset } in described {
            let problem = |why: String| corrupt(format!("tensor {name} {why}")).with("tensor", &name);
            if !names.insert(name.clone()) {
                return Err(problem("is there twice".to_string()));
            }
            if shape.iter().any(|dimension| !(1..=MAX_DIMENSION).contains(dimension)) {
                return Err(problem(format!("has the shape {shape:?}")));
            }
            let encoding = encoding(kind);
            let place = |bytes: u64| Place {
                file: self.path.to_path_buf(),
                encoding: encoding.clone(),
                shape: shape.iter().map(|dimension| *dimension as usize).collect(),
                start: data.saturating_add(offset),
                bytes: bytes as usize,
                paired: None,
            };
            // How long the values of another encoding are is not known; such a tensor is refused when it is wanted.
            let Ok(encoding) = encoding else {
                places.insert(name.clone(), place(0));
                continue;
            };
            let row = shape.last().copied().unwrap_or_default();
            if row % encoding.values() as u64 != 0 {
                let values = encoding.values();
                return Err(problem(format!("has rows of {row} values; {encoding:?} writes blocks of {values}")));
            }
            let bytes = shape
                .iter()
                .try_fold(1u64, |product, dimension| product.checked_mul(*dimension))
                .and_then(|values| (values / encoding.values() as u64).checked_mul(encoding.bytes() as u64));
            let end = bytes.and_then(|bytes| data.checked_add(offset)?.checked_add(bytes));
            let (Some(bytes), Some(end)) = (bytes, end) else {
                return Err(problem(format!("has the shape {shape:?}, which is too large")));
            };
            if offset % alignment != 0 {
                return Err(problem(format!("begins at {offset}, which is no multiple of {alignment}")));
            }
            if end > self.size {
                return Err(problem(format!("ends at byte {end}, but the file has {}", self.size)));
            }
            taken.push((data + offset, end, name.clone()));
            places.insert(name.clone(), place(bytes));
        }
        taken.sort();
        match taken.windows(2).find(|pair| pair[0].1 > pair[1].0) {
            Some(pair) => Err(corrupt(format!("tensors {} and {} overlap", pair[0].2, pair[1].2))),
            None => Ok(places),
        }
    }
}

/// A tensor as the head describes it.
struct Described {
    name: String,
    /// Outermost dimension first.
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

/// ggml's numbers for the types of tensors.
fn encoding(kind: u32) -> std::result::Result<Encoding, String> {
    let name = match kind {
        0 => return Ok(Encoding::F32),
        1 => return Ok(Encoding::F16),
        2 => return Ok(Encoding::Q4_0),
        8 => return Ok(Encoding::Q8_0),
        12 => return Ok(Encoding::Q4_K),
        14 => return Ok(Encoding::Q6_K),
        30 => return Ok(Encoding::BF16),
        3 => "Q4_1",
        6 => "Q5_0",
        7 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K",
        13 => "Q5_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        other => return Err(format!("ggml type {other}")),
    };
    Err(name.to_string())
}
