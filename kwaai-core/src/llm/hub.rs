//! Models by the id of a hub, such as `Qwen/Qwen2.5-0.5B-Instruct` or `sentence-transformers/all-MiniLM-L6-v2`.
//!
//! A [`Hub`] fetches the files of a model into the cache that the tools of Hugging Face share, so that what one of them fetched
//! is there for the others. Nothing is asked of a hub unless a program names a model by its id, and nothing at all while that
//! model is whole in the cache. The interface of the Hub is that of Hugging Face: `/api/models/{id}/revision/{revision}` for
//! what there is, `/{id}/resolve/{commit}/{file}` for files and parts of them.

mod cache;
mod client;
mod description;
mod fetch;
mod id;
mod part;
mod tag;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use cache::CachedModel;
pub(crate) use cache::id_of_snapshot;
pub use description::Description;
pub use id::ModelId;
pub(crate) use part::{Choose, Needed, Partial, PartialFile};

use serde::Serialize;

use super::model_cache::models_dir;
use crate::blocking::blocking;
use crate::event::{self, Item, Sender, Stream};
use crate::{Error, Result};
use client::{Client, Patience};
use fetch::Fetch;

const ENDPOINT: &str = "https://huggingface.co";
/// Progress that nobody reads goes first; what was found and where it lies never is so far behind.
const UNREAD: usize = 1024;
/// No token is longer.
const MAX_TOKEN: u64 = 4096;

/// Where models are fetched from and kept.
#[derive(Clone)]
pub struct HubConfig {
    /// The address of the hub.
    pub endpoint: String,
    /// Who asks, for models that are not given to everybody. Sent to the endpoint alone, never logged, in no error.
    pub token: Option<String>,
    /// The folder that models are kept in, laid out as in ["Hub Local Cache"](https://huggingface.co/docs/hub/local-cache).
    pub cache: PathBuf,
    /// A folder with models in folders `owner--name`, as the first versions of this library kept them. They are used, and
    /// none is written there.
    pub earlier: Option<PathBuf>,
    /// Whether nothing may be asked of the hub.
    pub offline: bool,
    /// How often a request is made again that the hub was too busy for, or whose connection broke; 3. What a broken connection
    /// brought is kept, and one that brought more than a mebibyte counts for nothing.
    pub retries: u32,
    /// The pause before the first of these, unless the hub names one; each is twice the one before, at most 30 s; 500 ms.
    pub pause: Duration,
}

impl HubConfig {
    /// Hugging Face's hub, for everybody, over a cache.
    pub fn new(cache: impl Into<PathBuf>) -> HubConfig {
        HubConfig {
            endpoint: ENDPOINT.into(),
            token: None,
            cache: cache.into(),
            earlier: None,
            offline: false,
            retries: 3,
            pause: Duration::from_millis(500),
        }
    }

    /// As the environment says, in the variables of Hugging Face's own tools: `HF_ENDPOINT`; `HF_TOKEN`, else the file
    /// `HF_TOKEN_PATH`, else `token` in `HF_HOME`; `HF_HUB_CACHE`, else `hub` in `HF_HOME`, which is `huggingface` in the user's
    /// cache (`XDG_CACHE_HOME`, else `.cache` in the home directory) where it is not set; `HF_HUB_OFFLINE`, where `1`, `on`,
    /// `yes` and `true` forbid asking.
    ///
    /// # Errors
    /// `not_found` where none of these variables, nor the home directory, says where models are kept.
    pub fn from_env() -> Result<HubConfig> {
        let mut config = HubConfig::of(|name| std::env::var_os(name))?;
        config.earlier = models_dir().ok();
        Ok(config)
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>) -> Result<HubConfig> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let user = || set("HOME").or_else(|| set("USERPROFILE")).map(PathBuf::from);
        let folder = |name: &str| {
            let path = PathBuf::from(set(name)?);
            match path.strip_prefix("~") {
                Ok(rest) => Some(user()?.join(rest)),
                Err(_) => Some(path),
            }
        };
        let shared = || folder("XDG_CACHE_HOME").or_else(|| Some(user()?.join(".cache")));
        let home = folder("HF_HOME").or_else(|| Some(shared()?.join("huggingface")));
        let cache = folder("HF_HUB_CACHE").or_else(|| Some(home.as_ref()?.join("hub"))).ok_or_else(|| {
            Error::not_found("no folder for models is known, since HOME is not set")
                .with_remedy("set HF_HUB_CACHE to a folder")
        })?;
        let file = folder("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")));
        let token = text("HF_TOKEN").or_else(|| {
            let file = file?;
            (cache::length(&file) <= MAX_TOKEN).then(|| std::fs::read_to_string(file).ok()).flatten()
        });
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let offline = text("HF_HUB_OFFLINE")
            .is_some_and(|text| ["1", "on", "yes", "true"].iter().any(|yes| text.eq_ignore_ascii_case(yes)));
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into());
        Ok(HubConfig { endpoint, token, offline, ..HubConfig::new(cache) })
    }
}

impl fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConfig")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("cache", &self.cache)
            .field("earlier", &self.earlier)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// How a fetch goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FetchEvent {
    /// What the model consists of, the files that are in the cache already included; where only some blocks are wanted, what is
    /// missing of their weights. Comes first, unless nothing is missing.
    Found {
        /// How many files.
        files: usize,
        /// How many bytes, where the hub says it of all files.
        bytes: Option<u64>,
    },
    /// So much of it is here.
    Progress {
        /// In bytes; less than before where a file had to be begun anew.
        bytes: u64,
        /// How much there will be, where it is known.
        total: Option<u64>,
    },
    /// The model is whole.
    Finished {
        /// Its folder, or its GGUF file.
        path: PathBuf,
    },
}

/// A hub and the cache of what was fetched from it. Clones are the same one.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    config: HubConfig,
    client: Client,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hub").field(&self.0.config).finish()
    }
}

impl Hub {
    /// A hub. Nothing is asked of it yet.
    ///
    /// # Errors
    /// `invalid_argument` for an endpoint that is no address, and for a token with characters that no token has.
    pub fn new(config: HubConfig) -> Result<Hub> {
        let patience = Patience { retries: config.retries, pause: config.pause };
        let client = Client::new(&config.endpoint, config.token.clone(), patience)?;
        Ok(Hub(Arc::new(Inner { config, client })))
    }

    /// The hub and the cache that the environment names: [`HubConfig::from_env`].
    ///
    /// # Errors
    /// As there and as [`new`](Hub::new).
    pub fn from_env() -> Result<Hub> {
        Hub::new(HubConfig::from_env()?)
    }

    /// The folder of a model, or its GGUF file: from the cache where it is whole there, else from the hub.
    ///
    /// # Errors
    /// `invalid_argument` for what is no [`ModelId`], then as [`fetch`](Hub::fetch).
    pub async fn model(&self, id: &str) -> Result<PathBuf> {
        let parsed: ModelId = id.parse()?;
        let inner = self.0.clone();
        if let Some(path) = blocking(move || Ok(inner.cached(&parsed))).await? {
            return Ok(path);
        }
        finished(self.fetch(id)?).await
    }

    /// The folder of a model, or its GGUF file, of which at least the bytes that `choose` asks for are there: from the cache, else
    /// from the hub.
    ///
    /// # Errors
    /// As [`model`](Hub::model), and those of choosing.
    pub(crate) async fn part(&self, id: &str, choose: Arc<dyn Choose>) -> Result<PathBuf> {
        let parsed: ModelId = id.parse()?;
        let (inner, chosen) = (self.0.clone(), choose.clone());
        if let Some(path) = blocking(move || inner.here(&parsed, Some(chosen.as_ref()))).await? {
            return Ok(path);
        }
        finished(self.fetch_part(id, Some(choose))?).await
    }

    /// Asks what a model is now, and fetches what is not in the cache, up to four files at once. Files that broke off go on
    /// where they are; each is compared with the hash that the hub names, and the model appears in the cache when all are
    /// right. Must be called in a runtime of tokio. Dropping the stream ends the work and keeps what came.
    ///
    /// # Errors
    /// Here `invalid_argument` for what is no [`ModelId`]. In the stream: `not_found` for a model, a revision or a quantisation
    /// that does not exist, and for one that is not in the cache while nothing may be asked; `permission_denied` for a model
    /// that is not given to everybody; `busy`, `unreachable` and `timeout` for the hub; `corrupt_data` for files that are not
    /// what the hub says; `conflict` for one that keeps changing; `resource_exhausted` for a full disk.
    pub fn fetch(&self, id: &str) -> Result<Stream<FetchEvent>> {
        self.fetch_part(id, None)
    }

    /// [`fetch`](Hub::fetch), of the weights only what `choose` asks for.
    ///
    /// # Errors
    /// As there, and those of choosing.
    pub(crate) fn fetch_part(&self, id: &str, choose: Option<Arc<dyn Choose>>) -> Result<Stream<FetchEvent>> {
        let id: ModelId = id.parse()?;
        let inner = self.0.clone();
        let (events, stream) = event::channel(UNREAD);
        let cancel = events.cancellation();
        tokio::spawn(async move {
            let result = tokio::select! {
                result = inner.fetch(&id, choose, &events) => result,
                () = cancel.cancelled() => Err(Error::cancelled("the fetch was cancelled")),
            };
            events.finish(result);
        });
        Ok(stream)
    }

    /// What is in the cache, whoever fetched it, in the order of ids.
    ///
    /// # Errors
    /// Those of a task that cannot run.
    pub async fn models(&self) -> Result<Vec<CachedModel>> {
        let inner = self.0.clone();
        blocking(move || Ok(cache::list(&inner.config.cache))).await
    }

    /// Takes a model out of the cache, with what broke off of it; or one revision, where one is named, with the files that no
    /// other has. Returns how many bytes that freed. Other tools no longer have it either.
    ///
    /// # Errors
    /// `invalid_argument` for what is no [`ModelId`] or names a quantisation, `not_found` for what is not there, `busy` while
    /// it is being fetched.
    pub async fn remove(&self, id: &str) -> Result<u64> {
        let id: ModelId = id.parse()?;
        if id.quantisation().is_some() {
            return Err(Error::invalid_argument("a model or a revision is removed, not a single file of it")
                .with_remedy("leave the quantisation out"));
        }
        let inner = self.0.clone();
        blocking(move || cache::Repository::new(&inner.config.cache, &id).remove(id.named_revision())).await
    }
}

impl Inner {
    fn cached(&self, id: &ModelId) -> Option<PathBuf> {
        let plain = id.named_revision().is_none() && id.quantisation().is_none();
        let earlier = self.config.earlier.as_ref().filter(|_| plain);
        let earlier = earlier.map(|dir| dir.join(format!("{}--{}", id.owner(), id.name())));
        earlier
            .filter(|folder| folder.join("model.safetensors").is_file())
            .or_else(|| fetch::cached(&self.config.cache, id, self.config.offline))
    }

    fn not_here(&self, id: &ModelId) -> Error {
        Error::not_found(format!("{id} is not in the cache, and HF_HUB_OFFLINE forbids asking the hub"))
            .with_file(&self.config.cache)
            .with_remedy("fetch it while online, or name the folder of a model")
    }

    async fn fetch(
        self: &Arc<Inner>,
        id: &ModelId,
        choose: Option<Arc<dyn Choose>>,
        events: &Sender<FetchEvent>,
    ) -> Result<()> {
        let fetch = Fetch { client: &self.client, cache: &self.config.cache, id, events };
        let path = match choose {
            choose if self.config.offline => {
                let (inner, named) = (self.clone(), id.clone());
                let here = blocking(move || inner.here(&named, choose.as_deref())).await?;
                here.ok_or_else(|| self.not_here(id))?
            }
            Some(choose) => fetch.run_part(&choose).await?,
            None => fetch.run().await?,
        };
        events.send(FetchEvent::Finished { path });
        Ok(())
    }

    /// What is in the cache of a model, if that is all of it, or all that is needed; blocks the thread.
    fn here(&self, id: &ModelId, choose: Option<&dyn Choose>) -> Result<Option<PathBuf>> {
        let part = |choose| part::cached(&self.config.cache, id, choose);
        match choose {
            None => Ok(self.cached(id)),
            // A branch may have gone on since all of it was here.
            Some(choose) if cache::Repository::new(&self.config.cache, id).part_is_newer(id.revision()) => {
                Ok(part(choose)?.or_else(|| self.cached(id)))
            }
            Some(choose) => self.cached(id).map_or_else(|| part(choose), |path| Ok(Some(path))),
        }
    }
}

/// The path at the end of a fetch.
async fn finished(mut events: Stream<FetchEvent>) -> Result<PathBuf> {
    while let Some(item) = events.next().await? {
        if let Item::Value(FetchEvent::Finished { path }) = item {
            return Ok(path);
        }
    }
    Err(Error::internal("a fetch ended without a model"))
}

/// The path of a model that is named by a path or by the id of a hub; what exists on the disk is a path. A text that is
/// neither stays what it is, for whoever opens it to say what is missing. Of a model of the hub all is fetched, or what `choose`
/// asks for.
///
/// # Errors
/// As [`Hub::model`], with both readings in the message; those of choosing.
pub(crate) async fn locate(hub: Option<&Hub>, path: &Path, choose: Option<Arc<dyn Choose>>) -> Result<PathBuf> {
    let id = path.to_str().filter(|text| text.parse::<ModelId>().is_ok());
    let Some(id) = id.filter(|_| !path.exists()) else { return Ok(path.to_path_buf()) };
    let found = async {
        let hub = hub.map_or_else(Hub::from_env, |hub| Ok(hub.clone()))?;
        match choose {
            Some(choose) => hub.part(id, choose).await,
            None => hub.model(id).await,
        }
    };
    found.await.map_err(|error| {
        let why = format!("{id} is no path here, and as the id of a model it cannot be had: {}", error.message());
        let both =
            error.context().iter().fold(Error::new(error.code(), why), |both, (key, value)| both.with(key, value));
        both.with_file(path).with_source(error)
    })
}

/// The name of a model by which its files stay what they are now, though a branch of the hub may go on: with the commit that
/// was found for it.
pub(crate) fn pinned(model: &Path, found: &Path) -> PathBuf {
    let id = || -> Option<ModelId> { model.to_str().filter(|_| model != found)?.parse().ok() };
    let folder = found.ancestors().find(|folder| id_of_snapshot(folder).is_some());
    let commit = || folder?.file_name()?.to_str();
    id().zip(commit()).map_or_else(|| model.to_path_buf(), |(id, commit)| id.at(commit).to_string().into())
}

/// The folder of an embedding model that is named by a path or by the id of a hub, as the environment has it. A model that is
/// named by its id is fetched into the cache the first time; later it is taken from there, without asking the hub.
///
/// # Errors
/// `not_found` for a path, or an id, that does not exist, and for a text that is neither; `permission_denied` for a model that
/// the hub does not give to everybody; `unreachable` and `timeout` for the hub.
pub async fn embedding_model(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    if name.parse::<ModelId>().is_err() {
        return Err(Error::not_found(format!("{name:.200?} is neither a folder nor the id of a model"))
            .with_remedy("name the folder of a BERT model, or an id such as sentence-transformers/all-MiniLM-L6-v2"));
    }
    Hub::from_env()?.model(name).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    fn of(set: &[(&str, &str)]) -> Result<HubConfig> {
        HubConfig::of(|name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).into()))
    }

    #[test]
    fn the_variables_of_hugging_face_decide_where_models_lie() {
        let cache = |set: &[(&str, &str)]| of(set).unwrap().cache;
        assert_eq!(cache(&[("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]), Path::new("/c/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "~/hf")]), Path::new("/h/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/m")]), Path::new("/m"));
        assert_eq!(of(&[("HF_HUB_CACHE", "")]).unwrap_err().code(), ErrorCode::NotFound);
    }

    #[test]
    fn a_pinned_model_keeps_the_commit_that_was_found() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--a--b");
        for folders in ["snapshots", ".kwaainet/parts"] {
            let folder = repository.join(folders).join(commit);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("m.gguf"), "").unwrap();
            assert_eq!(pinned(Path::new("a/b"), &folder), Path::new(&format!("a/b@{commit}")));
            let gguf = pinned(Path::new("a/b@main:Q8_0"), &folder.join("m.gguf"));
            assert_eq!(gguf, Path::new(&format!("a/b@{commit}:Q8_0")));
            assert_eq!(pinned(&folder, &folder), folder);
        }
        let elsewhere = cache.path().join("a--b");
        std::fs::create_dir(&elsewhere).unwrap();
        assert_eq!(pinned(Path::new("a/b"), &elsewhere), Path::new("a/b"));
    }

    #[test]
    fn the_token_is_the_variable_or_the_file_that_others_keep_it_in() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(of(&[("HF_HOME", path)]).unwrap().token, None);
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        assert_eq!(of(&[("HF_HOME", path)]).unwrap().token.as_deref(), Some("hf_file"));
        let both = of(&[("HF_HOME", path), ("HF_TOKEN", "hf_variable")]).unwrap();
        assert_eq!(both.token.as_deref(), Some("hf_variable"));
        assert!(!format!("{both:?} {:?}", Hub::new(both.clone()).unwrap()).contains("hf_"));
    }

    #[test]
    fn offline_is_a_word_for_yes() {
        let offline = |value: &str| of(&[("HOME", "/h"), ("HF_HUB_OFFLINE", value)]).unwrap().offline;
        assert!(offline("1") && offline("TRUE") && offline("Yes"));
        assert!(!offline("0") && !offline("") && !offline("no"));
        assert_eq!(of(&[("HOME", "/h")]).unwrap().endpoint, ENDPOINT);
    }
}
