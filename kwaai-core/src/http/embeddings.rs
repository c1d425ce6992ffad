//! `POST /v1/embeddings`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::Shared;
use super::fields::Fields;
use super::reply::{Body, Failure, json as reply};
use super::route::turn;
use crate::blocking::blocking;
use crate::llm::Text;

/// Texts of one request, as in OpenAI's reference.
const MOST_TEXTS: usize = 2048;

pub(super) async fn answer(shared: &Arc<Shared>, body: &[u8]) -> Result<Response<Body>, Failure> {
    let fields = Fields::parse(body)?;
    fields.needed("model")?;
    let name = fields.text("model")?.unwrap_or_default();
    let found = shared.config.embedders.iter().find(|(own, _)| own == name);
    let (name, embedder) = found.ok_or_else(|| Failure::no_model(name))?;
    let base64 = match fields.text("encoding_format")? {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(fields.wrong("encoding_format", "float or base64")),
    };
    if fields.whole("dimensions", 1..=u32::MAX)?.is_some_and(|asked| asked as usize != embedder.dimension()) {
        let message = format!("the vectors of {name} have {} dimensions", embedder.dimension());
        return Err(Failure::unsupported("dimensions", message));
    }
    // A request does not say what its texts are for, and its writer puts before them what the model wants, as with other servers.
    let texts: Vec<Text> = texts(&fields)?.into_iter().map(Text::Plain).collect();
    let turn = turn(shared)?;
    let counting = embedder.clone();
    let (tokens, texts) = blocking(move || Ok((counting.count_tokens(&texts), texts))).await?;
    let vectors = embedder.embed(texts).await?;
    drop(turn);
    let data = vectors.into_iter().enumerate().map(|(index, vector)| {
        let embedding = match base64 {
            true => BASE64.encode(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).into(),
            false => json!(vector),
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    let data = data.collect::<Vec<Value>>();
    Ok(reply(StatusCode::OK, &json!({"object": "list", "data": data, "model": name, "usage": usage})))
}

fn texts(fields: &Fields) -> Result<Vec<String>, Failure> {
    let wrong =
        || fields.wrong("input", format!("a text that is not empty, or a list of at most {MOST_TEXTS} of them"));
    let text = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        Value::Number(_) | Value::Array(_) => {
            Err(Failure::unsupported("input", "texts are embedded here, not tokens, whose ids differ between models"))
        }
        _ => Err(wrong()),
    };
    match fields.needed("input")? {
        Value::Array(list) if list.is_empty() || list.len() > MOST_TEXTS => Err(wrong()),
        Value::Array(list) => list.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}
