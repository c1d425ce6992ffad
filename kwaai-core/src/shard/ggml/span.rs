//! A run of blocks by ggml, and the texts on it.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use half::f16;
use tokio_util::sync::CancellationToken;

use super::batcher::{Batcher, Job};
use super::ffi::{self, Device, Engine, Graph, Input, Memory};
use super::graph::{self, DIVISORS, KEPT, Shape, Step};
use super::together::{TOGETHER, WORTH, joins};
use super::{Found, Maps, find, placed, threads};
use crate::shard::backend::{Arithmetic, Backend, BlockSpan, Compute, SpanState};
use crate::shard::config::{ModelConfig, RopeScaling};
use crate::shard::weights::{Parts, Place, Weights};
use crate::{Error, Result};

/// A graph reads so many rows of keys and values at a time, so that one serves as many tokens. Room is a multiple of it: how the
/// kernels add up must depend on the tokens so far alone, not on how many there may be.
const ROWS: usize = 256;
/// Graphs of steps up to this long are kept for the next step.
const SHORT: usize = 8;
/// How many are kept, of one text as of several together.
const KEPT_GRAPHS: usize = 2;

/// A run of blocks.
pub(in crate::shard) struct GgmlSpan {
    device: Device,
    range: Range<usize>,
    shape: Shape,
    weights: Arc<ffi::Weights>,
    arithmetic: Arithmetic,
    joins: bool,
    /// One computation at a time: each takes all the threads.
    engine: Mutex<Engine>,
    steps: Batcher<Next, Result<Vec<f32>>>,
    together: Mutex<Vec<(Vec<Seat>, Graph)>>,
}

/// The next tokens of a text, and where they go.
struct Next {
    hidden: Vec<f32>,
    position: usize,
    step: Step,
    blocks: Range<usize>,
    memory: Arc<Memory>,
    joins: bool,
    cancel: CancellationToken,
}

impl Job for Next {
    fn joins(&self, other: &Next) -> bool {
        self.joins && other.joins && self.blocks == other.blocks
    }
}

/// A text in a graph for several: its memory, by its address, and how much of it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    memory: usize,
    length: usize,
}

impl Next {
    fn seat(&self) -> Seat {
        Seat { memory: address(&self.memory), length: self.step.length }
    }
}

fn address(memory: &Arc<Memory>) -> usize {
    Arc::as_ptr(memory) as usize
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A computation that fails returns; whoever panics elsewhere left nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut engine = Engine::new(device, threads(compute))?;
        let weights = Arc::new(placed(device, &found, |_| true)?);
        Ok(GgmlSpan {
            device,
            range,
            shape: Shape::new(config, pairs),
            arithmetic: compute.arithmetic,
            joins: joins(device, &mut engine, &weights, &found, compute)?,
            weights,
            engine: Mutex::new(engine),
            steps: Batcher::new(WORTH, TOGETHER),
            together: Mutex::default(),
        })
    }

    fn build(&self, blocks: Range<usize>, steps: &[Step], memories: Vec<Arc<Memory>>) -> Result<Graph> {
        let nodes = graph::nodes(blocks.len(), steps.len());
        Graph::build(self.device, nodes, self.weights.clone(), memories, |builder| {
            graph::blocks(builder, &self.shape, blocks, steps, self.arithmetic)
        })
    }

    /// Computes the next tokens of texts, all in `graph`, in this order.
    fn compute(&self, graph: &mut Graph, nexts: &[&Next], cancel: &CancellationToken) -> Result<Vec<f32>> {
        let hidden: Vec<f32> = nexts.iter().flat_map(|next| next.hidden.iter().copied()).collect();
        let places = |next: &&Next| next.position..next.position + next.step.tokens;
        let positions: Vec<i32> = nexts.iter().flat_map(places).map(|position| position as i32).collect();
        let mut of_each: Vec<(Vec<i64>, Vec<Mask>)> = Vec::with_capacity(nexts.len());
        for next in nexts {
            let (whole, windowed) = self.shape.masks(&next.blocks);
            let window = self.shape.window.as_ref().map(|(tokens, _)| *tokens);
            let windows = [whole.then_some(usize::MAX), window.filter(|_| windowed)].into_iter().flatten();
            let masks = windows.map(|window| Mask::new(next, window, self.arithmetic)).collect();
            of_each.push((places(next).map(|position| position as i64).collect(), masks));
        }
        let mut inputs = vec![Input::F32(&hidden), Input::I32(&positions)];
        for (rows, masks) in &of_each {
            inputs.push(Input::I64(rows));
            inputs.extend(masks.iter().map(Mask::input));
        }
        graph.run(&mut lock(&self.engine), &inputs, cancel)
    }

    /// Computes a token of each of several texts in one go. What the kernels do does not depend on who sits where.
    fn compute_together(&self, nexts: &[Next]) -> Vec<Result<Vec<f32>>> {
        let mut staying: Vec<&Next> = nexts.iter().filter(|next| !next.cancel.is_cancelled()).collect();
        staying.sort_by_key(|next| next.seat());
        let seats: Vec<Seat> = staying.iter().map(|next| next.seat()).collect();
        let computed = match staying.as_slice() {
            [] => Ok(Vec::new()),
            staying => self.seated(&seats, staying).and_then(|mut graph| {
                // A token takes so short a time that nobody who leaves is waited for.
                let computed = self.compute(&mut graph, staying, &CancellationToken::new());
                let mut kept = lock(&self.together);
                kept.truncate(KEPT_GRAPHS - 1);
                kept.insert(0, (seats.clone(), graph));
                computed
            }),
        };
        let result = |next: &Next| {
            let seat = seats.iter().position(|seat| *seat == next.seat());
            let seat = seat.ok_or_else(|| Error::cancelled("the step was cancelled"))?;
            let computed = computed.as_ref().map_err(Error::clone)?;
            let size = self.shape.hidden;
            let own = computed.get(seat * size..(seat + 1) * size);
            own.map(<[f32]>::to_vec).ok_or_else(|| Error::internal("a batch has too few results"))
        };
        nexts.iter().map(result).collect()
    }

    /// A graph for several texts, taken out from those kept.
    fn seated(&self, seats: &[Seat], nexts: &[&Next]) -> Result<Graph> {
        let mut kept = lock(&self.together);
        if let Some(place) = kept.iter().position(|(other, _)| other == seats) {
            return Ok(kept.remove(place).1);
        }
        drop(kept);
        let steps: Vec<Step> = nexts.iter().map(|next| next.step).collect();
        let memories = nexts.iter().map(|next| next.memory.clone()).collect();
        self.build(nexts[0].blocks.clone(), &steps, memories)
    }
}

/// What each token of a step sees: zero, or minus infinity.
enum Mask {
    Whole(Vec<f32>),
    Half(Vec<f16>),
}

impl Mask {
    fn new(next: &Next, window: usize, arithmetic: Arithmetic) -> Mask {
        let Next { step, position, .. } = next;
        let mut mask = vec![f32::NEG_INFINITY; step.length * step.tokens];
        for (token, row) in mask.chunks_exact_mut(step.length).enumerate() {
            let position = position + token;
            row[(position + 1).saturating_sub(window)..=position].fill(0.0);
        }
        match arithmetic {
            Arithmetic::Fastest => Mask::Half(mask.into_iter().map(f16::from_f32).collect()),
            Arithmetic::Invariant => Mask::Whole(mask),
        }
    }

    fn input(&self) -> Input<'_> {
        match self {
            Mask::Whole(mask) => Input::F32(mask),
            Mask::Half(mask) => Input::F16(mask),
        }
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

    fn together(&self) -> usize {
        if self.joins { TOGETHER } else { 1 }
    }

    fn room(&self, tokens: usize) -> usize {
        tokens.next_multiple_of(ROWS)
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
    graphs: Vec<(Step, Graph)>,
    memory: Option<Arc<Memory>>,
    span: Arc<GgmlSpan>,
    blocks: Range<usize>,
    max_tokens: usize,
    length: usize,
}

impl GgmlState {
    /// Memory for so many tokens. It grows with the text, by doubling, so that a text takes no more than it needs however many
    /// tokens it was begun for.
    fn memory(&mut self, tokens: usize) -> Result<Arc<Memory>> {
        let before = self.memory.as_ref().map_or(0, |memory| memory.tokens());
        if let Some(memory) = self.memory.as_ref().filter(|_| before >= tokens) {
            return Ok(memory.clone());
        }
        let room = tokens.next_multiple_of(ROWS).max(2 * before).min(self.span.room(self.max_tokens));
        let memory = Memory::new(self.span.device, self.blocks.len(), self.span.shape.kv_size(), room)?;
        if let Some(before) = &self.memory {
            memory.take(before, self.length);
        }
        self.let_go();
        Ok(self.memory.insert(Arc::new(memory)).clone())
    }

    /// Drops the memory, with the graphs that look at it.
    fn let_go(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        self.graphs.clear();
        lock(&self.span.together).retain(|(seats, _)| seats.iter().all(|seat| seat.memory != address(&memory)));
    }

    /// A graph for a step, taken out from those kept.
    fn graph(&mut self, next: &Next) -> Result<Graph> {
        if let Some(place) = self.graphs.iter().position(|(kept, _)| *kept == next.step) {
            return Ok(self.graphs.remove(place).1);
        }
        // The largest memory is not held twice.
        self.graphs.retain(|(kept, _)| kept.length == next.step.length);
        self.span.build(self.blocks.clone(), &[next.step], vec![next.memory.clone()])
    }

    /// Computes a step of this text by itself.
    fn compute_alone(&mut self, next: &Next) -> Result<Vec<f32>> {
        let mut graph = self.graph(next)?;
        let result = self.span.compute(&mut graph, &[next], &next.cancel);
        if next.step.tokens <= SHORT {
            self.graphs.truncate(KEPT_GRAPHS - 1);
            self.graphs.insert(0, (next.step, graph));
        }
        result
    }
}

impl Drop for GgmlState {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl SpanState for GgmlState {
    fn length(&self) -> usize {
        self.length
    }

    fn bytes(&self) -> usize {
        let tokens = self.memory.as_ref().map_or(0, |memory| memory.tokens());
        tokens * self.blocks.len() * self.span.cache_bytes_per_token()
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
        let step = Step { tokens, length: next.next_multiple_of(ROWS) };
        let (span, memory) = (self.span.clone(), self.memory(next)?);
        let job = Next {
            hidden,
            position: self.length,
            step,
            blocks: self.blocks.clone(),
            memory: memory.clone(),
            joins: span.joins && tokens == 1,
            cancel: cancel.clone(),
        };
        let result = span.steps.run(job, |nexts| match nexts.as_slice() {
            [next] => vec![self.compute_alone(next)],
            nexts => self.span.compute_together(nexts),
        });
        let result = result.unwrap_or_else(|| Err(Error::internal("the computation of several texts ended early")));
        match result {
            Ok(_) => self.length = next,
            Err(_) => memory.forget(self.length..next),
        }
        result
    }
}

#[cfg(test)]
#[path = "../../../tests/support/quantised.rs"]
mod quantised;
#[cfg(test)]
#[path = "../../../tests/support/gguf.rs"]
mod written;

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::quantised::{BLOCKS, CONTEXT, ENCODINGS, FAMILIES, HIDDEN, model};
    use super::*;
    use crate::shard::backend::Batching;
    use crate::shard::gguf::Gguf;

    fn span(family: &str, kind: u32) -> Arc<GgmlSpan> {
        loaded(family, kind, Arithmetic::Fastest, Batching::Exact)
    }

    fn loaded(family: &str, kind: u32, arithmetic: Arithmetic, batching: Batching) -> Arc<GgmlSpan> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("random.gguf");
        std::fs::write(&path, model(family, kind, 31).bytes()).unwrap();
        let compute = Compute { backend: Some(Backend::Ggml), threads: NonZeroUsize::new(2), arithmetic, batching };
        let file = Gguf::open(&path).unwrap();
        let config = file.config().unwrap();
        let weights = file.weights(&config).unwrap();
        Arc::new(GgmlSpan::load(&config, &weights, 0..BLOCKS, &compute).unwrap())
    }

    fn states(tokens: usize, seed: usize) -> Vec<f32> {
        (0..tokens * HIDDEN).map(|place| ((place * 31 + seed * 17) % 101) as f32 / 50.0 - 1.0).collect()
    }

    fn text(span: &Arc<GgmlSpan>, blocks: Range<usize>, length: usize, seed: usize) -> GgmlState {
        let mut state =
            GgmlState { span: span.clone(), blocks, max_tokens: CONTEXT, length: 0, memory: None, graphs: Vec::new() };
        state.forward(states(length, seed), &CancellationToken::new()).unwrap();
        state
    }

    fn next(state: &mut GgmlState, seed: usize) -> Next {
        let length = (state.length + 1).next_multiple_of(ROWS);
        Next {
            hidden: states(1, seed),
            position: state.length,
            step: Step { tokens: 1, length },
            blocks: state.blocks.clone(),
            memory: state.memory(state.length + 1).unwrap(),
            joins: true,
            cancel: CancellationToken::new(),
        }
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Whether tokens of so many texts have the same bits together as each alone.
    fn are_the_same_together(span: &Arc<GgmlSpan>, count: usize) -> bool {
        let mut texts: Vec<_> = (0..count).map(|number| text(span, 0..BLOCKS, 1 + 29 * number, number)).collect();
        (0..2).all(|round| {
            let states = texts.iter_mut().enumerate();
            let nexts: Vec<Next> = states.map(|(place, state)| next(state, 50 + place + round)).collect();
            // Each in turn, and then, as if that had not been, all together.
            let alone = |(state, next): (&mut GgmlState, &Next)| {
                let values = state.compute_alone(next).unwrap();
                next.memory.forget(next.position..next.position + 1);
                bits(&values)
            };
            let alone: Vec<_> = texts.iter_mut().zip(&nexts).map(alone).collect();
            let together = span.compute_together(&nexts).into_iter().map(|values| bits(&values.unwrap()));
            texts.iter_mut().for_each(|state| state.length += 1);
            together.eq(alone)
        })
    }

    #[test]
    fn texts_are_joined_only_where_tokens_have_the_same_bits_together_as_alone() {
        for family in FAMILIES {
            for (encoding, kind) in ENCODINGS {
                let span = span(family, kind);
                let same = (1..=TOGETHER).all(|count| are_the_same_together(&span, count));
                println!("{family} {encoding}: joined {}, the same {same}", span.joins);
                assert!(same || !span.joins, "{family} {encoding}");
                if cfg!(target_arch = "x86_64") && matches!(encoding, "Q8_0" | "Q4_0") {
                    assert!(span.joins, "{family} {encoding}");
                }
            }
        }
    }

    #[test]
    fn whoever_leaves_a_batch_takes_nobody_along() {
        let span = span("llama", 8);
        let mut texts: Vec<_> = (0..4).map(|number| text(&span, 0..BLOCKS, 10, number)).collect();
        let nexts: Vec<Next> = texts.iter_mut().enumerate().map(|(place, state)| next(state, place)).collect();
        let alone: Vec<_> =
            texts.iter_mut().zip(&nexts).map(|(state, next)| state.compute_alone(next).unwrap()).collect();
        nexts[1].cancel.cancel();
        let together = span.compute_together(&nexts);
        for (place, result) in together.iter().enumerate() {
            match result {
                Ok(values) => assert!(place != 1 && bits(values) == bits(&alone[place])),
                Err(error) => assert_eq!((place, error.code()), (1, crate::ErrorCode::Cancelled)),
            }
        }
        nexts.iter().for_each(|next| next.cancel.cancel());
        assert!(span.compute_together(&nexts).iter().all(Result::is_err));
    }

    #[test]
    fn a_text_that_ends_leaves_no_memory_in_the_graphs_that_are_kept() {
        let span = span("llama", 2);
        let mut texts: Vec<_> = (0..4).map(|number| text(&span, 0..BLOCKS, 10, number)).collect();
        let nexts: Vec<Next> = texts.iter_mut().enumerate().map(|(place, state)| next(state, place)).collect();
        span.compute_together(&nexts);
        drop(nexts);
        assert_eq!(lock(&span.together).len(), 1);
        let memory = Arc::downgrade(texts[0].memory.as_ref().unwrap());
        texts.remove(0);
        assert!(lock(&span.together).is_empty() && memory.upgrade().is_none());
    }

    #[test]
    fn texts_join_on_the_same_blocks_where_they_are_to() {
        let span = span("llama", 8);
        let texts = [(0..BLOCKS, 0), (0..BLOCKS, 1), (1..BLOCKS, 2)];
        let mut texts = texts.map(|(blocks, seed)| text(&span, blocks, 5, seed));
        let [one, same, other] = texts.each_mut().map(|state| next(state, 1));
        assert!(one.joins(&same) && !one.joins(&other));
        let joins = |kind, arithmetic, batching| loaded("llama", kind, arithmetic, batching).joins;
        assert!(joins(0, Arithmetic::Fastest, Batching::Always));
        assert!(!joins(8, Arithmetic::Fastest, Batching::Never));
        assert!(!joins(8, Arithmetic::Invariant, Batching::Always));
    }
}
