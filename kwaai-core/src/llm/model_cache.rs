//! Where models that were fetched lie.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::{Error, Result};

/// The name of the embedding model's folder in the cache.
const ALL_MINILM: &str = "all-MiniLM-L6-v2";

/// The folder that models are kept in: `KWAAINET_MODELS` where it is set, else `kwaainet/models` in the user's cache
/// (`XDG_CACHE_HOME`, else `.cache` in the home directory). It need not exist.
///
/// # Errors
/// `not_found` where neither these variables nor `HOME` are set.
pub fn models_dir() -> Result<PathBuf> {
    models_dir_from(|name| std::env::var_os(name))
}

fn models_dir_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("KWAAINET_MODELS") {
        return Ok(dir);
    }
    // The base directory specification has relative paths ignored.
    let cache = set("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()).or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.ok_or_else(|| {
        Error::not_found("no folder for models is known, since HOME is not set")
            .with_remedy("set KWAAINET_MODELS to a folder")
    })?;
    Ok(cache.join("kwaainet").join("models"))
}

/// The folder of all-MiniLM-L6-v2, whether or not it has been fetched.
///
/// # Errors
/// As [`models_dir`].
pub fn all_minilm_dir() -> Result<PathBuf> {
    Ok(models_dir()?.join(ALL_MINILM))
}

/// The folder of all-MiniLM-L6-v2 if it has been fetched. Fetching moves a complete folder into place, so its weights are there or not.
///
/// # Errors
/// As [`models_dir`].
pub fn find_all_minilm() -> Result<Option<PathBuf>> {
    let dir = all_minilm_dir()?;
    Ok(dir.join("model.safetensors").is_file().then_some(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_variable_decides_where_models_lie() {
        let dir = |set: &[(&str, &str)]| {
            let set: Vec<(String, OsString)> =
                set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            models_dir_from(|name| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone()))
        };
        assert_eq!(dir(&[("KWAAINET_MODELS", "/m"), ("HOME", "/h")]).unwrap(), PathBuf::from("/m"));
        assert_eq!(dir(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]).unwrap(), PathBuf::from("/c/kwaainet/models"));
        assert_eq!(
            dir(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]).unwrap(),
            PathBuf::from("/h/.cache/kwaainet/models")
        );
        assert_eq!(dir(&[("KWAAINET_MODELS", "")]).unwrap_err().code(), crate::ErrorCode::NotFound);
    }
}
