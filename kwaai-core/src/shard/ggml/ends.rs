//! What stands before and after the blocks, by ggml.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::batcher::{Batcher, Job};
use super::ffi::{self, Device, Engine, Graph, Input};
use super::graph::{self, EMBEDDING, HEAD, NORM, Shape};
use super::together::{TOGETHER, WORTH, joins};
use super::{Found, Maps, find, placed, threads};
use crate::shard::backend::{Arithmetic, Compute, ModelEnds};
use crate::shard::config::ModelConfig;
use crate::shard::weights::{Parts, Weights};
use crate::{Error, Result};

/// States whose logits somebody waits for.
struct States {
    values: Vec<f32>,
    joins: bool,
}

impl Job for States {
    fn joins(&self, other: &States) -> bool {
        self.joins && other.joins
    }
}

/// Embedding, final normalisation and head.
pub(in crate::shard) struct GgmlEnds {
    device: Device,
    shape: Shape,
    arithmetic: Arithmetic,
    embedding: Found,
    weights: Arc<ffi::Weights>,
    joins: bool,
    /// The engine, and graphs by the number of their states.
    head: Mutex<(Engine, BTreeMap<usize, Graph>)>,
    states: Batcher<States, Result<Vec<f32>>>,
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
        let mut engine = Engine::new(device, threads(compute))?;
        let weights = Arc::new(placed(device, &of_the_head, |name| name == HEAD)?);
        Ok(GgmlEnds {
            device,
            shape: Shape::new(config, false),
            arithmetic: compute.arithmetic,
            embedding,
            joins: joins(device, &mut engine, &weights, &of_the_head, compute)?,
            weights,
            head: Mutex::new((engine, BTreeMap::new())),
            states: Batcher::new(WORTH, TOGETHER),
        })
    }

    /// The logits of states, one after the other.
    fn compute(&self, states: &[f32]) -> Result<Vec<f32>> {
        let count = states.len() / self.shape.hidden;
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let (engine, kept) = &mut *head;
        let mut graph = match kept.remove(&count) {
            Some(graph) => graph,
            None => Graph::build(self.device, graph::nodes(0, 0), self.weights.clone(), Vec::new(), |builder| {
                graph::head(builder, &self.shape, count, self.arithmetic)
            })?,
        };
        let logits = graph.run(engine, &[Input::F32(states)], &CancellationToken::new());
        if count <= TOGETHER {
            // One for each size of a batch would be as much memory again as the largest takes, several times.
            kept.retain(|other, _| *other == 1);
            kept.insert(count, graph);
        }
        logits
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
        let states = States { values: hidden, joins: self.joins && tokens == 1 };
        let logits = self.states.run(states, |batch| match batch.as_slice() {
            [states] => vec![self.compute(&states.values)],
            batch => {
                let all: Vec<f32> = batch.iter().flat_map(|states| states.values.iter().copied()).collect();
                let logits = self.compute(&all);
                let row = logits.as_ref().map_or(0, |logits| logits.len() / batch.len());
                let own = |place: usize| {
                    logits.as_ref().map_err(Error::clone).map(|logits| logits[place * row..(place + 1) * row].to_vec())
                };
                (0..batch.len()).map(own).collect()
            }
        });
        let logits = logits.unwrap_or_else(|| Err(Error::internal("the computation of several logits ended early")))?;
        Ok(logits.chunks_exact(logits.len() / tokens).map(<[f32]>::to_vec).collect())
    }
}
