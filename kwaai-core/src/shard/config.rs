//! The shape of a model, and the `config.json` in which Hugging Face transformers writes it.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// No real `config.json` comes near this size.
const MAX_FILE: u64 = 1024 * 1024;
const MAX_HIDDEN: usize = 1 << 16;
const MAX_INTERMEDIATE: usize = 1 << 20;
const MAX_BLOCKS: usize = 1 << 10;
const MAX_HEADS: usize = 1 << 10;
const MAX_HEAD_DIM: usize = 1 << 10;
const MAX_VOCABULARY: usize = 1 << 22;
const MAX_CONTEXT: usize = 1 << 24;

/// The families of models whose blocks are computed. One block serves them all; what differs is in [`ModelConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Llama 2 and 3, and what is built alike.
    Llama,
    /// Mistral: attention may be limited to a window.
    Mistral,
    /// Qwen2 and Qwen2.5: query, key and value have biases.
    Qwen2,
    /// Qwen3: every query and key head is normalised.
    Qwen3,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 4] = [Family::Llama, Family::Mistral, Family::Qwen2, Family::Qwen3];

    /// The name that transformers writes as `model_type`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Mistral => "mistral",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Family::Llama => "LlamaForCausalLM",
            Family::Mistral => "MistralForCausalLM",
            Family::Qwen2 => "Qwen2ForCausalLM",
            Family::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// The names of all families, for messages.
    pub(super) fn names() -> String {
        Family::ALL.map(|family| format!("{:?}", family.name())).join(", ")
    }
}

/// Attention that looks at the last tokens only (Longformer, arXiv 2004.05150; Mistral 7B, arXiv 2310.06825).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlidingWindow {
    /// How many tokens a token sees, itself included.
    pub tokens: usize,
    /// For each block of the model whether the window applies to it.
    pub blocks: Vec<bool>,
}

/// How the rotary frequencies are stretched for contexts longer than the model was first trained on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency is divided by the factor.
    Linear {
        /// The divisor, at least 1.
        factor: f32,
    },
    /// Llama 3.1: low frequencies are divided, high ones kept, those between interpolated.
    Llama3 {
        /// The divisor of low frequencies, at least 1.
        factor: f32,
        /// Wavelengths above `original_context / low_freq_factor` count as low frequencies.
        low_freq_factor: f32,
        /// Wavelengths below `original_context / high_freq_factor` count as high frequencies.
        high_freq_factor: f32,
        /// The context length, in tokens, before stretching.
        original_context: usize,
    },
    /// Every frequency is divided by its own number, `head_dim / 2` of them, lowest dimension first. GGUF writes the
    /// scaling of Llama 3.1 so.
    Each {
        /// The divisors, each above zero.
        divisors: Vec<f32>,
    },
}

/// The shape of a model. Every number has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub family: Family,
    /// Length of a hidden state.
    pub hidden_size: usize,
    /// Inner width of the feed-forward part.
    pub intermediate_size: usize,
    /// Number of transformer blocks.
    pub blocks: usize,
    /// Query heads per block.
    pub heads: usize,
    /// Key/value heads per block; divides `heads`.
    pub kv_heads: usize,
    /// Length of one head, even.
    pub head_dim: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Longest context in tokens.
    pub max_context: usize,
    /// Added to the mean square before the root in RMS normalisation.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: RopeScaling,
    /// Whether the output head is the token embedding.
    pub tied_head: bool,
    /// Whether the projections to query, key and value have biases.
    pub qkv_bias: bool,
    /// Whether the projection of what attention mixed has a bias.
    pub output_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Whether each head of query and key is RMS-normalised before it is rotated.
    pub qk_norm: bool,
    /// The window of those blocks that do not see the whole text.
    pub sliding_window: Option<SlidingWindow>,
    /// Token ids that end a text, as `config.json` gives them; ascending, without repetition.
    pub eos_token_ids: Vec<u32>,
    /// The token id that begins a text.
    pub bos_token_id: Option<u32>,
}

impl ModelConfig {
    /// Reads `config.json` of a model directory.
    ///
    /// # Errors
    /// `not_found` without the file, `corrupt_data` when it is no configuration of a model, `unsupported` when it asks for
    /// a family or for something else that this version cannot compute; each names the file and the key.
    pub fn load(path: &Path) -> Result<ModelConfig> {
        let text = read_bounded(path, MAX_FILE)?;
        ModelConfig::parse(&text).map_err(|error| error.with_file(path))
    }

    /// Reads the text of a `config.json`.
    pub fn parse(json: &[u8]) -> Result<ModelConfig> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| corrupt(format!("config.json is not JSON: {error}")).with_source(error))?;
        let Value::Object(map) = value else {
            return Err(corrupt("config.json is not a JSON object"));
        };
        let keys = Keys(&map);
        let family = keys.family()?;
        let blocks = keys.size("num_hidden_layers", None, MAX_BLOCKS)?;
        let heads = keys.size("num_attention_heads", None, MAX_HEADS)?;
        let attention_bias = keys.flag("attention_bias")?.unwrap_or(family == Family::Qwen2);
        let mlp_bias = keys.flag("mlp_bias")?.unwrap_or(false);
        // transformers computes these families with or without biases whatever the key says.
        if attention_bias != (family == Family::Qwen2) && matches!(family, Family::Mistral | Family::Qwen2) {
            return Err(not_computed("attention_bias", attention_bias, family));
        }
        if mlp_bias && family != Family::Llama {
            return Err(not_computed("mlp_bias", mlp_bias, family));
        }
        let (rope_theta, rope_scaling) = keys.rope()?;
        ModelConfig {
            family,
            hidden_size: keys.size("hidden_size", None, MAX_HIDDEN)?,
            intermediate_size: keys.size("intermediate_size", None, MAX_INTERMEDIATE)?,
            blocks,
            heads,
            kv_heads: keys.kv_heads(family, heads)?,
            head_dim: keys.head_dim(family, heads)?,
            vocab_size: keys.size("vocab_size", None, MAX_VOCABULARY)?,
            max_context: keys.size("max_position_embeddings", Some(default_context(family)), MAX_CONTEXT)?,
            rms_norm_eps: keys.number("rms_norm_eps", Some(1e-6), f64::MIN_POSITIVE, 1.0)?,
            rope_theta,
            rope_scaling,
            tied_head: keys.flag("tie_word_embeddings")?.unwrap_or(false),
            qkv_bias: attention_bias,
            output_bias: attention_bias && family != Family::Qwen2,
            mlp_bias,
            qk_norm: family == Family::Qwen3,
            sliding_window: keys.sliding_window(family, blocks)?,
            eos_token_ids: token_ids(&map, "eos_token_id")?,
            bos_token_id: token_ids(&map, "bos_token_id")?.first().copied(),
        }
        .checked()
    }

    /// The configuration, if its numbers are in range and fit each other.
    pub(super) fn checked(self) -> Result<ModelConfig> {
        for (what, number, max) in [
            ("length of a hidden state", self.hidden_size, MAX_HIDDEN),
            ("width of the feed-forward part", self.intermediate_size, MAX_INTERMEDIATE),
            ("number of blocks", self.blocks, MAX_BLOCKS),
            ("number of heads", self.heads, MAX_HEADS),
            ("number of key/value heads", self.kv_heads, MAX_HEADS),
            ("size of the vocabulary", self.vocab_size, MAX_VOCABULARY),
            ("length of the context", self.max_context, MAX_CONTEXT),
        ] {
            if !(1..=max).contains(&number) {
                return Err(corrupt(format!("the {what} is {number}, no whole number from 1 to {max}")));
            }
        }
        let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
        if heads % kv_heads != 0 {
            return Err(corrupt(format!("{heads} heads are no multiple of {kv_heads} key/value heads")));
        }
        if head_dim == 0 || head_dim % 2 != 0 || head_dim > MAX_HEAD_DIM {
            return Err(corrupt(format!(
                "a head of length {head_dim} cannot be rotated; it must be even, at most {MAX_HEAD_DIM}"
            )));
        }
        Ok(self)
    }

    /// What decides the model's values, in a form that never changes: it goes into the model's id.
    pub(super) fn fingerprint(&self) -> String {
        let scaling = match &self.rope_scaling {
            RopeScaling::None => "none".to_string(),
            RopeScaling::Linear { factor } => format!("linear {:08x}", factor.to_bits()),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let bits = [factor, low_freq_factor, high_freq_factor].map(|value| format!("{:08x}", value.to_bits()));
                format!("llama3 {} {original_context}", bits.join(" "))
            }
            RopeScaling::Each { divisors } => {
                let bits: Vec<String> = divisors.iter().map(|value| format!("{:08x}", value.to_bits())).collect();
                format!("each {}", bits.join(" "))
            }
        };
        let window = self.sliding_window.as_ref().map_or_else(String::new, |window| {
            let blocks: String = window.blocks.iter().map(|windowed| if *windowed { '1' } else { '0' }).collect();
            format!(" window {} {blocks}", window.tokens)
        });
        // Biases of the output and norms of the heads follow from the family and from what is written here.
        format!(
            "{} {} {} {} {} {} {} {} eps {:016x} theta {:08x} scaling {scaling} tied {} biases {} {}{window}",
            self.family.name(),
            self.hidden_size,
            self.intermediate_size,
            self.blocks,
            self.heads,
            self.kv_heads,
            self.head_dim,
            self.vocab_size,
            self.rms_norm_eps.to_bits(),
            self.rope_theta.to_bits(),
            self.tied_head,
            self.qkv_bias,
            self.mlp_bias
        )
    }

    /// Bytes that one block keeps for one token: a key and a value for each of its key/value heads, in f32.
    pub fn cache_bytes_per_token(&self) -> usize {
        2 * self.kv_size() * size_of::<f32>()
    }

    /// Length of all query heads together.
    pub fn query_size(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Length of all key (or value) heads together.
    pub fn kv_size(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// The token ids under a key that holds one id, a list of ids, or null; ascending, without repetition.
pub(crate) fn token_ids(map: &Map<String, Value>, key: &str) -> Result<Vec<u32>> {
    let id = |value: &Value| {
        value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| corrupt(format!("{key} holds {}, which is no token id", short(value))))
    };
    let mut ids = match map.get(key) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) if list.len() <= 256 => list.iter().map(id).collect::<Result<Vec<_>>>()?,
        Some(Value::Array(list)) => return Err(corrupt(format!("{key} lists {} ids, more than 256", list.len()))),
        Some(value) => vec![id(value)?],
    };
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Reads a whole file that must not be longer than `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(|error| Error::file("read", path, error))?.len();
    if size > limit {
        return Err(corrupt(format!("{} has {size} bytes; at most {limit} are read", path.display())).with_file(path));
    }
    std::fs::read(path).map_err(|error| Error::file("read", path, error))
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::corrupt_data(message).with_remedy("use the configuration that belongs to the weights, as it was published")
}

fn not_computed(key: &'static str, value: impl std::fmt::Display, family: Family) -> Error {
    Error::unsupported(format!("{key} is {value}, which this version does not compute for {:?}", family.name()))
        .with("key", key)
}

/// What transformers takes when `max_position_embeddings` is missing.
fn default_context(family: Family) -> usize {
    match family {
        Family::Llama => 2048,
        Family::Mistral => 131_072,
        Family::Qwen2 | Family::Qwen3 => 32_768,
    }
}

/// A value for a message, however long it is.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Typed access to the keys of an object, null counting as absent.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str, default: Option<usize>, max: usize) -> Result<usize> {
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(corrupt(format!("{key} is missing"))),
            (Some(value), _) => value
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=max).contains(number))
                .ok_or_else(|| corrupt(format!("{key} is {}, no whole number from 1 to {max}", short(value)))),
        }
    }

    fn number(&self, key: &str, default: Option<f64>, min: f64, max: f64) -> Result<f64> {
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(corrupt(format!("{key} is missing"))),
            (Some(value), _) => value
                .as_f64()
                .filter(|number| (min..=max).contains(number))
                .ok_or_else(|| corrupt(format!("{key} is {}, no number from {min:e} to {max:e}", short(value)))),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        let flag = |value: &Value| {
            value.as_bool().ok_or_else(|| corrupt(format!("{key} is {}, not true or false", short(value))))
        };
        self.get(key).map(flag).transpose()
    }

    /// Without the key, transformers takes a number of the family; with null, as many as there are query heads.
    fn kv_heads(&self, family: Family, heads: usize) -> Result<usize> {
        let default = match (self.0.contains_key("num_key_value_heads"), family) {
            (true, _) | (false, Family::Llama) => heads,
            (false, Family::Mistral) => 8,
            (false, Family::Qwen2 | Family::Qwen3) => 32,
        };
        self.size("num_key_value_heads", Some(default), MAX_HEADS)
    }

    fn head_dim(&self, family: Family, heads: usize) -> Result<usize> {
        let hidden = self.size("hidden_size", None, MAX_HIDDEN)?;
        match self.get("head_dim") {
            Some(_) => self.size("head_dim", None, MAX_HEAD_DIM),
            None if family == Family::Qwen3 => Ok(128),
            None if hidden % heads == 0 => Ok(hidden / heads),
            None => Err(corrupt(format!(
                "hidden_size is {hidden}, no multiple of num_attention_heads, {heads}, and head_dim is missing"
            ))),
        }
    }

    fn sliding_window(&self, family: Family, blocks: usize) -> Result<Option<SlidingWindow>> {
        // Null means no window, while a missing key means the default of transformers.
        let tokens = match self.0.get("sliding_window") {
            Some(Value::Null) => None,
            _ => Some(self.size("sliding_window", Some(4096), MAX_CONTEXT)?),
        };
        let windowed = match family {
            Family::Llama => match self.get("sliding_window") {
                None => return Ok(None),
                Some(value) => return Err(not_computed("sliding_window", short(value), family)),
            },
            Family::Mistral => match self.get("layer_types") {
                None => vec![true; blocks],
                Some(value) => return Err(not_computed("layer_types", short(value), family)),
            },
            Family::Qwen2 | Family::Qwen3 => {
                let used = self.flag("use_sliding_window")?.unwrap_or(false);
                self.qwen_layers(tokens.filter(|_| used), blocks)?
            }
        };
        let window = tokens.map(|tokens| SlidingWindow { tokens, blocks: windowed });
        Ok(window.filter(|window| window.blocks.contains(&true)))
    }

    /// Which blocks have a window: by name, or from `max_window_layers` on.
    fn qwen_layers(&self, window: Option<usize>, blocks: usize) -> Result<Vec<bool>> {
        let Some(value) = self.get("layer_types") else {
            let first = self.number("max_window_layers", Some(28.0), 0.0, 1e6)? as usize;
            return Ok((0..blocks).map(|block| window.is_some() && block >= first).collect());
        };
        let list = value
            .as_array()
            .filter(|list| list.len() == blocks)
            .ok_or_else(|| corrupt(format!("layer_types is {}, no list of {blocks} names", short(value))))?;
        let windowed = |name: &Value| match name.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") if window.is_some() => Ok(true),
            Some("sliding_attention") => Err(corrupt("layer_types names sliding_attention, but there is no window")),
            _ => Err(Error::unsupported(format!(
                "layer_types names {}, which this version does not compute",
                short(name)
            ))
            .with("key", "layer_types")),
        };
        list.iter().map(windowed).collect()
    }

    fn family(&self) -> Result<Family> {
        let named = |name: &str| Family::ALL.into_iter().find(|family| family.name() == name);
        let family = match self.get("model_type") {
            Some(value) => value.as_str().and_then(named),
            None => self
                .get("architectures")
                .and_then(Value::as_array)
                .and_then(|list| Family::ALL.into_iter().find(|family| list.iter().any(|name| name == family.class()))),
        };
        let Some(family) = family else {
            let found = self.get("model_type").or(self.get("architectures")).map(short);
            return Err(Error::unsupported(format!(
                "model_type is {}; this version computes the families {}",
                found.as_deref().unwrap_or("missing"),
                Family::names()
            ))
            .with("key", "model_type"));
        };
        if let Some(quantised) = self.get("quantization_config") {
            return Err(Error::unsupported(format!(
                "quantization_config is {}; weights must be f32, f16 or bf16",
                short(quantised)
            ))
            .with("key", "quantization_config"));
        }
        match self.get("hidden_act") {
            None => Ok(family),
            Some(value) if value == "silu" => Ok(family),
            Some(value) => {
                Err(Error::unsupported(format!("hidden_act is {}; this version computes with \"silu\"", short(value)))
                    .with("key", "hidden_act"))
            }
        }
    }

    /// The rotary base and scaling: `rope_parameters` as transformers 5 writes it, or `rope_theta` and `rope_scaling`.
    fn rope(&self) -> Result<(f32, RopeScaling)> {
        let theta_of = |keys: &Keys| keys.number("rope_theta", Some(10_000.0), 1.0, 1e12);
        let (name, value) = match self.get("rope_parameters") {
            Some(value) => ("rope_parameters", Some(value)),
            None => ("rope_scaling", self.get("rope_scaling")),
        };
        let Some(value) = value else {
            return Ok((theta_of(self)? as f32, RopeScaling::None));
        };
        let Some(map) = value.as_object() else {
            return Err(corrupt(format!("{name} is {}, not an object", short(value))));
        };
        let keys = Keys(map);
        let theta = if keys.get("rope_theta").is_some() { theta_of(&keys)? } else { theta_of(self)? };
        // A key inside wins over the same key outside.
        let partial = keys.get("partial_rotary_factor").or(self.get("partial_rotary_factor"));
        if partial.is_some_and(|factor| factor.as_f64() != Some(1.0)) {
            return Err(Error::unsupported("partial_rotary_factor other than 1 is not computed by this version")
                .with("key", "partial_rotary_factor"));
        }
        let kind = keys.get("rope_type").or(keys.get("type")).and_then(Value::as_str).unwrap_or("default");
        let scaling = match kind {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: keys.number("factor", None, 1.0, 1e6)? as f32 },
            "llama3" => {
                let low_freq_factor = keys.number("low_freq_factor", None, 1e-3, 1e6)? as f32;
                let high_freq_factor = keys.number("high_freq_factor", None, 1e-3, 1e6)? as f32;
                if high_freq_factor <= low_freq_factor {
                    return Err(corrupt(format!(
                        "{name}.high_freq_factor is {high_freq_factor}, not above low_freq_factor, {low_freq_factor}"
                    )));
                }
                RopeScaling::Llama3 {
                    factor: keys.number("factor", None, 1.0, 1e6)? as f32,
                    low_freq_factor,
                    high_freq_factor,
                    original_context: keys.size("original_max_position_embeddings", None, MAX_CONTEXT)?,
                }
            }
            other => {
                let key = format!("{name}.rope_type");
                return Err(Error::unsupported(format!(
                    "{key} is {other:?}; this version computes \"default\", \"linear\" and \"llama3\""
                ))
                .with("key", key));
            }
        };
        Ok((theta as f32, scaling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use serde_json::json;

    fn base() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "rms_norm_eps": 1e-5,
            "hidden_act": "silu", "eos_token_id": [3, 2, 3]
        })
    }

    fn with(key: &str, value: Value) -> Result<ModelConfig> {
        let mut config = base();
        config[key] = value;
        ModelConfig::parse(config.to_string().as_bytes())
    }

    #[test]
    fn a_plain_config_is_read_with_the_defaults_of_transformers() {
        let config = ModelConfig::parse(base().to_string().as_bytes()).unwrap();
        assert_eq!((config.head_dim, config.kv_heads, config.max_context), (16, 2, 2048));
        assert_eq!((config.rope_theta, config.rope_scaling, config.tied_head), (10_000.0, RopeScaling::None, false));
        assert_eq!(config.eos_token_ids, [2, 3]);
    }

    #[test]
    fn both_spellings_of_rotary_scaling_mean_the_same() {
        let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192});
        let mut old = base();
        old["rope_theta"] = json!(500000.0);
        old["rope_scaling"] = scaling.clone();
        let mut new = base();
        new["rope_parameters"] = scaling;
        new["rope_parameters"]["rope_theta"] = json!(500000.0);
        let old = ModelConfig::parse(old.to_string().as_bytes()).unwrap();
        assert_eq!(old, ModelConfig::parse(new.to_string().as_bytes()).unwrap());
        assert!(matches!(old.rope_scaling, RopeScaling::Llama3 { original_context: 8192, .. }));
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_by_their_key() {
        for (key, value) in [
            ("hidden_size", json!(0)),
            ("hidden_size", json!(-64)),
            ("hidden_size", json!(66)),
            ("hidden_size", json!(1e30)),
            ("num_hidden_layers", json!(u64::MAX)),
            ("num_attention_heads", json!(3)),
            ("num_key_value_heads", json!(3)),
            ("num_key_value_heads", json!(8)),
            ("head_dim", json!(7)),
            ("vocab_size", json!("many")),
            ("rms_norm_eps", json!(0.0)),
            ("rms_norm_eps", json!(-1e-5)),
            ("tie_word_embeddings", json!("yes")),
            ("eos_token_id", json!(-1)),
            ("rope_scaling", json!({"rope_type": "linear", "factor": 0.0})),
            ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0})),
            ("rope_theta", json!(0)),
        ] {
            let error = with(key, value.clone()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::CorruptData, "{key} = {value}: {error}");
        }
    }

    #[test]
    fn what_this_version_does_not_compute_is_named() {
        for (key, value, named) in [
            ("hidden_act", json!("gelu"), "hidden_act"),
            ("model_type", json!("qwen3_moe"), "model_type"),
            ("sliding_window", json!(4096), "sliding_window"),
            ("rope_scaling", json!({"rope_type": "dynamic", "factor": 2.0}), "rope_scaling.rope_type"),
            ("rope_scaling", json!({"rope_type": "longrope"}), "rope_scaling.rope_type"),
            ("rope_scaling", json!({"type": "yarn", "factor": 4.0}), "rope_scaling.rope_type"),
            ("rope_parameters", json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor"),
            ("quantization_config", json!({"bits": 4}), "quantization_config"),
        ] {
            let error = with(key, value).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Unsupported);
            assert_eq!(error.context()["key"], named);
        }
    }

    fn family(name: &str, keys: Value) -> Result<ModelConfig> {
        let mut config = base();
        config["model_type"] = name.into();
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        ModelConfig::parse(config.to_string().as_bytes())
    }

    #[test]
    fn each_family_has_its_own_biases_norms_and_defaults() {
        let qwen2 = family("qwen2", json!({"use_sliding_window": false, "sliding_window": 131072})).unwrap();
        assert_eq!((qwen2.qkv_bias, qwen2.output_bias, qwen2.qk_norm), (true, false, false));
        assert_eq!((qwen2.head_dim, qwen2.max_context, qwen2.sliding_window), (16, 32_768, None));
        let qwen3 = family("qwen3", json!({"attention_bias": true})).unwrap();
        assert_eq!((qwen3.qkv_bias, qwen3.output_bias, qwen3.qk_norm, qwen3.head_dim), (true, true, true, 128));
        let mistral = family("mistral", json!({"num_attention_heads": 16, "num_key_value_heads": null})).unwrap();
        assert_eq!((mistral.qkv_bias, mistral.kv_heads, mistral.max_context), (false, 16, 131_072));
        let by_class = json!({"model_type": null, "architectures": ["Qwen3ForCausalLM"]});
        assert_eq!(family("", by_class).unwrap().family, Family::Qwen3);
        let ids = Family::ALL.map(|of| family(of.name(), json!({})).unwrap().fingerprint());
        assert!(ids.iter().zip(Family::ALL).all(|(id, of)| id.starts_with(of.name())));
    }

    #[test]
    fn a_window_applies_to_the_blocks_that_the_family_gives_it() {
        let window = |name: &str, keys: Value| family(name, keys).unwrap().sliding_window;
        let of = |tokens, blocks: [bool; 2]| Some(SlidingWindow { tokens, blocks: blocks.to_vec() });
        assert_eq!(window("mistral", json!({"sliding_window": 8})), of(8, [true, true]));
        assert_eq!(window("mistral", json!({"sliding_window": null})), None);
        assert_eq!(window("mistral", json!({})), of(4096, [true, true]));
        let used = json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 1});
        assert_eq!(window("qwen2", used.clone()), of(8, [false, true]));
        let named = json!({"use_sliding_window": true, "layer_types": ["sliding_attention", "full_attention"]});
        assert_eq!(window("qwen3", named), of(4096, [true, false]));
        assert_ne!(family("qwen2", used).unwrap().fingerprint(), family("qwen2", json!({})).unwrap().fingerprint());
        for (key, value, code) in [
            ("layer_types", json!(["sliding_attention", "full_attention"]), ErrorCode::CorruptData),
            ("layer_types", json!(["full_attention"]), ErrorCode::CorruptData),
            ("layer_types", json!(["linear_attention", "full_attention"]), ErrorCode::Unsupported),
            ("use_sliding_window", json!("no"), ErrorCode::CorruptData),
            ("attention_bias", json!(false), ErrorCode::Unsupported),
            ("mlp_bias", json!(true), ErrorCode::Unsupported),
        ] {
            let error = family("qwen2", json!({ key: value })).unwrap_err();
            assert_eq!(error.code(), code, "{key}: {error}");
        }
        for key in ["attention_bias", "layer_types"] {
            let error = family("mistral", json!({ key: key == "attention_bias" })).unwrap_err();
            assert_eq!(error.context()["key"], key);
        }
    }

    #[test]
    fn text_that_is_no_object_is_corrupt() {
        for text in ["", "[]", "null", "{\"hidden_size\":", "{\"model_type\":\"llama\"}"] {
            assert_eq!(ModelConfig::parse(text.as_bytes()).unwrap_err().code(), ErrorCode::CorruptData, "{text}");
        }
    }
}
