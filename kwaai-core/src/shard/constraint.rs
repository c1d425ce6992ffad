//! Holding a text to a format: which tokens may come next.
//!
//! [llguidance] parses what was written so far with an Earley parser over a lexer of derivatives, and walks the tree of the
//! vocabulary's tokens to find those that the format can still go on with.
//!
//! [llguidance]: https://github.com/guidance-ai/llguidance

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::json;

use super::schema::prepared;
use super::tokens::Tokens;
use crate::llm::OutputFormat;
use crate::{Error, Result};

/// Bounds of the library: the tree of tokens has 22 bits for its nodes and 10 for its depth, and 24 bits for a token.
const MOST_BYTES: usize = 1 << 22;
const LONGEST_TOKEN: usize = 1000;
const MOST_TOKENS: usize = 1 << 23;

/// A schema, expression or grammar has at most this many bytes.
const LONGEST_FORMAT: usize = 128 * 1024;
/// The library goes down into a format by recursion, through references too, so that a text of this length could use up the stack of
/// a worker many times over: a level has at least eight bytes, and takes up to 8 KiB of stack, unoptimised 30.
const STACK: usize = 4 << 20;
const STACK_A_BYTE: usize = if cfg!(debug_assertions) { 4096 } else { 1536 };
/// A state takes one or two KiB.
const MOST_STATES: usize = 50_000;

/// The tokens of a model as formats are compared with them.
pub(super) struct Vocabulary(ParserFactory);

impl Vocabulary {
    /// # Errors
    /// `unsupported` for a tokenizer whose tokens stand for no bytes of their own, or no token that ends a text.
    pub fn new(tokens: &Tokens, size: usize, ends: &[u32]) -> Result<Vocabulary> {
        let unsupported = |why: &str| {
            Error::unsupported(format!("this model cannot be held to a format: {why}")).with("param", "format")
        };
        let Some(first) = ends.first() else { return Err(unsupported("no token ends its texts")) };
        if !tokens.stand_for_bytes() {
            return Err(unsupported("its tokenizer writes whole texts only"));
        }
        let words: Vec<Vec<u8>> = (0..size as u32)
            .map(|id| match tokens.is_special(id) {
                true => [&[TokTrie::SPECIAL_TOKEN_MARKER], tokens.name_of(id).as_bytes()].concat(),
                false => tokens.bytes(id),
            })
            // What is longer is never chosen.
            .map(|word| if word.len() > LONGEST_TOKEN { Vec::new() } else { word })
            .collect();
        if size > MOST_TOKENS || words.iter().map(Vec::len).sum::<usize>() > MOST_BYTES {
            return Err(unsupported("its vocabulary is too large"));
        }
        Vocabulary::of(&words, *first, ends)
    }

    fn of(words: &[Vec<u8>], first: u32, ends: &[u32]) -> Result<Vocabulary> {
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, first), words).with_eos_tokens(ends);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&environment)
            .map_err(|error| Error::internal(format!("the vocabulary could not be prepared: {error}")))?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.max_lexer_states = MOST_STATES;
        // They would have the text so far in them.
        limits.verbose_errors = false;
        Ok(Vocabulary(factory))
    }
}

/// A format, and how far the text has come in it.
pub(super) struct Constraint {
    matcher: Matcher,
    /// The tokens that may come first, until they were asked for.
    first: Option<SimpleVob>,
}

impl Constraint {
    /// Blocks the thread.
    ///
    /// # Errors
    /// `invalid_argument` or `unsupported` for a format that cannot be followed or is too long; the message says what in it.
    pub fn new(vocabulary: &Vocabulary, format: &OutputFormat) -> Result<Constraint> {
        let (grammar, length) = match format {
            OutputFormat::JsonObject => (TopLevelGrammar::from_json_schema(prepared(&json!({"type": "object"}))?), 0),
            OutputFormat::JsonSchema(schema) => {
                let schema = prepared(schema)?;
                let length = schema.to_string().len();
                (TopLevelGrammar::from_json_schema(schema), length)
            }
            OutputFormat::Regex(pattern) => (TopLevelGrammar::from_regex(pattern), pattern.len()),
            OutputFormat::Lark(grammar) => (TopLevelGrammar::from_lark(grammar.clone()), grammar.len()),
        };
        if length > LONGEST_FORMAT {
            let message = format!("the format has {length} bytes; {LONGEST_FORMAT} are the limit");
            return Err(Error::invalid_argument(message).with("limit", LONGEST_FORMAT).with("param", "format"));
        }
        let begin = || -> Result<Constraint> {
            let parser = vocabulary.0.create_parser(grammar).map_err(|error| wrong(&error.to_string()))?;
            let mut matcher = Matcher::new(Ok(parser));
            // What allows no text at all shows here.
            let first = matcher.compute_mask_or_eos().map_err(|error| wrong(&error.to_string()))?;
            Ok(Constraint { matcher, first: Some(first) })
        };
        let stack = STACK + length * STACK_A_BYTE;
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("format".into()).stack_size(stack).spawn_scoped(scope, begin);
            let thread =
                thread.map_err(|error| Error::resource_exhausted("no thread for a format").with_source(error))?;
            thread.join().unwrap_or_else(|_| Err(Error::internal("the format could not be read")))
        })
    }

    /// The tokens that may come next.
    pub fn allowed(&mut self) -> Result<SimpleVob> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => self.matcher.compute_mask_or_eos().map_err(|error| failed(&error.to_string())),
        }
    }

    /// Goes on by a token. Returns whether the text is complete and nothing can follow.
    pub fn take(&mut self, token: u32) -> Result<bool> {
        self.matcher.consume_token(token).map_err(|error| failed(&error.to_string()))?;
        Ok(self.matcher.is_stopped())
    }
}

fn wrong(why: &str) -> Error {
    Error::invalid_argument(format!("the format cannot be followed: {}", reason(why))).with("param", "format")
}

fn failed(why: &str) -> Error {
    Error::resource_exhausted(format!("the format could not be followed any further: {}", reason(why)))
        .with("param", "format")
        .with_remedy("ask for a simpler format")
}

/// What the library says, without where in its own sources.
fn reason(why: &str) -> String {
    match why.lines().next().unwrap_or_default() {
        "NoExtensionBias" => "it allows no text".to_owned(),
        first => format!("{first:.400}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::ErrorCode;

    const END: u32 = 256;
    static BYTES: LazyLock<Vocabulary> = LazyLock::new(|| {
        let end = [&[TokTrie::SPECIAL_TOKEN_MARKER], &b"</s>"[..]].concat();
        let words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).chain([end]).collect();
        Vocabulary::of(&words, END, &[END]).unwrap()
    });

    fn schema(value: Value) -> OutputFormat {
        OutputFormat::JsonSchema(value)
    }

    /// Whether a text can be written byte by byte, and ended.
    fn allows(format: &OutputFormat, text: &str) -> bool {
        let mut constraint = Constraint::new(&BYTES, format).unwrap();
        let mut complete = false;
        for byte in text.bytes() {
            if complete || !constraint.allowed().unwrap().is_allowed(byte.into()) {
                return false;
            }
            complete = constraint.take(byte.into()).unwrap();
        }
        complete || constraint.allowed().unwrap().is_allowed(END)
    }

    #[test]
    fn a_text_is_what_the_schema_allows_in_the_order_in_which_it_was_written() {
        let ordered = schema(json!({"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "null"}},
            "required": ["b", "a"], "additionalProperties": false}));
        assert!(allows(&ordered, r#"{"b": 12, "a": null}"#));
        assert!(!allows(&ordered, r#"{"a": null, "b": 12}"#));
        // A name that is spelt otherwise is the same name.
        let named = schema(json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}));
        assert!(allows(&named, r#"{"a": 1, "c": "x"}"#));
        assert!(!allows(&named, r#"{"a": 1, "\u0061": "x"}"#));
        let either =
            schema(json!({"oneOf": [{"const": "x\n"}, {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}]}));
        assert!(allows(&either, r#"["x\n", [[], "x\n"]]"#));
        assert!(!allows(&either, r#"["x"]"#));
        assert!(allows(&OutputFormat::JsonObject, r#"{"free": [1, {"x": true}]}"#));
        assert!(!allows(&OutputFormat::JsonObject, "[1]"));
    }

    #[test]
    fn dates_and_times_are_those_that_there_are() {
        let dates = ["2023-02-28", "2024-02-29", "2000-02-29", "0001-01-01", "2026-11-30"];
        let none = ["2023-02-29", "1900-02-29", "2026-11-31", "0000-01-01", "2026-13-01"];
        let (date, moment) = (json!({"format": "date"}), json!({"format": "date-time", "pattern": "^2"}));
        for text in dates {
            assert!(allows(&schema(date.clone()), &format!("\"{text}\"")), "{text}");
            let after = allows(&schema(moment.clone()), &format!("\"{text}T23:59:59.5Z\""));
            assert_eq!(after, text.starts_with('2'), "{text}");
        }
        for text in none {
            assert!(!allows(&schema(date.clone()), &format!("\"{text}\"")), "{text}");
            assert!(!allows(&schema(moment.clone()), &format!("\"{text}T23:59:59Z\"")), "{text}");
        }
        let time = schema(json!({"type": "string", "format": "time"}));
        assert!(allows(&time, "\"23:59:59+01:30\"") && !allows(&time, "\"12:00:60Z\""));
    }

    /// Schemas that go down by `levels` references.
    fn chain(levels: usize) -> Value {
        let step = |at: usize| (at.to_string(), json!({"properties": {"a": {"$ref": format!("#/$defs/{}", at + 1)}}}));
        let mut parts: serde_json::Map<String, Value> = (0..levels).map(step).collect();
        parts.insert(levels.to_string(), json!({"type": "null"}));
        json!({"$ref": "#/$defs/0", "$defs": parts})
    }

    #[test]
    fn a_schema_that_would_be_followed_wrongly_or_for_too_long_is_refused() {
        let deep = (0..200).fold(json!({"type": "null"}), |inner, _| json!({"items": inner}));
        let words: Vec<String> = (0..20_000).map(|number| format!("word {number}")).collect();
        let patterns = |count: usize| -> Value { (0..count).map(|at| json!({"pattern": format!("a{at}?")})).collect() };
        let many_copies = || {
            let names: Vec<String> = (0..2_000).map(|at| format!("n{at}")).collect();
            json!({"type": "object", "required": names, "anyOf": vec![json!({}); 2_000]})
        };
        let names = |count: usize| -> serde_json::Map<String, Value> {
            (0..count).map(|at| (format!("^a{at}_"), json!({"type": "null"}))).collect()
        };
        let (unsupported, invalid) = (ErrorCode::Unsupported, ErrorCode::InvalidArgument);
        for (refused, code) in [
            (deep, unsupported),
            (json!({"enum": words}), invalid),
            (many_copies(), unsupported),
            (json!({"type": "string", "allOf": patterns(9)}), unsupported),
            (json!({"type": "string", "pattern": "x".repeat(3000)}), unsupported),
            (json!({"type": "object", "patternProperties": names(9)}), unsupported),
            (json!({"multipleOf": 65_537}), unsupported),
            (json!({"multipleOf": 0}), unsupported),
            (json!({"allOf": [{"multipleOf": 9999}, {"multipleOf": 9998}]}), unsupported),
            (json!({"multipleOf": 1e-9}), unsupported),
            (json!({"const": 9007199254740993u64}), unsupported),
            (json!({"enum": [{"a": [1e300]}]}), unsupported),
            (json!({"type": "integer", "minimum": 1e20}), unsupported),
            (json!({"type": "object", "minProperties": 2}), unsupported),
            (json!({"prefixItems": [true], "additionalItems": false}), unsupported),
            (json!({"items": {"$id": "https://a.example/b", "$ref": "#/$defs/c"}, "$defs": {"c": true}}), unsupported),
            (json!(7), invalid),
            (json!(false), invalid),
            (json!({"minimum": "1"}), invalid),
            (json!({"type": "strong"}), invalid),
            (json!({"not": {"type": "string"}}), invalid),
            (json!({"uniqueItems": true, "type": "array"}), invalid),
            (json!({"format": "iri"}), invalid),
            (json!({"oneOf": [{"minimum": 3}, {"maximum": 5}]}), invalid),
            (json!({"type": "string", "pattern": "(?=a)b"}), invalid),
            (json!({"type": "string", "minLength": 9, "maxLength": 3}), invalid),
            (json!({"$ref": "#"}), invalid),
            (json!({"$ref": "#/nowhere"}), invalid),
            (json!({"$ref": "https://elsewhere.example/schema"}), invalid),
            (json!({"$ref": ["é".repeat(100)]}), invalid),
            (json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}), invalid),
        ] {
            let shown = format!("{refused:.200}");
            let error = Constraint::new(&BYTES, &schema(refused)).err().expect(&shown);
            assert_eq!((error.code(), &*error.context()["param"]), (code, "format"), "{shown}: {error}");
            assert!(!error.message().contains(['\n', '⟦']), "{error}");
        }
    }

    #[test]
    fn what_asks_to_be_only_nearly_right_is_held_to_all_it_says() {
        let lenient = json!({"x-guidance": {"lenient": true}, "type": "array", "uniqueItems": true});
        assert_eq!(Constraint::new(&BYTES, &schema(lenient)).err().unwrap().code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn a_schema_may_go_down_further_than_a_worker_has_stack() {
        let longest = chain(2000);
        assert!(longest.to_string().len() < LONGEST_FORMAT);
        assert!(allows(&schema(longest), r#"{"a": {"a": {"a": {}}}}"#));
        let nested = (0..30).fold("\"a\"".to_owned(), |inner, _| format!("({inner})"));
        assert!(Constraint::new(&BYTES, &OutputFormat::Lark(format!("start: {nested}\n"))).is_err());
        let nested = (0..5000).fold("a".to_owned(), |inner, _| format!("({inner})"));
        assert!(Constraint::new(&BYTES, &OutputFormat::Regex(nested)).is_err());
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        let number = || {
            prop_oneof![(-5i64..20).prop_map(Value::from), Just(json!(0.25)), Just(json!(1e300)), Just(json!(u64::MAX))]
        };
        let text = || {
            prop::sample::select(vec![
                "a",
                "é\n",
                "^[a-c]{1,3}$",
                "(a|b)*c{9}",
                "(",
                "date",
                "time",
                "uuid",
                "#",
                "#/$defs/a",
                "#/properties/a",
            ])
        };
        let kinds =
            prop::sample::select(vec!["null", "boolean", "integer", "number", "string", "array", "object", "strong"]);
        let leaf = prop_oneof![
            number(),
            text().prop_map(Value::from),
            kinds.prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
        ];
        let keys = prop::sample::select(vec![
            "type",
            "enum",
            "const",
            "anyOf",
            "oneOf",
            "allOf",
            "$ref",
            "$defs",
            "properties",
            "required",
            "items",
            "prefixItems",
            "additionalProperties",
            "patternProperties",
            "minItems",
            "maxItems",
            "minLength",
            "maxLength",
            "pattern",
            "format",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "multipleOf",
            "minProperties",
            "maxProperties",
            "additionalItems",
            "a",
            "b",
            "not",
            "$id",
            "x-guidance",
            "default",
        ]);
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                4 => prop::collection::vec((keys.clone(), inner), 0..5).prop_map(|members| {
                    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
                }),
            ]
        })
    }

    fn any_format() -> impl Strategy<Value = OutputFormat> {
        let pieces = "[a-c(){}|*+?.,0-9\\[\\]\\\\\"/:_^$& \n-]{0,40}";
        prop_oneof![
            4 => any_schema().prop_map(OutputFormat::JsonSchema),
            1 => pieces.prop_map(OutputFormat::Regex),
            1 => (pieces, any_schema()).prop_map(|(text, schema)| {
                OutputFormat::Lark(format!("start: a | b | {text}\na: %json {schema}\nb: /{text}/\n"))
            }),
        ]
    }

    proptest! {
        #[test]
        fn fuzz_any_format_is_refused_or_its_texts_go_on_until_they_end(format in any_format(), choices in prop::collection::vec(any::<prop::sample::Index>(), 60)) {
            let mut constraint = match Constraint::new(&BYTES, &format) {
                Ok(constraint) => constraint,
                Err(error) => {
                    let known = [ErrorCode::InvalidArgument, ErrorCode::Unsupported, ErrorCode::ResourceExhausted];
                    prop_assert!(known.contains(&error.code()), "{error}");
                    return Ok(());
                }
            };
            for choice in choices {
                let allowed = match constraint.allowed() {
                    Ok(allowed) => allowed,
                    Err(error) => {
                        prop_assert_eq!(error.code(), ErrorCode::ResourceExhausted);
                        return Ok(());
                    }
                };
                let allowed: Vec<u32> = (0..=END).filter(|token| allowed.is_allowed(*token)).collect();
                prop_assert!(!allowed.is_empty());
                let token = allowed[choice.index(allowed.len())];
                if token == END {
                    return Ok(());
                }
                match constraint.take(token) {
                    Ok(false) => {}
                    Ok(true) => return Ok(()),
                    Err(error) => {
                        prop_assert_eq!(error.code(), ErrorCode::ResourceExhausted);
                        return Ok(());
                    }
                }
            }
        }
    }
}
