//! The sealed segment: a graph over vectors that no longer change.
//!
//! Its file holds the graph and which row of the database each node stands for, but no vector: a deleted vector is
//! gone when the database has forgotten it. Deleted nodes stay in the graph as if they were at the origin, orthogonal to
//! everything.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use instant_distance::{Builder, Hnsw, Point, PointId, Search};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dot::{dot, squared_distance};
use super::metric::Metric;
use super::table::Row;
use crate::store::write_private;
use crate::{Error, Result};

/// How many candidates a search in the graph keeps; a search for more than half of it scans instead.
pub(super) const BREADTH: usize = 200;
const BREADTH_OF_CONSTRUCTION: usize = 100;
const SEED: u64 = 0x6b77_6161_696e_6574;
const MAGIC: &[u8] = b"kwaainet vector segment 1\n";
const DIGEST: usize = 32;

/// Vectors of one length behind each other, and how they are compared.
#[derive(Debug)]
pub(super) struct Arena {
    pub dimension: usize,
    pub metric: Metric,
    pub values: Vec<f32>,
}

impl Arena {
    pub fn get(&self, row: usize) -> &[f32] {
        &self.values[row * self.dimension..(row + 1) * self.dimension]
    }
}

#[derive(Serialize, Deserialize)]
struct Node {
    row: u32,
    /// Empty only between reading the file and attaching the vectors.
    #[serde(skip)]
    arena: OnceLock<Arc<Arena>>,
    #[serde(skip)]
    dead: AtomicBool,
}

impl Node {
    fn new(row: u32, arena: &Arc<Arena>) -> Node {
        Node { row, arena: OnceLock::from(arena.clone()), dead: AtomicBool::new(false) }
    }

    fn vector(&self) -> &[f32] {
        match self.arena.get() {
            Some(arena) if !self.dead.load(Ordering::Relaxed) => arena.get(self.row as usize),
            _ => &[],
        }
    }

    fn is_euclidean(&self) -> bool {
        self.arena.get().is_some_and(|arena| arena.metric == Metric::Euclidean)
    }
}

impl Clone for Node {
    fn clone(&self) -> Node {
        Node { row: self.row, arena: self.arena.clone(), dead: AtomicBool::new(self.dead.load(Ordering::Relaxed)) }
    }
}

impl Point for Node {
    fn distance(&self, other: &Node) -> f32 {
        match (self.vector(), other.vector()) {
            ([], present) | (present, []) if self.is_euclidean() => dot(present, present),
            (a, b) if self.is_euclidean() => squared_distance(a, b),
            (a, b) => 1.0 - dot(a, b),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Contents {
    dimension: usize,
    rows: Vec<Row>,
    graph: Hnsw<Node>,
}

/// A graph and the vectors it leads to.
pub(super) struct Segment {
    pub rows: Vec<Row>,
    pub arena: Arc<Arena>,
    graph: Hnsw<Node>,
    /// The place in the graph of each row.
    nodes: Vec<PointId>,
}

impl Segment {
    /// Builds the graph; on one thread, so that the same rows in the same order give the same graph.
    pub fn build(rows: Vec<Row>, arena: Arena) -> Result<Segment> {
        let arena = Arc::new(arena);
        let count = u32::try_from(rows.len()).ok().filter(|count| *count < u32::MAX);
        let count = count.ok_or_else(|| Error::resource_exhausted("an index holds at most 2^32 - 2 vectors"))?;
        let points: Vec<Node> = (0..count).map(|row| Node::new(row, &arena)).collect();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .map_err(|error| Error::resource_exhausted("no thread to build a vector graph on").with_source(error))?;
        let builder = Builder::default().seed(SEED).ef_construction(BREADTH_OF_CONSTRUCTION).ef_search(BREADTH);
        let (graph, _) = pool.install(|| builder.build_hnsw(points));
        Ok(Segment::assemble(rows, arena, graph))
    }

    fn assemble(rows: Vec<Row>, arena: Arc<Arena>, graph: Hnsw<Node>) -> Segment {
        let mut nodes: Vec<PointId> = graph.iter().map(|(place, _)| place).collect();
        for (place, node) in graph.iter() {
            nodes[node.row as usize] = place;
        }
        Segment { rows, arena, graph, nodes }
    }

    /// The rows that the graph finds nearest, unordered; never dead ones.
    pub fn search(&self, query: &[f32]) -> Vec<usize> {
        let arena = Arc::new(Arena { dimension: query.len(), metric: self.arena.metric, values: query.to_vec() });
        let mut search = Search::default();
        self.graph
            .search(&Node::new(0, &arena), &mut search)
            .filter(|item| !item.point.dead.load(Ordering::Relaxed))
            .map(|item| item.point.row as usize)
            .collect()
    }

    /// Takes a row out of every later search.
    pub fn kill(&self, row: usize) {
        self.graph[self.nodes[row]].dead.store(true, Ordering::Relaxed);
    }

    /// Writes the graph, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        #[derive(Serialize)]
        struct Borrowed<'a> {
            dimension: usize,
            rows: &'a [Row],
            graph: &'a Hnsw<Node>,
        }
        let contents = Borrowed { dimension: self.arena.dimension, rows: &self.rows, graph: &self.graph };
        let mut bytes = [MAGIC, &[0; DIGEST]].concat();
        serde_json::to_writer(&mut bytes, &contents)
            .map_err(|error| Error::internal("a vector graph could not be written down").with_source(error))?;
        let digest = Sha256::digest(&bytes[MAGIC.len() + DIGEST..]);
        bytes[MAGIC.len()..MAGIC.len() + DIGEST].copy_from_slice(&digest);
        write_private(path, &bytes)
    }

    /// Reads a graph and asks for the vector of each of its rows, `None` for those that are gone.
    ///
    /// Answers `None` when there is no file, or none that this version wrote completely for this dimension.
    pub fn load<'v>(
        path: &Path,
        dimension: usize,
        metric: Metric,
        mut vector: impl FnMut(Row) -> Option<&'v [f32]>,
    ) -> Option<Segment> {
        let bytes = std::fs::read(path).ok()?;
        let rest = bytes.strip_prefix(MAGIC)?;
        let (digest, body) = rest.split_at_checked(DIGEST)?;
        if Sha256::digest(body).as_slice() != digest {
            return None;
        }
        let Contents { dimension: found, rows, graph } = serde_json::from_slice(body).ok()?;
        let mut seen = vec![false; rows.len()];
        let complete = found == dimension
            && graph.iter().count() == rows.len()
            && graph
                .iter()
                .all(|(_, node)| seen.get_mut(node.row as usize).is_some_and(|seen| !std::mem::replace(seen, true)));
        if !complete {
            return None;
        }
        let mut arena = Arena { dimension, metric, values: Vec::with_capacity(rows.len() * dimension) };
        let mut gone = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            match vector(*row) {
                Some(vector) => arena.values.extend_from_slice(vector),
                None => {
                    gone.push(index);
                    arena.values.resize(arena.values.len() + dimension, 0.0);
                }
            }
        }
        let arena = Arc::new(arena);
        for (_, node) in graph.iter() {
            // The cell of a node that was just read is empty.
            let _ = node.arena.set(arena.clone());
        }
        let segment = Segment::assemble(rows, arena, graph);
        for row in gone {
            segment.kill(row);
        }
        Some(segment)
    }

    /// Whether a row was killed.
    pub fn is_dead(&self, row: usize) -> bool {
        self.graph[self.nodes[row]].dead.load(Ordering::Relaxed)
    }
}
