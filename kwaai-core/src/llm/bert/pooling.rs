//! How one vector is made of those of the tokens, and what is put before a text: the files of sentence-transformers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::config::Family;
use super::{json, optional, unsupported};
use crate::llm::Text;
use crate::{Error, Result};

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling/config.json";
const PROMPTS: &str = "config_sentence_transformers.json";
/// A longer prompt would leave no room for a text.
const LONGEST_PROMPT: usize = 2_000;

/// How the vectors of the tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean.
    Mean,
    /// The first one.
    Cls,
}

/// What a model wants before a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Prompts {
    pub query: String,
    pub document: String,
}

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `1_Pooling/config.json`; later versions name the modes in one word.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
    #[serde(default)]
    pooling_mode: Option<String>,
    #[serde(default = "yes")]
    include_prompt: bool,
}

fn yes() -> bool {
    true
}

impl Config {
    fn modes(&self) -> Vec<&str> {
        if let Some(mode) = &self.pooling_mode {
            return vec![mode];
        }
        [
            ("cls", self.pooling_mode_cls_token),
            ("mean", self.pooling_mode_mean_tokens),
            ("max", self.pooling_mode_max_tokens),
            ("mean_sqrt_len_tokens", self.pooling_mode_mean_sqrt_len_tokens),
            ("weightedmean", self.pooling_mode_weightedmean_tokens),
            ("lasttoken", self.pooling_mode_lasttoken),
        ]
        .into_iter()
        .filter_map(|(name, asked)| asked.then_some(name))
        .collect()
    }
}

impl Pooling {
    /// What the folder of a model asks for; the mean where it does not say.
    pub fn read(dir: &Path, prompts: &Prompts) -> Result<Pooling> {
        check_modules(dir)?;
        let path = dir.join(POOLING);
        let Some(bytes) = optional(&path)? else { return Ok(Pooling::Mean) };
        let config: Config = json(&path, &bytes)?;
        let modes = config.modes();
        let pooling = match modes.as_slice() {
            ["mean"] => Pooling::Mean,
            ["cls"] => Pooling::Cls,
            other => {
                let other = if other.is_empty() { "nothing".to_owned() } else { other.join(" and ") };
                return Err(unsupported(
                    &path,
                    &format!("it takes {other} of the tokens, not their mean or the first"),
                ));
            }
        };
        if !config.include_prompt && *prompts != Prompts::default() {
            return Err(unsupported(&path, "it leaves the prompt out of the mean"));
        }
        Ok(pooling)
    }

    /// As it is written into an id.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
        }
    }
}

/// What comes after the transformer must be what is computed here.
fn check_modules(dir: &Path) -> Result<()> {
    let path = dir.join(MODULES);
    let Some(bytes) = optional(&path)? else { return Ok(()) };
    for module in json::<Vec<Module>>(&path, &bytes)? {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Normalize" => {}
            "Pooling" if module.path == "1_Pooling" => {}
            other => return Err(unsupported(&path, &format!("it has a module {other} in {:?}", module.path))),
        }
    }
    Ok(())
}

impl Prompts {
    /// What the folder of a model says. NomicBert was trained with prompts that its folder does not name.
    pub fn read(dir: &Path, family: Family) -> Result<Prompts> {
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            prompts: Option<BTreeMap<String, String>>,
            #[serde(default)]
            default_prompt_name: Option<String>,
        }
        let path = dir.join(PROMPTS);
        let config = optional(&path)?.map(|bytes| json::<Config>(&path, &bytes)).transpose()?;
        let (prompts, usual) = match config {
            Some(config) => (config.prompts.unwrap_or_default(), config.default_prompt_name),
            None => Default::default(),
        };
        if let Some((name, _)) = prompts.iter().find(|(_, prompt)| prompt.len() > LONGEST_PROMPT) {
            return Err(unsupported(&path, &format!("its prompt {name} has more than {LONGEST_PROMPT} bytes")));
        }
        if family == Family::Nomic && prompts.values().all(String::is_empty) {
            return Ok(Prompts { query: "search_query: ".to_owned(), document: "search_document: ".to_owned() });
        }
        let usual = match usual {
            Some(name) => Some(prompts.get(&name).ok_or_else(|| {
                Error::corrupt_data(format!("{} has no prompt {name}, which is to be taken", path.display()))
                    .with_file(&path)
                    .with_remedy("fetch the model again")
            })?),
            None => None,
        };
        // A prompt that is there and empty says that none is wanted.
        let first = |names: &[&str]| -> String {
            let named: Vec<&String> = names.iter().filter_map(|name| prompts.get(*name)).collect();
            let wanted = named.iter().copied().find(|prompt| !prompt.is_empty());
            wanted.or(if named.is_empty() { usual } else { None }).cloned().unwrap_or_default()
        };
        Ok(Prompts { query: first(&["query"]), document: first(&["document", "passage", "corpus"]) })
    }

    /// A text with what is wanted before it.
    pub fn put(&self, text: &Text) -> String {
        text.with_prompt(&self.query, &self.document)
    }
}
