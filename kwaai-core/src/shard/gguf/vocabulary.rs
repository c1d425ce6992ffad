//! The tokenizer and the chat template in the metadata of a GGUF file.
//!
//! A file holds a vocabulary, not a tokenizer: the kind (`tokenizer.ggml.model`) and the name of the rules by which a text
//! is cut before merging (`tokenizer.ggml.pre`) stand for code in llama.cpp. What they stand for is written here in the
//! terms of Hugging Face's `tokenizer.json`.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use super::{Gguf, Value, corrupt};
use crate::Result;
use crate::shard::config::ModelConfig;
use crate::shard::template::ChatTemplate;
use crate::shard::tokens::Tokens;

const KIND: &str = "tokenizer.ggml.model";
const RULES: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
/// Types of tokens, by ggml's numbers.
const UNKNOWN: i64 = 2;
pub(super) const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
/// Bytes of the longest piece that is put together from others; SentencePiece makes none of more than 16 characters
/// unless it is told to.
const LONGEST_PIECE: usize = 128;

const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a byte-level vocabulary cuts a text, and what goes with that.
struct Rules {
    pattern: &'static str,
    /// A piece that is a token as a whole is not put together from merges.
    whole_first: bool,
    composed: bool,
    begins: bool,
}

impl Rules {
    fn named(name: &str) -> Option<Rules> {
        let rules = |pattern, whole_first, composed, begins| Some(Rules { pattern, whole_first, composed, begins });
        match name {
            "llama-bpe" | "llama3" | "llama-v3" => rules(LLAMA_3, true, false, true),
            "qwen2" => rules(QWEN_2, false, true, false),
            "gpt-2" => rules(GPT_2, false, false, false),
            "tekken" => rules(TEKKEN, true, false, true),
            _ => None,
        }
    }
}

/// Tokens by number, and what they are for.
struct Vocabulary<'a> {
    tokens: &'a [String],
    types: &'a [i64],
}

impl Gguf {
    /// The tokenizer; `None` for a file without a vocabulary.
    ///
    /// # Errors
    /// `unsupported` for a kind of vocabulary, or rules of cutting, that this version does not know; `corrupt_data` when
    /// tokens, types, scores and merges do not fit each other. Each names the key and the file.
    pub(in crate::shard) fn tokens(&self, config: &ModelConfig) -> Result<Option<Tokens>> {
        match self.tokenizer().map_err(|error| error.with_file(&self.path))? {
            None => Ok(None),
            Some(json) => Tokens::parse(json.to_string().as_bytes(), config, &self.path).map(Some),
        }
    }

    /// The chat template.
    pub(in crate::shard) fn template(&self) -> Result<ChatTemplate> {
        let token = |name: &str| -> Result<String> {
            let id = self.token_id(&format!("tokenizer.ggml.{name}_token_id"))?;
            let token = id.and_then(|id| self.texts(TOKENS).ok()??.get(id as usize));
            Ok(token.cloned().unwrap_or_default())
        };
        let source = self.text("tokenizer.chat_template")?.map(str::to_string);
        ChatTemplate::new(source, token("bos")?, token("eos")?, &self.path)
    }

    /// The same tokenizer as `tokenizer.json` would have it.
    fn tokenizer(&self) -> Result<Option<Json>> {
        let Some(kind) = self.text(KIND)?.filter(|kind| *kind != "none") else { return Ok(None) };
        let tokens = self.texts(TOKENS)?.ok_or_else(|| corrupt(format!("{TOKENS} is missing")).with("key", TOKENS))?;
        let types = match self.get(TYPES) {
            None => &[],
            Some(Value::Integers(types)) if types.len() == tokens.len() => types.as_slice(),
            Some(_) => return Err(self.mistyped(TYPES, &format!("no list of {} numbers", tokens.len()))),
        };
        let vocabulary = Vocabulary { tokens, types };
        let (mut tokenizer, begins) = match kind {
            "gpt2" => self.byte_level(&vocabulary)?,
            "llama" => (self.sentencepiece(&vocabulary)?, true),
            other => return Err(self.unsupported(KIND, format!("{KIND} is {other:?}, a kind that is not read"))),
        };
        tokenizer["added_tokens"] = vocabulary.added();
        tokenizer["post_processor"] = self.ends(&vocabulary, begins)?;
        Ok(Some(tokenizer))
    }

    fn byte_level(&self, vocabulary: &Vocabulary) -> Result<(Json, bool)> {
        let name = self.text(RULES)?.unwrap_or("missing");
        let rules = Rules::named(name).ok_or_else(|| {
            let known = "llama-bpe, qwen2, gpt-2 and tekken";
            self.unsupported(RULES, format!("{RULES} is {name:?}; this version knows {known}"))
                .with_remedy("convert the model anew with a current llama.cpp, or use its safetensors files")
        })?;
        let merges = self.texts(MERGES)?.ok_or_else(|| corrupt(format!("{MERGES} is missing")).with("key", MERGES))?;
        if let Some(merge) = merges.iter().find(|merge| merge.split(' ').count() != 2) {
            return Err(
                corrupt(format!("{MERGES} has {:?}, which are not two parts", short(merge))).with("key", MERGES)
            );
        }
        let byte_level =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
        let cut =
            json!({"type": "Split", "pattern": {"Regex": rules.pattern}, "behavior": "Isolated", "invert": false});
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "normalizer": if rules.composed { json!({"type": "NFC"}) } else { Json::Null },
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [cut, byte_level]},
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocabulary.by_name()?, "merges": merges, "ignore_merges": rules.whole_first},
        });
        Ok((tokenizer, rules.begins))
    }

    fn sentencepiece(&self, vocabulary: &Vocabulary) -> Result<Json> {
        let scores = match self.get(SCORES) {
            Some(Value::Floats(scores)) if scores.len() == vocabulary.tokens.len() => scores.as_slice(),
            _ => return Err(self.mistyped(SCORES, &format!("no list of {} numbers", vocabulary.tokens.len()))),
        };
        let unknown = self.token_id("tokenizer.ggml.unknown_token_id")?.unwrap_or(0);
        let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
        let prefix = self.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        let before = prefix.then(|| json!({"type": "Prepend", "prepend": "\u{2581}"}));
        let normalizers: Vec<Json> = before.into_iter().chain([space]).collect();
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Ok(json!({
            "version": "1.0", "truncation": null, "padding": null,
            "normalizer": {"type": "Sequence", "normalizers": normalizers},
            "pre_tokenizer": null,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {
                "type": "BPE", "vocab": vocabulary.by_name()?, "merges": vocabulary.merges(scores),
                "unk_token": vocabulary.tokens.get(unknown as usize), "fuse_unk": true, "byte_fallback": true,
            },
        }))
    }

    /// Which tokens stand before and after a text, unless a template has written them.
    fn ends(&self, vocabulary: &Vocabulary, begins: bool) -> Result<Json> {
        let mut special = Map::new();
        let mut single = vec![json!({"Sequence": {"id": "A", "type_id": 0}})];
        for (name, default) in [("bos", begins), ("eos", false)] {
            let wanted = self.flag(&format!("tokenizer.ggml.add_{name}_token"))?.unwrap_or(default);
            let key = format!("tokenizer.ggml.{name}_token_id");
            let Some(id) = self.token_id(&key)?.filter(|_| wanted) else { continue };
            let token = vocabulary.tokens.get(id as usize).ok_or_else(|| {
                corrupt(format!("{key} is {id}, but there are {} tokens", vocabulary.tokens.len())).with("key", key)
            })?;
            special.insert(token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
            let place = if name == "bos" { 0 } else { single.len() };
            single.insert(place, json!({"SpecialToken": {"id": token, "type_id": 0}}));
        }
        if special.is_empty() {
            return Ok(Json::Null);
        }
        let pair = json!([{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]);
        Ok(json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}))
    }
}

impl Vocabulary<'_> {
    fn by_name(&self) -> Result<Map<String, Json>> {
        let mut names = Map::new();
        for (id, token) in self.tokens.iter().enumerate() {
            if let Some(earlier) = names.insert(token.clone(), id.into()) {
                return Err(corrupt(format!("{TOKENS} has the tokens {earlier} and {id} alike")).with("key", TOKENS));
            }
        }
        Ok(names)
    }

    /// Tokens that are found in a text before it is cut; those that mean something to the model alone are left out when
    /// its answer is written.
    fn added(&self) -> Json {
        let kinds =
            self.types.iter().enumerate().filter(|(_, kind)| matches!(**kind, UNKNOWN | CONTROL | USER_DEFINED));
        kinds
            .map(|(id, kind)| {
                json!({
                    "id": id, "content": self.tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": *kind != USER_DEFINED,
                })
            })
            .collect()
    }

    /// SentencePiece joins the two neighbours whose union has the best score. As merges: every way to put a piece together
    /// from two others, better pieces first.
    fn merges(&self, scores: &[f32]) -> Vec<(&str, &str)> {
        let ids: HashMap<&str, usize> =
            self.tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
        let plain = |id: usize| !matches!(self.types.get(id), Some(&(UNKNOWN | CONTROL)));
        let mut merges = Vec::new();
        for (id, token) in
            self.tokens.iter().enumerate().filter(|(id, token)| plain(*id) && token.len() <= LONGEST_PIECE)
        {
            let cuts = token.char_indices().skip(1).map(|(cut, _)| token.split_at(cut));
            let parts = cuts.filter_map(|(left, right)| Some((*ids.get(left)?, *ids.get(right)?)));
            let mut parts: Vec<_> = parts.filter(|(left, right)| plain(*left) && plain(*right)).collect();
            parts.sort_unstable();
            merges.extend(parts.into_iter().map(|(left, right)| (scores[id], left, right)));
        }
        merges.sort_by(|one, other| other.0.total_cmp(&one.0));
        merges.into_iter().map(|(_, left, right)| (self.tokens[left].as_str(), self.tokens[right].as_str())).collect()
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
