//! Blocks and ends computed by ggml: weights as they are written, keys and values in f16, the kernels of llama.cpp.
//!
//! A failed check of ggml ends the process, so nothing reaches it that was not compared with the configuration first: names,
//! shapes and encodings when a model is loaded, lengths, positions and finiteness with every step. `ffi` has all that is
//! unsafe, `graph` says what is computed.

mod ffi;
mod graph;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use half::f16;
use tokio_util::sync::CancellationToken;

use super::backend::{Arithmetic, Backend, BlockSpan, Compute, ModelEnds, SpanState};
use super::config::{ModelConfig, RopeScaling};
use super::weights::{Encoding, Parts, Place, Weights, read_values};
use crate::{Error, Result};
use ffi::{Device, Engine, Graph, Input, Map, Memory, Values, Weight};
use graph::{DIVISORS, EMBEDDING, HEAD, KEPT, NORM, Shape, Step};

/// A graph reads so many rows of keys and values at a time, so that one serves as many tokens.
const ROWS: usize = 256;
/// Room for keys and values is a multiple of this: kernels take as many elements at once, and what they are given beyond
/// the tokens so far must not change how they add up.
const ROOM: usize = 64;
/// Graphs of steps up to this long are kept for the next step.
const SHORT: usize = 8;
/// How many are kept.
const KEPT_GRAPHS: usize = 2;

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

fn lock(engine: &Mutex<Engine>) -> std::sync::MutexGuard<'_, Engine> {
    // A computation that fails returns; whoever panics elsewhere left nothing half done in an engine.
    engine.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that one block keeps for one token.
pub(super) fn cache_bytes_per_token(config: &ModelConfig) -> usize {
    2 * config.kv_size() * KEPT
}

/// A run of blocks.
pub(super) struct GgmlSpan {
    device: Device,
    range: Range<usize>,
    shape: Shape,
    weights: Arc<ffi::Weights>,
    arithmetic: Arithmetic,
    /// One step at a time: each takes all the threads.
    engine: Mutex<Engine>,
}

impl fmt::Debug for GgmlSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repacked = self.weights.repacked();
        f.debug_struct("GgmlSpan").field("range", &self.range).field("repacked", &repacked).finish_non_exhaustive()
    }
}

impl GgmlSpan {
    /// Brings the blocks of `range` to where they are computed; blocks the thread.
    ///
    /// # Errors
    /// Those of [`Weights::load`], before anything is computed.
    pub fn load(config: &ModelConfig, weights: &Weights, range: Range<usize>, compute: &Compute) -> Result<GgmlSpan> {
        let device = Device::processor()?;
        let places = weights.places(config, &Parts { blocks: range.clone(), ends: false })?;
        let pairs = pairs(config, &places)?;
        let mut maps = Maps::default();
        let mut found = Vec::with_capacity(places.len() + 1);
        for (name, place) in places {
            let tensor = find(&name, place, &mut maps)?;
            found.push((name, tensor));
        }
        if let Some(divisors) = divisors(&config.rope_scaling)? {
            found.push((DIVISORS.to_string(), Found::Vector(divisors)));
        }
        Ok(GgmlSpan {
            device,
            range,
            shape: Shape::new(config, pairs),
            weights: Arc::new(placed(device, &found, |_| true)?),
            arithmetic: compute.arithmetic,
            engine: Mutex::new(Engine::new(device, threads(compute))?),
        })
    }
}

/// Whether the rows of query and key are written for a rotation of neighbours: all of them, or none.
fn pairs(config: &ModelConfig, places: &[(String, &Place)]) -> Result<bool> {
    let rotated = places.iter().filter(|(name, place)| {
        place.shape.len() == 2 && (name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight"))
    });
    let written: Vec<Option<usize>> = rotated.map(|(_, place)| place.paired).collect();
    match written.first().copied().flatten() {
        None if written.iter().all(Option::is_none) => Ok(false),
        Some(length) if length == config.head_dim && written.iter().all(|paired| *paired == Some(length)) => Ok(true),
        _ => Err(Error::internal("the rows of query and key are in different orders")),
    }
}

/// What each frequency is divided by, where that is not one number.
fn divisors(scaling: &RopeScaling) -> Result<Option<Vec<f32>>> {
    match scaling {
        RopeScaling::None | RopeScaling::Linear { .. } => Ok(None),
        RopeScaling::Each { divisors } => Ok(Some(divisors.clone())),
        RopeScaling::Llama3 { .. } => Err(Error::unsupported(
            "ggml computes the rotary scaling llama3 from a GGUF file alone, which has it as numbers",
        )
        .with_remedy("convert the model to GGUF, or compute it with candle")),
    }
}

impl BlockSpan for GgmlSpan {
    fn backend(&self) -> Backend {
        Backend::Ggml
    }

    fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    fn cache_bytes_per_token(&self) -> usize {
        2 * self.shape.kv_size() * KEPT
    }

    fn open(self: Arc<Self>, blocks: Range<usize>, max_tokens: usize) -> Result<Box<dyn SpanState>> {
        if blocks.is_empty() || blocks.start < self.range.start || blocks.end > self.range.end {
            return Err(Error::internal(format!("blocks {blocks:?} are not among {:?}", self.range)));
        }
        Ok(Box::new(GgmlState { span: self, blocks, max_tokens, length: 0, memory: None, graphs: Vec::new() }))
    }
}

/// One text on a span.
struct GgmlState {
    // Graphs use the memory, and both the span's weights, which they keep themselves.
    graphs: Vec<(Step, Graph)>,
    memory: Option<Arc<Memory>>,
    span: Arc<GgmlSpan>,
    blocks: Range<usize>,
    max_tokens: usize,
    length: usize,
}

impl GgmlState {
    fn memory(&mut self) -> Result<Arc<Memory>> {
        if let Some(memory) = &self.memory {
            return Ok(memory.clone());
        }
        let memory = Memory::new(self.span.device, self.blocks.len(), self.span.shape.kv_size(), self.room())?;
        Ok(self.memory.insert(Arc::new(memory)).clone())
    }

    fn room(&self) -> usize {
        self.max_tokens.next_multiple_of(ROOM)
    }

    /// A graph for a step, taken out from those kept.
    fn graph(&mut self, step: Step) -> Result<Graph> {
        if let Some(place) = self.graphs.iter().position(|(kept, _)| *kept == step) {
            return Ok(self.graphs.remove(place).1);
        }
        // The largest memory is not held twice.
        self.graphs.retain(|(kept, _)| kept.length == step.length);
        let memory = self.memory()?;
        let span = self.span.clone();
        let nodes = graph::nodes(self.blocks.len());
        Graph::build(span.device, nodes, span.weights.clone(), Some(memory), |builder| {
            graph::blocks(builder, &span.shape, self.blocks.clone(), step, span.arithmetic)
        })
    }

    fn keep(&mut self, step: Step, graph: Graph) {
        if step.tokens <= SHORT {
            self.graphs.truncate(KEPT_GRAPHS - 1);
            self.graphs.insert(0, (step, graph));
        }
    }

    /// What each token sees: zero, or minus infinity.
    fn mask(&self, step: Step, window: usize) -> Vec<f32> {
        let mut mask = vec![f32::NEG_INFINITY; step.length * step.tokens];
        for (token, row) in mask.chunks_exact_mut(step.length).enumerate() {
            let position = self.length + token;
            row[(position + 1).saturating_sub(window)..=position].fill(0.0);
        }
        mask
    }

    fn run(&mut self, hidden: &[f32], step: Step, cancel: &CancellationToken) -> Result<Vec<f32>> {
        let mut graph = self.graph(step)?;
        let places = self.length..self.length + step.tokens;
        let positions: Vec<i32> = places.clone().map(|position| position as i32).collect();
        let rows: Vec<i64> = places.map(|position| position as i64).collect();
        let (whole, windowed) = self.span.shape.masks(&self.blocks);
        let window = self.span.shape.window.as_ref().map(|(tokens, _)| *tokens);
        let masks: Vec<Vec<f32>> = [whole.then_some(usize::MAX), window.filter(|_| windowed)]
            .into_iter()
            .flatten()
            .map(|window| self.mask(step, window))
            .collect();
        let halves: Vec<Vec<f16>> = match self.span.arithmetic {
            Arithmetic::Fastest => {
                masks.iter().map(|mask| mask.iter().map(|value| f16::from_f32(*value)).collect()).collect()
            }
            Arithmetic::Invariant => Vec::new(),
        };
        let mut inputs = vec![Input::F32(hidden), Input::I32(&positions), Input::I64(&rows)];
        match self.span.arithmetic {
            Arithmetic::Fastest => inputs.extend(halves.iter().map(|mask| Input::F16(mask))),
            Arithmetic::Invariant => inputs.extend(masks.iter().map(|mask| Input::F32(mask))),
        }
        let result = graph.run(&mut lock(&self.span.engine), &inputs, cancel);
        self.keep(step, graph);
        result
    }
}

impl SpanState for GgmlState {
    fn length(&self) -> usize {
        self.length
    }

    fn truncate(&mut self, length: usize) {
        if length < self.length {
            // Masked rows are multiplied by zero, which does not make zero of what is not finite.
            if let Some(memory) = &self.memory {
                memory.forget(length..self.length);
            }
            self.length = length;
        }
    }

    fn forward(&mut self, hidden: Vec<f32>, cancel: &CancellationToken) -> Result<Vec<f32>> {
        let size = self.span.shape.hidden;
        let tokens = hidden.len() / size;
        if tokens == 0 || hidden.len() != tokens * size {
            return Err(Error::invalid_argument(format!("{} values are no states of length {size}", hidden.len())));
        }
        let next = self.length.saturating_add(tokens);
        if next > self.max_tokens {
            return Err(Error::invalid_argument(format!("the text was begun for {} tokens", self.max_tokens)));
        }
        if hidden.iter().any(|value| !value.is_finite()) {
            return Err(Error::invalid_argument("the states are not finite"));
        }
        let step = Step { tokens, length: next.next_multiple_of(ROWS).min(self.room()) };
        let result = self.run(&hidden, step, cancel);
        match (&result, &self.memory) {
            (Ok(_), _) => self.length = next,
            (Err(_), Some(memory)) => memory.forget(self.length..next),
            (Err(_), None) => {}
        }
        result
    }
}

/// Embedding, final normalisation and head.
pub(super) struct GgmlEnds {
    device: Device,
    shape: Shape,
    arithmetic: Arithmetic,
    embedding: Found,
    weights: Arc<ffi::Weights>,
    /// The engine, and the graph for a single state.
    head: Mutex<(Engine, Option<Graph>)>,
}

impl fmt::Debug for GgmlEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GgmlEnds").field("repacked", &self.weights.repacked()).finish_non_exhaustive()
    }
}

impl GgmlEnds {
    /// Brings the ends to where they are computed; blocks the thread.
    ///
    /// # Errors
    /// Those of [`Weights::load`].
    pub fn load(config: &ModelConfig, weights: &Weights, compute: &Compute) -> Result<GgmlEnds> {
        let device = Device::processor()?;
        let mut maps = Maps::default();
        let mut found = BTreeMap::new();
        for (name, place) in weights.places(config, &Parts { blocks: 0..0, ends: true })? {
            found.insert(name.clone(), find(&name, place, &mut maps)?);
        }
        let mut take = |name: &str| found.remove(name).ok_or_else(|| Error::internal(format!("{name} was not found")));
        let embedding = take(EMBEDDING)?;
        let norm = take(NORM)?;
        let head = match (config.tied_head, &embedding) {
            (true, Found::Matrix { encoding, rows, columns, map, start }) => {
                Found::Matrix { encoding: *encoding, rows: *rows, columns: *columns, map: map.clone(), start: *start }
            }
            _ => take(HEAD)?,
        };
        let of_the_head = [(NORM.to_string(), norm), (HEAD.to_string(), head)];
        Ok(GgmlEnds {
            device,
            shape: Shape::new(config, false),
            arithmetic: compute.arithmetic,
            embedding,
            weights: Arc::new(placed(device, &of_the_head, |name| name == HEAD)?),
            head: Mutex::new((Engine::new(device, threads(compute))?, None)),
        })
    }

    fn graph(&self, tokens: usize) -> Result<Graph> {
        Graph::build(self.device, graph::nodes(0), self.weights.clone(), None, |builder| {
            graph::head(builder, &self.shape, tokens, self.arithmetic)
        })
    }
}

impl ModelEnds for GgmlEnds {
    fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let Found::Matrix { encoding, rows, columns, map, start } = &self.embedding else {
            return Err(Error::internal("the embedding is no matrix"));
        };
        let row_bytes = columns / encoding.values() * encoding.bytes();
        let mut values = Vec::with_capacity(tokens.len() * columns);
        for token in tokens {
            let row = *token as usize;
            let bytes = (row < *rows).then(|| map.bytes(start + row * row_bytes, row_bytes)).flatten();
            encoding.decode(bytes.ok_or_else(|| Error::internal("a token has no embedding"))?, &mut values);
        }
        Ok(values)
    }

    fn logits(&self, hidden: Vec<f32>) -> Result<Vec<Vec<f32>>> {
        let tokens = hidden.len() / self.shape.hidden;
        if tokens == 0 || hidden.len() != tokens * self.shape.hidden {
            return Err(Error::internal("the states are not of the model's length"));
        }
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let (engine, kept) = &mut *head;
        let mut graph = match kept.take().filter(|_| tokens == 1) {
            Some(graph) => graph,
            None => self.graph(tokens)?,
        };
        let logits = graph.run(engine, &[Input::F32(&hidden)], &CancellationToken::new());
        if tokens == 1 {
            *kept = Some(graph);
        }
        let logits = logits?;
        Ok(logits.chunks_exact(logits.len() / tokens).map(<[f32]>::to_vec).collect())
    }
}
