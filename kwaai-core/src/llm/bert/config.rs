//! The shape of a model, from its `config.json`.

use serde::Deserialize;

/// Numbers of a shape that no embedding model has more of.
const MOST_WIDTH: usize = 16_384;
const MOST_POSITIONS: usize = 1_000_000;
/// The inner width of NomicBert is a multiple of this, whatever its configuration says.
const NOMIC_MULTIPLE: usize = 256;
/// No NomicBert was made for longer texts, whose memory grows with the square of their length.
const NOMIC_LENGTH: usize = 8192;
/// The base of NomicBert's rotation where it does not say.
const NOMIC_BASE: f64 = 1000.0;

/// Which of the two a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Bert,
    Nomic,
}

/// How a model tells places in a text apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Positions {
    /// A vector for each is learnt and added.
    Learned,
    /// Queries and keys are rotated, by angles of this base.
    Rotary { base: f64 },
}

/// Everything about a model that its tensors do not say themselves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub family: Family,
    /// What the model was called where it was made.
    pub name: Option<String>,
    pub width: usize,
    pub blocks: usize,
    pub heads: usize,
    pub inner: usize,
    pub vocabulary: usize,
    /// The tokens that the model was trained with at most.
    pub length: usize,
    /// Kinds of texts that are told apart; 0 for a model that does not.
    pub kinds: usize,
    pub epsilon: f64,
    pub positions: Positions,
    pub attention_biases: bool,
    pub up_biases: bool,
    pub down_biases: bool,
}

/// Why a configuration is of no use.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is broken.
    Broken(String),
    /// It is another model's.
    Unsupported(String),
}

impl Shape {
    /// Reads the bytes of a `config.json`.
    pub fn read(bytes: &[u8]) -> Result<Shape, Refusal> {
        #[derive(Deserialize)]
        struct Kind {
            model_type: String,
        }
        let kind: Kind = parse(bytes)?;
        let shape = match kind.model_type.as_str() {
            "bert" => parse::<Bert>(bytes)?.shape()?,
            "nomic_bert" => parse::<Nomic>(bytes)?.shape()?,
            other => return Err(Refusal::Unsupported(format!("its type is {other}, neither bert nor nomic_bert"))),
        };
        shape.check().map_err(Refusal::Broken)?;
        Ok(shape)
    }

    /// The length of a head.
    pub fn head(&self) -> usize {
        self.width / self.heads
    }

    fn check(&self) -> Result<(), String> {
        let sizes = [
            ("the width", self.width, MOST_WIDTH),
            ("the number of blocks", self.blocks, 256),
            ("the number of heads", self.heads, 1_024),
            ("the inner width", self.inner, 131_072),
            ("the vocabulary", self.vocabulary, 4_000_000),
            ("the number of positions", self.length, MOST_POSITIONS),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return Err(format!("{name} is {value}, not between 1 and {most}"));
            }
        }
        if self.kinds > 64 || (self.kinds == 0 && self.family == Family::Bert) {
            return Err(format!("type_vocab_size is {}", self.kinds));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(format!("{} heads do not divide a width of {}", self.heads, self.width));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(format!("the epsilon of its norms is {}", self.epsilon));
        }
        if let Positions::Rotary { base } = self.positions {
            if !(base.is_finite() && base >= 1.0) {
                return Err(format!("rotary_emb_base is {base}"));
            }
            if !self.head().is_multiple_of(2) {
                return Err(format!("heads of {} numbers cannot be rotated", self.head()));
            }
        }
        Ok(())
    }
}

fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| Refusal::Broken(error.to_string()))
}

/// The configuration of BERT, as transformers writes it.
#[derive(Deserialize)]
struct Bert {
    #[serde(default, rename = "_name_or_path")]
    name: Option<String>,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

impl Bert {
    fn shape(self) -> Result<Shape, Refusal> {
        if let Some(other) = self.hidden_act.filter(|act| act != "gelu") {
            return Err(Refusal::Unsupported(format!("its activation is {other}, not gelu")));
        }
        if let Some(other) = self.position_embedding_type.filter(|kind| kind != "absolute") {
            return Err(Refusal::Unsupported(format!("its positions are {other}, not absolute")));
        }
        if self.is_decoder {
            return Err(Refusal::Unsupported("it is a decoder, which reads in one direction".to_owned()));
        }
        Ok(Shape {
            family: Family::Bert,
            name: self.name,
            width: self.hidden_size,
            blocks: self.num_hidden_layers,
            heads: self.num_attention_heads,
            inner: self.intermediate_size,
            vocabulary: self.vocab_size,
            length: self.max_position_embeddings,
            kinds: self.type_vocab_size.unwrap_or(2),
            epsilon: self.layer_norm_eps.unwrap_or(1e-12),
            positions: Positions::Learned,
            attention_biases: true,
            up_biases: true,
            down_biases: true,
        })
    }
}

/// The configuration of NomicBert, which names its sizes as GPT-2 does; later ones name them as BERT does as well.
#[derive(Deserialize)]
struct Nomic {
    #[serde(default, rename = "_name_or_path")]
    name: Option<String>,
    n_embd: Option<usize>,
    hidden_size: Option<usize>,
    n_layer: Option<usize>,
    num_hidden_layers: Option<usize>,
    n_head: Option<usize>,
    num_attention_heads: Option<usize>,
    n_inner: Option<usize>,
    intermediate_size: Option<usize>,
    vocab_size: usize,
    max_trained_positions: Option<usize>,
    max_position_embeddings: Option<usize>,
    n_positions: Option<usize>,
    type_vocab_size: Option<usize>,
    layer_norm_epsilon: Option<f64>,
    layer_norm_eps: Option<f64>,
    activation_function: Option<String>,
    rotary_emb_base: Option<f64>,
    rotary_emb_fraction: Option<f64>,
    rotary_emb_scale_base: Option<f64>,
    num_heads_kv: Option<usize>,
    moe_every_n_layers: Option<usize>,
    #[serde(default)]
    rotary_emb_interleaved: Option<bool>,
    qkv_proj_bias: Option<bool>,
    mlp_fc1_bias: Option<bool>,
    mlp_fc2_bias: Option<bool>,
    prenorm: Option<bool>,
    parallel_block: Option<bool>,
    use_rms_norm: Option<bool>,
    causal: Option<bool>,
}

impl Nomic {
    fn shape(self) -> Result<Shape, Refusal> {
        let missing = |name: &str| Refusal::Broken(format!("{name} is missing"));
        let heads = self.n_head.or(self.num_attention_heads).ok_or_else(|| missing("n_head"))?;
        let activation = self.activation_function.as_deref().unwrap_or("gelu");
        let asked = |flag: Option<bool>| flag == Some(true);
        let fraction = self.rotary_emb_fraction.unwrap_or(0.0);
        let why = if activation != "swiglu" {
            format!("its activation is {activation}, not swiglu")
        } else if fraction != 1.0 {
            format!("it rotates the share {fraction} of a head, not all of it")
        } else if asked(self.rotary_emb_interleaved) {
            "it rotates neighbours instead of halves".to_owned()
        } else if self.rotary_emb_scale_base.is_some() {
            "it scales what it rotates".to_owned()
        } else if asked(self.prenorm) || asked(self.parallel_block) {
            "its blocks are normalised before or computed beside each other".to_owned()
        } else if asked(self.use_rms_norm) {
            "it normalises by the root mean square".to_owned()
        } else if asked(self.causal) {
            "it reads in one direction".to_owned()
        } else if self.moe_every_n_layers.is_some_and(|every| every > 0) {
            "it is a mixture of experts".to_owned()
        } else if self.num_heads_kv.is_some_and(|kv| kv != heads) {
            "its heads share keys and values".to_owned()
        } else {
            String::new()
        };
        if !why.is_empty() {
            return Err(Refusal::Unsupported(why));
        }
        let inner = self.n_inner.or(self.intermediate_size).ok_or_else(|| missing("n_inner"))?;
        Ok(Shape {
            family: Family::Nomic,
            name: self.name,
            width: self.n_embd.or(self.hidden_size).ok_or_else(|| missing("n_embd"))?,
            blocks: self.n_layer.or(self.num_hidden_layers).ok_or_else(|| missing("n_layer"))?,
            heads,
            inner: inner.checked_next_multiple_of(NOMIC_MULTIPLE).unwrap_or(usize::MAX),
            vocabulary: self.vocab_size,
            // Beyond it the angles would have to be stretched, and vectors would depend on how long a text is.
            length: self
                .max_trained_positions
                .or(self.max_position_embeddings)
                .or(self.n_positions)
                .ok_or_else(|| missing("max_trained_positions"))?
                .min(NOMIC_LENGTH),
            kinds: self.type_vocab_size.unwrap_or(2),
            epsilon: self.layer_norm_epsilon.or(self.layer_norm_eps).unwrap_or(1e-5),
            positions: Positions::Rotary { base: self.rotary_emb_base.unwrap_or(NOMIC_BASE) },
            attention_biases: self.qkv_proj_bias.unwrap_or(true),
            up_biases: self.mlp_fc1_bias.unwrap_or(true),
            down_biases: self.mlp_fc2_bias.unwrap_or(true),
        })
    }
}
