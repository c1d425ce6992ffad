//! The byte-level BPE tokenizer: trained on the questions and answers, saved as Hugging Face files.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer, TokenizerBuilder};

use crate::Result;
use crate::questions::Questions;

/// Begins every text.
pub const BEGIN: &str = "<|bos|>";
/// Begins a turn of the person.
pub const USER: &str = "<|user|>";
/// Begins a turn of the model.
pub const ASSISTANT: &str = "<|assistant|>";
/// Ends a turn.
pub const END: &str = "<|end|>";
/// Fills a batch; never inside a text.
pub const PAD: &str = "<|pad|>";

/// At most this many tokens; a small text has fewer.
const VOCABULARY: usize = 1536;

/// Only the last turn of the person is shown to the model, because it learns single questions. The space in front of
/// the question makes a first word the same token as the word further inside.
pub const CHAT_TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}{% if loop.last and message['role'] == 'user' %}<|user|> {{ message['content'] | trim }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// A tokenizer and the ids that a training needs.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    end: u32,
    pad: u32,
}

impl Vocabulary {
    /// Trains on what the model may learn from; held-out paraphrases stay unseen.
    pub fn train(questions: &Questions) -> Result<Vocabulary> {
        let special = [BEGIN, USER, ASSISTANT, END, PAD].map(|text| AddedToken::from(text, true));
        let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        let mut trainer = BpeTrainer::builder()
            .vocab_size(VOCABULARY)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(special.to_vec())
            .initial_alphabet(alphabet.into_iter().collect())
            .build();
        let byte_level = ByteLevel::default().add_prefix_space(false);
        let mut tokenizer = TokenizerBuilder::default()
            .with_model(BPE::default())
            .with_normalizer(None::<tokenizers::NormalizerWrapper>)
            .with_pre_tokenizer(Some(byte_level))
            .with_post_processor(None::<tokenizers::PostProcessorWrapper>)
            .with_decoder(Some(ByteLevel::default()))
            .build()?;
        let asked = questions
            .training
            .iter()
            .flat_map(|example| [format!(" {}", example.question), format!(" {}", example.question.to_lowercase())]);
        let answers = questions.pairs.iter().map(|pair| pair.answer.clone());
        tokenizer.train(&mut trainer, asked.chain(answers))?;
        let tokenizer: Tokenizer = serde_json::from_str(&tokenizer.to_string(false)?)?;
        Vocabulary::of(tokenizer)
    }

    /// Reads `tokenizer.json`.
    pub fn load(directory: &Path) -> Result<Vocabulary> {
        Vocabulary::of(Tokenizer::from_file(directory.join("tokenizer.json"))?)
    }

    fn of(tokenizer: Tokenizer) -> Result<Vocabulary> {
        let id = |text: &str| tokenizer.token_to_id(text).ok_or_else(|| format!("the tokenizer has no {text}"));
        let (end, pad) = (id(END)?, id(PAD)?);
        Ok(Vocabulary { tokenizer, end, pad })
    }

    /// The number of token ids.
    pub fn size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The id that ends a turn.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The id that fills a batch.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// The ids of a special token by its text.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The prompt of a question, as the chat template renders it.
    pub fn prompt(&self, question: &str) -> Result<Vec<u32>> {
        self.encode(&format!("{BEGIN}{USER} {}{END}{ASSISTANT}", question.trim()))
    }

    /// The tokens of an answer with the end of the turn.
    pub fn answer(&self, answer: &str) -> Result<Vec<u32>> {
        self.encode(&format!("{answer}{END}"))
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.tokenizer.encode(text, false)?.get_ids().to_vec())
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`.
    pub fn save(&self, directory: &Path, max_context: usize) -> Result<()> {
        self.tokenizer.save(directory.join("tokenizer.json"), true)?;
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_context,
            "bos_token": BEGIN,
            "eos_token": END,
            "pad_token": PAD,
            "additional_special_tokens": [USER, ASSISTANT],
            "clean_up_tokenization_spaces": false,
            "chat_template": CHAT_TEMPLATE,
        });
        write_sorted(&directory.join("tokenizer_config.json"), config)
    }
}

/// Writes a file of settings with its members in the order of their names.
pub(crate) fn write_sorted(path: &Path, mut settings: Value) -> Result<()> {
    settings.sort_all_objects();
    std::fs::write(path, format!("{settings:#}\n"))?;
    Ok(())
}
