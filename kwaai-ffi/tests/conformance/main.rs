//! The scenarios of `tests/conformance`, run over the object layer: what every language's package must do as well.

mod federated;
mod matching;
mod provided;
mod vectors;
mod verbs;
mod web;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kwaai_ffi::{CancelToken, ErrorCode, KwaaiError, rt, testing};
use serde::Deserialize;
use serde_json::Value;

use verbs::{Answer, Object};

/// How long something that other nodes bring about may take.
const EVENTUALLY: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    #[allow(dead_code, reason = "for people")]
    title: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    call: String,
    on: Option<String>,
    #[serde(default)]
    args: serde_json::Map<String, Value>,
    save: Option<String>,
    #[serde(default, deserialize_with = "present")]
    expect: Option<Value>,
    error: Option<String>,
    or_error: Option<String>,
    skip_on: Option<Skip>,
    #[serde(default)]
    cancel: bool,
    #[serde(default)]
    eventually: bool,
}

/// What ends a scenario early, because something is not there that is no part of the repository.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    code: String,
    reason: String,
}

/// `"expect": null` expects null, which is not the same as no expectation.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

fn root() -> PathBuf {
    std::env::current_dir().unwrap().parent().expect("the crate lies in the workspace").to_path_buf()
}

/// The scenarios that need nothing but the repository, and the others.
fn files() -> (Vec<PathBuf>, Vec<PathBuf>) {
    let folder = std::env::var_os("KWAAI_SCENARIOS").map_or_else(|| root().join("tests/conformance"), PathBuf::from);
    let entries = std::fs::read_dir(folder).expect("a folder with scenarios");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.into_iter().partition(|path| !std::fs::read_to_string(path).expect("a scenario").contains("\"skip_on\""))
}

/// What a scenario has saved.
struct Scope {
    saved: BTreeMap<String, Answer>,
    order: Vec<String>,
    /// Why the rest is skipped.
    skipped: Option<String>,
}

impl Scope {
    fn save(&mut self, name: &str, answer: Answer) {
        self.saved.insert(name.to_owned(), answer);
        self.order.push(name.to_owned());
    }

    /// What `$name` or `$name.field.0` stands for.
    fn look_up(&self, reference: &str) -> Result<Answer, String> {
        let mut parts = reference.trim_start_matches('$').split('.');
        let name = parts.next().unwrap_or_default();
        let mut found = self.saved.get(name).ok_or(format!("nothing is saved as {name}"))?.clone();
        for part in parts {
            found = match found {
                Answer::Object(object) => Answer::Data(object.property(part).ok_or(format!("no property {part}"))?),
                Answer::Data(Value::Array(list)) => {
                    let index: usize = part.parse().map_err(|_| format!("{part} is no index"))?;
                    Answer::Data(list.get(index).cloned().ok_or(format!("{reference} is not there"))?)
                }
                Answer::Data(data) => Answer::Data(data.get(part).cloned().ok_or(format!("{reference} is not there"))?),
            };
        }
        Ok(found)
    }

    fn data(&self, reference: &str) -> Result<Value, String> {
        match self.look_up(reference)? {
            Answer::Data(data) => Ok(data),
            Answer::Object(_) => Err(format!("{reference} is an object")),
        }
    }

    /// The value with everything saved put in its place. Objects stay as their reference.
    fn resolve(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) if verbs::is_reference(text) => match self.look_up(text)? {
                Answer::Data(data) => data,
                Answer::Object(_) => value.clone(),
            },
            Value::String(text) if text.contains("${") => Value::String(self.interpolate(text)?),
            Value::Array(list) => list.iter().map(|item| self.resolve(item)).collect::<Result<_, _>>()?,
            Value::Object(fields) => {
                if let Some(Value::Array(repeat)) = fields.get("$repeat")
                    && let [Value::String(text), Value::Number(times)] = &repeat[..]
                {
                    let times = times.as_u64().and_then(|times| usize::try_from(times).ok()).ok_or("no count")?;
                    return Ok(Value::String(text.repeat(times)));
                }
                let resolved = fields.iter().map(|(key, item)| Ok((key.clone(), self.resolve(item)?)));
                Value::Object(resolved.collect::<Result<_, String>>()?)
            }
            _ => value.clone(),
        })
    }

    fn interpolate(&self, text: &str) -> Result<String, String> {
        let mut parts = text.split("${");
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (reference, rest) = part.split_once('}').ok_or("a ${ without }")?;
            match self.data(reference)? {
                Value::String(text) => whole += &text,
                other => whole += &other.to_string(),
            }
            whole += rest;
        }
        Ok(whole)
    }

    fn object(&self, reference: &str) -> Result<Object, String> {
        match self.look_up(reference)? {
            Answer::Object(object) => Ok(object),
            Answer::Data(_) => Err(format!("{reference} is no object")),
        }
    }
}

/// Runs a scenario, and says why the rest of it was skipped; the error says which step went wrong, and how.
async fn run(path: &Path) -> Result<Option<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let scenario: Scenario = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let tmp = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut scope = Scope { saved: BTreeMap::new(), order: Vec::new(), skipped: None };
    for (name, path) in [("tmp", tmp.path()), ("root", &root())] {
        scope.saved.insert(name.into(), Answer::Data(Value::String(path.to_string_lossy().into_owned())));
    }
    let mut outcome = Ok(());
    for (number, step) in scenario.steps.iter().enumerate() {
        outcome = take(&mut scope, step).await.map_err(|why| format!("step {} ({}): {why}", number + 1, step.call));
        if outcome.is_err() || scope.skipped.is_some() {
            break;
        }
    }
    for name in scope.order.iter().rev() {
        if let Some(Answer::Object(object)) = scope.saved.remove(name) {
            object.shutdown().await;
        }
    }
    outcome.map(|()| scope.skipped)
}

async fn take(scope: &mut Scope, step: &Step) -> Result<(), String> {
    let deadline = Instant::now() + EVENTUALLY;
    loop {
        match attempt(scope, step).await {
            Err(_) if step.eventually && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn attempt(scope: &mut Scope, step: &Step) -> Result<(), String> {
    let on = step.on.as_deref().map(|reference| scope.object(reference)).transpose()?;
    let mut args = verbs::Arguments::default();
    for (name, value) in &step.args {
        let value = if step.call == "Stream.until" { value.clone() } else { scope.resolve(value)? };
        args.add(name, value, |reference| scope.object(reference))?;
    }
    let token = CancelToken::new();
    let answer = if step.cancel {
        let cancel = token.clone();
        let call = step.call.clone();
        let under_way = tokio::spawn(async move { verbs::call(&call, on, args, cancel).await });
        while !testing::live_handles().contains_key("hang") {
            tokio::task::yield_now().await;
        }
        token.cancel();
        let answer = under_way.await.map_err(|error| error.to_string())?;
        return match answer {
            Err(error) if error.code == ErrorCode::Cancelled => Ok(()),
            Err(error) => Err(format!("it was cancelled and ended with {}: {error}", error.code)),
            Ok(_) => Err("it was cancelled and succeeded".into()),
        };
    } else if step.call == "Stream.until" {
        until(scope, on.ok_or("Stream.until needs a stream")?, &step.args).await?
    } else {
        verbs::call(&step.call, on, args, token).await
    };
    match (answer, &step.error) {
        (Err(error), Some(code)) if error.code.as_str() == code => Ok(()),
        (Err(error), _) if step.or_error.as_deref() == Some(error.code.as_str()) => Ok(()),
        (Err(error), _) if step.skip_on.as_ref().is_some_and(|skip| skip.code == error.code.as_str()) => {
            scope.skipped = step.skip_on.as_ref().map(|skip| skip.reason.clone());
            Ok(())
        }
        (Err(KwaaiError { code, message, .. }), None) => Err(format!("failed with {code}: {message}")),
        (Err(error), Some(code)) => Err(format!("failed with {} instead of {code}: {error}", error.code)),
        (Ok(_), Some(code)) => Err(format!("succeeded instead of failing with {code}")),
        (Ok(answer), None) => {
            if let Some(pattern) = &step.expect {
                let Answer::Data(data) = &answer else { return Err("an object cannot be compared".into()) };
                matching::check(&scope.resolve_pattern(pattern)?, data)?;
            }
            if let Some(name) = &step.save {
                scope.save(name, answer);
            }
            Ok(())
        }
    }
}

impl Scope {
    /// A pattern's own `$` keys stay; its `$name` values are looked up.
    fn resolve_pattern(&self, pattern: &Value) -> Result<Value, String> {
        self.resolve(pattern)
    }
}

async fn until(
    scope: &Scope,
    stream: Object,
    args: &serde_json::Map<String, Value>,
) -> Result<Result<Answer, KwaaiError>, String> {
    let pattern = scope.resolve_pattern(args.get("match").ok_or("Stream.until needs `match`")?)?;
    loop {
        let next = verbs::call("Stream.next", Some(stream.clone()), verbs::Arguments::default(), CancelToken::new());
        let next = tokio::time::timeout(EVENTUALLY, next).await.map_err(|_| "no value matched in time")?;
        match next {
            Ok(Answer::Data(Value::Null)) => return Err("the stream ended before a value matched".into()),
            Ok(Answer::Data(data)) if matching::check(&pattern, &data).is_err() => {}
            other => return Ok(other),
        }
    }
}

/// The scenarios count what is alive in the process, so they run one after the other.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn every_scenario_holds_over_the_object_layer_and_leaves_nothing_behind() {
    let (files, _) = files();
    assert!(!files.is_empty(), "there are scenarios");
    hold(files);
}

#[test]
fn scenarios_that_need_what_may_not_be_there_hold_or_say_what_is_missing() {
    let (_, files) = files();
    hold(files);
}

fn hold(files: Vec<PathBuf>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut failures = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let began = Instant::now();
        let outcome = rt::wait(None, async move { Ok(run(&path).await) }).expect("the runtime runs");
        println!("{name}: {} in {} ms", outcome.as_ref().map_or("FAILED", |_| "ok"), began.elapsed().as_millis());
        if let Ok(Some(reason)) = &outcome {
            println!("skipped: {reason}");
        }
        let left = testing::live_handles();
        match outcome {
            Err(why) => failures.push(format!("{name}: {why}")),
            Ok(_) if !left.is_empty() => failures.push(format!("{name}: left behind {left:?}")),
            Ok(_) => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
