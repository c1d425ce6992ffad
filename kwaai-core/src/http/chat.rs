//! `POST /v1/chat/completions`.

use std::sync::Arc;

use hyper::header::HOST;
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::choices::{Choices, End, Said, Whole, Writer, logprob, path, streamed};
use super::fields::Fields;
use super::reply::{Body, Failure, json as reply};
use super::route::turn;
use super::settings::Settings;
use super::{Shared, knowledge, wishes};
use crate::llm::{
    ChatMessage, ChosenToken, GenerateEvent, GenerateRequest, LanguageModel, Role, TokenLogprob, Tool, ToolCall,
    ToolChoice,
};

/// As many of the likeliest tokens as OpenAI's reference allows.
const MOST_TOP: u32 = 20;

pub(super) async fn answer(shared: &Arc<Shared>, headers: &HeaderMap, body: &[u8]) -> Result<Response<Body>, Failure> {
    let fields = Fields::parse(body)?;
    if let Some((name, rag)) = knowledge::named(shared, fields.text("model")?.unwrap_or_default()) {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        wishes::refuse(headers)?;
        return knowledge::chat(shared, name, rag, &fields, host).await;
    }
    let (name, model) = model(shared, &fields)?;
    let settings = Settings::read(&fields, headers, "max_completion_tokens")?;
    let mut request = GenerateRequest { messages: messages(&fields)?, ..settings.request };
    (request.tools, request.tool_choice) = tools(&fields)?;
    let top = fields.whole("top_logprobs", 0..=MOST_TOP)?;
    request.top_logprobs = match (fields.flag("logprobs")?.unwrap_or_default(), top) {
        (true, top) => Some(top.unwrap_or_default()),
        (false, Some(top)) if top > 0 => return Err(fields.wrong("logprobs", "true for top_logprobs")),
        (false, _) => None,
    };
    let writer = ChatWriter {
        head: Head::new(shared, "chatcmpl", name, model.name()),
        choices: settings.choices,
        usage: settings.usage,
        one_call: !fields.flag("parallel_tool_calls")?.unwrap_or(true),
    };
    let choices = Choices::start(model, vec![request], settings.choices, turn(shared)?).await?;
    match settings.stream {
        true => Ok(streamed(choices, writer)),
        false => whole(choices, writer).await,
    }
}

pub(super) fn model<'a>(shared: &'a Shared, fields: &Fields) -> Result<(&'a str, &'a Arc<dyn LanguageModel>), Failure> {
    fields.needed("model")?;
    let name = fields.text("model")?.unwrap_or_default();
    let found = shared.config.models.iter().find(|(own, _)| own == name);
    found.map(|(name, model)| (name.as_str(), model)).ok_or_else(|| Failure::no_model(name))
}

/// What every part of an answer repeats.
pub(super) struct Head {
    id: String,
    created: i64,
    model: String,
    fingerprint: String,
}

impl Head {
    pub fn new(shared: &Shared, kind: &str, name: &str, fingerprint: String) -> Head {
        Head {
            id: format!("{kind}-{:032x}", rand::random::<u128>()),
            created: shared.backing.clock.now().as_second(),
            model: name.to_owned(),
            fingerprint,
        }
    }

    pub fn of(&self, object: &str, choices: Vec<Value>) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("id".into(), self.id.as_str().into());
        map.insert("object".into(), object.into());
        map.insert("created".into(), self.created.into());
        map.insert("model".into(), self.model.as_str().into());
        map.insert("system_fingerprint".into(), self.fingerprint.as_str().into());
        map.insert("choices".into(), choices.into());
        map
    }
}

struct ChatWriter {
    head: Head,
    choices: u32,
    usage: bool,
    one_call: bool,
}

impl ChatWriter {
    fn chunk(&self, choices: Vec<Value>) -> Value {
        let mut chunk = self.head.of("chat.completion.chunk", choices);
        if self.usage {
            chunk.insert("usage".into(), Value::Null);
        }
        chunk.into()
    }

    fn part(&self, index: usize, delta: Value, logprobs: Value, reason: Option<&str>) -> Value {
        self.chunk(vec![json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason})])
    }

    /// The calls that are handed on, and why the choice ended.
    fn calls(&self, end: End) -> (Vec<ToolCall>, &'static str) {
        let mut calls = end.tool_calls;
        if self.one_call {
            calls.truncate(1);
        }
        (calls, end.reason)
    }
}

impl Writer for ChatWriter {
    fn begin(&mut self) -> Vec<Value> {
        let role = || json!({"role": "assistant", "content": ""});
        (0..self.choices as usize).map(|index| self.part(index, role(), Value::Null, None)).collect()
    }

    fn said(&mut self, index: usize, said: Said) -> Vec<Value> {
        match said {
            Said::Piece(GenerateEvent::Token { text, tokens }) => {
                vec![self.part(index, json!({"content": text}), logprobs(&tokens), None)]
            }
            Said::Piece(GenerateEvent::Done { .. }) => Vec::new(),
            Said::End(end) => {
                let (calls, reason) = self.calls(end);
                let called = calls.iter().enumerate().map(|(place, call)| {
                    let mut call = call_of(call);
                    call["index"] = place.into();
                    self.part(index, json!({"tool_calls": [call]}), Value::Null, None)
                });
                let mut parts: Vec<Value> = called.collect();
                parts.push(self.part(index, json!({}), Value::Null, Some(reason)));
                parts
            }
        }
    }

    fn end(&mut self, choices: &Choices) -> Option<Value> {
        self.usage.then(|| {
            let mut chunk = self.head.of("chat.completion.chunk", Vec::new());
            chunk.insert("usage".into(), choices.usage());
            chunk.extend(path(&choices.path).map(|path| ("kwaainet".to_owned(), path)));
            chunk.into()
        })
    }
}

/// The whole answer at once.
async fn whole(mut choices: Choices, writer: ChatWriter) -> Result<Response<Body>, Failure> {
    let texts = choices.whole(writer.choices as usize).await?;
    let all = texts.into_iter().enumerate().map(|(index, Whole { text, tokens, end })| {
        let (calls, reason) = writer.calls(end);
        let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        if !calls.is_empty() {
            message["tool_calls"] = calls.iter().map(call_of).collect();
        }
        json!({"index": index, "message": message, "logprobs": logprobs(&tokens), "finish_reason": reason})
    });
    let mut answer = writer.head.of("chat.completion", all.collect());
    answer.insert("usage".into(), choices.usage());
    answer.extend(path(&choices.path).map(|path| ("kwaainet".to_owned(), path)));
    Ok(reply(StatusCode::OK, &answer.into()))
}

fn call_of(call: &ToolCall) -> Value {
    let function = json!({"name": call.name, "arguments": call.arguments});
    json!({"id": call.id, "type": "function", "function": function})
}

fn logprobs(tokens: &[ChosenToken]) -> Value {
    if tokens.is_empty() {
        return Value::Null;
    }
    let plain = |token: &TokenLogprob| json!({"token": token.text, "logprob": logprob(token), "bytes": token.bytes});
    let content = tokens.iter().map(|token| {
        let mut entry = plain(&token.chosen);
        entry["top_logprobs"] = token.top.iter().map(plain).collect();
        entry
    });
    json!({"content": content.collect::<Vec<Value>>(), "refusal": null})
}

pub(super) fn messages(fields: &Fields) -> Result<Vec<ChatMessage>, Failure> {
    fields.needed("messages")?;
    let list = fields.list("messages")?.filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| fields.wrong("messages", "a list with at least one message"))?;
    list.iter().enumerate().map(|(index, value)| message(&Fields::of(value, &format!("messages[{index}]"))?)).collect()
}

fn message(fields: &Fields) -> Result<ChatMessage, Failure> {
    let role = match fields.text("role")? {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => Role::Tool,
        _ => return Err(fields.wrong("role", "one of system, developer, user, assistant and tool")),
    };
    let tool_calls = match fields.list("tool_calls")? {
        Some(list) if role == Role::Assistant => {
            let place = |index| format!("{}[{index}]", fields.place("tool_calls"));
            let calls = list.iter().enumerate();
            calls.map(|(index, value)| called(&Fields::of(value, &place(index))?)).collect::<Result<Vec<_>, _>>()?
        }
        Some(list) if !list.is_empty() => return Err(fields.wrong("tool_calls", "in a message of the assistant")),
        _ => Vec::new(),
    };
    let tool_call_id = fields.text("tool_call_id")?.map(str::to_owned);
    if role == Role::Tool && tool_call_id.is_none() {
        return Err(fields.wrong("tool_call_id", "there, with the id of the call"));
    }
    let content = match fields.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts_of(parts, &fields.place("content"))?,
        None if role == Role::Assistant && !tool_calls.is_empty() => String::new(),
        _ => return Err(fields.wrong("content", "a string, or a list of parts of text")),
    };
    Ok(ChatMessage { role, content, tool_calls, tool_call_id })
}

fn parts_of(parts: &[Value], place: &str) -> Result<String, Failure> {
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        let part = Fields::of(part, &format!("{place}[{index}]"))?;
        match part.text("type")? {
            Some("text") => text.push_str(part.text("text")?.ok_or_else(|| part.wrong("text", "a string"))?),
            _ => return Err(Failure::unsupported(&part.place("type"), "the models here read text alone")),
        }
    }
    Ok(text)
}

fn called(fields: &Fields) -> Result<ToolCall, Failure> {
    let function = fields.object("function")?.ok_or_else(|| fields.wrong("function", "an object"))?;
    let text = |fields: &Fields, name: &str| {
        fields.text(name)?.map(str::to_owned).ok_or_else(|| fields.wrong(name, "a string"))
    };
    let arguments = text(&function, "arguments")?;
    if serde_json::from_str::<Map<String, Value>>(&arguments).is_err() {
        return Err(function.wrong("arguments", "a JSON object as text"));
    }
    Ok(ToolCall { id: text(fields, "id")?, name: text(&function, "name")?, arguments })
}

fn tools(fields: &Fields) -> Result<(Vec<Tool>, ToolChoice), Failure> {
    let mut tools = Vec::new();
    for (index, value) in fields.list("tools")?.into_iter().flatten().enumerate() {
        let tool = Fields::of(value, &format!("tools[{index}]"))?;
        if tool.text("type")? != Some("function") {
            return Err(tool.wrong("type", "function"));
        }
        let function = tool.object("function")?.ok_or_else(|| tool.wrong("function", "an object"))?;
        let name = function.text("name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| function.wrong("name", "a string that is not empty"))?.to_owned();
        let description = function.text("description")?.map(str::to_owned);
        function.object("parameters")?;
        tools.push(Tool { name, description, parameters: function.get("parameters").cloned() });
    }
    let choice = match fields.get("tool_choice") {
        None => ToolChoice::Auto,
        Some(Value::String(choice)) => match choice.as_str() {
            "auto" => ToolChoice::Auto,
            // What may not be called is not shown to the model.
            "none" => return Ok((Vec::new(), ToolChoice::Auto)),
            "required" => ToolChoice::Required,
            _ => return Err(fields.wrong("tool_choice", "none, auto, required, or the name of a function")),
        },
        Some(value) => {
            let choice = Fields::of(value, "tool_choice")?;
            let function = choice.object("function")?.ok_or_else(|| choice.wrong("function", "an object"))?;
            let name = function.text("name")?.unwrap_or_default();
            if !tools.iter().any(|tool| tool.name == name) {
                return Err(function.wrong("name", "the name of one of tools"));
            }
            ToolChoice::Named(name.to_owned())
        }
    };
    if tools.is_empty() && choice != ToolChoice::Auto {
        return Err(fields.wrong("tools", "there for tool_choice"));
    }
    Ok((tools, choice))
}
