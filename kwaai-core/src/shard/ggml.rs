//! Blocks and ends computed by ggml: weights as they are written, keys and values in f16, the kernels of llama.cpp.
//!
//! A failed check of ggml ends the process, so nothing reaches it that was not compared with the configuration first: names,
//! shapes and encodings when a model is loaded, lengths, positions and finiteness with every step. `ffi` has all that is
//! unsafe, `graph` says what is computed.

mod batcher;
mod ends;
mod ffi;
mod graph;
mod span;
mod together;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::backend::Compute;
use super::config::ModelConfig;
use super::weights::{Encoding, Place, read_values};
use crate::{Error, Result};
pub(super) use ends::GgmlEnds;
use ffi::{Device, Map, Values, Weight};
use graph::KEPT;
pub(super) use span::GgmlSpan;

/// A file, mapped once however many tensors it has.
#[derive(Default)]
struct Maps(BTreeMap<PathBuf, Arc<Map>>);

impl Maps {
    fn of(&mut self, place: &Place) -> Result<Arc<Map>> {
        if let Some(map) = self.0.get(&place.file) {
            return Ok(map.clone());
        }
        let map = Arc::new(Map::open(&place.file)?);
        self.0.insert(place.file.clone(), map.clone());
        Ok(map)
    }
}

/// Where a checked tensor is.
enum Found {
    Matrix { encoding: Encoding, rows: usize, columns: usize, map: Arc<Map>, start: usize },
    Vector(Vec<f32>),
}

fn find(name: &str, place: &Place, maps: &mut Maps) -> Result<Found> {
    let encoding = place.encoding.clone().map_err(|other| {
        Error::unsupported(format!("tensor {name} is written as {other}")).with_file(&place.file).with("tensor", name)
    })?;
    let [rows, columns] = match place.shape.as_slice() {
        // Short, and ggml adds and multiplies vectors in f32 alone.
        [_] => return read_values(name, place).map(Found::Vector),
        [rows, columns] => [*rows, *columns],
        other => {
            return Err(Error::corrupt_data(format!("tensor {name} has the shape {other:?}"))
                .with_file(&place.file)
                .with("tensor", name));
        }
    };
    let start = usize::try_from(place.start).ok();
    let bytes = (columns / encoding.values()).checked_mul(encoding.bytes()).and_then(|row| row.checked_mul(rows));
    let map = maps.of(place)?;
    match start.filter(|start| bytes == Some(place.bytes) && map.bytes(*start, place.bytes).is_some()) {
        Some(start) if columns % encoding.values() == 0 => Ok(Found::Matrix { encoding, rows, columns, map, start }),
        _ => Err(Error::corrupt_data(format!("tensor {name} is not where and as long as the head of its file says"))
            .with_file(&place.file)
            .with("tensor", name)
            .with_remedy("load the model again; its file changed while it was loaded")),
    }
}

/// Tensors on a device. `multiplied` says which are never looked up by row.
fn placed(device: Device, found: &[(String, Found)], multiplied: impl Fn(&str) -> bool) -> Result<ffi::Weights> {
    let weights: Vec<Weight> = found
        .iter()
        .map(|(name, found)| match found {
            Found::Matrix { encoding, rows, columns, map, start } => Weight {
                name: name.clone(),
                encoding: *encoding,
                columns: *columns,
                rows: *rows,
                values: Values::Mapped(map, *start),
                multiplied: multiplied(name),
            },
            Found::Vector(values) => Weight {
                name: name.clone(),
                encoding: Encoding::F32,
                columns: values.len(),
                rows: 1,
                values: Values::Own(values),
                multiplied: false,
            },
        })
        .collect();
    ffi::Weights::load(device, &weights)
}

fn threads(compute: &Compute) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    compute.threads.map_or_else(all, usize::from).min(MAX_THREADS)
}

/// ggml has room for the states of so many.
const MAX_THREADS: usize = 512;

/// Bytes that one block keeps for one token.
pub(super) fn cache_bytes_per_token(config: &ModelConfig) -> usize {
    2 * config.kv_size() * KEPT
}
