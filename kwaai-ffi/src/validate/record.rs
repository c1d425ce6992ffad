//! Records that a language wrote as JSON, read so that an error names the argument and what it allows.
//!
//! serde's own errors speak of Rust's types and of places in a text that nobody wrote by hand. This reader goes over the
//! parsed text instead, checks each value against what is asked for, and remembers the way there.

use std::fmt::{self, Write as _};

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde_json::{Map, Value};

use kwaai_core::Error;

/// How much of a text that is none of the choices is repeated.
const SHOWN: usize = 60;

/// How a language writes names of several words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `max_tokens`
    Snake,
    /// `maxTokens`
    Camel,
}

impl Spelling {
    /// A name of this crate as the language writes it.
    pub(crate) fn of(self, name: &str) -> String {
        if self == Spelling::Snake {
            return name.to_owned();
        }
        let mut words = name.split('_');
        let mut spelled = words.next().unwrap_or_default().to_owned();
        for word in words {
            let mut letters = word.chars();
            spelled.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            spelled.push_str(letters.as_str());
        }
        spelled
    }
}

/// The value that a JSON text stands for. A name that stands twice in an object is refused.
pub(super) fn parse(what: &str, text: &str) -> kwaai_core::Result<Value> {
    serde_json::from_str::<Once>(text).map(|Once(value)| value).map_err(|error| {
        let what = or_options(what);
        let problem = if error.is_data() {
            format!("a name stands twice in an object of {what}")
        } else {
            format!("{what} cannot be read as JSON")
        };
        Error::invalid_argument(problem).with("line", error.line()).with("column", error.column())
    })
}

/// The record that a value is; `what` is what messages call the whole, and names stand alone where it is empty.
pub(super) fn read<T: DeserializeOwned>(what: &str, value: &Value, spelling: Spelling) -> kwaai_core::Result<T> {
    T::deserialize(Reader(value)).map_err(|fault| Error::invalid_argument(fault.say(what, spelling)))
}

fn or_options(what: &str) -> &str {
    if what.is_empty() { "the options" } else { what }
}

/// What is wrong with a record, and the way there, the last step first.
#[derive(Debug)]
struct Fault {
    way: Vec<Step>,
    kind: Kind,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Item(usize),
}

#[derive(Debug)]
enum Kind {
    /// It is something else than it must be.
    Other {
        wanted: String,
        found: String,
    },
    /// It is among names that nobody asks for; these are asked for.
    Unknown(&'static [&'static str]),
    Missing,
    /// Words of a type that checks itself.
    Own(String),
}

impl Fault {
    fn new(kind: Kind) -> Fault {
        Fault { way: Vec::new(), kind }
    }

    fn wanted(wanted: impl Into<String>, found: &Value) -> Fault {
        Fault::new(Kind::Other { wanted: wanted.into(), found: shape(found) })
    }

    fn at(mut self, step: Step) -> Fault {
        self.way.push(step);
        self
    }

    fn say(&self, what: &str, spelling: Spelling) -> String {
        let mut place = what.to_owned();
        for step in self.way.iter().rev() {
            // A String takes whatever is written to it.
            let _ = match step {
                Step::Field(name) if place.is_empty() => write!(place, "{}", spelling.of(name)),
                Step::Field(name) => write!(place, ".{}", spelling.of(name)),
                Step::Item(index) => write!(place, "[{index}]"),
            };
        }
        let place = or_options(&place);
        match &self.kind {
            Kind::Other { wanted, found } => format!("{place} must be {wanted}, not {found}"),
            Kind::Unknown(known) => {
                let known: Vec<String> = known.iter().map(|name| spelling.of(name)).collect();
                format!("there is no {place}; there are {}", known.join(", "))
            }
            Kind::Missing => format!("{place} is missing"),
            Kind::Own(words) => format!("{place}: {words}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say("", Spelling::Snake))
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(words: T) -> Fault {
        Fault::new(Kind::Own(words.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Fault {
        Fault::invalid_value(found, wanted)
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Fault {
        Fault::new(Kind::Other { wanted: wanted.to_string(), found: found.to_string() })
    }

    fn invalid_length(length: usize, wanted: &dyn Expected) -> Fault {
        Fault::new(Kind::Other { wanted: wanted.to_string(), found: format!("{length} values") })
    }

    fn unknown_variant(variant: &str, choices: &'static [&'static str]) -> Fault {
        Fault::new(Kind::Other { wanted: one_of(choices), found: quoted(variant) })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Fault {
        Fault::new(Kind::Unknown(known)).at(Step::Field(quoted(field).trim_matches('"').to_owned()))
    }

    fn missing_field(field: &'static str) -> Fault {
        Fault::new(Kind::Missing).at(Step::Field(field.to_owned()))
    }
}

fn one_of(choices: &[&str]) -> String {
    let listed: Vec<String> = choices.iter().map(|choice| format!("{choice:?}")).collect();
    format!("one of {}", listed.join(", "))
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

/// What a value is, without what it says.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// A value of a record.
struct Reader<'de>(&'de Value);

macro_rules! whole_numbers {
    ($($method:ident, $visit:ident, $kind:ty;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number = self.0.as_i64().map(i128::from).or(self.0.as_u64().map(i128::from));
            match number.and_then(|number| <$kind>::try_from(number).ok()) {
                Some(number) => visitor.$visit(number),
                None => Err(Fault::wanted(format!("a whole number from {} to {}", <$kind>::MIN, <$kind>::MAX), self.0)),
            }
        })+
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => self.deserialize_f64(visitor),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Value::Object(fields) => visitor.visit_map(Fields { rest: fields.iter(), value: None }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(*value),
            other => Err(Fault::wanted("true or false", other)),
        }
    }

    whole_numbers! {
        deserialize_i8, visit_i8, i8;
        deserialize_i16, visit_i16, i16;
        deserialize_i32, visit_i32, i32;
        deserialize_i64, visit_i64, i64;
        deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16;
        deserialize_u32, visit_u32, u32;
        deserialize_u64, visit_u64, u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.as_f64() {
            Some(number) => visitor.visit_f64(number),
            None => Err(Fault::wanted("a number", self.0)),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            other => Err(Fault::wanted("a string", other)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            other => Err(Fault::wanted("null", other)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            other => Err(Fault::wanted("a list", other)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Array(items) if items.len() == length => self.deserialize_seq(visitor),
            Value::Array(items) => Err(Fault::new(Kind::Other {
                wanted: format!("a list of {length} values"),
                found: format!("one of {}", items.len()),
            })),
            other => Err(Fault::wanted(format!("a list of {length} values"), other)),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Object(fields) => visitor.visit_map(Fields { rest: fields.iter(), value: None }),
            other => Err(Fault::wanted("an object", other)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(Choice { name, content: None }),
            Value::Object(fields) if fields.len() == 1 => match fields.iter().next() {
                Some((name, content)) => visitor.visit_enum(Choice { name, content: Some(content) }),
                None => Err(Fault::wanted(one_of(choices), self.0)),
            },
            other => Err(Fault::wanted(one_of(choices), other)),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

struct Items<'de>(std::iter::Enumerate<std::slice::Iter<'de, Value>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        seed.deserialize(Reader(item)).map(Some).map_err(|fault| fault.at(Step::Item(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Fields<'de> {
    rest: serde_json::map::Iter<'de>,
    /// The value whose name was read last.
    value: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some((name, value));
        let name: StrDeserializer<'_, Fault> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        // Names and values are asked for in turns.
        let (name, value) = self.value.take().unwrap_or(("", &Value::Null));
        seed.deserialize(Reader(value)).map_err(|fault| fault.at(Step::Field(name.to_owned())))
    }
}

/// One of several, by its name, with what belongs to it.
struct Choice<'de> {
    name: &'de str,
    content: Option<&'de Value>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Fault;
    type Variant = Choice<'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Choice<'de>), Fault> {
        let name: StrDeserializer<'_, Fault> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> Choice<'de> {
    fn content(&self) -> Result<&'de Value, Fault> {
        self.content.ok_or_else(|| Fault::new(Kind::Missing).at(Step::Field(self.name.to_owned())))
    }

    fn inside<T>(self, read: impl FnOnce(Reader<'de>) -> Result<T, Fault>) -> Result<T, Fault> {
        read(Reader(self.content()?)).map_err(|fault| fault.at(Step::Field(self.name.to_owned())))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None | Some(Value::Null) => Ok(()),
            Some(content) => Err(Fault::wanted("null", content).at(Step::Field(self.name.to_owned()))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.inside(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Fault> {
        self.inside(|content| content.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.inside(|content| content.deserialize_map(visitor))
    }
}

/// JSON in whose objects no name stands twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Once(value))) = fields.next_entry::<String, Once>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Contribution, NodeConfig};
    use crate::rag::Options;
    use crate::shard::BlockChoice;
    use kwaai_core::ErrorCode;
    use kwaai_core::llm::GenerateRequest;
    use proptest::prelude::*;

    fn said<T: DeserializeOwned>(what: &str, text: &str, spelling: Spelling) -> String {
        let read = parse(what, text).and_then(|value| read::<T>(what, &value, spelling));
        let error = read.err().unwrap();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        error.message().to_owned()
    }

    fn snake<T: DeserializeOwned>(text: &str) -> String {
        said::<T>("", text, Spelling::Snake)
    }

    #[test]
    fn a_value_of_a_wrong_kind_is_named_with_what_it_must_be() {
        let most = u32::MAX;
        for (text, says) in [
            (r#"{"preset": 7}"#, "preset must be a string, not 7".to_owned()),
            (r#"{"mdns": "yes"}"#, "mdns must be true or false, not a string".into()),
            (r#"{"listen": "everywhere"}"#, "listen must be a list, not a string".into()),
            (r#"{"listen": ["a", null]}"#, "listen[1] must be a string, not null".into()),
            (r#"{"seed": -1}"#, format!("seed must be a whole number from 0 to {}, not -1", u64::MAX)),
            (r#"{"limits": []}"#, "limits must be an object, not a list".into()),
            (
                r#"{"limits": {"max_connections": 1.5}}"#,
                format!("limits.max_connections must be a whole number from 0 to {most}, not 1.5"),
            ),
            (
                r#"{"limits": {"max_memory_share": "half"}}"#,
                "limits.max_memory_share must be a number, not a string".into(),
            ),
            (
                r#"{"limits": {"max_conections": 1}}"#,
                "there is no limits.max_conections; there are max_connections".into(),
            ),
            ("3", "the options must be an object, not 3".into()),
            ("[]", "the options must be an object, not a list".into()),
        ] {
            let message = snake::<NodeConfig>(text);
            assert!(message.starts_with(&says), "{message}");
        }
        assert_eq!(
            said::<NodeConfig>("", r#"{"limits": {"max_conections": 1}}"#, Spelling::Camel).split(',').next(),
            Some("there is no limits.maxConections; there are maxConnections")
        );
        assert_eq!(said::<NodeConfig>("config_json", "3", Spelling::Snake), "config_json must be an object, not 3");
        assert_eq!(
            said::<NodeConfig>("config_json", r#"{"name": 3}"#, Spelling::Snake),
            "config_json.name must be a string, not 3"
        );
    }

    #[test]
    fn choices_and_what_is_missing_are_named() {
        assert_eq!(
            snake::<Options>(r#"{"chunking": {"strategy": "lines"}}"#),
            r#"chunking.strategy must be one of "sentence", "paragraph", "fixed", "heading", not "lines""#
        );
        assert_eq!(snake::<Options>(r#"{"endpoint": {"base_url": "x"}}"#), "endpoint.model is missing");
        assert_eq!(
            snake::<GenerateRequest>(r#"{"messages": [{"role": "wizard", "content": ""}]}"#),
            r#"messages[0].role must be one of "system", "user", "assistant", "tool", not "wizard""#
        );
        assert_eq!(
            said::<Contribution>("", r#"{"blocks": [{"end_block": 2}]}"#, Spelling::Camel),
            "blocks[0].model is missing"
        );
        let long = format!(r#"{{"language": "{}"}}"#, "x".repeat(100_000));
        assert!(snake::<Options>(&long).len() < 1000);
    }

    #[test]
    fn a_choice_with_content_is_read_by_its_place() {
        let read =
            |text: &str| parse("blocks", text).and_then(|value| read::<BlockChoice>("blocks", &value, Spelling::Snake));
        assert!(matches!(read(r#""all""#), Ok(BlockChoice::All)));
        assert!(matches!(read(r#"{"span": [1, 3]}"#), Ok(BlockChoice::Span(1, 3))));
        assert_eq!(said::<BlockChoice>("blocks", r#""span""#, Spelling::Snake), "blocks.span is missing");
        assert_eq!(
            said::<BlockChoice>("blocks", r#"{"span": [1]}"#, Spelling::Snake),
            "blocks.span must be a list of 2 values, not one of 1"
        );
        assert_eq!(
            said::<BlockChoice>("blocks", "7", Spelling::Snake),
            r#"blocks must be one of "all", "none", "span", not 7"#
        );
    }

    #[test]
    fn what_is_no_json_or_says_something_twice_is_refused_without_a_word_about_the_reader() {
        assert_eq!(snake::<NodeConfig>("{"), "the options cannot be read as JSON");
        assert_eq!(said::<NodeConfig>("config_json", "{", Spelling::Snake), "config_json cannot be read as JSON");
        assert_eq!(
            said::<NodeConfig>("config_json", r#"{"name": "a", "name": "b"}"#, Spelling::Snake),
            "a name stands twice in an object of config_json"
        );
        let error = parse("config_json", "{\n \"name\" 3}").unwrap_err();
        assert_eq!(error.context()["line"], "2");
    }

    proptest! {
        #[test]
        fn fuzz_records_are_read_or_refused_in_words_of_this_library(
            text in r#"(\{|\}|\[|\]|"|:|,|name|limits|max_connections|seed|span|null|true|-?[0-9]{1,20}|\.5| ){0,24}"#,
        ) {
            if let Err(error) = parse("x", &text).and_then(|value| read::<NodeConfig>("x", &value, Spelling::Camel)) {
                for word in ["expected", "usize", "u64", "variant", "struct ", "column"] {
                    prop_assert!(!error.message().contains(word), "{}", error.message());
                }
            }
        }
    }
}
