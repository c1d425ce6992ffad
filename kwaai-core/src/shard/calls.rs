//! How the families write calls of functions, found in the text of an answer.
//!
//! A template that knows functions shows the model how to write a call, and there is no standard for it: between tags as Hermes
//! does, which Qwen took over; a list behind a special token as Mistral does; or an object that is the whole answer, as Llama
//! does. Special tokens are not text, so that behind them the list is the whole answer too.

use serde_json::{Map, Value, json};

use super::schema::prepared;
use super::tokens::StopTexts;
use crate::Result;
use crate::llm::{OutputFormat, Tool, ToolCall, ToolChoice};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// How a model writes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, once for each call, after other text.
    Tagged,
    /// `[{"name": …, "arguments": {…}}]` as the whole answer.
    List,
    /// `{"name": …, "parameters": {…}}` as the whole answer.
    Object,
}

impl Format {
    /// What a chat template asks for; `None` when it knows no functions, or another format than these.
    pub fn of(template: &str) -> Option<Format> {
        if !template.contains("tools") {
            return None;
        }
        [(OPEN, Format::Tagged), ("[TOOL_CALLS]", Format::List), ("\"parameters\"", Format::Object)]
            .into_iter()
            .find(|(mark, _)| template.contains(mark))
            .map(|(_, format)| format)
    }

    /// What holds an answer to one call, where it has to be one: the text around the arguments as it stands, and each function's
    /// arguments by its own schema.
    ///
    /// # Errors
    /// Those of [`prepared`], for the schema of a function.
    pub fn forced(self, tools: &[Tool], choice: &ToolChoice) -> Result<Option<OutputFormat>> {
        let wanted: Vec<&Tool> = match choice {
            ToolChoice::Auto => return Ok(None),
            ToolChoice::Required => tools.iter().collect(),
            ToolChoice::Named(name) => tools.iter().filter(|tool| tool.name == *name).collect(),
        };
        let (open, key, close) = match self {
            Format::Tagged => ("<tool_call>\n", "arguments", "\n</tool_call>"),
            Format::List => ("[", "arguments", "]"),
            Format::Object => ("", "parameters", ""),
        };
        let literal = |text: String| Value::String(text).to_string();
        let choices: Vec<String> = (0..wanted.len()).map(|index| format!("call_{index}")).collect();
        let mut grammar = format!("start: {}\n", choices.join(" | "));
        for (index, tool) in wanted.into_iter().enumerate() {
            let name = Value::String(tool.name.clone());
            let before = literal(format!("{open}{{\"name\": {name}, \"{key}\": "));
            let after = literal(format!("}}{close}"));
            let none = || json!({"type": "object", "properties": {}, "additionalProperties": false});
            let arguments = prepared(&tool.parameters.clone().unwrap_or_else(none))?;
            grammar +=
                &format!("call_{index}: {before} arguments_{index} {after}\narguments_{index}: %json {arguments}\n");
        }
        Ok(Some(OutputFormat::Lark(grammar)))
    }
}

/// Watches the text of an answer for calls, and keeps them out of it.
pub(super) struct CallWatch {
    format: Format,
    names: Vec<String>,
    open: StopTexts,
    /// The text from the first call on, once it began.
    calls: Option<String>,
    begun: bool,
}

impl CallWatch {
    pub fn new(format: Format, tools: &[Tool]) -> CallWatch {
        CallWatch {
            format,
            names: tools.iter().map(|tool| tool.name.clone()).collect(),
            open: StopTexts::new(&[OPEN.to_owned()]),
            calls: None,
            begun: false,
        }
    }

    /// Takes a piece of text and returns what of it may be shown.
    pub fn push(&mut self, piece: &str) -> String {
        if let Some(calls) = &mut self.calls {
            calls.push_str(piece);
            return String::new();
        }
        if self.format == Format::Tagged {
            let (text, rest) = self.open.push_split(piece);
            self.calls = rest;
            return text;
        }
        // The whole answer is a call or none of it; which, its first letter tells.
        let first = piece.trim_start().chars().next();
        match first {
            Some('{' | '[') if !self.begun => {
                self.calls = Some(piece.to_owned());
                String::new()
            }
            Some(_) => {
                self.begun = true;
                piece.to_owned()
            }
            None => piece.to_owned(),
        }
    }

    /// At the end: text that was held back and is no call, and the calls.
    pub fn finish(mut self) -> (String, Vec<ToolCall>) {
        let held = self.open.finish();
        let Some(text) = &self.calls else { return (held, Vec::new()) };
        let found = match self.format {
            Format::Tagged => self.tagged(text),
            Format::List | Format::Object => self.bare(text),
        };
        match found {
            Some(calls) => (held, calls),
            // What is no call is the model's text, and nothing of that is lost.
            None if self.format == Format::Tagged => (format!("{held}{OPEN}{text}"), Vec::new()),
            None => (format!("{held}{text}"), Vec::new()),
        }
    }

    /// The calls after the first tag, or `None` when one of them is broken.
    fn tagged(&self, text: &str) -> Option<Vec<ToolCall>> {
        let mut calls = Vec::new();
        for part in text.split(OPEN) {
            // A model that ends its turn inside the tag has still said what it calls.
            let inside = part.split_once(CLOSE).map_or(part, |(inside, _)| inside);
            calls.push(self.call(serde_json::from_str(inside.trim()).ok()?)?);
        }
        Some(calls)
    }

    fn bare(&self, text: &str) -> Option<Vec<ToolCall>> {
        match serde_json::from_str(text.trim()).ok()? {
            Value::Array(list) if !list.is_empty() => list.into_iter().map(|value| self.call(value)).collect(),
            value => Some(vec![self.call(value)?]),
        }
    }

    fn call(&self, value: Value) -> Option<ToolCall> {
        let Value::Object(mut call) = value else { return None };
        let name = call.get("name")?.as_str().filter(|name| self.names.iter().any(|own| own == name))?.to_owned();
        let arguments = call.remove("arguments").or(call.remove("parameters")).unwrap_or(Value::Object(Map::new()));
        let arguments = arguments.is_object().then(|| arguments.to_string())?;
        Some(ToolCall { id: format!("call_{:024x}", rand::random::<u128>() >> 32), name, arguments })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tools() -> Vec<Tool> {
        let tool = |name: &str| Tool { name: name.into(), description: None, parameters: None };
        vec![tool("weather"), tool("time")]
    }

    fn heard(format: Format, pieces: &[&str]) -> (String, Vec<(String, String)>) {
        let mut watch = CallWatch::new(format, &tools());
        let mut text: String = pieces.iter().map(|piece| watch.push(piece)).collect();
        let (rest, calls) = watch.finish();
        text.push_str(&rest);
        (text, calls.into_iter().map(|call| (call.name, call.arguments)).collect())
    }

    fn call(name: &str, arguments: &str) -> (String, String) {
        (name.into(), arguments.into())
    }

    #[test]
    fn a_template_says_how_its_model_calls() {
        assert_eq!(Format::of("{% if tools %}<tool_call>{% endif %}"), Some(Format::Tagged));
        assert_eq!(Format::of("{% if tools %}[TOOL_CALLS]{% endif %}"), Some(Format::List));
        assert_eq!(Format::of("{% if tools %}{\"name\": \"f\", \"parameters\": {}}{% endif %}"), Some(Format::Object));
        assert_eq!(Format::of("{% for m in messages %}<tool_call>{% endfor %}"), None);
        assert_eq!(Format::of("{% if tools %}say what you call{% endif %}"), None);
    }

    #[test]
    fn calls_between_tags_are_found_however_the_text_is_cut_and_never_shown() {
        let text = "Let me see. <tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Bern\"}}\n</tool_call>\n\
            <tool_call>{\"name\":\"time\"}</tool_call>";
        let calls = vec![call("weather", "{\"city\":\"Bern\"}"), call("time", "{}")];
        for size in [1, 2, 3, 7, 1000] {
            let letters: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = letters.chunks(size).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(heard(Format::Tagged, &pieces), ("Let me see. ".to_owned(), calls.clone()));
        }
    }

    #[test]
    fn what_is_no_call_stays_text() {
        for text in [
            "a <tool_call>{\"name\": \"weather\"",
            "<tool_call>{\"name\": \"unknown\", \"arguments\": {}}</tool_call>",
            "<tool_call>{\"name\": \"time\", \"arguments\": 7}</tool_call>",
            "a <tool",
        ] {
            assert_eq!(heard(Format::Tagged, &[text]), (text.to_owned(), vec![]));
        }
        for text in ["{\"name\": 3}", "[]", "{", "see {\"name\": \"time\", \"parameters\": {}}"] {
            assert_eq!(heard(Format::Object, &[text]), (text.to_owned(), vec![]));
            assert_eq!(heard(Format::List, &[text]), (text.to_owned(), vec![]));
        }
    }

    #[test]
    fn an_answer_that_is_all_call_is_one() {
        let calls = vec![call("time", "{\"zone\":\"UTC\"}")];
        let object = ["{\"name\": \"time\",", " \"parameters\": {\"zone\": \"UTC\"}}"];
        assert_eq!(heard(Format::Object, &object), (String::new(), calls.clone()));
        let list = ["[{\"name\": \"time\", \"arguments\": {\"zone\": \"UTC\"}}]"];
        assert_eq!(heard(Format::List, &list), (String::new(), calls));
    }

    proptest! {
        #[test]
        fn fuzz_no_text_is_lost_or_breaks_the_watch(pieces in proptest::collection::vec("[a<>{}\\[\\]\"_tol/c ]{0,6}", 0..8)) {
            for format in [Format::Tagged, Format::List, Format::Object] {
                let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
                let (text, calls) = heard(format, &pieces);
                prop_assert!(!calls.is_empty() || text == pieces.concat());
            }
        }
    }
}
