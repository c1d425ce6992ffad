//! Random models in GGUF files, of every family and in every encoding, wide enough for blocks of 256 values.
#![allow(dead_code, reason = "each test file uses its own part")]

use half::f16;

use super::written::{File, Meta, Tensor};

pub const HIDDEN: usize = 256;
pub const BLOCKS: usize = 3;
pub const VOCABULARY: usize = 320;
pub const CONTEXT: usize = 512;

/// ggml's number of an encoding, and what a test calls it.
pub const ENCODINGS: [(&str, u32); 7] =
    [("F32", 0), ("F16", 1), ("BF16", 30), ("Q8_0", 8), ("Q4_0", 2), ("Q4_K", 12), ("Q6_K", 14)];

/// What the tests call families: what is its own of each is in [`model`].
pub const FAMILIES: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

/// A model. `mistral` is what llama.cpp's converter makes of one: a `llama` with heads that do not add up to the hidden size.
pub fn model(family: &str, kind: u32, seed: u64) -> File {
    let (heads, kv_heads, inner) = (4, 2, 512);
    let head_dim = if matches!(family, "mistral" | "qwen3") { 128 } else { 64 };
    let architecture = if family == "mistral" { "llama" } else { family };
    let text = |key: &str, text: &str| (key.to_string(), Meta::text(text));
    let mut metadata = vec![
        text("general.architecture", architecture),
        text("general.name", "random"),
        text("tokenizer.ggml.model", "none"),
    ];
    for (key, value) in [
        ("block_count", BLOCKS),
        ("context_length", CONTEXT),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", inner),
        ("attention.head_count", heads),
        ("attention.head_count_kv", kv_heads),
        ("attention.key_length", head_dim),
        ("attention.value_length", head_dim),
        ("rope.dimension_count", head_dim),
        ("vocab_size", VOCABULARY),
    ] {
        metadata.push((format!("{architecture}.{key}"), Meta::U32(value as u32)));
    }
    metadata.push((format!("{architecture}.attention.layer_norm_rms_epsilon"), Meta::F32(1e-5)));
    metadata.push((format!("{architecture}.rope.freq_base"), Meta::F32(500_000.0)));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut tensors = Vec::new();
    let mut matrix = |name: String, rows: usize, columns: usize, kind: u32, spread: f32| {
        let bytes = random.encoded(kind, rows * columns, spread / (columns as f32).sqrt());
        tensors.push(Tensor { name, shape: vec![rows as u64, columns as u64], kind, offset: None, bytes });
    };
    // A head of its own for some, the embedding for others: then with the spread of a head, so that logits stay moderate.
    let tied = family == "qwen2";
    matrix("token_embd.weight".into(), VOCABULARY, HIDDEN, kind, if tied { 2.0 } else { 16.0 });
    if !tied {
        matrix("output.weight".into(), VOCABULARY, HIDDEN, kind, 2.0);
    }
    for block in 0..BLOCKS {
        for (name, rows, columns) in [
            ("attn_q", heads * head_dim, HIDDEN),
            ("attn_k", kv_heads * head_dim, HIDDEN),
            ("attn_v", kv_heads * head_dim, HIDDEN),
            ("attn_output", HIDDEN, heads * head_dim),
            ("ffn_gate", inner, HIDDEN),
            ("ffn_up", inner, HIDDEN),
            ("ffn_down", HIDDEN, inner),
        ] {
            matrix(format!("blk.{block}.{name}.weight"), rows, columns, kind, 1.5);
        }
    }
    let mut vector = |name: String, length: usize, centre: f32| {
        let bytes = (0..length).flat_map(|_| (centre + 0.3 * random.even()).to_le_bytes()).collect();
        tensors.push(Tensor { name, shape: vec![length as u64], kind: 0, offset: None, bytes });
    };
    vector("output_norm.weight".into(), HIDDEN, 1.0);
    if family == "llama" {
        // As in a Llama 3.1: each frequency is divided by a number of its own.
        vector("rope_freqs.weight".into(), head_dim / 2, 4.0);
    }
    for block in 0..BLOCKS {
        vector(format!("blk.{block}.attn_norm.weight"), HIDDEN, 1.0);
        vector(format!("blk.{block}.ffn_norm.weight"), HIDDEN, 1.0);
        match family {
            "qwen2" => {
                vector(format!("blk.{block}.attn_q.bias"), heads * head_dim, 0.0);
                vector(format!("blk.{block}.attn_k.bias"), kv_heads * head_dim, 0.0);
                vector(format!("blk.{block}.attn_v.bias"), kv_heads * head_dim, 0.0);
            }
            "qwen3" => {
                vector(format!("blk.{block}.attn_q_norm.weight"), head_dim, 1.0);
                vector(format!("blk.{block}.attn_k_norm.weight"), head_dim, 1.0);
            }
            _ => {}
        }
    }
    File { version: 3, metadata, tensors }
}

/// Ids of tokens, the same for the same seed.
pub fn text(length: usize, seed: u64) -> Vec<u32> {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
    (0..length).map(|_| random.next() % VOCABULARY as u32).collect()
}

/// A linear congruential sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// From -1 to 1.
    fn even(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }

    /// Values whose root mean square is `spread`, as ggml writes them.
    fn encoded(&mut self, kind: u32, count: usize, spread: f32) -> Vec<u8> {
        let half = |value: f32| f16::from_f32(value).to_le_bytes();
        let values: Vec<f32> = (0..count).map(|_| self.even() * spread * 3f32.sqrt()).collect();
        match kind {
            0 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            1 => values.iter().flat_map(|value| half(*value)).collect(),
            30 => values.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect(),
            8 => values.chunks_exact(32).flat_map(q8_0).collect(),
            2 => values.chunks_exact(32).flat_map(q4_0).collect(),
            // Any bytes are such a block. Its values are never below zero, so that the minimum has to be half of the largest
            // for a matrix that is even about zero.
            12 => {
                let scale = spread / 32.0 / 5.0;
                let block = |random: &mut Random| {
                    let mut block = [half(scale), half(scale * 7.5)].concat();
                    // The first four parts have their scales and minima in whole bytes, the others in what these leave.
                    block.extend((0..4).map(|_| 0x80 | random.scale()));
                    block.extend([0x80 | 32; 4]);
                    block.extend((0..4).map(|_| (random.next() % 16) as u8 | 0x70));
                    block.extend((0..128).map(|_| random.next() as u8));
                    block
                };
                (0..count / 256).flat_map(|_| block(self)).collect()
            }
            14 => {
                let scale = spread / 64.0 / 18.0;
                let block = |random: &mut Random| {
                    let mut block: Vec<u8> = (0..192).map(|_| random.next() as u8).collect();
                    block.extend((0..16).map(|_| (64 + random.next() % 32) as u8));
                    block.extend(half(scale));
                    block
                };
                (0..count / 256).flat_map(|_| block(self)).collect()
            }
            other => panic!("no tensors of type {other} are written"),
        }
    }

    fn scale(&mut self) -> u8 {
        24 + (self.next() % 16) as u8
    }
}

fn q8_0(values: &[f32]) -> Vec<u8> {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let scale = f16::from_f32(largest / 127.0);
    let number = |value: &f32| (value / scale.to_f32()).round().clamp(-127.0, 127.0) as i8;
    scale.to_le_bytes().into_iter().chain(values.iter().map(|value| number(value).cast_unsigned())).collect()
}

fn q4_0(values: &[f32]) -> Vec<u8> {
    let largest = values.iter().copied().max_by(|one, other| one.abs().total_cmp(&other.abs())).unwrap();
    let scale = f16::from_f32(largest / -8.0);
    let number = |value: f32| (value / scale.to_f32() + 8.5).clamp(0.0, 15.0) as u8;
    let pairs = (0..16).map(|place| number(values[place]) | number(values[place + 16]) << 4);
    scale.to_le_bytes().into_iter().chain(pairs).collect()
}
