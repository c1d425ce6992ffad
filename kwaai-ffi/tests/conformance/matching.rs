//! Whether a value is what a scenario expects.

use serde_json::Value;

/// Compares a value with a pattern; the error says where they differ.
pub fn check(pattern: &Value, value: &Value) -> Result<(), String> {
    let differs = || Err(format!("expected {pattern}, got {}", shorten(value)));
    match (pattern, value) {
        (Value::Object(fields), _) if fields.len() == 1 && fields.keys().all(|key| key.starts_with('$')) => {
            let (name, operand) = fields.iter().next().ok_or("no matcher")?;
            matcher(name, operand, value)
        }
        (Value::Object(fields), Value::Object(found)) => fields.iter().try_for_each(|(key, inner)| {
            check(inner, found.get(key).unwrap_or(&Value::Null)).map_err(|why| format!("{key}: {why}"))
        }),
        (Value::Array(list), Value::Array(found)) if list.len() == found.len() => list
            .iter()
            .zip(found)
            .enumerate()
            .try_for_each(|(at, (inner, value))| check(inner, value).map_err(|why| format!("{at}: {why}"))),
        (Value::Number(wanted), Value::Number(found)) if wanted.as_f64() == found.as_f64() => Ok(()),
        _ if pattern == value => Ok(()),
        _ => differs(),
    }
}

fn matcher(name: &str, operand: &Value, value: &Value) -> Result<(), String> {
    let number = |value: &Value| value.as_f64().ok_or(format!("{} is no number", shorten(value)));
    let length = || match value {
        Value::String(text) => Ok(text.chars().count()),
        Value::Array(list) => Ok(list.len()),
        Value::Object(fields) => Ok(fields.len()),
        _ => Err(format!("{} has no length", shorten(value))),
    };
    let holds = match name {
        "$exists" => value.is_null() != operand.as_bool().ok_or("$exists takes true or false")?,
        "$gte" => number(value)? >= number(operand)?,
        "$lte" => number(value)? <= number(operand)?,
        "$approx" => (number(value)? - number(&operand[0])?).abs() <= number(&operand[1])?,
        "$len" => length()? as f64 == number(operand)?,
        "$min_len" => length()? as f64 >= number(operand)?,
        "$matches" => {
            let pattern = operand.as_str().ok_or("$matches takes a regular expression")?;
            let pattern = regex::Regex::new(pattern).map_err(|error| error.to_string())?;
            value.as_str().is_some_and(|text| pattern.is_match(text))
        }
        "$contains" => match (value, operand) {
            (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
            (Value::Array(list), _) => list.iter().any(|item| check(operand, item).is_ok()),
            _ => false,
        },
        "$not" => check(operand, value).is_err(),
        "$all" => {
            let patterns = operand.as_array().ok_or("$all takes a list")?;
            return patterns.iter().try_for_each(|pattern| check(pattern, value));
        }
        other => return Err(format!("there is no matcher {other}")),
    };
    if holds { Ok(()) } else { Err(format!("expected {name} {operand}, got {}", shorten(value))) }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 400 { text.chars().take(400).chain(['…']).collect() } else { text }
}
