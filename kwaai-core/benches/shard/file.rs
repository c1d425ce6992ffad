//! Random models to measure with, in GGUF files.

use std::path::{Path, PathBuf};

use half::f16;

use crate::written::{File, Meta, Tensor, byte_tokens_of};

/// The shape of a model.
pub struct Shape {
    pub name: &'static str,
    pub hidden: usize,
    pub inner: usize,
    pub blocks: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocabulary: usize,
    pub context: usize,
}

/// That of a Llama 3.2 of 1 B parameters.
pub const ONE_B: Shape = Shape {
    name: "llama-1b-bytes",
    hidden: 2048,
    inner: 8192,
    blocks: 16,
    heads: 32,
    kv_heads: 8,
    head_dim: 64,
    vocabulary: 128_256,
    context: 2048,
};

/// States as long as those of 1 B parameters, and next to nothing to compute: what is left is the way.
pub const HOLLOW: Shape = Shape {
    name: "hollow",
    hidden: 2048,
    inner: 32,
    blocks: 4,
    heads: 1,
    kv_heads: 1,
    head_dim: 32,
    vocabulary: 262,
    context: 2048,
};

/// Bytes that a quantised matrix might have, the same again and again: none of the engines looks for repetition.
struct Pool {
    kind: u32,
    values: usize,
    block: usize,
    bytes: Vec<u8>,
    next: usize,
}

impl Pool {
    fn new(kind: u32) -> Pool {
        let (values, block) = match kind {
            8 => (32, 34),
            2 => (32, 18),
            12 => (256, 144),
            other => panic!("no models of type {other} are written"),
        };
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let half = |value: f32| f16::from_f32(value).to_le_bytes();
        // Values with a root mean square of 0.02, the spread with which such models begin.
        let bytes = (0..65_521).flat_map(|_| {
            let mut bytes: Vec<u8> = (0..block).map(|_| random()).collect();
            match kind {
                8 => bytes[..2].copy_from_slice(&half(0.02 / 74.0)),
                2 => bytes[..2].copy_from_slice(&half(0.02 / 4.6)),
                _ => {
                    bytes[..2].copy_from_slice(&half(0.02 / 4.6 / 32.0));
                    bytes[2..4].copy_from_slice(&half(7.5 * 0.02 / 4.6 / 32.0));
                    bytes[4..16].copy_from_slice(&[0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0, 0, 0, 0]);
                }
            }
            bytes
        });
        Pool { kind, values, block, bytes: bytes.collect(), next: 0 }
    }

    fn matrix(&mut self, name: String, rows: usize, columns: usize) -> Tensor {
        let size = rows * columns / self.values * self.block;
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            let from = &self.bytes[self.next..];
            let count = from.len().min(size - bytes.len());
            bytes.extend(&from[..count]);
            self.next = (self.next + count) % self.bytes.len();
        }
        Tensor { name, shape: vec![rows as u64, columns as u64], kind: self.kind, offset: None, bytes }
    }
}

impl Shape {
    /// A file of this shape in an encoding, written unless it is there.
    pub fn file(&self, folder: &Path, encoding: &str) -> PathBuf {
        let path = folder.join(format!("{}-{}.gguf", self.name, encoding.to_lowercase()));
        if path.exists() {
            return path;
        }
        let kind = match encoding {
            "Q8_0" => 8,
            "Q4_0" => 2,
            "Q4_K" => 12,
            other => panic!("no models in {other} are measured"),
        };
        let mut pool = Pool::new(kind);
        let ones = |name: String| Tensor {
            name,
            shape: vec![self.hidden as u64],
            kind: 0,
            offset: None,
            bytes: 1f32.to_le_bytes().repeat(self.hidden),
        };
        let mut tensors = vec![
            pool.matrix("token_embd.weight".into(), self.vocabulary, self.hidden),
            ones("output_norm.weight".into()),
        ];
        for block in 0..self.blocks {
            for (name, rows, columns) in [
                ("attn_q", self.heads * self.head_dim, self.hidden),
                ("attn_k", self.kv_heads * self.head_dim, self.hidden),
                ("attn_v", self.kv_heads * self.head_dim, self.hidden),
                ("attn_output", self.hidden, self.heads * self.head_dim),
                ("ffn_gate", self.inner, self.hidden),
                ("ffn_up", self.inner, self.hidden),
                ("ffn_down", self.hidden, self.inner),
            ] {
                tensors.push(pool.matrix(format!("blk.{block}.{name}.weight"), rows, columns));
            }
            tensors.push(ones(format!("blk.{block}.attn_norm.weight")));
            tensors.push(ones(format!("blk.{block}.ffn_norm.weight")));
        }
        let text = |key: &str, text: &str| (key.to_string(), Meta::text(text));
        let mut metadata = byte_tokens_of(self.vocabulary);
        metadata.push(text("general.architecture", "llama"));
        for (key, value) in [
            ("block_count", self.blocks),
            ("context_length", self.context),
            ("embedding_length", self.hidden),
            ("feed_forward_length", self.inner),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head_dim),
            ("attention.value_length", self.head_dim),
            ("rope.dimension_count", self.head_dim),
            ("vocab_size", self.vocabulary),
        ] {
            metadata.push((format!("llama.{key}"), Meta::U32(value as u32)));
        }
        metadata.push(("llama.attention.layer_norm_rms_epsilon".into(), Meta::F32(1e-5)));
        metadata.push(("llama.rope.freq_base".into(), Meta::F32(500_000.0)));
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&path, File { version: 3, metadata, tensors }.bytes()).unwrap();
        path
    }
}
