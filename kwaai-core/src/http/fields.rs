//! The body of a request, field by field, so that an error can name the one that is wrong.
//!
//! A field that is null is one that is not there. Fields that nobody here asks for are left alone, as OpenAI's own server leaves
//! them.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::reply::Failure;

pub(super) struct Fields {
    map: Map<String, Value>,
    /// Where the object stands in the body, with a dot at its end; empty for the body itself.
    place: String,
}

impl Fields {
    pub fn parse(body: &[u8]) -> Result<Fields, Failure> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Fields { map, place: String::new() }),
            Ok(_) => Err(Failure::invalid(None, "the body is JSON, but no object")),
            Err(error) => Err(Failure::invalid(None, format!("the body is not JSON: {error}"))),
        }
    }

    /// An object inside the body.
    pub fn of(value: &Value, place: &str) -> Result<Fields, Failure> {
        match value {
            Value::Object(map) => Ok(Fields { map: map.clone(), place: format!("{place}.") }),
            _ => Err(Failure::invalid(Some(place), format!("{place} must be an object"))),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub fn place(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    pub fn wrong(&self, name: &str, must: impl std::fmt::Display) -> Failure {
        let place = self.place(name);
        Failure::invalid(Some(&place), format!("{place} must be {must}"))
    }

    pub fn number(&self, name: &str, range: RangeInclusive<f64>) -> Result<Option<f32>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let must = format!("a number from {} to {}", range.start(), range.end());
        let number = value.as_f64().filter(|number| range.contains(number));
        number.map(|number| Some(number as f32)).ok_or_else(|| self.wrong(name, must))
    }

    pub fn whole(&self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let must = format!("a whole number from {} to {}", range.start(), range.end());
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|n| range.contains(n));
        number.map(Some).ok_or_else(|| self.wrong(name, must))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(name, "true or false"))
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(name, "a string"))
    }

    pub fn list(&self, name: &str) -> Result<Option<&Vec<Value>>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_array().map(Some).ok_or_else(|| self.wrong(name, "a list"))
    }

    pub fn object(&self, name: &str) -> Result<Option<Fields>, Failure> {
        self.get(name).map(|value| Fields::of(value, &self.place(name))).transpose()
    }

    pub fn needed<'a>(&'a self, name: &str) -> Result<&'a Value, Failure> {
        let place = self.place(name);
        self.get(name).ok_or_else(|| Failure::invalid(Some(&place), format!("{place} is missing")))
    }

    /// The object without some of its fields.
    pub fn without(&self, names: &[&str]) -> Value {
        self.map
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>()
            .into()
    }

    /// Refuses a field that says something which is not done here; false and what stands for nothing say nothing.
    pub fn refuse(&self, name: &str, why: &str) -> Result<(), Failure> {
        match self.get(name) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(_) => Err(Failure::unsupported(&self.place(name), why)),
        }
    }

    pub fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.map.iter()
    }
}
