//! Models by the id of a hub, such as `sentence-transformers/all-MiniLM-L6-v2`.
//!
//! A hub serves the files of a model at `{endpoint}/{id}/resolve/{revision}/{file}`, as Hugging Face does. The endpoint is
//! `HF_ENDPOINT` where it is set, and nothing is asked of it unless a program names a model by its id.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use tokio::io::AsyncWriteExt;

use super::model_cache::models_dir;
use crate::{Error, ErrorCode, Result};

const ENDPOINT: &str = "https://huggingface.co";
const REVISION: &str = "main";
/// Without these an embedding model cannot run.
const REQUIRED: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
/// These change how it runs, where they exist.
const OPTIONAL: [&str; 2] = ["sentence_bert_config.json", "1_Pooling/config.json"];
/// No embedding model that a processor runs in reasonable time has larger files.
const MAX_FILE: u64 = 8 * 1024 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);

/// The folder of an embedding model that is named by a path or by the id of a hub. A model that is named by its id is
/// fetched into the model cache the first time; later it is taken from there, without asking the hub.
///
/// # Errors
/// `not_found` for a path, or an id, that does not exist; `invalid_argument` for a text that is neither;
/// `permission_denied` for a model that the hub does not give to everybody; `unreachable` and `timeout` for the hub.
pub async fn embedding_model(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    check_id(name)?;
    let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
    fetch(name, endpoint.as_deref().unwrap_or(ENDPOINT), &models_dir()?).await
}

/// Fetches a model from a hub into a cache, unless it is there.
///
/// # Errors
/// As [`embedding_model`].
pub async fn fetch(id: &str, endpoint: &str, cache: &Path) -> Result<PathBuf> {
    check_id(id)?;
    let folder = cache.join(id.replace('/', "--"));
    if folder.join(REQUIRED[2]).is_file() {
        return Ok(folder);
    }
    let failed = |error: std::io::Error| Error::file("write into", cache, error);
    std::fs::create_dir_all(cache).map_err(failed)?;
    // Made beside its place and moved there whole, so that a cut connection leaves no half model.
    let partial = tempfile::Builder::new().prefix(".fetch-").tempdir_in(cache).map_err(failed)?;
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build()
        .map_err(|error| Error::internal("the HTTP client cannot be made").with_source(error))?;
    for name in REQUIRED.into_iter().chain(OPTIONAL) {
        let url = format!("{}/{id}/resolve/{REVISION}/{name}", endpoint.trim_end_matches('/'));
        match download(&client, &url, &partial.path().join(name)).await {
            Err(error) if error.code() == ErrorCode::NotFound && OPTIONAL.contains(&name) => {}
            Err(error) => return Err(error.with("model", id)),
            Ok(()) => {}
        }
    }
    match std::fs::rename(partial.path(), &folder) {
        // Another program was faster.
        Err(_) if folder.join(REQUIRED[2]).is_file() => {}
        Err(error) => return Err(Error::file("make", &folder, error)),
        Ok(()) => {}
    }
    Ok(folder)
}

async fn download(client: &Client, url: &str, path: &Path) -> Result<()> {
    let mut response = client.get(url).send().await.map_err(|error| unreachable(url, error))?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::NOT_FOUND => {
            return Err(Error::not_found(format!("the hub has no {url}")).with_remedy("check the model's id"));
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(Error::permission_denied(format!("the hub does not give {url} to everybody"))
                .with_remedy("fetch the model yourself and name its folder"));
        }
        status => return Err(Error::unreachable(format!("the hub answered {url} with {status}"))),
    }
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(|error| Error::file("make", parent, error))?;
    }
    let expected = response.content_length();
    let mut file = tokio::fs::File::create(path).await.map_err(|error| Error::file("create", path, error))?;
    let mut written = 0u64;
    while let Some(bytes) = response.chunk().await.map_err(|error| unreachable(url, error))? {
        written += bytes.len() as u64;
        if written > MAX_FILE {
            return Err(Error::resource_exhausted(format!("{url} has more than {MAX_FILE} bytes")));
        }
        file.write_all(&bytes).await.map_err(|error| Error::file("write", path, error))?;
    }
    if expected.is_some_and(|expected| expected != written) {
        return Err(Error::unreachable(format!("{url} ended after {written} bytes")));
    }
    file.sync_all().await.map_err(|error| Error::file("write", path, error))
}

fn unreachable(url: &str, error: reqwest::Error) -> Error {
    let code = if error.is_timeout() { ErrorCode::Timeout } else { ErrorCode::Unreachable };
    Error::new(code, format!("{url} could not be fetched"))
        .with_remedy("check the connection, set HF_ENDPOINT to a mirror, or name the folder of a model")
        .with_source(error)
}

/// An id is `owner/name`, so that a mistyped folder name asks no hub; nothing in it can leave the cache or the endpoint.
fn check_id(id: &str) -> Result<()> {
    let parts: Vec<&str> = id.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    if id.len() > 128 || parts.len() != 2 || !parts.iter().all(plain) {
        return Err(Error::not_found(format!("{id:.200?} is neither a folder nor the id of a model"))
            .with_remedy("name the folder of a BERT model, or an id such as sentence-transformers/all-MiniLM-L6-v2"));
    }
    Ok(())
}
