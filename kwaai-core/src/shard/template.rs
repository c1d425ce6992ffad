//! Chat templates: Jinja, as `tokenizer_config.json` or `chat_template.jinja` carries it.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as Jinja, from_args};
use minijinja::{Environment, ErrorKind, State, context};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Value, json};

use super::calls::Format;
use super::config::read_bounded;
use crate::llm::{ChatMessage, Role, Tool};
use crate::{Error, Result};

const MAX_FILE: u64 = 16 * 1024 * 1024;
const NAME: &str = "chat";
/// Steps of a template; a real one takes about a hundred for each message. A template comes with a model, and may be made
/// to have no end.
const MAX_STEPS: u64 = 10_000_000;

/// Turns a conversation into the text that the model was trained to continue.
pub struct ChatTemplate {
    environment: Option<Environment<'static>>,
    bos: String,
    eos: String,
    file: std::path::PathBuf,
    /// How calls of functions are written, where the template describes them.
    calls: Option<Format>,
}

/// The text of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The text.
    pub text: String,
    /// Whether the tokenizer still has to add its special tokens, since no template wrote them.
    pub add_special_tokens: bool,
}

impl ChatTemplate {
    /// Reads the template of a model directory; `chat_template.jinja` wins over `tokenizer_config.json`.
    ///
    /// A model without a template is a plain one: see [`ChatTemplate::render`].
    pub fn load(dir: &Path) -> Result<ChatTemplate> {
        let path = dir.join("tokenizer_config.json");
        let corrupt = |path: &Path, why: String| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Error::corrupt_data(format!("{name} is broken: {why}")).with_file(path).with_remedy("fetch the file again")
        };
        let config: Value = match path.exists() {
            true => serde_json::from_slice(&read_bounded(&path, MAX_FILE)?)
                .map_err(|error| corrupt(&path, error.to_string()).with_source(error))?,
            false => Value::Null,
        };
        let token = |key: &str| {
            let value = config.get(key);
            let text = value.and_then(Value::as_str).or(value.and_then(|token| token.get("content")?.as_str()));
            text.unwrap_or_default().to_string()
        };
        let separate = dir.join("chat_template.jinja");
        let (file, source) = if separate.exists() {
            let text = String::from_utf8(read_bounded(&separate, MAX_FILE)?)
                .map_err(|error| corrupt(&separate, error.to_string()).with_source(error))?;
            (separate, Some(text))
        } else {
            let source = match config.get("chat_template") {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.clone()),
                // Several templates by name, of which the one for plain chat is called "default".
                Some(Value::Array(list)) => list
                    .iter()
                    .find(|entry| entry.get("name").is_some_and(|name| name == "default"))
                    .and_then(|entry| entry.get("template")?.as_str().map(str::to_string)),
                Some(_) => return Err(corrupt(&path, "chat_template is neither a text nor a list".to_string())),
            };
            (path, source)
        };
        ChatTemplate::new(source, token("bos_token"), token("eos_token"), &file)
    }

    /// A template that came from `file`, with the texts of the tokens that begin and end a text.
    pub(super) fn new(source: Option<String>, bos: String, eos: String, file: &Path) -> Result<ChatTemplate> {
        let calls = source.as_deref().and_then(Format::of);
        let environment = source.map(environment).transpose().map_err(|error| {
            Error::corrupt_data(format!("the chat template is broken: {error:#}"))
                .with_file(file)
                .with_remedy("fetch the file again")
                .with_source(error)
        })?;
        Ok(ChatTemplate { environment, bos, eos, file: file.to_path_buf(), calls })
    }

    /// The text of a conversation, ending where the model's turn begins; `now` is what `strftime_now` writes.
    ///
    /// Without a template, a single turn of the user is taken as plain text to continue.
    ///
    /// # Errors
    /// `invalid_argument` when the template refuses the conversation, `unsupported` for more than one turn without a
    /// template.
    pub fn render(&self, messages: &[ChatMessage], now: Timestamp) -> Result<Prompt> {
        self.render_with(messages, &[], now)
    }

    /// How the model writes calls of functions, if the template describes any.
    pub(super) fn calls(&self) -> Option<Format> {
        self.calls
    }

    /// [`render`](Self::render), with functions that the model may call.
    pub fn render_with(&self, messages: &[ChatMessage], tools: &[Tool], now: Timestamp) -> Result<Prompt> {
        if messages.is_empty() {
            return Err(Error::invalid_argument("there is no message to answer"));
        }
        let Some(environment) = &self.environment else {
            return match messages {
                [message] if message.role == Role::User => {
                    Ok(Prompt { text: message.content.clone(), add_special_tokens: true })
                }
                _ => Err(Error::unsupported("this model has no chat template, so it cannot hold a conversation")
                    .with_file(&self.file)
                    .with_remedy("send one user message with plain text to continue, or use a chat model")),
            };
        };
        let refused = |error: minijinja::Error| {
            // What a template says in raise_exception is its detail; the conversation itself stays out of the message.
            Error::invalid_argument(format!("the chat template refuses this conversation: {error}"))
                .with_file(&self.file)
                .with_source(error)
        };
        let template = environment.get_template(NAME).map_err(refused)?;
        let turns = messages.iter().map(turn).collect::<Result<Vec<Jinja>>>()?;
        // Templates ask whether there are tools by whether the variable has a value.
        let tools = (!tools.is_empty()).then(|| tools.iter().map(described).collect::<Vec<Jinja>>());
        let text = template
            .render(context! {
                messages => turns,
                tools => tools,
                add_generation_prompt => true,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
                now_seconds => now.as_second(),
            })
            .map_err(refused)?;
        Ok(Prompt { text, add_special_tokens: false })
    }
}

/// A turn as transformers hands it to a template: what is not there is no member.
fn turn(message: &ChatMessage) -> Result<Jinja> {
    let mut turn = Map::new();
    turn.insert("role".into(), role(message.role).into());
    turn.insert("content".into(), message.content.as_str().into());
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let arguments: Map<String, Value> = serde_json::from_str(&call.arguments).map_err(|error| {
                Error::invalid_argument(format!("the arguments of a call of {} are no JSON object", call.name))
                    .with_source(error)
            })?;
            let function = json!({"name": call.name, "arguments": arguments});
            Ok(json!({"id": call.id, "type": "function", "function": function}))
        });
        turn.insert("tool_calls".into(), calls.collect::<Result<Vec<Value>>>()?.into());
    }
    if let Some(id) = &message.tool_call_id {
        turn.insert("tool_call_id".into(), id.as_str().into());
    }
    Ok(Jinja::from(Serde(turn)))
}

/// A function as transformers hands it to a template.
fn described(tool: &Tool) -> Jinja {
    let mut function = Map::new();
    function.insert("name".into(), tool.name.as_str().into());
    if let Some(description) = &tool.description {
        function.insert("description".into(), description.as_str().into());
    }
    let none = || json!({"type": "object", "properties": {}});
    function.insert("parameters".into(), tool.parameters.clone().unwrap_or_else(none));
    Jinja::from(Serde(json!({"type": "function", "function": function})))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn environment(source: String) -> std::result::Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    // As transformers sets Jinja up.
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(python_method);
    environment.set_fuel(Some(MAX_STEPS));
    environment.add_function("raise_exception", |message: String| -> std::result::Result<Jinja, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |state: &State, format: String| {
        let seconds = state.lookup("now_seconds").and_then(|value| i64::try_from(value).ok()).unwrap_or_default();
        let now = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        jiff::fmt::strtime::format(format, now)
            .map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()))
    });
    environment.add_filter("tojson", python_json);
    environment.add_template_owned(NAME, source)?;
    Ok(environment)
}

/// `json.dumps` as transformers calls it for templates: with spaces after commas and colons, letters as they are, and nothing
/// escaped for HTML. Members are in the order of their names.
fn python_json(value: &Jinja, indent: Option<usize>, options: Kwargs) -> std::result::Result<Jinja, minijinja::Error> {
    let failed = |error: serde_json::Error| {
        minijinja::Error::new(ErrorKind::InvalidOperation, "a value that is no JSON").with_source(error)
    };
    let indent = indent.or(options.get("indent")?);
    for known in ["ensure_ascii", "sort_keys"] {
        let _: Option<bool> = options.get(known)?;
    }
    options.assert_all_used()?;
    if value.is_undefined() {
        return Err(minijinja::Error::new(ErrorKind::UndefinedError, "a value that is not there has no JSON"));
    }
    let mut bytes = Vec::new();
    match indent {
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let pretty = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, pretty)).map_err(failed)?;
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced)).map_err(failed)?,
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

/// JSON on one line, with a space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The methods of Python's `str` and `dict` that published templates call.
fn python_method(
    state: &mut State,
    value: &Jinja,
    method: &str,
    args: &[Jinja],
) -> std::result::Result<Jinja, minijinja::Error> {
    let unknown = || minijinja::Error::from(ErrorKind::UnknownMethod);
    let Some(text) = value.as_str() else {
        return match method {
            "items" | "keys" | "values" if value.kind() == minijinja::value::ValueKind::Map => match method {
                "items" => state.apply_filter("items", std::slice::from_ref(value)),
                "keys" => Ok(value.try_iter()?.collect()),
                _ => value.try_iter()?.map(|key| value.get_item(&key)).collect(),
            },
            "get" if value.kind() == minijinja::value::ValueKind::Map => {
                let (key, default): (Jinja, Option<Jinja>) = from_args(args)?;
                let found = value.get_item(&key)?;
                Ok(if found.is_undefined() { default.unwrap_or(Jinja::from(())) } else { found })
            }
            _ => Err(unknown()),
        };
    };
    let one = || from_args::<(String,)>(args).map(|(text,)| text);
    let stripped: fn(&str, &[char], bool, bool) -> String = |text, set, left, right| {
        let unwanted = |c: char| if set.is_empty() { c.is_whitespace() } else { set.contains(&c) };
        let text = if left { text.trim_start_matches(unwanted) } else { text };
        let text = if right { text.trim_end_matches(unwanted) } else { text };
        text.to_string()
    };
    match method {
        "strip" | "lstrip" | "rstrip" => {
            let (set,): (Option<String>,) = from_args(args)?;
            let set: Vec<char> = set.unwrap_or_default().chars().collect();
            Ok(stripped(text, &set, method != "rstrip", method != "lstrip").into())
        }
        "startswith" => Ok(text.starts_with(&one()?).into()),
        "endswith" => Ok(text.ends_with(&one()?).into()),
        "upper" => Ok(text.to_uppercase().into()),
        "lower" => Ok(text.to_lowercase().into()),
        "title" => state.apply_filter("title", std::slice::from_ref(value)),
        "replace" => {
            let (from, to): (String, String) = from_args(args)?;
            Ok(text.replace(&from, &to).into())
        }
        "split" => {
            let (separator,): (Option<String>,) = from_args(args)?;
            Ok(match separator {
                Some(separator) if separator.is_empty() => {
                    return Err(minijinja::Error::new(ErrorKind::InvalidOperation, "empty separator"));
                }
                Some(separator) => text.split(&separator).map(Jinja::from).collect(),
                None => text.split_whitespace().map(Jinja::from).collect(),
            })
        }
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    fn template(config: Value) -> Result<ChatTemplate> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        ChatTemplate::load(dir.path())
    }

    fn conversation() -> Vec<ChatMessage> {
        vec![ChatMessage::system("Be brief."), ChatMessage::user(" Hi "), ChatMessage::assistant("Hello.")]
    }

    const CHAT: &str = "{{ bos_token }}{% for m in messages %}\n<{{ m['role'] }}>{{ m.content.strip() }}{{ eos_token }}\n\
        {% endfor %}\n{% if add_generation_prompt %}<assistant>{% endif %}";

    #[test]
    fn a_conversation_is_written_as_the_template_says() {
        let template = template(json!({"chat_template": CHAT, "bos_token": "<s>", "eos_token": {"content": "</s>"}}));
        let prompt = template.unwrap().render(&conversation(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(prompt.text, "<s><system>Be brief.</s>\n<user>Hi</s>\n<assistant>Hello.</s>\n<assistant>");
        assert!(!prompt.add_special_tokens);
    }

    #[test]
    fn a_template_can_refuse_and_knows_the_date() {
        let source = "{{ strftime_now('%d %b %Y') }}{% if messages|length > 1 %}{{ raise_exception('one turn only') }}{% endif %}";
        let template = template(json!({"chat_template": [{"name": "tools", "template": "x"},
            {"name": "default", "template": source}]}))
        .unwrap();
        let prompt = template.render(&[ChatMessage::user("a")], Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(prompt.text, "01 Jan 1970");
        let error = template.render(&conversation(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("one turn only"));
    }

    #[test]
    fn without_a_template_one_turn_is_plain_text_and_more_are_refused() {
        let template = template(json!({"bos_token": null})).unwrap();
        let prompt = template.render(&[ChatMessage::user("Once")], Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(prompt, Prompt { text: "Once".to_string(), add_special_tokens: true });
        let error = template.render(&conversation(), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unsupported);
        assert!(error.context().contains_key("remedy"));
    }

    #[test]
    fn a_template_without_an_end_is_stopped() {
        let source = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}";
        let template = template(json!({"chat_template": source})).unwrap();
        let error = template.render(&[ChatMessage::user("a")], Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }

    /// What the templates of the families do in Jinja, and what Python's jinja2 3.1 makes of it in the setting of
    /// transformers.
    #[test]
    fn the_idioms_of_the_families_templates_give_what_jinja2_gives() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("../../tests/golden/chat_templates.json")).unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let template = template(json!({
                "chat_template": case["template"], "bos_token": case["bos_token"], "eos_token": case["eos_token"]
            }))
            .unwrap();
            for turn in case["conversations"].as_array().unwrap() {
                let messages: Vec<ChatMessage> = turn["messages"].as_array().unwrap().iter().map(message).collect();
                let prompt = template.render(&messages, Timestamp::UNIX_EPOCH).unwrap();
                assert_eq!(prompt.text, turn["text"], "{}", case["family"]);
            }
        }
    }

    fn message(value: &Value) -> ChatMessage {
        let content = value["content"].as_str().unwrap();
        match value["role"].as_str().unwrap() {
            "system" => ChatMessage::system(content),
            "user" => ChatMessage::user(content),
            _ => ChatMessage::assistant(content),
        }
    }

    #[test]
    fn functions_and_their_calls_are_written_as_python_writes_them() {
        let source = "{% if tools %}{% for t in tools %}{{ t | tojson }}\n{{ t.function.parameters | tojson(indent=2) }}\n\
            {% endfor %}{% endif %}{% for m in messages %}<{{ m.role }}>{% if m.tool_calls is defined %}\
            {% for c in m.tool_calls %}<tool_call>{{ c.function.arguments | tojson }}</tool_call>{% endfor %}{% endif %}\
            {{ m.content }}{% if m.tool_call_id is defined %}[{{ m.tool_call_id }}]{% endif %}{{ '\\n' }}{% endfor %}";
        let template = template(json!({"chat_template": source})).unwrap();
        assert_eq!(template.calls(), Some(Format::Tagged));
        let call =
            crate::llm::ToolCall { id: "c1".into(), name: "f".into(), arguments: r#"{"a":"<ü>","b":[1,2]}"#.into() };
        let mut answer = ChatMessage::assistant("");
        answer.tool_calls.push(call);
        let mut result = ChatMessage::new(Role::Tool, "3");
        result.tool_call_id = Some("c1".into());
        let messages = [ChatMessage::user("x"), answer, result];
        let parameters = json!({"type": "object", "properties": {}});
        let tool = Tool { name: "f".into(), description: Some("it's <b>".into()), parameters: Some(parameters) };
        let prompt = template.render_with(&messages, &[tool], Timestamp::UNIX_EPOCH).unwrap();
        // Python 3.11: json.dumps(tool, ensure_ascii=False, sort_keys=True), and with indent=2.
        assert_eq!(
            prompt.text,
            "{\"function\": {\"description\": \"it's <b>\", \"name\": \"f\", \"parameters\": {\"properties\": {}, \
             \"type\": \"object\"}}, \"type\": \"function\"}\n{\n  \"properties\": {},\n  \"type\": \"object\"\n}\n\
             <user>x\n<assistant><tool_call>{\"a\": \"<ü>\", \"b\": [1, 2]}</tool_call>\n<tool>3[c1]\n"
        );
        let plain = template.render(&[ChatMessage::user("x")], Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(plain.text, "<user>x\n");
    }

    #[test]
    fn a_broken_template_is_named_when_the_model_is_loaded() {
        let error = template(json!({"chat_template": "{% for %}"})).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::CorruptData);
        assert!(error.context()["file"].ends_with("tokenizer_config.json"));
    }
}
