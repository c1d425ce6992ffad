//! What the metadata of a GGUF file says about the model: its configuration, and the names and order of its tensors.
//!
//! Keys as in ggml's specification, `{architecture}.…`; tensors are given the names that Hugging Face transformers has
//! for them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use super::{Gguf, Value, corrupt};
use crate::shard::config::{Family, ModelConfig, RopeScaling, SlidingWindow};
use crate::shard::weights::{Place, Weights, read_values};
use crate::{Error, Result};

const ARCHITECTURE: &str = "general.architecture";
const EMBEDDING: &str = "token_embd.weight";
const HEAD: &str = "output.weight";
const FREQUENCIES: &str = "rope_freqs.weight";

/// Tensors of a block, and what transformers calls them.
const OF_A_BLOCK: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

impl Gguf {
    /// The shape of the model.
    ///
    /// # Errors
    /// `corrupt_data` for a missing or impossible number, `unsupported` for an architecture or an option that this version
    /// cannot compute; each names the key and the file.
    pub fn config(&self) -> Result<ModelConfig> {
        self.read_config().map_err(|error| error.with_file(&self.path))
    }

    /// The tensors under the names of transformers.
    pub(in crate::shard) fn weights(&self, config: &ModelConfig) -> Result<Weights> {
        let paired = self.writes_pairs(config).then_some(config.head_dim);
        let mut tensors = BTreeMap::new();
        for (name, place) in &self.tensors {
            let (name, pairs) = match renamed(name) {
                Some(renamed) => renamed,
                // The divisors are a part of the configuration.
                None if name == FREQUENCIES => continue,
                None => (name.clone(), false),
            };
            let mut place = place.clone();
            if let Some(head_dim) = paired.filter(|_| pairs) {
                if place.shape.first().is_none_or(|rows| rows % head_dim != 0) {
                    return Err(corrupt(format!(
                        "tensor {name} has {:?} rows, no multiple of {head_dim}",
                        place.shape
                    ))
                    .with("tensor", name)
                    .with_file(&self.path));
                }
                place.paired = Some(head_dim);
            }
            tensors.insert(name, place);
        }
        Ok(Weights::found(&self.path, tensors))
    }

    /// llama.cpp's converter writes the rows of query and key for a rotation of neighbours, but only for these.
    fn writes_pairs(&self, config: &ModelConfig) -> bool {
        matches!(config.family, Family::Llama | Family::Mistral)
    }

    fn read_config(&self) -> Result<ModelConfig> {
        let architecture = self
            .text(ARCHITECTURE)?
            .ok_or_else(|| corrupt(format!("{ARCHITECTURE} is missing")).with("key", ARCHITECTURE))?;
        let family = Family::ALL.into_iter().find(|family| family.name() == architecture).ok_or_else(|| {
            self.unsupported(
                ARCHITECTURE,
                format!("{ARCHITECTURE} is {architecture:?}; this version computes {}", Family::names()),
            )
        })?;
        if let Some(other) = self.text("general.type")?.filter(|kind| *kind != "model") {
            return Err(self.unsupported("general.type", format!("the file holds no model but {other:?}")));
        }
        let key = |name: &str| format!("{architecture}.{name}");
        let size = |name: &str| -> Result<Option<usize>> {
            let key = key(name);
            self.integer(&key)?
                .map(|number| {
                    usize::try_from(number).map_err(|_| corrupt(format!("{key} is {number}")).with("key", &key))
                })
                .transpose()
        };
        let needed =
            |name: &str| size(name)?.ok_or_else(|| corrupt(format!("{} is missing", key(name))).with("key", key(name)));
        let hidden_size = needed("embedding_length")?;
        let heads = needed("attention.head_count")?;
        let blocks = needed("block_count")?;
        let head_dim = match size("attention.key_length")? {
            Some(length) => length,
            None if heads > 0 && hidden_size % heads == 0 => hidden_size / heads,
            None => return Err(corrupt(format!("{hidden_size} values are not divided by {heads} heads"))),
        };
        self.refuse_options(&key, &size, head_dim)?;
        let (vocab_size, embedded) = match self.tensors.get(EMBEDDING).map(|place| place.shape.as_slice()) {
            Some([rows, columns]) => (*rows, *columns),
            _ => return Err(corrupt(format!("there is no tensor {EMBEDDING} of rows")).with("tensor", EMBEDDING)),
        };
        if embedded != hidden_size || size("vocab_size")?.is_some_and(|claimed| claimed != vocab_size) {
            return Err(corrupt(format!(
                "{EMBEDDING} has {vocab_size} rows of {embedded}, which is not what {architecture}.embedding_length and \
                 vocab_size say"
            ))
            .with("tensor", EMBEDDING));
        }
        let eps = self.float(&key("attention.layer_norm_rms_epsilon"))?;
        let rope_theta = self.float(&key("rope.freq_base"))?.unwrap_or(10_000.0);
        let eps = eps.filter(|eps| *eps > 0.0 && *eps <= 1.0).ok_or_else(|| {
            let key = key("attention.layer_norm_rms_epsilon");
            corrupt(format!("{key} is missing or no number from 0 to 1")).with("key", key)
        })?;
        if !(1.0..=1e12).contains(&rope_theta) {
            return Err(corrupt(format!("rope.freq_base is {rope_theta}")).with("key", key("rope.freq_base")));
        }
        let has = |name: &str| self.tensors.contains_key(&format!("blk.0.{name}"));
        ModelConfig {
            family,
            hidden_size,
            intermediate_size: needed("feed_forward_length")?,
            blocks,
            heads,
            kv_heads: size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            vocab_size,
            max_context: needed("context_length")?,
            rms_norm_eps: eps,
            rope_theta: rope_theta as f32,
            rope_scaling: self.rope_scaling(&key, head_dim)?,
            tied_head: !self.tensors.contains_key(HEAD),
            qkv_bias: family == Family::Qwen2 || has("attn_q.bias"),
            output_bias: has("attn_output.bias"),
            mlp_bias: has("ffn_gate.bias"),
            qk_norm: family == Family::Qwen3,
            sliding_window: self.window(&key, &size, family, blocks)?,
            eos_token_ids: self.end_of_text()?,
            bos_token_id: self.token_id("tokenizer.ggml.bos_token_id")?,
        }
        .checked()
    }

    /// Refuses what changes the computation in a way that is not computed here.
    fn refuse_options(
        &self,
        key: &impl Fn(&str) -> String,
        size: &impl Fn(&str) -> Result<Option<usize>>,
        head_dim: usize,
    ) -> Result<()> {
        for (name, allowed) in [
            ("attention.value_length", head_dim),
            ("rope.dimension_count", head_dim),
            ("expert_count", 0),
            ("expert_used_count", 0),
        ] {
            if let Some(found) = size(name)?.filter(|found| *found != allowed) {
                let key = key(name);
                let message = format!("{key} is {found}; this version computes {allowed} alone");
                return Err(self.unsupported(&key, message));
            }
        }
        match self.flag(&key("attention.causal"))? {
            Some(false) => Err(self.unsupported(&key("attention.causal"), "attention to later tokens is not computed")),
            _ => Ok(()),
        }
    }

    fn window(
        &self,
        key: &impl Fn(&str) -> String,
        size: &impl Fn(&str) -> Result<Option<usize>>,
        family: Family,
        blocks: usize,
    ) -> Result<Option<SlidingWindow>> {
        const NAME: &str = "attention.sliding_window";
        match (size(NAME)?.filter(|tokens| *tokens > 0), family) {
            (None, _) => Ok(None),
            (Some(tokens), Family::Llama | Family::Mistral) if blocks <= 1 << 10 => {
                Ok(Some(SlidingWindow { tokens, blocks: vec![true; blocks] }))
            }
            (Some(tokens), _) => {
                let key = key(NAME);
                Err(self.unsupported(&key, format!("{key} is {tokens}, without saying to which blocks it applies")))
            }
        }
    }

    fn rope_scaling(&self, key: &impl Fn(&str) -> String, head_dim: usize) -> Result<RopeScaling> {
        let kind = key("rope.scaling.type");
        let factor_key = key("rope.scaling.factor");
        let factor = match self.float(&factor_key)? {
            Some(factor) => Some(factor),
            None => self.float(&key("rope.scale_linear"))?,
        };
        let scaling = match self.text(&kind)? {
            None if factor.is_none_or(|factor| factor == 1.0) => RopeScaling::None,
            Some("none") => RopeScaling::None,
            None | Some("linear") => match factor.filter(|factor| (1.0..=1e6).contains(factor)) {
                Some(factor) => RopeScaling::Linear { factor: factor as f32 },
                None => return Err(corrupt(format!("{factor_key} is no number from 1")).with("key", factor_key)),
            },
            Some(other) => return Err(self.unsupported(&kind, format!("{kind} is {other:?}, which is not computed"))),
        };
        let Some(place) = self.tensors.get(FREQUENCIES) else { return Ok(scaling) };
        if scaling != RopeScaling::None {
            return Err(self.unsupported(&kind, format!("{FREQUENCIES} beside another scaling is not computed")));
        }
        if place.shape != [head_dim / 2] {
            return Err(wrong_divisors(place, head_dim));
        }
        let divisors = read_values(FREQUENCIES, place)?;
        match divisors.iter().all(|divisor| *divisor > 0.0) {
            true => Ok(RopeScaling::Each { divisors }),
            false => Err(wrong_divisors(place, head_dim)),
        }
    }

    /// Where the values are that the configuration has from a tensor, if it has any.
    pub(in crate::shard) fn read_with_the_head(&self) -> Option<(PathBuf, Range<u64>)> {
        let place = self.tensors.get(FREQUENCIES)?;
        Some((place.file.clone(), place.start..place.start.saturating_add(place.bytes as u64)))
    }

    /// The ids of the tokens that end a text: those that the file names, and those that are known to by their text, since
    /// files often name one of several.
    pub(super) fn end_of_text(&self) -> Result<Vec<u32>> {
        const NAMED: [&str; 3] = ["eos", "eot", "eom"];
        const KNOWN: [&str; 6] = ["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>", "</s>"];
        let named = NAMED.iter().map(|name| self.token_id(&format!("tokenizer.ggml.{name}_token_id")));
        let mut ids: Vec<u32> = named.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let types = self.get("tokenizer.ggml.token_type");
        for (id, token) in self.texts("tokenizer.ggml.tokens")?.unwrap_or_default().iter().enumerate() {
            let control =
                matches!(types, Some(Value::Integers(types)) if types.get(id) == Some(&super::vocabulary::CONTROL));
            if control && KNOWN.contains(&token.as_str()) {
                ids.push(id as u32);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    pub(super) fn token_id(&self, key: &str) -> Result<Option<u32>> {
        let id = |number: u64| u32::try_from(number).map_err(|_| self.mistyped(key, "no token id"));
        self.integer(key)?.map(id).transpose()
    }
}

fn wrong_divisors(place: &Place, head_dim: usize) -> Error {
    corrupt(format!("{FREQUENCIES} has the shape {:?}; {} numbers above zero are needed", place.shape, head_dim / 2))
        .with("tensor", FREQUENCIES)
}

/// The name in transformers, and whether its rows may be written as pairs.
fn renamed(name: &str) -> Option<(String, bool)> {
    match name {
        EMBEDDING => return Some(("model.embed_tokens.weight".to_string(), false)),
        HEAD => return Some(("lm_head.weight".to_string(), false)),
        "output_norm.weight" => return Some(("model.norm.weight".to_string(), false)),
        _ => {}
    }
    let (number, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (stem, kind) = rest.rsplit_once('.')?;
    let known = OF_A_BLOCK.iter().find(|(ours, _)| *ours == stem);
    // An unknown tensor of a block keeps its own name there, so that it is refused by it.
    let (theirs, pairs) = known.map_or((stem, false), |(ours, theirs)| (*theirs, matches!(*ours, "attn_q" | "attn_k")));
    Some((format!("model.layers.{number}.{theirs}.{kind}"), pairs))
}
