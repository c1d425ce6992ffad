//! Bringing the files of a model into the cache: several at once, resumed where they broke off, and checked.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::FetchEvent;
use super::cache::{Repository, has_room, length, make_parent};
use super::client::{Client, Opened, Part, Remote, broken, nobody_listens};
use super::description::{Description, INDEX};
use super::id::ModelId;
use crate::blocking::blocking;
use crate::event::Sender;
use crate::{Error, ErrorCode, Result};

/// Files that are fetched at the same time.
pub(super) const AT_ONCE: usize = 4;
/// So often a file may change at the hub while it is fetched.
const CHANGES: usize = 3;
/// The longest index of weights; those of a trillion parameters have a tenth of it.
const MOST_INDEX: u64 = 64 << 20;
/// A connection that brought so much before it broke was a good one.
pub(super) const GOOD: u64 = 1 << 20;
/// Progress is told after so many bytes, and at the end of each file.
const STEP: u64 = 1 << 20;

/// One model on its way.
pub(super) struct Fetch<'a> {
    pub client: &'a Client,
    pub cache: &'a Path,
    pub id: &'a ModelId,
    pub events: &'a Sender<FetchEvent>,
}

/// The path of a model that is whole in the cache. What else the hub has of a commit is known of those that were fetched here; of one
/// that another tool fetched, which may have needed less, what is there has to do where the hub cannot be asked.
pub(super) fn cached(cache: &Path, id: &ModelId, offline: bool) -> Option<PathBuf> {
    let repository = Repository::new(cache, id);
    let commit = repository.commit(id.revision())?;
    let files = repository.listed(&commit).or_else(|| offline.then(|| repository.files(&commit)))?;
    whole(&repository, &Description { commit, files }, id)
}

/// The folder of a commit, or the GGUF file in it, if all is there that is needed.
pub(super) fn whole(repository: &Repository, description: &Description, id: &ModelId) -> Option<PathBuf> {
    let here: HashSet<String> = repository.files(&description.commit).into_iter().collect();
    let snapshot = repository.snapshot(&description.commit);
    let wanted = description.wanted(id.quantisation()).ok()?;
    if !wanted.iter().all(|name| here.contains(*name)) {
        return None;
    }
    if wanted.contains(&INDEX) {
        let listed = description.files_of_index(&std::fs::read(snapshot.join(INDEX)).ok()?).ok()?;
        if !listed.iter().all(|name| here.contains(name)) {
            return None;
        }
    }
    Some(place(snapshot, &wanted))
}

/// Where in a folder of files the model is.
pub(super) fn place(folder: PathBuf, wanted: &[&str]) -> PathBuf {
    match wanted {
        [file] => folder.join(file),
        _ => folder,
    }
}

/// Refuses an index whose length nobody would read.
pub(super) fn bounded_index(index: &Remote) -> Result<()> {
    match index.size {
        Some(size) if size <= MOST_INDEX => Ok(()),
        _ => Err(Error::resource_exhausted(format!(
            "{INDEX} is longer than {MOST_INDEX} bytes, or does not say how long"
        ))
        .with_remedy("choose another model")),
    }
}

impl Fetch<'_> {
    pub async fn run(&self) -> Result<PathBuf> {
        let description = self.client.describe(self.id).await?;
        let commit = description.commit.as_str();
        let repository = Repository::new(self.cache, self.id);
        repository.prepare()?;
        let wanted = description.wanted(self.id.quantisation()).map_err(|error| error.with("model", self.id))?;
        if let Some(path) = whole(&repository, &description, self.id) {
            self.is_whole(&repository, &description).await?;
            return Ok(path);
        }
        let mut names: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let mut files = Vec::new();
        if wanted.contains(&INDEX) {
            // What it lists decides what else is fetched.
            names.retain(|name| name != INDEX);
            let index = self.client.look(self.id, commit, INDEX).await?;
            bounded_index(&index).map_err(|error| error.with("model", self.id))?;
            let index = self.content(&repository, commit, index, &Progress::unheard()).await?;
            let path = repository.blob(&index.tag);
            let bytes = std::fs::read(&path).map_err(|error| Error::file("read", &path, error))?;
            names.extend(description.files_of_index(&bytes).map_err(|error| error.with("model", self.id))?);
            files.push(index);
        }
        let looks = names.into_iter().map(|name| async move { self.client.look(self.id, commit, &name).await });
        let looked: Vec<Remote> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        files.extend(looked);
        let bytes = files.iter().try_fold(0u64, |sum, file| Some(sum.saturating_add(file.size?)));
        let missing = |file: &Remote| match repository.blob(&file.tag).is_file() {
            true => 0,
            false => file.size.unwrap_or(0).saturating_sub(length(&repository.incomplete(&file.tag))),
        };
        has_room(self.cache, files.iter().map(missing).fold(0, u64::saturating_add))
            .map_err(|error| error.with("model", self.id))?;
        self.events.send(FetchEvent::Found { files: files.len(), bytes });
        let progress = Progress::told(self.events, bytes);
        let contents = files.into_iter().map(|file| self.content(&repository, commit, file, &progress));
        let contents: Vec<Remote> = stream::iter(contents).buffer_unordered(AT_ONCE).try_collect().await?;
        // Only now, and the list last: a commit that has it is whole.
        for file in &contents {
            repository.link(commit, &file.name, &file.tag)?;
        }
        self.is_whole(&repository, &description).await?;
        Ok(place(repository.snapshot(commit), &wanted))
    }

    /// Brings the content of a file into the cache, unless it is there. What it became is returned, for a file may change at a
    /// hub that does not hold to its commits.
    pub(super) async fn content(
        &self,
        repository: &Repository,
        commit: &str,
        mut remote: Remote,
        progress: &Progress<'_>,
    ) -> Result<Remote> {
        let mut changes = 0;
        loop {
            match self.blob(repository, commit, &remote, progress).await {
                Err(error) if error.code() == ErrorCode::Conflict && changes < CHANGES => {
                    changes += 1;
                    remote = self.client.look(self.id, commit, &remote.name).await?;
                }
                result => return result.map(|()| remote),
            }
        }
    }

    async fn blob(
        &self,
        repository: &Repository,
        commit: &str,
        remote: &Remote,
        progress: &Progress<'_>,
    ) -> Result<()> {
        let (blob, incomplete) = (repository.blob(&remote.tag), repository.incomplete(&remote.tag));
        let _nobody_else = repository.lock(remote.tag.as_str()).await?;
        if blob.is_file() {
            progress.is_at(&remote.name, length(&blob));
            return Ok(());
        }
        let mut of_others = length(&incomplete) > 0;
        let mut tries = 0;
        loop {
            let before = length(&incomplete);
            match self.bring(commit, remote, &incomplete, progress).await {
                Ok(None) => {}
                Ok(Some(_)) if tries < self.client.patience.retries => {
                    let gained = length(&incomplete).saturating_sub(before);
                    if gained < GOOD {
                        tokio::time::sleep(self.client.patience.after(tries)).await;
                    }
                    tries = if gained < GOOD { tries + 1 } else { 0 };
                    continue;
                }
                Ok(Some(error)) | Err(error) => return Err(error),
            }
            let (tag, path) = (remote.tag.clone(), incomplete.clone());
            if blocking(move || tag.fits(&path)).await? {
                return std::fs::rename(&incomplete, &blob).map_err(|error| Error::file("make", &blob, error));
            }
            std::fs::remove_file(&incomplete).map_err(|error| Error::file("remove", &incomplete, error))?;
            // What an earlier program left may have been wrong from its beginning.
            if !std::mem::take(&mut of_others) {
                let what = format!("{}/{}", self.id.repository(), remote.name);
                return Err(Error::corrupt_data(format!("{what} is not what the hub says that it is"))
                    .with("tag", remote.tag.as_str())
                    .with_remedy("fetch it again, or ask another hub"));
            }
        }
    }

    /// Appends what is missing. `Some` is why it broke off, where another try may go on; a refusal was asked again by the client.
    async fn bring(
        &self,
        commit: &str,
        remote: &Remote,
        path: &Path,
        progress: &Progress<'_>,
    ) -> Result<Option<Error>> {
        make_parent(path)?;
        let failed = |error| Error::file("write", path, error);
        let mut file =
            tokio::fs::OpenOptions::new().create(true).write(true).truncate(false).open(path).await.map_err(failed)?;
        let have = length(path);
        let from = if remote.size.is_some_and(|size| have > size) { 0 } else { have };
        if remote.size == Some(from) {
            // An empty file, or one that was cut before it was checked.
            return file.set_len(from).await.map(|()| None).map_err(failed);
        }
        let part = Part { from, to: remote.size };
        let Opened { from, body } = match self.client.open(self.id, commit, remote, part).await {
            Err(error) if nobody_listens(&error) => return Ok(Some(error)),
            opened => opened?,
        };
        file.set_len(from).await.map_err(failed)?;
        file.seek(std::io::SeekFrom::Start(from)).await.map_err(failed)?;
        let copied = self.copy(body, from, remote, &mut file, path, progress).await;
        // Whatever happened, what came is kept.
        file.flush().await.map_err(failed)?;
        match copied {
            Err(error) if matches!(error.code(), ErrorCode::Unreachable | ErrorCode::Timeout) => Ok(Some(error)),
            copied => {
                copied?;
                file.sync_all().await.map(|()| None).map_err(failed)
            }
        }
    }

    async fn copy(
        &self,
        mut body: reqwest::Response,
        from: u64,
        remote: &Remote,
        file: &mut tokio::fs::File,
        path: &Path,
        progress: &Progress<'_>,
    ) -> Result<()> {
        let what = format!("{}/{}", self.id.repository(), remote.name);
        let mut have = from;
        while let Some(bytes) = body.chunk().await.map_err(|error| broken(&what, error))? {
            let room = remote.size.map_or(u64::MAX, |size| size - have);
            let fits = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
            file.write_all(fits).await.map_err(|error| Error::file("write", path, error))?;
            have += fits.len() as u64;
            progress.is_at(&remote.name, have);
            if fits.len() < bytes.len() {
                return Err(Error::corrupt_data(format!("the hub sends more of {what} than it said that there is"))
                    .with_remedy("fetch it again, or ask another hub"));
            }
        }
        match remote.size {
            Some(size) if have < size => {
                Err(Error::unreachable(format!("{what} broke off after {have} of {size} bytes"))
                    .with_remedy("fetch it again; it goes on from there"))
            }
            _ => Ok(()),
        }
    }
}

/// How far each file is, and who hears of it.
pub(super) struct Progress<'a> {
    events: Option<&'a Sender<FetchEvent>>,
    total: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, u64>,
    told: u64,
}

impl<'a> Progress<'a> {
    pub fn told(events: &'a Sender<FetchEvent>, total: Option<u64>) -> Progress<'a> {
        Progress { events: Some(events), total, state: Mutex::default() }
    }
}

impl Progress<'_> {
    pub fn unheard() -> Progress<'static> {
        Progress { events: None, total: None, state: Mutex::default() }
    }

    pub fn is_at(&self, name: &str, bytes: u64) {
        let Some(events) = self.events else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.files.insert(name.to_owned(), bytes);
        let bytes = state.files.values().copied().fold(0, u64::saturating_add);
        if state.told.abs_diff(bytes) >= STEP || self.total == Some(bytes) {
            state.told = bytes;
            events.send(FetchEvent::Progress { bytes, total: self.total });
        }
    }
}
