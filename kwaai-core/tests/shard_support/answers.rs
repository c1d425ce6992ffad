//! Questions in tokens, and answers to the bit.

use kwaai_core::Result;
use kwaai_core::event::{Item, Stream};
use kwaai_core::llm::{GenerateEvent, GenerateRequest, Hop, Prompt, Usage};
use kwaai_core::shard::{EngineOptions, LoadOptions, Model, PrefixCache, Route, ShardEngine};

/// The bytes of tokens with the bits of their log-probabilities.
pub type Said = Vec<(Vec<u8>, u32)>;

/// An answer, what it cost and where it was computed.
#[derive(Debug)]
pub struct Answer {
    pub said: Said,
    pub usage: Usage,
    pub path: Vec<Hop>,
}

/// Asks for tokens of a text that does not end by itself.
pub fn asked(tokens: &[u32], max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: Some(Prompt::Tokens(tokens.to_vec())),
        max_tokens,
        temperature: 1.0,
        seed: 5,
        top_logprobs: Some(0),
        logit_bias: [(257, -1e6), (258, -1e6)].into(),
        ..GenerateRequest::default()
    }
}

/// Tokens that differ with the seed.
pub fn text(length: usize, seed: usize) -> Vec<u32> {
    (0..length).map(|place| ((place * place * 7 + (3 + seed) * place + 11 * seed) % 256) as u32).collect()
}

/// Reads an answer to its end, and calls `heard` after each piece with the count of tokens so far.
pub async fn read(mut stream: Stream<GenerateEvent>, mut heard: impl AsyncFnMut(usize)) -> Result<Answer> {
    let mut said = Vec::new();
    loop {
        match stream.next().await? {
            Some(Item::Value(GenerateEvent::Token { tokens, .. })) => {
                said.extend(tokens.into_iter().map(|token| (token.chosen.bytes, token.chosen.logprob.to_bits())));
                heard(said.len()).await;
            }
            Some(Item::Value(GenerateEvent::Done { usage, path, .. })) => return Ok(Answer { said, usage, path }),
            other => panic!("an answer has no {other:?}"),
        }
    }
}

/// An answer.
pub async fn answered(engine: &ShardEngine, model: &Model, request: GenerateRequest, route: Route) -> Answer {
    read(engine.generate(model, request, route).await.unwrap(), async |_| {}).await.unwrap()
}

/// An engine that keeps nothing of what it was asked.
pub fn forgetful() -> ShardEngine {
    let prefix_cache = PrefixCache { texts: 0, ..PrefixCache::default() };
    ShardEngine::new(None, EngineOptions { prefix_cache, ..EngineOptions::default() })
}

/// What a model says that runs whole, here, and was asked nothing before.
pub async fn expected(path: &std::path::Path, tokens: &[u32], max_tokens: u32) -> Said {
    let engine = forgetful();
    let model = engine.load(path, LoadOptions::default()).await.unwrap();
    answered(&engine, &model, asked(tokens, max_tokens), Route::Local).await.said
}
