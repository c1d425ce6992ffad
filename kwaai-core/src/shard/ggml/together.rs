//! Whether a token has the same bits beside those of other texts as alone, found out with the weights themselves.
//!
//! ggml multiplies a matrix with one state by one kernel and with several by others, which depend on the encoding, on the
//! processor and on what ggml was built for. Some add up in the same order, some do not.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Found;
use super::ffi::{Device, Engine, Graph, Input, Weights};
use crate::Result;
use crate::shard::backend::{Arithmetic, Batching, Compute};

/// Single tokens of so many texts are computed together at most.
pub const TOGETHER: usize = 16;
/// Two take about as long together as one after the other: the kernels for several begin to pay with three.
pub const WORTH: usize = 3;
/// Kernels take states by fours and by sixteens, and what is left over one by one.
const LOOKED_AT: [usize; 3] = [WORTH, 7, TOGETHER];

/// Whether texts are to be computed together, with these weights.
pub fn joins(
    device: Device,
    engine: &mut Engine,
    weights: &Arc<Weights>,
    found: &[(String, Found)],
    compute: &Compute,
) -> Result<bool> {
    match compute.batching {
        // One state at a time is what this arithmetic is: there is nothing to be gained.
        _ if compute.arithmetic == Arithmetic::Invariant => Ok(false),
        Batching::Never => Ok(false),
        Batching::Always => Ok(true),
        Batching::Exact => {
            let mut seen = BTreeSet::new();
            for (name, tensor) in found {
                let Found::Matrix { encoding, rows, columns, .. } = tensor else { continue };
                let is_new = seen.insert((encoding.values(), encoding.bytes(), *rows, *columns));
                if is_new && !same_bits(device, engine, weights, name, *columns)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

fn same_bits(device: Device, engine: &mut Engine, weights: &Arc<Weights>, name: &str, columns: usize) -> Result<bool> {
    let state: Vec<f32> = (0..columns).map(|place| (place as f32 * 0.7).sin() + (place as f32 * 0.013).cos()).collect();
    let mut product = |states: usize| {
        let mut graph = Graph::build(device, 4, weights.clone(), Vec::new(), |builder| {
            builder.mul_mat(builder.weight(name)?, builder.input_f32(&[columns, states])?)
        })?;
        graph.run(engine, &[Input::F32(&state.repeat(states))], &CancellationToken::new())
    };
    let alone = product(1)?;
    let same = |row: &[f32]| row.iter().zip(&alone).all(|(one, other)| one.to_bits() == other.to_bits());
    for states in LOOKED_AT {
        if !product(states)?.chunks_exact(alone.len()).all(same) {
            return Ok(false);
        }
    }
    Ok(true)
}
