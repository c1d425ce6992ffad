//! Parts of a model: of its weight files only the bytes that are needed, as for some of its blocks.
//!
//! A part lies beside the whole models of a cache, in `.kwaainet/parts/{commit}`, where the tools of Hugging Face do not look:
//! weight files of full length with holes, a journal of what is there of each, and links to all other files. It grows as
//! more is needed. A weight file that became whole is compared with the hash that the hub names, and taken into the cache.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::FetchEvent;
use super::cache::{Repository, has_room, in_one_step, make_parent};
use super::client::{Opened, Part, Remote, broken, nobody_listens};
use super::description::{Description, INDEX, is_weights};
use super::fetch::{AT_ONCE, Fetch, GOOD, Progress, bounded_index, place, whole};
use super::id::ModelId;
use super::tag::Tag;
use crate::blocking::blocking;
use crate::{Error, ErrorCode, Result};

/// A folder that has it, wherever it was moved or copied to, may lack bytes.
const JOURNAL: &str = ".kwaainet-part.json";
/// Weight files lie at most so deep below it.
const DEEPEST: usize = 8;
/// Of a store that gives no parts of files, so much that nobody needs is read for one piece.
const UNWANTED: u64 = 64 << 20;
/// What broke off is remembered up to here.
const PIECE: u64 = 32 << 20;
/// Holes up to this length are fetched with what is around them, which takes less than a request.
const SLACK: u64 = 4096;
/// Each round needs what the one before brought: the head of a file, then what that describes.
const ROUNDS: usize = 64;

/// Says which bytes of which weight files are needed.
pub(crate) trait Choose: Send + Sync {
    /// What is needed, as far as what is here says it. It is asked again whenever more is there. May block the thread.
    ///
    /// # Errors
    /// What keeps the model from being loaded.
    fn needed(&self, partial: &Partial) -> Result<Needed>;
}

/// What is needed of the files that are here in part.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// Ranges of files, by their names, with those that are there.
    pub ranges: Vec<(String, Range<u64>)>,
    /// Whether that is all, and not only what tells the rest.
    pub all: bool,
}

/// A model of which some bytes may be missing.
#[derive(Debug, Clone)]
pub(crate) struct Partial {
    /// The folder of a model, or its GGUF file.
    pub path: PathBuf,
    folder: PathBuf,
    journal: Journal,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Journal {
    /// The files that the hub has of the commit.
    names: Vec<String>,
    /// The weight files that are not whole.
    files: BTreeMap<String, PartialFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartialFile {
    /// The sha256 of the whole file, as the hub says it.
    sha256: String,
    pub size: u64,
    have: Ranges,
}

impl PartialFile {
    /// How many bytes from the first on are there without a hole.
    pub fn prefix(&self) -> u64 {
        self.have.0.first().filter(|(from, _)| *from == 0).map_or(0, |(_, to)| *to)
    }

    pub fn has(&self, range: &Range<u64>) -> bool {
        self.have.missing(range.clone()).is_empty()
    }
}

impl Partial {
    /// What is known of the folder of a part; `None` where nothing is.
    pub(super) fn at(folder: &Path) -> Option<Partial> {
        let journal = Journal::read(folder).ok()??;
        Some(Partial { path: folder.to_path_buf(), folder: folder.to_path_buf(), journal })
    }

    /// The files of which some bytes may be missing.
    pub fn files(&self) -> impl Iterator<Item = (&str, &PartialFile)> {
        self.journal.files.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Where a file of it lies.
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder has the name of the commit.
    fn commit(&self) -> &str {
        self.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn save(&self) -> Result<()> {
        let text = serde_json::to_vec(&self.journal).map_err(|error| {
            Error::internal("what is there of a model could not be written down").with_source(error)
        })?;
        // On the disk before it takes the place of the one before: an empty one would be no journal.
        in_one_step(&self.folder.join(JOURNAL), |partial| {
            let mut file = std::fs::File::create(partial)?;
            file.write_all(&text)?;
            file.sync_all()
        })
    }

    /// How many bytes of weights are there.
    pub fn bytes(&self) -> u64 {
        self.journal.files.values().map(|file| file.have.bytes()).fold(0, u64::saturating_add)
    }

    /// What is needed and not there.
    fn missing(&self, choose: &dyn Choose) -> Result<Needed> {
        let mut needed: BTreeMap<String, Vec<Range<u64>>> = BTreeMap::new();
        let Needed { ranges, all } = choose.needed(self)?;
        for (name, range) in ranges {
            needed.entry(name).or_default().push(range);
        }
        let mut missing = Vec::new();
        for (name, ranges) in needed {
            let Some(file) = self.journal.files.get(&name) else { continue };
            let beyond = |range: &Range<u64>| range.end > file.size;
            if let Some(range) = ranges.iter().find(|range| beyond(range)) {
                return Err(Error::corrupt_data(format!(
                    "{name} has {} bytes, but byte {} is needed",
                    file.size, range.end
                ))
                .with_remedy("choose another revision, or tell the model's owner"));
            }
            let holes = closed(ranges).into_iter().flat_map(|range| file.have.missing(range));
            missing.extend(holes.map(|hole| (name.clone(), hole)));
        }
        Ok(Needed { ranges: missing, all })
    }

    /// Whether everything that is needed is there.
    fn has_all(&self, choose: &dyn Choose) -> Result<bool> {
        self.missing(choose).map(|missing| missing.all && missing.ranges.is_empty())
    }
}

impl Journal {
    /// The journal in a folder, if it has one.
    fn read(folder: &Path) -> Result<Option<Journal>> {
        let path = folder.join(JOURNAL);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                Error::corrupt_data("what is there of this model was not written down whole")
                    .with_file(&path)
                    .with_remedy("remove it with remove_download, and name the model by its id at the hub")
                    .with_source(error)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", &path, error)),
        }
    }
}

impl PartialFile {
    /// What is there of a weight file, whatever leads to it; `None` for one that is whole.
    ///
    /// # Errors
    /// `corrupt_data` and `not_found` for one in a folder of parts of which nobody knows what is there.
    pub fn of(path: &Path) -> Result<Option<PartialFile>> {
        let real = path.canonicalize().map_err(|error| Error::file("read", path, error))?;
        for folder in real.ancestors().skip(1).take(DEEPEST) {
            if let Some(mut journal) = Journal::read(folder)? {
                let name = real.strip_prefix(folder).ok().and_then(Path::to_str);
                return Ok(name.and_then(|name| journal.files.remove(name)));
            }
            if is_part(folder) {
                return Err(Error::not_found("nobody knows what is there of this model")
                    .with_file(path)
                    .with_remedy("remove it with remove_download, and name the model by its id at the hub"));
            }
        }
        Ok(None)
    }

    /// What a hub says that the sha256 of the whole file is.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// Whether a folder is that of a part.
pub(super) fn is_part(folder: &Path) -> bool {
    folder.parent().is_some_and(|parent| parent.ends_with(".kwaainet/parts"))
}

/// Ranges in their order, those that lie together or nearly so as one.
fn closed(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut closed: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match closed.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(SLACK) => last.end = last.end.max(range.end),
            _ => closed.push(range),
        }
    }
    closed
}

/// What is there of a file: from, to; in order, none touching the next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.0.push((range.start, range.end));
        self.0.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(self.0.len());
        for (from, to) in self.0.drain(..) {
            match merged.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        self.0 = merged;
    }

    fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let (mut at, mut missing) = (range.start, Vec::new());
        for (from, to) in &self.0 {
            if at >= range.end || *from >= range.end {
                break;
            }
            if *from > at {
                missing.push(at..*from);
            }
            at = at.max(*to);
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(from, to)| to.saturating_sub(*from)).fold(0, u64::saturating_add)
    }
}

/// The path of a model of which everything that is needed is in the cache.
///
/// # Errors
/// Those of choosing.
pub(super) fn cached(cache: &Path, id: &ModelId, choose: &dyn Choose) -> Result<Option<PathBuf>> {
    let repository = Repository::new(cache, id);
    let Some(folder) = repository.commit_of_part(id.revision()).map(|commit| repository.part(&commit)) else {
        return Ok(None);
    };
    let Some(mut partial) = Partial::at(&folder) else { return Ok(None) };
    let description = Description { commit: String::new(), files: partial.journal.names.clone() };
    let Ok(wanted) = description.wanted(id.quantisation()) else { return Ok(None) };
    partial.path = place(folder, &wanted);
    // Another quantisation of it may be what is here.
    if !partial.path.exists() {
        return Ok(None);
    }
    match partial.has_all(choose) {
        Ok(all) => Ok(all.then_some(partial.path)),
        // Somebody took a file away, or something wrong came: the hub is asked again.
        Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::CorruptData) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Fetch<'_> {
    /// Remembers that a model is whole in the cache, where no part of it is needed any more.
    pub(super) async fn is_whole(&self, repository: &Repository, description: &Description) -> Result<()> {
        let commit = description.commit.as_str();
        repository.set_listed(commit, &description.files)?;
        repository.set_commit(self.id.revision(), commit)?;
        let whole = repository.files(commit);
        let (part, commit) = (repository.clone(), commit.to_owned());
        if let Err(error) = blocking(move || forget(&part, &commit, &whole)).await {
            tracing::debug!(code = %error.code(), "what was here in part of a model stays");
        }
        Ok(())
    }

    /// Brings what is needed of a model into the cache: its settings and tokenizer whole, of its weights what `choose` asks for.
    /// Returns its folder, or its GGUF file; where the model is whole in the cache, that one.
    pub async fn run_part(&self, choose: &Arc<dyn Choose>) -> Result<PathBuf> {
        let description = self.client.describe(self.id).await?;
        let commit = description.commit.as_str();
        let repository = Repository::new(self.cache, self.id);
        repository.prepare()?;
        let wanted = description.wanted(self.id.quantisation()).map_err(|error| error.with("model", self.id))?;
        if let Some(path) = whole(&repository, &description, self.id) {
            self.is_whole(&repository, &description).await?;
            return Ok(path);
        }
        let folder = repository.part(commit);
        let _nobody_else = repository.lock(&format!("{commit}.parts")).await?;
        let partial = Partial::at(&folder).map(|partial| partial.journal).unwrap_or_default();
        let journal = Journal { names: description.files.clone(), ..partial };
        let mut partial = Partial { path: place(folder.clone(), &wanted), folder, journal };
        let (mut weights, mut others): (Vec<String>, Vec<String>) =
            wanted.iter().map(|name| (*name).to_owned()).partition(|name| is_weights(name));
        if wanted.contains(&INDEX) {
            let path = repository.blob(&self.content_of_part(&repository, &partial, INDEX, None).await?);
            let bytes = std::fs::read(&path).map_err(|error| Error::file("read", &path, error))?;
            weights = description.files_of_index(&bytes).map_err(|error| error.with("model", self.id))?;
            others.retain(|name| name != INDEX);
        }
        for name in &others {
            self.content_of_part(&repository, &partial, name, None).await?;
        }
        let looks = weights.into_iter().map(|name| async move { self.client.look(self.id, commit, &name).await });
        let looked: Vec<Remote> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
        let mut remotes = BTreeMap::new();
        for remote in looked {
            match remote.size.zip(remote.tag.sha256()) {
                Some((size, sha256)) if !repository.blob(&remote.tag).is_file() => {
                    begin(&mut partial, &remote.name, size, sha256)?;
                    remotes.insert(remote.name.clone(), remote);
                }
                // One that is here already, or has no hash by which a part of it could be known.
                _ => {
                    let name = remote.name.clone();
                    let here = repository.blob(&remote.tag).is_file();
                    has_room(self.cache, if here { 0 } else { remote.size.unwrap_or(0) })?;
                    self.content_of_part(&repository, &partial, &name, Some(remote)).await?;
                    partial.journal.files.remove(&name);
                }
            }
        }
        partial.save()?;
        repository.set_commit_of_part(self.id.revision(), commit)?;
        let partial = Mutex::new(partial);
        let mut doubted = false;
        for _ in 0..ROUNDS {
            let (now, choose) = (locked(&partial).clone(), choose.clone());
            let missing = blocking(move || now.missing(choose.as_ref())).await;
            let Needed { ranges, all } = match missing {
                // What came earlier may be what is wrong.
                Err(error) if error.code() == ErrorCode::CorruptData && !doubted => {
                    doubted = true;
                    let mut partial = locked(&partial);
                    let files = partial.journal.files.iter_mut().filter(|(name, _)| remotes.contains_key(*name));
                    files.for_each(|(_, file)| file.have = Ranges::default());
                    partial.save()?;
                    continue;
                }
                missing => missing?,
            };
            if all && ranges.is_empty() {
                return self.finished(&repository, partial).await;
            }
            let bytes = ranges.iter().map(|(_, hole)| hole.end - hole.start).fold(0, u64::saturating_add);
            has_room(self.cache, bytes).map_err(|error| error.with("model", self.id))?;
            // How much there will be is not known before the heads are there.
            let mut progress = Progress::unheard();
            if all {
                self.events.send(FetchEvent::Found { files: remotes.len(), bytes: Some(bytes) });
                progress = Progress::told(self.events, Some(bytes));
            }
            let mut brought = Vec::new();
            for (name, hole) in &ranges {
                let remote = remotes.get(name).ok_or_else(|| Error::internal(format!("{name} was not looked at")))?;
                brought.extend(pieces(hole).map(|piece| self.piece(commit, remote, piece, &partial, &progress)));
            }
            stream::iter(brought).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        Err(Error::corrupt_data("the weights of the model say again and again that more of them is needed")
            .with("model", self.id)
            .with_remedy("choose another revision, or fetch the model whole"))
    }

    /// Brings a whole file into the cache and puts it into the part.
    async fn content_of_part(
        &self,
        repository: &Repository,
        partial: &Partial,
        name: &str,
        remote: Option<Remote>,
    ) -> Result<Tag> {
        let commit = partial.commit();
        let remote = match remote {
            Some(remote) => remote,
            None => self.client.look(self.id, commit, name).await?,
        };
        if name == INDEX {
            bounded_index(&remote).map_err(|error| error.with("model", self.id))?;
        }
        let content = self.content(repository, commit, remote, &Progress::unheard()).await?;
        repository.link_into(&partial.folder, name, &content.tag)?;
        Ok(content.tag)
    }

    /// Brings one piece, and writes down how far it came.
    async fn piece(
        &self,
        commit: &str,
        remote: &Remote,
        piece: Range<u64>,
        partial: &Mutex<Partial>,
        progress: &Progress<'_>,
    ) -> Result<()> {
        let (mut at, mut tries) = (piece.start, 0);
        while at < piece.end {
            let path = locked(partial).place(&remote.name);
            let before = at;
            let told = |reached| progress.is_at(&format!("{}@{}", remote.name, piece.start), reached - piece.start);
            let broke_off = self.range(commit, remote, &mut at, piece.end, &path, &told).await;
            {
                let mut partial = locked(partial);
                if let Some(file) = partial.journal.files.get_mut(&remote.name) {
                    file.have.add(before.min(at)..at);
                    partial.save()?;
                }
            }
            match broke_off? {
                None => {}
                Some(_) if tries < self.client.patience.retries => {
                    let gained = at.saturating_sub(before);
                    if gained < GOOD {
                        tokio::time::sleep(self.client.patience.after(tries)).await;
                    }
                    tries = if gained < GOOD { tries + 1 } else { 0 };
                }
                Some(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes what comes of `at..end`, and moves `at` to behind what is on the disk, however it ends. `Some` is why it broke off,
    /// where another try may go on; a refusal was asked again by the client.
    async fn range(
        &self,
        commit: &str,
        remote: &Remote,
        at: &mut u64,
        end: u64,
        path: &Path,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<Option<Error>> {
        let what = format!("{}/{}", self.id.repository(), remote.name);
        let failed = |error| Error::file("write", path, error);
        let part = Part { from: *at, to: Some(end) };
        let Opened { from, mut body } = match self.client.open(self.id, commit, remote, part).await {
            Err(error) if nobody_listens(&error) => return Ok(Some(error)),
            opened => opened?,
        };
        let mut file = tokio::fs::OpenOptions::new().write(true).open(path).await.map_err(failed)?;
        file.seek(std::io::SeekFrom::Start(*at)).await.map_err(failed)?;
        // A store without ranges sends the file from its first byte.
        let (mut skip, mut reached) = (*at - from, *at);
        if skip > UNWANTED {
            return Err(Error::unsupported(format!("the hub gives no parts of {what}"))
                .with_remedy("load all blocks, for which it is fetched whole, or ask another hub"));
        }
        let copied = loop {
            let bytes = match body.chunk().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break Ok(()),
                Err(error) => break Err(broken(&what, error)),
            };
            let unwanted = bytes.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= unwanted as u64;
            let rest = &bytes[unwanted..];
            let fits = &rest[..rest.len().min(usize::try_from(end - reached).unwrap_or(usize::MAX))];
            // Only what is flushed is known to have been written.
            if let Err(error) = async {
                file.write_all(fits).await?;
                file.flush().await
            }
            .await
            {
                break Err(failed(error));
            }
            reached += fits.len() as u64;
            told(reached);
            if reached == end {
                break Ok(());
            }
        };
        // Whatever happened, what came is kept; it is written down only when it is on the disk.
        file.sync_data().await.map_err(failed)?;
        *at = reached;
        match copied {
            Err(error) if passes(&error) => return Ok(Some(error)),
            copied => copied?,
        }
        Ok((reached < end).then(|| {
            Error::unreachable(format!("{what} broke off after byte {reached}, where {end} was asked for"))
                .with_remedy("fetch it again; it goes on from there")
        }))
    }

    /// Takes the weight files that became whole into the cache.
    async fn finished(&self, repository: &Repository, partial: Mutex<Partial>) -> Result<PathBuf> {
        let mut partial = partial.into_inner().unwrap_or_else(PoisonError::into_inner);
        let files = partial.journal.files.iter().filter(|(_, file)| file.has(&(0..file.size)));
        let full: Vec<(String, String)> = files.map(|(name, file)| (name.clone(), file.sha256.clone())).collect();
        for (name, sha256) in full {
            let path = partial.place(&name);
            let tag = Tag::read(&sha256).ok_or_else(|| Error::internal("a hash is no tag"))?;
            let (checked, file) = (tag.clone(), path.clone());
            let fits = blocking(move || checked.fits(&file)).await?;
            partial.journal.files.remove(&name);
            if !fits {
                std::fs::remove_file(&path).map_err(|error| Error::file("remove", &path, error))?;
                partial.save()?;
                return Err(Error::corrupt_data(format!("{name} is not what the hub says that it is"))
                    .with("model", self.id)
                    .with("tag", tag.as_str())
                    .with_remedy("fetch it again, or ask another hub"));
            }
            let blob = repository.blob(&tag);
            std::fs::rename(&path, &blob).map_err(|error| Error::file("make", &blob, error))?;
            repository.link_into(&partial.folder, &name, &tag)?;
            partial.save()?;
        }
        Ok(partial.path)
    }
}

/// Takes away what is here in part of files that are whole elsewhere now, unless somebody works with it.
fn forget(repository: &Repository, commit: &str, whole: &[String]) -> Result<()> {
    let folder = repository.part(commit);
    let Some(mut partial) = Partial::at(&folder) else { return Ok(()) };
    let Some(_nobody_else) = repository.try_lock(&format!("{commit}.parts"))? else { return Ok(()) };
    let others = |name: &String| is_weights(name) && !whole.contains(name) && folder.join(name).exists();
    if !partial.journal.names.iter().any(others) {
        return repository.forget_part(commit);
    }
    for name in whole.iter().filter(|name| is_weights(name)) {
        let path = folder.join(name);
        // In this order for the same reason as when a file is begun.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("remove", &path, error));
            }
            _ => {}
        }
        partial.journal.files.remove(name);
        partial.save()?;
    }
    Ok(())
}

/// Makes a file with holes, unless it is there.
fn begin(partial: &mut Partial, name: &str, size: u64, sha256: &str) -> Result<()> {
    let path = partial.place(name);
    let sha256 = sha256.to_ascii_lowercase();
    let known = partial.journal.files.get(name).is_some_and(|file| file.sha256 == sha256 && file.size == size);
    let is_there = || std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() == size);
    if known && is_there() {
        return Ok(());
    }
    make_parent(&path)?;
    let failed = |error| Error::file("write", &path, error);
    // The file first: one with holes that the journal did not name would be taken for whole after a crash.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    if partial.journal.files.remove(name).is_some() {
        partial.save()?;
    }
    std::fs::File::create(&path).and_then(|file| file.set_len(size)).map_err(failed)?;
    let file = PartialFile { sha256, size, have: Ranges::default() };
    partial.journal.files.insert(name.to_owned(), file);
    Ok(())
}

fn pieces(hole: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let (from, to) = (hole.start, hole.end);
    (0..(to - from).div_ceil(PIECE)).map(move |piece| from + piece * PIECE..to.min(from + (piece + 1) * PIECE))
}

/// Whether another try may go on.
fn passes(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::Unreachable | ErrorCode::Timeout)
}

fn locked(partial: &Mutex<Partial>) -> std::sync::MutexGuard<'_, Partial> {
    partial.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_close_up_and_say_what_is_missing_between_them() {
        let mut have = Ranges::default();
        for range in [10..20, 30..40, 20..25, 5..11, 7..7] {
            have.add(range);
        }
        assert_eq!(have, Ranges(vec![(5, 25), (30, 40)]));
        assert_eq!(have.bytes(), 30);
        assert_eq!(have.missing(0..50), [0..5, 25..30, 40..50]);
        assert_eq!(have.missing(6..20), []);
        assert_eq!(have.missing(20..45), [25..30, 40..45]);
        assert_eq!(have.missing(2..12), vec![2..5; 1]);
        assert_eq!(have.missing(30..30), []);
    }

    #[test]
    fn a_journal_is_written_as_versions_before_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut have = Ranges::default();
        have.add(0..10);
        have.add(20..30);
        let file = PartialFile { sha256: "ab".repeat(32), size: 100, have };
        let journal = Journal {
            names: vec!["config.json".into(), "model.safetensors".into()],
            files: BTreeMap::from([("model.safetensors".to_owned(), file)]),
        };
        let part = Partial { path: folder.path().into(), folder: folder.path().into(), journal };
        part.save().unwrap();
        let text = format!(
            r#"{{"names":["config.json","model.safetensors"],"files":{{"model.safetensors":{{"sha256":"{}","size":100,"have":[[0,10],[20,30]]}}}}}}"#,
            "ab".repeat(32)
        );
        assert_eq!(std::fs::read_to_string(folder.path().join(JOURNAL)).unwrap(), text);
        let read = Partial::at(folder.path()).unwrap();
        assert_eq!((read.bytes(), &read.journal.files), (20, &part.journal.files));
        // Whatever stands in it, nobody who reads it falls over.
        for cut in 0..text.len() {
            std::fs::write(folder.path().join(JOURNAL), &text[..cut]).unwrap();
            assert!(Partial::at(folder.path()).is_none(), "{cut}");
        }
        let odd = text.replace("[[0,10],[20,30]]", "[[30,20],[0,18446744073709551615],[5,5]]");
        std::fs::write(folder.path().join(JOURNAL), odd).unwrap();
        let odd = Partial::at(folder.path()).unwrap();
        assert_eq!(odd.bytes(), u64::MAX);
        let (_, file) = odd.files().next().unwrap();
        assert_eq!((file.prefix(), file.has(&(7..9))), (0, false), "ranges out of order say nothing");
    }

    #[test]
    fn what_lies_close_together_is_asked_for_at_once_and_what_is_long_in_pieces() {
        assert_eq!(closed(vec![10_000..10_010, 0..10, 10..20, 3..3, 4_100..4_110]), [0..4_110, 10_000..10_010]);
        let hole = 5..PIECE * 2 + 6;
        assert_eq!(
            pieces(&hole).collect::<Vec<_>>(),
            [5..PIECE + 5, PIECE + 5..PIECE * 2 + 5, PIECE * 2 + 5..PIECE * 2 + 6]
        );
        assert_eq!(pieces(&(3..3)).count(), 0);
    }
}
