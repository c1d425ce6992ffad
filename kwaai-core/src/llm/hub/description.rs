//! What a hub says of a model, and which of its files are needed here.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::cache::is_commit;
use crate::{Error, Result};

const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
const CONFIG: &str = "config.json";
/// Read beside the configuration, where they exist; the last four are an embedding model's.
const SETTINGS: [&str; 5] = [
    "generation_config.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "modules.json",
    "config_sentence_transformers.json",
];
/// Taken of a model in GGUF unless another quantisation is named, as llama.cpp does.
const QUANTISATION: &str = "Q4_K_M";

/// A revision of a model, as a hub describes it (`GET /api/models/{id}/revision/{revision}`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The commit.
    pub commit: String,
    /// The names of its files, those in folders with `/`.
    pub files: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Description {
    /// Reads the answer of a hub. Files whose names could lead out of a folder are left out.
    ///
    /// # Errors
    /// `corrupt_data` for what is no description, or names no commit.
    pub fn read(bytes: &[u8]) -> Result<Description> {
        let answer: Answer = serde_json::from_slice(bytes).map_err(|error| {
            Error::corrupt_data("the hub's answer describes no model")
                .with_remedy("check HF_ENDPOINT")
                .with_source(error)
        })?;
        if !is_commit(&answer.sha) {
            return Err(Error::corrupt_data("the hub names no commit of the model").with_remedy("check HF_ENDPOINT"));
        }
        let names = answer.siblings.into_iter().map(|sibling| sibling.rfilename);
        Ok(Description { commit: answer.sha, files: names.filter(|name| is_below(name)).collect() })
    }

    /// The files that are needed: of a model in safetensors all that is read here, with the index in place of the weights
    /// that it lists; of one in GGUF the file of the quantisation, which is Q4_K_M unless it is named or there is only one file.
    /// Weights that running code is in (`.bin`, `.pt`, `.h5`) never are.
    ///
    /// # Errors
    /// `not_found` for a model without weights that are read here, and for a quantisation that it does not have;
    /// `invalid_argument` where a quantisation must be named.
    pub fn wanted(&self, quantisation: Option<&str>) -> Result<Vec<&str>> {
        let has = |name: &str| self.files.iter().any(|file| file == name);
        let weights = [INDEX, SINGLE].into_iter().find(|name| has(name));
        let Some(weights) = weights.filter(|_| quantisation.is_none()) else {
            return Ok(vec![self.gguf(quantisation)?]);
        };
        if !has(CONFIG) {
            return Err(Error::not_found(format!("the model has no {CONFIG}")).with_remedy("choose another model"));
        }
        let named = |name: &str| {
            let tokenizer = name.starts_with("tokenizer") && name.ends_with(".json");
            name == CONFIG
                || SETTINGS.contains(&name)
                || (!name.contains('/') && (tokenizer || name.starts_with("chat_template")))
        };
        let mut wanted: Vec<&str> = self.files.iter().map(String::as_str).filter(|name| named(name)).collect();
        wanted.push(weights);
        Ok(wanted)
    }

    fn gguf(&self, quantisation: Option<&str>) -> Result<&str> {
        let file = |name: &&str| name.to_ascii_lowercase().ends_with(".gguf") && !base(name).starts_with("mmproj");
        let mut files: Vec<&str> = self.files.iter().map(String::as_str).filter(file).collect();
        // The shortest name is the plainest: `m-Q4_K_M.gguf` before `m-UD-Q4_K_M.gguf`.
        files.sort_by_key(|name| (name.len(), *name));
        let of = |quantisation: &str| files.iter().find(|name| is_quantised(name, quantisation)).copied();
        let file = match quantisation {
            _ if files.is_empty() => Err(Error::not_found("the model has no weights in safetensors or GGUF")
                .with_remedy("choose a model whose weights are in one of these")),
            Some(quantisation) => of(quantisation).ok_or_else(|| {
                Error::not_found(format!("the model has no GGUF file of {quantisation}"))
                    .with("files", files.join(", "))
                    .with_remedy("name a quantisation that it has")
            }),
            None if files.len() == 1 => Ok(files[0]),
            None => of(QUANTISATION).ok_or_else(|| {
                Error::invalid_argument("the model has several GGUF files, none of them in Q4_K_M")
                    .with("files", files.join(", "))
                    .with_remedy("name a quantisation, as in owner/name:Q8_0")
            }),
        }?;
        if is_part(file) {
            return Err(Error::unsupported(format!(
                "{file} is one of several files of a model, which are not read by this version"
            ))
            .with_remedy(
                "choose a quantisation in one file, or put the files together with llama.cpp's gguf-split --merge",
            ));
        }
        Ok(file)
    }

    /// The files that the index of a model lists.
    ///
    /// # Errors
    /// `corrupt_data` for what is no index, and for one that lists what the model does not have.
    pub fn files_of_index(&self, bytes: &[u8]) -> Result<Vec<String>> {
        let corrupt = |why: &str| {
            Error::corrupt_data(format!("{INDEX} {why}"))
                .with_remedy("choose another revision, or tell the model's owner")
        };
        let index: Value = serde_json::from_slice(bytes).map_err(|error| corrupt("is no JSON").with_source(error))?;
        let map = index["weight_map"].as_object().ok_or_else(|| corrupt("has no weight_map"))?;
        let names: Option<BTreeSet<&str>> = map.values().map(Value::as_str).collect();
        let names = names.filter(|names| !names.is_empty()).ok_or_else(|| corrupt("names no files"))?;
        let known: HashSet<&str> =
            self.files.iter().map(String::as_str).filter(|file| file.ends_with(".safetensors")).collect();
        if let Some(name) = names.iter().find(|name| !known.contains(*name)) {
            return Err(corrupt(&format!("lists {name:.200?}, which the model does not have")));
        }
        Ok(names.into_iter().map(String::from).collect())
    }
}

/// Whether a file has tensors in it.
pub(super) fn is_weights(name: &str) -> bool {
    [".safetensors", ".gguf"].iter().any(|end| name.to_ascii_lowercase().ends_with(end))
}

fn base(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, base)| base)
}

/// Whether a file is one of several that a model in GGUF was cut into: `m-00001-of-00003.gguf`.
fn is_part(name: &str) -> bool {
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = name.get(..name.len().saturating_sub(".gguf".len())).unwrap_or_default();
    let parts: Vec<&str> = stem.rsplitn(4, '-').collect();
    matches!(parts[..], [count, "of", number, _] if digits(count) && digits(number))
}

/// Whether a name says that its file is of a quantisation: between dashes, dots or underscores, so that Q4_K is not Q4_K_M.
fn is_quantised(name: &str, quantisation: &str) -> bool {
    let (name, wanted) = (base(name).to_ascii_lowercase(), quantisation.to_ascii_lowercase());
    name.match_indices(&wanted).any(|(at, _)| {
        let before = name[..at].chars().next_back().is_none_or(|c| matches!(c, '-' | '.' | '_'));
        before && name[at + wanted.len()..].starts_with(['-', '.'])
    })
}

/// Whether a name is one of a file below a folder, on any system.
fn is_below(name: &str) -> bool {
    let plain = |part: &str| {
        let odd = |c: char| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
        !part.is_empty() && !matches!(part, "." | "..") && !part.contains(odd)
    };
    name.len() <= 512 && name.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str]) -> Description {
        Description { commit: "a".repeat(40), files: files.iter().map(|name| (*name).into()).collect() }
    }

    #[test]
    fn of_weights_in_several_forms_the_ones_that_are_read_are_wanted() {
        let files = ["README.md", "config.json", "pytorch_model.bin", "tokenizer.json", "tokenizer.model", "model.h5"];
        let files =
            [&files[..], &["chat_template.jinja", "model.safetensors", "onnx/config.json", "m-Q4_K_M.gguf"]].concat();
        let wanted = ["config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"];
        assert_eq!(of(&files).wanted(None).unwrap(), wanted);
        assert_eq!(of(&files).wanted(Some("q4_k_m")).unwrap(), ["m-Q4_K_M.gguf"]);
        let several = ["config.json", "consolidated.safetensors", "model.safetensors.index.json", "model.safetensors"];
        assert_eq!(of(&several).wanted(None).unwrap(), ["config.json", INDEX]);
        assert_eq!(of(&files[..3]).wanted(None).unwrap_err().code(), crate::ErrorCode::NotFound);
    }

    #[test]
    fn a_quantisation_is_a_whole_word_of_the_name() {
        let files =
            ["m-UD-Q4_K_M.gguf", "m.Q4_K_M.gguf", "m-Q4_K.gguf", "m-IQ4_XS.gguf", "mmproj-Q8_0.gguf", "b/m-BF16.gguf"];
        let gguf = |quantisation| of(&files).wanted(quantisation).map(|names| names[0].to_owned());
        assert_eq!(gguf(Some("Q4_K")).unwrap(), "m-Q4_K.gguf");
        assert_eq!(gguf(Some("bf16")).unwrap(), "b/m-BF16.gguf");
        assert_eq!(gguf(None).unwrap(), "m.Q4_K_M.gguf");
        assert_eq!(gguf(Some("Q4_XS")).unwrap_err().code(), crate::ErrorCode::NotFound, "which is not IQ4_XS");
        assert_eq!(gguf(Some("Q8_0")).unwrap_err().code(), crate::ErrorCode::NotFound, "a projector is no model");
        let two = of(&["a-Q8_0.gguf", "a-BF16.gguf"]);
        assert_eq!(two.wanted(None).unwrap_err().code(), crate::ErrorCode::InvalidArgument);
        assert_eq!(of(&["a-Q8_0.gguf"]).wanted(None).unwrap(), ["a-Q8_0.gguf"]);
        let parts = of(&["a-Q8_0-00001-of-00002.gguf", "a-Q8_0-00002-of-00002.gguf"]);
        assert_eq!(parts.wanted(Some("Q8_0")).unwrap_err().code(), crate::ErrorCode::Unsupported);
    }

    #[test]
    fn an_index_lists_what_the_model_has() {
        let model = of(&["model-1.safetensors", "x/model-2.safetensors"]);
        let index = |file: &str| format!(r#"{{"weight_map":{{"a":"model-1.safetensors","b":"{file}"}}}}"#);
        let files = model.files_of_index(index("x/model-2.safetensors").as_bytes()).unwrap();
        assert_eq!(files, ["model-1.safetensors", "x/model-2.safetensors"]);
        let code = of(&["model-1.safetensors", "x.bin"]);
        assert!(code.files_of_index(index("x.bin").as_bytes()).is_err());
        for wrong in [index("../x"), "{}".into(), r#"{"weight_map":{}}"#.into(), r#"{"weight_map":{"a":1}}"#.into()] {
            let error = model.files_of_index(wrong.as_bytes()).unwrap_err();
            assert_eq!(error.code(), crate::ErrorCode::CorruptData, "{wrong}");
        }
    }
}
