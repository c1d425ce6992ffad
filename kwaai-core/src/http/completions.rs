//! `POST /v1/completions`: texts that are continued as they stand.

use std::sync::Arc;

use hyper::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::Shared;
use super::chat::{Head, model};
use super::choices::{Choices, End, Said, Whole, Writer, logprob, path, streamed};
use super::fields::Fields;
use super::reply::{Body, Failure, json as reply};
use super::route::turn;
use super::settings::Settings;
use crate::llm::{ChosenToken, GenerateEvent, GenerateRequest, Prompt, TokenLogprob};

/// As many of the likeliest tokens as OpenAI's reference allows.
const MOST_TOP: u32 = 5;
/// Texts of one request.
const MOST_PROMPTS: usize = 16;

pub(super) async fn answer(shared: &Arc<Shared>, headers: &HeaderMap, body: &[u8]) -> Result<Response<Body>, Failure> {
    let fields = Fields::parse(body)?;
    let (name, model) = model(shared, &fields)?;
    let settings = Settings::read(&fields, headers, "max_tokens")?;
    for (name, why) in [
        ("echo", "the text that is continued is not repeated here"),
        ("suffix", "no text is written between others here"),
        ("tools", "functions are called in conversations alone; use /v1/chat/completions"),
    ] {
        fields.refuse(name, why)?;
    }
    if fields.whole("best_of", 0..=u32::MAX)?.is_some_and(|best| best > settings.choices) {
        return Err(Failure::unsupported("best_of", "every choice is shown here; use n"));
    }
    let prompts = prompts(&fields)?;
    let top_logprobs = fields.whole("logprobs", 0..=MOST_TOP)?;
    let (count, choices) = (prompts.len(), settings.choices);
    let request = GenerateRequest { top_logprobs, ..settings.request };
    let requests = prompts.into_iter().map(|prompt| GenerateRequest { prompt: Some(prompt), ..request.clone() });
    let writer = TextWriter {
        head: Head::new(shared, "cmpl", name, model.name()),
        usage: settings.usage,
        offsets: vec![0; count * choices as usize],
    };
    let choices = Choices::start(model, requests.collect(), choices, turn(shared)?).await?;
    match settings.stream {
        true => Ok(streamed(choices, writer)),
        false => whole(choices, writer).await,
    }
}

struct TextWriter {
    head: Head,
    usage: bool,
    /// How many characters each choice has so far.
    offsets: Vec<usize>,
}

impl TextWriter {
    fn part(&self, choice: Value) -> Value {
        let mut chunk = self.head.of("text_completion", vec![choice]);
        if self.usage {
            chunk.insert("usage".into(), Value::Null);
        }
        chunk.into()
    }

    fn logprobs(&mut self, index: usize, tokens: &[ChosenToken]) -> Value {
        if tokens.is_empty() {
            return Value::Null;
        }
        let mut offset = self.offsets[index];
        let offsets = tokens.iter().map(|token| {
            let own = offset;
            offset += token.chosen.text.chars().count();
            own
        });
        let offsets: Vec<usize> = offsets.collect();
        self.offsets[index] = offset;
        let top = tokens.iter().map(|token| {
            let all = token.top.iter().map(|other: &TokenLogprob| (other.text.clone(), json!(logprob(other))));
            Value::Object(all.collect::<Map<_, _>>())
        });
        json!({
            "tokens": tokens.iter().map(|token| token.chosen.text.as_str()).collect::<Vec<_>>(),
            "token_logprobs": tokens.iter().map(|token| logprob(&token.chosen)).collect::<Vec<_>>(),
            "top_logprobs": top.collect::<Vec<_>>(),
            "text_offset": offsets,
        })
    }
}

impl Writer for TextWriter {
    fn begin(&mut self) -> Vec<Value> {
        Vec::new()
    }

    fn said(&mut self, index: usize, said: Said) -> Vec<Value> {
        match said {
            Said::Piece(GenerateEvent::Token { text, tokens }) => {
                let logprobs = self.logprobs(index, &tokens);
                let choice = json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": null});
                vec![self.part(choice)]
            }
            Said::Piece(GenerateEvent::Done { .. }) => Vec::new(),
            Said::End(end) => {
                let choice = json!({"index": index, "text": "", "logprobs": null, "finish_reason": end.reason});
                vec![self.part(choice)]
            }
        }
    }

    fn end(&mut self, choices: &Choices) -> Option<Value> {
        self.usage.then(|| {
            let mut chunk = self.head.of("text_completion", Vec::new());
            chunk.insert("usage".into(), choices.usage());
            chunk.extend(path(&choices.path).map(|path| ("kwaainet".to_owned(), path)));
            chunk.into()
        })
    }
}

async fn whole(mut choices: Choices, mut writer: TextWriter) -> Result<Response<Body>, Failure> {
    let texts = choices.whole(writer.offsets.len()).await?;
    let all = texts.into_iter().enumerate().map(|(index, Whole { text, tokens, end: End { reason, .. } })| {
        let logprobs = writer.logprobs(index, &tokens);
        json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason})
    });
    let all = all.collect();
    let mut answer = writer.head.of("text_completion", all);
    answer.insert("usage".into(), choices.usage());
    answer.extend(path(&choices.path).map(|path| ("kwaainet".to_owned(), path)));
    Ok(reply(StatusCode::OK, &answer.into()))
}

/// A text, texts, the tokens of one, or those of several.
fn prompts(fields: &Fields) -> Result<Vec<Prompt>, Failure> {
    let wrong =
        || fields.wrong("prompt", format!("a text, a list of token ids, or a list of at most {MOST_PROMPTS} of them"));
    let tokens = |list: &[Value]| {
        let token = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong);
        list.iter().map(token).collect::<Result<Vec<u32>, Failure>>().map(Prompt::Tokens)
    };
    match fields.needed("prompt")? {
        Value::String(text) => Ok(vec![Prompt::Text(text.clone())]),
        Value::Array(list) if list.first().is_some_and(Value::is_number) => Ok(vec![tokens(list)?]),
        Value::Array(list) if !list.is_empty() && list.len() <= MOST_PROMPTS => list
            .iter()
            .map(|prompt| match prompt {
                Value::String(text) => Ok(Prompt::Text(text.clone())),
                Value::Array(list) => tokens(list),
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}
