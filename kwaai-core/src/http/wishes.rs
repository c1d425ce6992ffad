//! What a request wishes of the hosts that compute its answer: `kwaainet` in its body, or headers, for clients that cannot add to a body.

use hyper::HeaderMap;

use super::fields::Fields;
use super::reply::Failure;
use crate::llm::HostWishes;
use crate::trust::Minimum;

const FIELD: &str = "kwaainet";
const MIN_TIER: &str = "x-kwaainet-min-tier";
const MAX_TOKEN_MS: &str = "x-kwaainet-max-token-ms";
const KEEP_TOKENS: &str = "x-kwaainet-keep-tokens";
const STANDBY: &str = "x-kwaainet-standby";

const TIER: &str = "unknown, known, verified, trusted or a score from 0 to 1";
const TIME: &str = "a number of milliseconds above zero";
const COUNT: &str = "a whole number from 1 to 4294967295";

/// The wishes of the body, and those of the headers that the body leaves out.
pub(super) fn read(fields: &Fields, headers: &HeaderMap) -> Result<HostWishes, Failure> {
    let mut wishes = HostWishes {
        min_tier: text(headers, MIN_TIER)?.map(|text| tier(text).ok_or_else(|| wrong(MIN_TIER, TIER))).transpose()?,
        max_token_ms: text(headers, MAX_TOKEN_MS)?
            .map(|text| text.parse().ok().filter(is_time).ok_or_else(|| wrong(MAX_TOKEN_MS, TIME)))
            .transpose()?,
        keep_tokens: text(headers, KEEP_TOKENS)?
            .map(|text| text.parse().ok().filter(|count| *count > 0).ok_or_else(|| wrong(KEEP_TOKENS, COUNT)))
            .transpose()?,
        standby: text(headers, STANDBY)?
            .map(|text| text.parse().map_err(|_| wrong(STANDBY, "true or false")))
            .transpose()?
            .unwrap_or_default(),
    };
    let Some(own) = fields.object(FIELD)? else { return Ok(wishes) };
    let known = ["min_tier", "max_token_ms", "keep_tokens", "standby"];
    if let Some((name, _)) = own.entries().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(Failure::unsupported(
            &own.place(name),
            "only min_tier, max_token_ms, keep_tokens and standby can be wished here",
        ));
    }
    if let Some(text) = own.text("min_tier")? {
        wishes.min_tier = Some(tier(text).ok_or_else(|| own.wrong("min_tier", TIER))?);
    }
    if let Some(value) = own.get("max_token_ms") {
        let ms = value.as_f64().filter(is_time);
        wishes.max_token_ms = Some(ms.ok_or_else(|| own.wrong("max_token_ms", TIME))?);
    }
    wishes.keep_tokens = own.whole("keep_tokens", 1..=u32::MAX)?.or(wishes.keep_tokens);
    wishes.standby = own.flag("standby")?.unwrap_or(wishes.standby);
    Ok(wishes)
}

/// Refuses wishes where no hosts are chosen.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Failure> {
    match [MIN_TIER, MAX_TOKEN_MS, KEEP_TOKENS, STANDBY].into_iter().find(|name| headers.contains_key(*name)) {
        Some(name) => Err(Failure::unsupported(name, "a knowledge base answers with a model of its own choice")),
        None => Ok(()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(|text| Some(text.trim())).map_err(|_| wrong(name, "plain text"))
}

fn tier(text: &str) -> Option<Minimum> {
    text.parse().ok()
}

fn is_time(ms: &f64) -> bool {
    ms.is_finite() && *ms > 0.0
}

fn wrong(name: &str, must: &str) -> Failure {
    Failure::invalid(Some(name), format!("{name} must be {must}"))
}
