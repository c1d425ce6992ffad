//! What the name of a model means to a hub.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The branch of a model that is taken unless another is named.
const MAIN: &str = "main";
/// A hub takes no longer names.
const LONGEST: usize = 96;
/// Branches and tags are short.
const LONGEST_REVISION: usize = 128;

/// A model at a hub: `owner/name`, `owner/name@revision` for a branch, a tag or a commit, and `owner/name:Q4_K_M` for the
/// GGUF file of that quantisation, as users of llama.cpp write it. Both ends may be there: `owner/name@revision:Q4_K_M`.
///
/// Nothing in it can leave a cache or an endpoint: its parts have letters, digits, `-`, `_` and `.`, none begins with a dot or
/// has two dashes in a row, which part owner and name in a cache; only a revision has slashes, between parts of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId {
    owner: String,
    name: String,
    revision: Option<String>,
    quantisation: Option<String>,
}

impl ModelId {
    /// Who published it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its name, without the owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The branch, tag or commit; `main` unless one was named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }

    /// The branch, tag or commit, if one was named.
    pub fn named_revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The quantisation of the GGUF file, if one was named.
    pub fn quantisation(&self) -> Option<&str> {
        self.quantisation.as_deref()
    }

    /// The same model at this revision.
    pub(super) fn at(self, revision: &str) -> ModelId {
        ModelId { revision: Some(revision.into()), ..self }
    }

    /// Owner and name alone.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

impl FromStr for ModelId {
    type Err = Error;

    /// # Errors
    /// `invalid_argument` for a text that names no model of a hub.
    fn from_str(text: &str) -> Result<ModelId> {
        let refused = || {
            Error::invalid_argument(format!("{text:.200?} is not the id of a model"))
                .with_remedy("write it as owner/name, owner/name@revision or owner/name:Q4_K_M")
        };
        let (rest, quantisation) = match text.split_once(':') {
            Some((rest, quantisation)) => (rest, Some(quantisation)),
            None => (text, None),
        };
        let (repository, revision) = match rest.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (rest, None),
        };
        let (owner, name) = repository.split_once('/').ok_or_else(refused)?;
        let fits = repository.len() <= LONGEST
            && [owner, name].into_iter().all(|part| is_plain(part) && !part.contains("--"))
            && revision.is_none_or(|text| text.len() <= LONGEST_REVISION && text.split('/').all(is_plain))
            && quantisation.is_none_or(|text| text.len() <= LONGEST && is_plain(text));
        if !fits {
            return Err(refused());
        }
        Ok(ModelId {
            owner: owner.into(),
            name: name.into(),
            revision: revision.map(String::from),
            quantisation: quantisation.map(String::from),
        })
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(quantisation) = &self.quantisation {
            write!(f, ":{quantisation}")?;
        }
        Ok(())
    }
}

/// Windows takes a dot at the end for none, so that no name may end with one either.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with(['.', '-'])
        && !part.ends_with(['.', '-'])
        && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
