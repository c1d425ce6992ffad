//! What both ways of generating have in common: the fields that say how.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use serde_json::Value;

use super::fields::Fields;
use super::reply::Failure;
use super::wishes;
use crate::llm::{GenerateRequest, OutputFormat};

/// Tokens of an answer where the request does not say.
const USUAL_TOKENS: u32 = 2048;
/// Choices of one request.
const MOST_CHOICES: u32 = 16;
/// Stop texts, as in OpenAI's reference.
const MOST_STOPS: usize = 4;

/// How a request wants its choices.
pub(super) struct Settings {
    /// Without what is continued.
    pub request: GenerateRequest,
    /// How many answers.
    pub choices: u32,
    pub stream: bool,
    /// Whether a stream ends with what it cost.
    pub usage: bool,
}

impl Settings {
    pub fn read(fields: &Fields, headers: &HeaderMap, most_tokens: &str) -> Result<Settings, Failure> {
        for (name, why) in [
            ("functions", "functions is out of use; send tools"),
            ("function_call", "function_call is out of use; send tool_choice"),
            ("audio", "this server writes text alone"),
            ("prediction", "predicted output is not done here"),
            ("web_search_options", "this server searches nothing"),
        ] {
            fields.refuse(name, why)?;
        }
        if fields.list("modalities")?.is_some_and(|list| list.iter().any(|kind| kind != "text")) {
            return Err(Failure::unsupported("modalities", "this server writes text alone"));
        }
        let usual = GenerateRequest::default();
        let limit = match fields.whole("max_completion_tokens", 1..=u32::MAX)? {
            Some(limit) => Some(limit),
            None => fields.whole("max_tokens", 1..=u32::MAX)?,
        };
        let default = if most_tokens == "max_tokens" { 16 } else { USUAL_TOKENS };
        let stream = fields.flag("stream")?.unwrap_or_default();
        let options = fields.object("stream_options")?;
        if options.is_some() && !stream {
            return Err(Failure::invalid(Some("stream_options"), "stream_options has a meaning only with stream"));
        }
        let usage = options.map(|options| options.flag("include_usage")).transpose()?.flatten().unwrap_or_default();
        let request = GenerateRequest {
            max_tokens: limit.unwrap_or(default),
            temperature: fields.number("temperature", 0.0..=2.0)?.unwrap_or(1.0),
            // OpenAI takes 0, which leaves the likeliest.
            top_p: fields.number("top_p", 0.0..=1.0)?.map_or(usual.top_p, |share| share.max(f32::MIN_POSITIVE)),
            top_k: fields.whole("top_k", 0..=u32::MAX)?.unwrap_or(usual.top_k),
            min_p: fields.number("min_p", 0.0..=1.0)?.unwrap_or(usual.min_p),
            repetition_penalty: fields.number("repetition_penalty", 0.01..=10.0)?.unwrap_or(usual.repetition_penalty),
            frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?.unwrap_or(usual.frequency_penalty),
            presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?.unwrap_or(usual.presence_penalty),
            logit_bias: biases(fields)?,
            seed: seed(fields)?.unwrap_or_else(rand::random),
            stop: stops(fields)?,
            format: format(fields)?,
            hosts: wishes::read(fields, headers)?,
            ..usual
        };
        let choices = fields.whole("n", 1..=MOST_CHOICES)?.unwrap_or(1);
        Ok(Settings { request, choices, stream, usage })
    }
}

fn seed(fields: &Fields) -> Result<Option<u64>, Failure> {
    let Some(value) = fields.get("seed") else { return Ok(None) };
    let number = value.as_i64().map(|number| number as u64).or(value.as_u64());
    number.map(Some).ok_or_else(|| fields.wrong("seed", "a whole number of 64 bits"))
}

fn stops(fields: &Fields) -> Result<Vec<String>, Failure> {
    let wrong = || fields.wrong("stop", format!("a string, or a list of at most {MOST_STOPS} strings"));
    match fields.get("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(stop)) => Ok(vec![stop.clone()]),
        Some(Value::Array(list)) if list.len() <= MOST_STOPS => {
            list.iter().map(|stop| stop.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn biases(fields: &Fields) -> Result<BTreeMap<u32, f32>, Failure> {
    let wrong = || fields.wrong("logit_bias", "an object of token ids with numbers from -100 to 100");
    let Some(biases) = fields.object("logit_bias")? else { return Ok(BTreeMap::new()) };
    let bias = |(token, bias): (&String, &Value)| -> Result<(u32, f32), Failure> {
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias)).ok_or_else(wrong)?;
        Ok((token.parse().map_err(|_| wrong())?, bias as f32))
    };
    biases.entries().map(bias).collect()
}

fn format(fields: &Fields) -> Result<Option<OutputFormat>, Failure> {
    let Some(format) = fields.object("response_format")? else { return Ok(None) };
    match format.text("type")? {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(OutputFormat::JsonObject)),
        Some("json_schema") => {
            let Some(described) = format.object("json_schema")? else {
                return Err(format.wrong("json_schema", "there"));
            };
            described.object("schema")?.ok_or_else(|| described.wrong("schema", "there"))?;
            Ok(Some(OutputFormat::JsonSchema(described.needed("schema")?.clone())))
        }
        _ => Err(format.wrong("type", "one of text, json_object and json_schema")),
    }
}
