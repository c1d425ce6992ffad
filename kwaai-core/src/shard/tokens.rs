//! Text to tokens, and tokens back to text piece by piece.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokenizers::{DecoderWrapper, Tokenizer};

use super::config::{ModelConfig, read_bounded, token_ids};
use crate::llm::tokenizer::caught;
use crate::{Error, Result};

const MAX_TOKENIZER: u64 = 256 * 1024 * 1024;
const MAX_CONFIG: u64 = 1024 * 1024;
/// A character has at most four bytes; a model that writes more tokens than this without ending one writes no UTF-8.
const LONGEST_CHARACTER: usize = 8;

/// The tokenizer of a model.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    tokenizer: Tokenizer,
    writing: Writing,
    special: HashSet<u32>,
}

/// How tokens stand for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// Each letter of a token is a byte, in the alphabet of GPT-2.
    ByteLevel,
    /// As SentencePiece has it: ▁ is a space and `<0xE2>` a byte. `first_space`: one before the text is none of its own.
    Pieces { first_space: bool },
    /// Otherwise; only whole texts can be decoded.
    Whole,
}

impl Tokens {
    /// Reads `tokenizer.json` of a model directory; `None` when there is no such file.
    ///
    /// # Errors
    /// `corrupt_data` when the file is broken or has more tokens than the model knows.
    pub fn load(dir: &Path, config: &ModelConfig) -> Result<Option<Tokens>> {
        let path = dir.join("tokenizer.json");
        match path.exists() {
            true => Tokens::parse(&read_bounded(&path, MAX_TOKENIZER)?, config, &path).map(Some),
            false => Ok(None),
        }
    }

    /// Reads the text of a `tokenizer.json` that came from `file`.
    pub(super) fn parse(json: &[u8], config: &ModelConfig, file: &Path) -> Result<Tokens> {
        let corrupt = |why: String| {
            Error::corrupt_data(format!("the tokenizer is broken: {why}"))
                .with_file(file)
                .with_remedy("use the tokenizer that belongs to the weights")
        };
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| corrupt(error.to_string()))?;
        // A tokenizer may be saved with settings for batches of training data.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| corrupt(error.to_string()))?;
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or_default();
        if highest as usize >= config.vocab_size {
            return Err(corrupt(format!(
                "it has the token id {highest}, but the model has {} tokens",
                config.vocab_size
            )));
        }
        Ok(Tokens::new(tokenizer))
    }

    fn new(tokenizer: Tokenizer) -> Tokens {
        let writing = tokenizer.get_decoder().map_or(Writing::Whole, writing);
        let added = tokenizer.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        Tokens(Arc::new(Inner { tokenizer, writing, special }))
    }

    /// The token ids of a text.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoding = caught(|| self.0.tokenizer.encode_fast(text, add_special_tokens))?
            .map_err(|error| Error::invalid_argument(format!("the text cannot be tokenized: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of token ids, special tokens left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let decoded = caught(|| self.0.tokenizer.decode(ids, true))?;
        decoded.map_err(|error| Error::internal(format!("tokens cannot be decoded: {error}")))
    }

    /// The token id of a token's exact text.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.0.tokenizer.token_to_id(token)
    }

    /// A decoder for one generation.
    pub fn decoder(&self) -> Decoder {
        Decoder { tokens: self.clone(), ids: Vec::new(), start: 0, shown: 0, bytes: Vec::new(), begun: false }
    }

    /// Whether each token has its bytes, however the text goes on.
    pub(super) fn stand_for_bytes(&self) -> bool {
        self.0.writing != Writing::Whole
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.0.special.contains(&id)
    }

    /// How a token is written in a list of tokens: its text, a special one by its name.
    pub(super) fn name_of(&self, id: u32) -> String {
        match self.0.special.contains(&id) {
            true => self.0.tokenizer.id_to_token(id).unwrap_or_default(),
            false => String::from_utf8_lossy(&self.bytes(id)).into_owned(),
        }
    }

    /// The bytes that a token stands for; none for a special one and for an unknown id.
    pub(super) fn bytes(&self, id: u32) -> Vec<u8> {
        if self.0.special.contains(&id) {
            return Vec::new();
        }
        let Some(token) = self.0.tokenizer.id_to_token(id) else { return Vec::new() };
        match self.0.writing {
            // A token that was added may have letters outside of the alphabet, and is itself then.
            Writing::ByteLevel => token.chars().map(byte_of).collect::<Option<Vec<u8>>>().unwrap_or(token.into_bytes()),
            _ => match token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')) {
                Some(digits) if digits.len() == 2 => match u8::from_str_radix(digits, 16) {
                    Ok(byte) => vec![byte],
                    Err(_) => token.into_bytes(),
                },
                _ => token.replace('\u{2581}', " ").into_bytes(),
            },
        }
    }
}

/// Recognises the two decoders that nearly all models have.
fn writing(decoder: &DecoderWrapper) -> Writing {
    let steps = match decoder {
        DecoderWrapper::ByteLevel(_) => return Writing::ByteLevel,
        decoder => serde_json::to_value(decoder).unwrap_or_default(),
    };
    let pieces = [
        json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
    match steps.get("decoders").and_then(Value::as_array).map(Vec::as_slice) {
        Some([known @ .., last]) if known == pieces && *last == strip => Writing::Pieces { first_space: true },
        Some(known) if known == pieces => Writing::Pieces { first_space: false },
        _ => Writing::Whole,
    }
}

/// The byte that a letter stands for in GPT-2's alphabet: printable bytes are their own letters, the others follow from
/// U+0100 on, in ascending order.
fn byte_of(letter: char) -> Option<u8> {
    let own = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(letter) {
        code @ 0..256 => Some(code as u8).filter(own),
        code => (0..=255u8).filter(|byte| !own(byte)).nth(code as usize - 256),
    }
}

/// Turns the tokens of one generation into pieces of text that never end inside a character.
pub struct Decoder {
    tokens: Tokens,
    ids: Vec<u32>,
    /// Decoding begins here: some tokenizers write a token differently at the beginning of a text, so that a few tokens
    /// before the new ones are decoded along.
    start: usize,
    /// The text of the tokens before this one has been given out.
    shown: usize,
    /// The beginning of a character.
    bytes: Vec<u8>,
    /// Whether the text has its first byte.
    begun: bool,
}

impl Decoder {
    /// The text that the next token completes; empty while a character is incomplete. What can become no character is
    /// written as U+FFFD.
    pub fn push(&mut self, id: u32) -> Result<String> {
        if self.tokens.0.writing != Writing::Whole {
            return Ok(self.push_bytes(&self.tokens.bytes(id)));
        }
        self.ids.push(id);
        let text = self.tokens.decode(&self.ids[self.start..])?;
        if text.ends_with(char::REPLACEMENT_CHARACTER) && self.ids.len() - self.shown < LONGEST_CHARACTER {
            return Ok(String::new());
        }
        self.take(&text)
    }

    /// What is left at the end of the text.
    pub fn finish(&mut self) -> Result<String> {
        if self.tokens.0.writing != Writing::Whole {
            return Ok(String::from_utf8_lossy(&std::mem::take(&mut self.bytes)).into_owned());
        }
        let text = self.tokens.decode(&self.ids[self.start..])?;
        self.take(&text)
    }

    fn push_bytes(&mut self, mut bytes: &[u8]) -> String {
        if !self.begun && !bytes.is_empty() {
            self.begun = true;
            if self.tokens.0.writing == (Writing::Pieces { first_space: true }) {
                bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
            }
        }
        self.bytes.extend(bytes);
        let mut text = String::new();
        let mut kept = 0;
        for chunk in self.bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            kept = chunk.invalid().len();
            let at_the_end = chunk.invalid().as_ptr_range().end == self.bytes.as_ptr_range().end;
            let may_go_on = std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if kept > 0 && !(at_the_end && may_go_on) {
                text.push(char::REPLACEMENT_CHARACTER);
                kept = 0;
            }
        }
        self.bytes.drain(..self.bytes.len() - kept);
        text
    }

    fn take(&mut self, text: &str) -> Result<String> {
        let before = self.tokens.decode(&self.ids[self.start..self.shown])?;
        // What was given out stays, even if later tokens would have it written otherwise.
        let same =
            text.chars().zip(before.chars()).take_while(|(one, other)| one == other).map(|(one, _)| one.len_utf8());
        let new = text[same.sum()..].to_string();
        if !new.is_empty() {
            self.start = self.shown;
            self.shown = self.ids.len();
        }
        Ok(new)
    }
}

/// The ids that end a text: those of `generation_config.json` and of `config.json` together, ascending.
pub fn end_of_text(dir: &Path, config: &ModelConfig) -> Result<Vec<u32>> {
    let path = dir.join("generation_config.json");
    let mut ids = config.eos_token_ids.clone();
    if path.exists() {
        let value: Value = serde_json::from_slice(&read_bounded(&path, MAX_CONFIG)?).map_err(|error| {
            Error::corrupt_data(format!("generation_config.json is not JSON: {error}"))
                .with_file(&path)
                .with_remedy("fetch the file again or remove it")
                .with_source(error)
        })?;
        if let Value::Object(map) = &value {
            ids.extend(token_ids(map, "eos_token_id").map_err(|error| error.with_file(&path))?);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Watches the text for stop texts, holding back what may be the beginning of one.
#[derive(Debug)]
pub struct StopTexts {
    stops: Vec<String>,
    held: String,
}

impl StopTexts {
    /// A watch for the given texts; empty ones are ignored.
    pub fn new(stops: &[String]) -> StopTexts {
        StopTexts { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    /// Takes a piece of text. Returns what may be shown, and whether a stop text came, before which the text ends.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(end) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(end);
            return (std::mem::take(&mut self.held), true);
        }
        // The longest end of the text that begins a stop text stays.
        let mut boundaries = self.held.char_indices().map(|(index, _)| index).chain([self.held.len()]);
        let keep_from = boundaries
            .find(|index| self.stops.iter().any(|stop| stop.starts_with(&self.held[*index..])))
            .unwrap_or(self.held.len());
        let rest = self.held.split_off(keep_from);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Takes a piece of text as [`push`](Self::push) does; when a stop text came, returns what follows it as well.
    pub(super) fn push_split(&mut self, piece: &str) -> (String, Option<String>) {
        let all = format!("{}{piece}", self.held);
        let (text, stopped) = self.push(piece);
        if !stopped {
            return (text, None);
        }
        let after = &all[text.len()..];
        let stop = self.stops.iter().find(|stop| after.starts_with(stop.as_str())).map_or(0, String::len);
        (text, Some(after[stop..].to_owned()))
    }

    /// What was held back, when the text ends otherwise.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A byte-level tokenizer without merges: each byte is one token.
    fn bytes_only() -> Tokens {
        let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let mut letters: Vec<char> = alphabet.into_iter().collect();
        letters.sort_unstable();
        let vocabulary = letters.iter().enumerate().map(|(id, letter)| (letter.to_string(), id as u32)).collect();
        let model = tokenizers::models::bpe::BPE::new(vocabulary, vec![]);
        let mut tokenizer = Tokenizer::new(model);
        let byte_level = tokenizers::pre_tokenizers::byte_level::ByteLevel::new(false, false, false);
        tokenizer.with_pre_tokenizer(Some(byte_level));
        tokenizer.with_decoder(Some(byte_level));
        Tokens::new(tokenizer)
    }

    #[test]
    fn pieces_are_whole_characters_and_add_up_to_the_text() {
        let tokens = bytes_only();
        let text = "Grüße, 日本 🦀!";
        let mut decoder = tokens.decoder();
        let mut pieces = Vec::new();
        for id in tokens.encode(text, false).unwrap() {
            pieces.push(decoder.push(id).unwrap());
        }
        pieces.push(decoder.finish().unwrap());
        assert!(pieces.iter().all(|piece| !piece.contains(char::REPLACEMENT_CHARACTER)));
        assert_eq!(pieces.concat(), text);
    }

    /// As SentencePiece writes: some pieces, and every byte.
    fn pieces() -> (Tokens, Vec<Vec<u8>>) {
        let whole = ["\u{2581}", "\u{2581}a", "b", "日", "é", "\u{2581}\u{2581}"].map(String::from);
        let names: Vec<String> = whole.into_iter().chain((0..=255).map(|byte| format!("<0x{byte:02X}>"))).collect();
        let decoders = json!([
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        ]);
        let vocabulary: serde_json::Map<String, Value> =
            names.iter().enumerate().map(|(id, name)| (name.clone(), id.into())).collect();
        let tokenizer = json!({
            "version": "1.0", "added_tokens": [], "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": true}
        });
        let tokens = Tokens::new(Tokenizer::from_bytes(tokenizer.to_string()).unwrap());
        assert_eq!(tokens.0.writing, Writing::Pieces { first_space: true });
        let bytes = |(id, name): (usize, &String)| match id {
            6.. => vec![(id - 6) as u8],
            _ => name.replace('\u{2581}', " ").into_bytes(),
        };
        let bytes = names.iter().enumerate().map(bytes).collect();
        (tokens, bytes)
    }

    fn decoded(tokens: &Tokens, ids: &[u32]) -> String {
        let mut decoder = tokens.decoder();
        let mut text = String::new();
        for id in ids {
            text.push_str(&decoder.push(*id).unwrap());
        }
        text + &decoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn whatever_bytes_tokens_have_the_pieces_are_the_text_of_all_of_them(ids in vec(0u32..262, 0..40)) {
            let (tokens, bytes) = pieces();
            let all: Vec<u8> = ids.iter().flat_map(|id| bytes[*id as usize].clone()).collect();
            let whole = String::from_utf8_lossy(all.strip_prefix(b" ").unwrap_or(&all)).into_owned();
            prop_assert_eq!(decoded(&tokens, &ids), whole);
        }

        #[test]
        fn whatever_letters_of_bytes_come_the_pieces_are_the_text_of_all_of_them(bytes in vec(any::<u8>(), 0..40)) {
            let tokens = bytes_only();
            // Each letter is one byte, so that the bytes of a text are its tokens in the same order.
            let letters: String = (0u32..0x800).chain([0x800, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000, 0x8000])
                .chain([0x9000, 0xa000, 0xb000, 0xc000, 0xd000, 0xe000, 0xf000, 0x10000, 0x40000, 0x80000, 0xc0000, 0x100000])
                .filter_map(char::from_u32).collect();
            let ids: HashMap<u8, u32> = letters.bytes().zip(tokens.encode(&letters, false).unwrap()).collect();
            let known: Vec<u8> = bytes.into_iter().filter(|byte| ids.contains_key(byte)).collect();
            let written: Vec<u32> = known.iter().map(|byte| ids[byte]).collect();
            prop_assert_eq!(decoded(&tokens, &written), String::from_utf8_lossy(&known));
        }

        #[test]
        fn texts_in_letters_of_bytes_come_back(text in any::<String>()) {
            let tokens = bytes_only();
            prop_assert_eq!(decoded(&tokens, &tokens.encode(&text, false).unwrap()), text);
        }
    }

    #[test]
    fn special_tokens_are_not_written_and_added_ones_are() {
        let mut tokenizer = bytes_only().0.tokenizer.clone();
        tokenizer.add_special_tokens([tokenizers::AddedToken::from("<end>", true)]).unwrap();
        tokenizer.add_tokens([tokenizers::AddedToken::from("two words", false)]).unwrap();
        let tokens = Tokens::new(tokenizer);
        let ids = tokens.encode("atwo words<end>b", false).unwrap();
        assert_eq!((ids.len(), decoded(&tokens, &ids)), (4, "atwo wordsb".to_string()));
    }

    #[test]
    fn a_text_that_ends_inside_a_character_says_so_at_its_end() {
        let tokens = bytes_only();
        let ids = tokens.encode("ab🦀", false).unwrap();
        let mut decoder = tokens.decoder();
        let shown: String = ids[..4].iter().map(|id| decoder.push(*id).unwrap()).collect();
        assert_eq!(shown, "ab");
        assert!(decoder.finish().unwrap().contains(char::REPLACEMENT_CHARACTER));
    }

    #[test]
    fn a_stop_text_is_found_across_pieces_and_never_shown() {
        let mut stops = StopTexts::new(&["END".to_string(), "\n\n".to_string(), String::new()]);
        assert_eq!(stops.push("one E"), ("one ".to_string(), false));
        assert_eq!(stops.push("N two"), ("EN two".to_string(), false));
        assert_eq!(stops.push("\n"), (String::new(), false));
        assert_eq!(stops.push("x EN"), ("\nx ".to_string(), false));
        assert_eq!(stops.push("D y"), (String::new(), true));
        let mut stops = StopTexts::new(&["END".to_string()]);
        assert_eq!(stops.push("wait EN"), ("wait ".to_string(), false));
        assert_eq!(stops.finish(), "EN");
    }
}
