//! JSON schemas on their way to llguidance: what it would follow wrongly, or for too long, is refused or said differently.

use serde_json::{Map, Number, Value, json};

use crate::{Error, Result};

/// As deep as `serde_json` reads.
const DEEPEST: usize = 128;
/// Integers beyond lie between the doubles with which the library computes.
const MOST_EXACT: f64 = (1u64 << 53) as f64;
/// Each remainder is a state of its own; and the library multiplies two multiples in 32 bits.
const MOST_MULTIPLE: u64 = u16::MAX as u64;
const MOST_DECIMALS: u32 = 6;
const LONGEST_PATTERN: usize = 2048;
/// Patterns that are compared with each other, or that one text has to match at once: each more multiplies the states.
const MOST_COMPARED: usize = 8;
const MOST_PATTERNS: usize = 200;
/// What stands beside options is copied for each of them; in bytes of the schema.
const MOST_COPIED: usize = 8 << 20;

/// Beside a reference they change nothing.
const SAYS_NOTHING: [&str; 8] =
    ["$defs", "definitions", "$schema", "$id", "$comment", "title", "description", "default"];

const DATE: &str = "(?:(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-\
    (?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|\
    (?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)";
const TIME: &str =
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

/// A schema as llguidance is given it. Its texts have no white space that means nothing, and each name and text has one spelling:
/// otherwise `"\u0061"` would be a name that is not `"a"`, and so none that the schema says something of.
///
/// # Errors
/// `invalid_argument` for what is no schema, `unsupported` for one whose texts would not be held to it, or not soon enough.
pub(super) fn prepared(schema: &Value) -> Result<Value> {
    if !within(schema, DEEPEST) {
        return Err(unsupported(format!("it is nested deeper than {DEEPEST} levels")));
    }
    let mut schema = match schema {
        Value::Object(_) => schema.clone(),
        Value::Bool(true) => json!({}),
        Value::Bool(false) => return Err(invalid("it is false, so that no text is allowed")),
        _ => return Err(invalid("a schema is an object or a boolean")),
    };
    let mut found = Found::default();
    found.schema(&mut schema, true)?;
    found.check(schema.to_string().len())?;
    let style = json!({
        "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": ", "json_allowed_escapes": "nrbtf\\\"",
    });
    // In place of what the schema says itself, which could ask for what is only nearly right.
    schema["x-guidance"] = style;
    Ok(schema)
}

fn unsupported(why: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("the schema cannot be followed: {why}")).with("param", "format")
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::invalid_argument(format!("the schema cannot be followed: {why}")).with("param", "format")
}

fn within(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(list) => levels > 0 && list.iter().all(|element| within(element, levels - 1)),
        Value::Object(members) => levels > 0 && members.values().all(|member| within(member, levels - 1)),
        _ => true,
    }
}

/// What a schema has anywhere.
#[derive(Default)]
struct Found {
    multiples: Vec<(u64, u32)>,
    patterns: usize,
    names: usize,
    options: usize,
    copied: usize,
    combines: bool,
    refers: bool,
    renamed: bool,
}

impl Found {
    fn schema(&mut self, schema: &mut Value, root: bool) -> Result<()> {
        match schema {
            Value::Array(list) => list.iter_mut().try_for_each(|element| self.schema(element, false)),
            Value::Object(members) => self.object(members, root),
            _ => Ok(()),
        }
    }

    fn object(&mut self, members: &mut Map<String, Value>, root: bool) -> Result<()> {
        self.refers |= members.contains_key("$ref");
        let beside = members.keys().any(|name| name != "$ref" && !SAYS_NOTHING.contains(&name.as_str()));
        self.combines |= members.contains_key("allOf") || (members.contains_key("$ref") && beside);
        self.renamed |= !root && members.get("$id").is_some_and(Value::is_string);
        for list in ["anyOf", "oneOf", "enum"] {
            let options = members.get(list).and_then(Value::as_array).map_or(0, Vec::len);
            self.options += options;
            if options > 1 {
                let beside = members.iter().filter(|(name, _)| *name != list && !SAYS_NOTHING.contains(&name.as_str()));
                let bytes: usize = beside.map(|(name, value)| name.len() + value.to_string().len()).sum();
                self.copied = self.copied.saturating_add(bytes.saturating_mul(options));
            }
        }
        if members.contains_key("prefixItems") && members.contains_key("additionalItems") {
            return Err(unsupported("prefixItems and additionalItems are of different drafts"));
        }
        let required = members.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
        if members.get("minProperties").and_then(Value::as_u64).is_some_and(|least| least > required + 1) {
            return Err(unsupported("minProperties may be one more than are required: free names can come twice"));
        }
        for (name, value) in members.iter_mut() {
            match name.as_str() {
                "const" | "enum" => exact(value)?,
                "default" | "examples" => {}
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => bound(name, value)?,
                "multipleOf" => self.multiples.push(multiple(value)?),
                "pattern" => self.pattern(value.as_str().unwrap_or_default())?,
                "patternProperties" => {
                    let Value::Object(patterns) = value else { continue };
                    self.names += patterns.len();
                    patterns.keys().try_for_each(|pattern| self.pattern(pattern))?;
                    patterns.values_mut().try_for_each(|schema| self.schema(schema, false))?;
                }
                "properties" | "$defs" | "definitions" | "dependentSchemas" => {
                    let Value::Object(schemas) = value else { continue };
                    schemas.values_mut().try_for_each(|schema| self.schema(schema, false))?;
                }
                _ => self.schema(value, false)?,
            }
        }
        calendar(members);
        Ok(())
    }

    fn pattern(&mut self, pattern: &str) -> Result<()> {
        self.patterns += 1;
        match pattern.len() > LONGEST_PATTERN {
            true => Err(unsupported(format!("a pattern has more than {LONGEST_PATTERN} bytes"))),
            false => Ok(()),
        }
    }

    /// `length` is that of the whole schema.
    fn check(&self, length: usize) -> Result<()> {
        // What an allOf or a reference puts together may stand anywhere.
        let copied = if self.combines { self.options.saturating_mul(length) } else { self.copied };
        if copied > MOST_COPIED {
            return Err(unsupported("it has too many options for what stands beside them"));
        }
        if self.refers && self.renamed {
            return Err(unsupported("a part has an $id, so that it is not clear where its $ref lead"));
        }
        let most = if self.combines { MOST_COMPARED } else { MOST_PATTERNS };
        if self.patterns > most || self.names > MOST_COMPARED {
            return Err(unsupported(format!(
                "it has {} patterns, {} of them of names; {most} and {MOST_COMPARED} are followed",
                self.patterns, self.names
            )));
        }
        let decimals = self.multiples.iter().map(|(_, decimals)| *decimals).max().unwrap_or_default();
        let mut common = 1;
        for (digits, own) in &self.multiples {
            let multiple = digits * 10u64.pow(decimals - own);
            common = common / common_divisor(common, multiple) * multiple;
            if common > MOST_MULTIPLE {
                let why = "multipleOf has too many digits, by itself or together with the others";
                return Err(unsupported(format!(
                    "{why}: their least common multiple is at most {MOST_MULTIPLE} units"
                )));
            }
        }
        Ok(())
    }
}

/// Dates and times are those that there are: the library has 29 days in every February, a year 0, and a second 60 in any minute.
fn calendar(members: &mut Map<String, Value>) {
    let pattern = match members.get("format").and_then(Value::as_str) {
        Some("date") => format!("^{DATE}$"),
        Some("time") => format!("^{TIME}$"),
        Some("date-time") => format!("^{DATE}T{TIME}$"),
        _ => return,
    };
    members.retain(|name, _| name != "format");
    match members.contains_key("pattern") {
        false => drop(members.insert("pattern".into(), pattern.into())),
        true => {
            if let Value::Array(all) = members.entry("allOf").or_insert_with(|| json!([])) {
                all.push(json!({ "pattern": pattern }));
            }
        }
    }
}

/// Refuses a value with a number that the library would round.
fn exact(value: &Value) -> Result<()> {
    match value {
        Value::Number(number) if number.as_f64().is_none_or(|double| double.abs() >= MOST_EXACT) => {
            Err(unsupported(format!("the number {number} is 2^53 or beyond")))
        }
        Value::Array(list) => list.iter().try_for_each(exact),
        Value::Object(members) => members.values().try_for_each(exact),
        _ => Ok(()),
    }
}

/// As [`exact`], and the bounds of 64 bits, where the library ends too.
fn bound(name: &str, value: &Value) -> Result<()> {
    match value {
        Value::Number(number) if matches!(number.as_i64(), Some(i64::MIN | i64::MAX)) => Ok(()),
        Value::Number(_) => exact(value),
        // The drafts up to 4 have booleans there.
        Value::Bool(_) if name.starts_with("exclusive") => Ok(()),
        _ => Err(invalid(format!("{name} is no number"))),
    }
}

/// The digits of a multiple, and how many of them stand behind the point.
fn multiple(value: &Value) -> Result<(u64, u32)> {
    let Value::Number(number) = value else { return Err(invalid("multipleOf is no number")) };
    digits(number).ok_or_else(|| {
        unsupported(format!(
            "multipleOf is {number}; what is above 0 and exactly {MOST_DECIMALS} decimals or fewer is followed"
        ))
    })
}

fn digits(number: &Number) -> Option<(u64, u32)> {
    let mut rest = number.as_f64().filter(|multiple| *multiple > 0.0)?;
    let mut decimals = 0;
    while rest.fract() != 0.0 {
        rest *= 10.0;
        decimals += 1;
    }
    (decimals <= MOST_DECIMALS && rest <= MOST_MULTIPLE as f64).then_some((rest as u64, decimals))
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
