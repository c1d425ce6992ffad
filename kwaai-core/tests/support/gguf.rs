//! Writes GGUF files, right ones and others, by ggml's specification.
#![allow(dead_code, reason = "each test file uses its own part")]

/// A value with its type.
#[derive(Clone)]
pub enum Meta {
    U32(u32),
    F32(f32),
    Flag(u8),
    Text(Vec<u8>),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    /// A type that is written as it stands, and the bytes after it.
    Raw(u32, Vec<u8>),
}

impl Meta {
    pub fn text(text: &str) -> Meta {
        Meta::Text(text.as_bytes().to_vec())
    }

    fn write(&self, out: &mut Vec<u8>) {
        let list = |out: &mut Vec<u8>, of: u32, count: usize| {
            out.extend(9u32.to_le_bytes());
            out.extend(of.to_le_bytes());
            out.extend((count as u64).to_le_bytes());
        };
        match self {
            Meta::U32(value) => [4u32.to_le_bytes(), value.to_le_bytes()].iter().for_each(|bytes| out.extend(bytes)),
            Meta::F32(value) => [6u32.to_le_bytes(), value.to_le_bytes()].iter().for_each(|bytes| out.extend(bytes)),
            Meta::Flag(value) => {
                out.extend(7u32.to_le_bytes());
                out.push(*value);
            }
            Meta::Text(text) => {
                out.extend(8u32.to_le_bytes());
                write_text(out, text);
            }
            Meta::Texts(texts) => {
                list(out, 8, texts.len());
                texts.iter().for_each(|text| write_text(out, text.as_bytes()));
            }
            Meta::I32s(values) => {
                list(out, 5, values.len());
                values.iter().for_each(|value| out.extend(value.to_le_bytes()));
            }
            Meta::F32s(values) => {
                list(out, 6, values.len());
                values.iter().for_each(|value| out.extend(value.to_le_bytes()));
            }
            Meta::Raw(kind, bytes) => {
                out.extend(kind.to_le_bytes());
                out.extend(bytes);
            }
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}

/// A tensor: outermost dimension first, ggml's number of the type, and where it is said to begin (by itself: after the
/// one before).
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<u64>,
    pub kind: u32,
    pub offset: Option<u64>,
    pub bytes: Vec<u8>,
}

/// A file to be written.
#[derive(Clone)]
pub struct File {
    pub version: u32,
    pub metadata: Vec<(String, Meta)>,
    pub tensors: Vec<Tensor>,
}

impl File {
    /// A model of one block, in F32: `architecture` is `llama`, `qwen2` or `qwen3`.
    pub fn model(architecture: &str) -> File {
        let (hidden, inner, heads, kv, dim, vocabulary) = (8u64, 12u64, 2u64, 1u64, 4u64, 262u64);
        let text = |key: &str, text: &str| (key.to_string(), Meta::text(text));
        let mut metadata = vec![text("general.architecture", architecture), text("general.name", "small")];
        for (key, value) in [
            ("block_count", 1),
            ("context_length", 512),
            ("embedding_length", hidden),
            ("feed_forward_length", inner),
            ("attention.head_count", heads),
            ("attention.head_count_kv", kv),
            ("attention.key_length", dim),
        ] {
            metadata.push((format!("{architecture}.{key}"), Meta::U32(value as u32)));
        }
        metadata.push((format!("{architecture}.attention.layer_norm_rms_epsilon"), Meta::F32(1e-5)));
        metadata.extend(byte_tokens());
        let mut shapes = vec![
            ("token_embd.weight", vec![vocabulary, hidden]),
            ("output_norm.weight", vec![hidden]),
            ("blk.0.attn_norm.weight", vec![hidden]),
            ("blk.0.attn_q.weight", vec![heads * dim, hidden]),
            ("blk.0.attn_k.weight", vec![kv * dim, hidden]),
            ("blk.0.attn_v.weight", vec![kv * dim, hidden]),
            ("blk.0.attn_output.weight", vec![hidden, heads * dim]),
            ("blk.0.ffn_norm.weight", vec![hidden]),
            ("blk.0.ffn_gate.weight", vec![inner, hidden]),
            ("blk.0.ffn_up.weight", vec![inner, hidden]),
            ("blk.0.ffn_down.weight", vec![hidden, inner]),
        ];
        match architecture {
            "qwen2" => shapes.extend([
                ("blk.0.attn_q.bias", vec![heads * dim]),
                ("blk.0.attn_k.bias", vec![kv * dim]),
                ("blk.0.attn_v.bias", vec![kv * dim]),
            ]),
            "qwen3" => {
                shapes.extend([("blk.0.attn_q_norm.weight", vec![dim]), ("blk.0.attn_k_norm.weight", vec![dim])]);
            }
            _ => {}
        }
        let tensors = (1u64..).zip(shapes).map(|(seed, (name, shape))| {
            let value = |index: u64| ((index * 37 + seed * 11) as f32 * 0.618).sin();
            let bytes = (0..shape.iter().product()).flat_map(|index| value(index).to_le_bytes()).collect();
            Tensor { name: name.to_string(), shape, kind: 0, offset: None, bytes }
        });
        File { version: 3, metadata, tensors: tensors.collect() }
    }

    /// The same with another value under a key.
    pub fn with(mut self, key: &str, value: Meta) -> File {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_string(), value));
        self
    }

    /// The same without a key.
    pub fn without(mut self, key: &str) -> File {
        self.metadata.retain(|(name, _)| name != key);
        self
    }

    /// The same with one tensor changed.
    pub fn changed(mut self, name: &str, change: impl Fn(&mut Tensor)) -> File {
        self.tensors.iter_mut().filter(|tensor| tensor.name == name).for_each(change);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            write_text(&mut out, key.as_bytes());
            value.write(&mut out);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            data.resize(usize::next_multiple_of(data.len(), 32), 0);
            write_text(&mut out, tensor.name.as_bytes());
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|dimension| out.extend(dimension.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.bytes);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        out
    }
}

/// A vocabulary of bytes, three special tokens and a chat template, in Qwen's way.
fn byte_tokens() -> Vec<(String, Meta)> {
    byte_tokens_of(262)
}

/// The same with further tokens that no text has, up to `count`.
pub fn byte_tokens_of(count: usize) -> Vec<(String, Meta)> {
    let own = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let others: Vec<u8> = (0..=255).filter(|byte| !own(byte)).collect();
    let letter = |byte: u8| match others.iter().position(|other| *other == byte) {
        Some(place) => char::from_u32(256 + place as u32).unwrap(),
        None => char::from(byte),
    };
    let mut tokens: Vec<String> = (0..=255).map(|byte| letter(byte).to_string()).collect();
    tokens.extend(["<s>", "</s>", "<|im_end|>", "ab", "abc", "<think>"].map(String::from));
    let mut types = vec![1; 256];
    types.extend([3, 3, 3, 1, 1, 4]);
    tokens.extend((tokens.len()..count).map(|place| format!("<unused {place}>")));
    types.resize(tokens.len(), 5);
    let template = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
    [
        ("tokenizer.ggml.model", Meta::text("gpt2")),
        ("tokenizer.ggml.pre", Meta::text("qwen2")),
        ("tokenizer.ggml.tokens", Meta::Texts(tokens)),
        ("tokenizer.ggml.token_type", Meta::I32s(types)),
        ("tokenizer.ggml.merges", Meta::Texts(vec!["a b".to_string(), "ab c".to_string()])),
        ("tokenizer.ggml.bos_token_id", Meta::U32(256)),
        ("tokenizer.ggml.eos_token_id", Meta::U32(257)),
        ("tokenizer.chat_template", Meta::text(template)),
    ]
    .map(|(key, value)| (key.to_string(), value))
    .to_vec()
}
