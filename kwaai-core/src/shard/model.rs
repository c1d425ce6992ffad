//! A loaded model: its ends and tokenizer, and all, some or none of its blocks.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

#[cfg(not(feature = "ggml"))]
use super::backend::without_ggml;
use super::backend::{Backend, BlockSpan, CandleEnds, CandleSpan, Compute, ModelEnds, SpanState};
use super::config::ModelConfig;
use super::constraint::Vocabulary;
use super::gguf::Gguf;
use super::llama::{Ends, Span};
use super::prefix_cache::KeptTexts;
use super::template::ChatTemplate;
use super::tokens::{Tokens, end_of_text};
use super::weights::{Parts, Weights};
use super::wire::Hidden;
use crate::llm::hub::id_of_snapshot;
use crate::{Error, Result};

/// Which blocks of a model to load.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Blocks {
    /// All of them: the model runs whole on this machine.
    #[default]
    All,
    /// None: this machine keeps embedding and head, peers compute the blocks.
    None,
    /// A run of them.
    Span(Range<u32>),
}

/// How to load a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Which blocks to hold.
    pub blocks: Blocks,
    /// How they are computed.
    pub compute: Compute,
}

impl From<Blocks> for LoadOptions {
    fn from(blocks: Blocks) -> LoadOptions {
        LoadOptions { blocks, ..LoadOptions::default() }
    }
}

/// A loaded model. Clones share the weights.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    id: String,
    name: String,
    config: ModelConfig,
    backend: Backend,
    ends: Arc<dyn ModelEnds>,
    span: Option<Arc<dyn BlockSpan>>,
    tokens: Option<Tokens>,
    template: ChatTemplate,
    end_of_text: Vec<u32>,
    /// Made when a text is first held to a format.
    vocabulary: OnceLock<Result<Vocabulary>>,
    /// Texts on the blocks held here.
    kept: Arc<KeptTexts>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.0.span.as_ref().map(|span| span.range());
        f.debug_struct("Model").field("id", &self.0.id).field("blocks", &held).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads what `options` asks for; blocks the thread.
    pub(super) fn load(options: &LoadOptions, files: &Files) -> Result<Model> {
        let blocks = match &options.blocks {
            Blocks::All => Some(0..files.config.blocks),
            Blocks::None => None,
            Blocks::Span(range) => Some(block_range(range, &files.config)?),
        };
        let backend = files.backend(&options.compute)?;
        let ends = files.ends(&options.compute)?;
        let span = blocks.map(|range| files.span(range, &options.compute)).transpose()?;
        Ok(Model(Arc::new(Inner {
            id: files.id.clone(),
            name: files.source.name().unwrap_or_else(|| files.id.clone()),
            backend,
            ends,
            span,
            tokens: files.source.tokens(&files.config)?,
            template: files.source.template()?,
            end_of_text: files.source.end_of_text(&files.config)?,
            vocabulary: OnceLock::new(),
            kept: Arc::default(),
            config: files.config.clone(),
        })))
    }

    /// The model's id, the same on every machine that has the same weights: family, blocks, hidden size and a sha256
    /// over configuration and tensors.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The name of the directory or file that it was loaded from, for people.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.0.config
    }

    /// The blocks held here.
    pub fn held_blocks(&self) -> Option<Range<u32>> {
        self.0.span.as_ref().map(|span| span.range().start as u32..span.range().end as u32)
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// `unsupported` when the model directory has no `tokenizer.json`, or the GGUF file no vocabulary.
    pub fn tokens(&self) -> Result<&Tokens> {
        self.0.tokens.as_ref().ok_or_else(|| {
            Error::unsupported(format!("{} has no tokenizer, so it reads and writes no text", self.0.name))
                .with_remedy("put the model's tokenizer.json beside its weights")
        })
    }

    /// The chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.0.template
    }

    /// The token ids that end a text.
    pub fn end_of_text(&self) -> &[u32] {
        &self.0.end_of_text
    }

    /// The tokens as formats are compared with them.
    pub(super) fn vocabulary(&self) -> Result<&Vocabulary> {
        let made = || Vocabulary::new(self.tokens()?, self.0.config.vocab_size, &self.0.end_of_text);
        self.0.vocabulary.get_or_init(made).as_ref().map_err(Error::clone)
    }

    /// What computes the ends, and the blocks held here.
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    pub(super) fn kept(&self) -> Arc<KeptTexts> {
        self.0.kept.clone()
    }

    pub(super) fn span(&self) -> Option<Arc<dyn BlockSpan>> {
        self.0.span.clone()
    }

    /// Begins a text of at most `max_tokens` tokens on the blocks held here, whichever these are: what a caller of its own
    /// transport needs, beside [`embed`](Self::embed) and [`head`](Self::head).
    ///
    /// # Errors
    /// `invalid_argument` when no blocks are held, for no tokens, and for more than the model's context.
    pub fn begin(&self, max_tokens: usize) -> Result<Box<dyn SpanState>> {
        let span = self.span().ok_or_else(|| {
            Error::invalid_argument("no blocks of this model are loaded here").with_remedy("load some of them")
        })?;
        let context = self.0.config.max_context;
        if !(1..=context).contains(&max_tokens) {
            return Err(Error::invalid_argument(format!("{max_tokens} tokens, where 1 to {context} fit the model")));
        }
        let held = span.range();
        span.open(held, max_tokens)
    }

    /// Checks the ids of a text and looks their states up.
    ///
    /// # Errors
    /// `invalid_argument` for an id outside of the vocabulary.
    pub fn embed(&self, tokens: &[u32]) -> Result<Hidden> {
        let config = &self.0.config;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= config.vocab_size) {
            return Err(Error::invalid_argument(format!(
                "token {token} is outside of the vocabulary of {}",
                config.vocab_size
            )));
        }
        let values = self.0.ends.embed(tokens)?;
        Ok(Hidden { tokens: tokens.len() as u32, size: config.hidden_size as u32, values })
    }

    /// The logits of each token, row by row, from the states after the last block. Blocks the thread.
    ///
    /// # Errors
    /// `invalid_argument` for states that are not of the model's length.
    pub fn head(&self, hidden: Hidden) -> Result<Vec<Vec<f32>>> {
        let size = self.0.config.hidden_size;
        if hidden.tokens == 0 || hidden.values.len() != hidden.tokens as usize * size {
            let (values, tokens) = (hidden.values.len(), hidden.tokens);
            return Err(Error::invalid_argument(format!("{values} values are not {tokens} states of length {size}")));
        }
        self.0.ends.logits(hidden.values)
    }
}

/// Where a model is: a directory as Hugging Face lays it out, or one GGUF file.
pub(super) enum Source {
    Directory(PathBuf),
    Gguf(PathBuf, Box<Gguf>),
}

impl Source {
    pub fn open(path: &Path) -> Result<Source> {
        match Gguf::is_at(path) {
            true => Ok(Source::Gguf(path.to_path_buf(), Box::new(Gguf::open(path)?))),
            false => Ok(Source::Directory(path.to_path_buf())),
        }
    }

    pub fn config(&self) -> Result<ModelConfig> {
        match self {
            Source::Directory(dir) => ModelConfig::load(&dir.join("config.json")),
            Source::Gguf(_, gguf) => gguf.config(),
        }
    }

    pub fn weights(&self, config: &ModelConfig) -> Result<Weights> {
        match self {
            Source::Directory(dir) => Weights::open(dir),
            Source::Gguf(_, gguf) => gguf.weights(config),
        }
    }

    fn name(&self) -> Option<String> {
        let name = match self {
            // The folder's own name is that of a commit.
            Source::Directory(dir) if let Some(id) = id_of_snapshot(dir) => return Some(id.name().to_owned()),
            Source::Directory(dir) => dir.file_name(),
            Source::Gguf(file, _) => file.file_stem(),
        };
        name.map(|name| name.to_string_lossy().into_owned())
    }

    fn tokens(&self, config: &ModelConfig) -> Result<Option<Tokens>> {
        match self {
            Source::Directory(dir) => Tokens::load(dir, config),
            Source::Gguf(_, gguf) => gguf.tokens(config),
        }
    }

    fn template(&self) -> Result<ChatTemplate> {
        match self {
            Source::Directory(dir) => ChatTemplate::load(dir),
            Source::Gguf(_, gguf) => gguf.template(),
        }
    }

    fn end_of_text(&self, config: &ModelConfig) -> Result<Vec<u32>> {
        match self {
            Source::Directory(dir) => end_of_text(dir, config),
            Source::Gguf(..) => Ok(config.eos_token_ids.clone()),
        }
    }
}

/// A model whose headers have been read and whose id is known.
pub(super) struct Files {
    pub source: Source,
    pub config: ModelConfig,
    pub weights: Weights,
    pub id: String,
}

impl Files {
    /// The id of a model with this digest.
    pub fn id_of(config: &ModelConfig, digest: &str) -> String {
        format!("{}-{}x{}-{}", config.family.name(), config.blocks, config.hidden_size, &digest[..32.min(digest.len())])
    }

    /// Reads a span of blocks for serving; blocks the thread.
    pub fn load_span(&self, blocks: &Range<u32>, compute: &Compute) -> Result<Arc<dyn BlockSpan>> {
        let range = block_range(blocks, &self.config)?;
        self.span(range, compute)
    }

    fn backend(&self, compute: &Compute) -> Result<Backend> {
        compute.choose(self.weights.are_quantised())
    }

    /// Bytes that the weights of each block take in memory, by the headers of the files alone.
    ///
    /// # Errors
    /// Those of [`Weights::load`] that come from headers.
    pub fn block_bytes(&self, compute: &Compute) -> Result<Vec<u64>> {
        let backend = self.backend(compute)?;
        let bytes = |block| -> Result<u64> {
            let places = self.weights.places(&self.config, &Parts { blocks: block..block + 1, ends: false })?;
            Ok(places.into_iter().map(|(_, place)| place.bytes_in_memory(backend)).sum())
        };
        (0..self.config.blocks).map(bytes).collect()
    }

    /// Bytes that one block keeps for one token.
    ///
    /// # Errors
    /// `unsupported` for a backend that this build does not have.
    pub fn cache_bytes_per_token(&self, compute: &Compute) -> Result<usize> {
        match self.backend(compute)? {
            Backend::Candle => Ok(self.config.cache_bytes_per_token()),
            #[cfg(feature = "ggml")]
            Backend::Ggml => Ok(super::ggml::cache_bytes_per_token(&self.config)),
            #[cfg(not(feature = "ggml"))]
            Backend::Ggml => Err(without_ggml()),
        }
    }

    fn span(&self, range: Range<usize>, compute: &Compute) -> Result<Arc<dyn BlockSpan>> {
        let parts = Parts { blocks: range.clone(), ends: false };
        self.weights.require(&self.config, &parts)?;
        match self.backend(compute)? {
            Backend::Candle => {
                let weights = self.weights.load(&self.config, &parts)?;
                let span = Span::new(&self.config, range, &weights).map_err(assembled)?;
                Ok(Arc::new(CandleSpan::new(&self.config, span)))
            }
            #[cfg(feature = "ggml")]
            Backend::Ggml => {
                let span = super::ggml::GgmlSpan::load(&self.config, &self.weights, range, compute)?;
                Ok(Arc::new(span))
            }
            #[cfg(not(feature = "ggml"))]
            Backend::Ggml => Err(without_ggml()),
        }
    }

    fn ends(&self, compute: &Compute) -> Result<Arc<dyn ModelEnds>> {
        let parts = Parts { blocks: 0..0, ends: true };
        self.weights.require(&self.config, &parts)?;
        match self.backend(compute)? {
            Backend::Candle => {
                let weights = self.weights.load(&self.config, &parts)?;
                let ends = Ends::new(&self.config, &weights).map_err(assembled)?;
                Ok(Arc::new(CandleEnds::new(&self.config, ends)))
            }
            #[cfg(feature = "ggml")]
            Backend::Ggml => {
                let ends = super::ggml::GgmlEnds::load(&self.config, &self.weights, compute)?;
                Ok(Arc::new(ends))
            }
            #[cfg(not(feature = "ggml"))]
            Backend::Ggml => Err(without_ggml()),
        }
    }
}

pub(super) fn block_range(range: &Range<u32>, config: &ModelConfig) -> Result<Range<usize>> {
    if range.is_empty() || range.end as usize > config.blocks {
        return Err(Error::invalid_argument(format!(
            "blocks {}..{} are no part of a model with {} blocks",
            range.start, range.end, config.blocks
        )));
    }
    Ok(range.start as usize..range.end as usize)
}

/// Names and shapes were compared before, so that this is a defect.
fn assembled(error: candle_core::Error) -> Error {
    Error::internal("the model could not be put together from its weights").with_source(error)
}
