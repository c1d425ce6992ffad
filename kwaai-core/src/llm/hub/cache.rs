//! Models on the disk, as every tool of Hugging Face keeps them ("Hub Local Cache" in the Hub's documentation): contents by
//! their tags in `blobs`, a folder of links for each commit in `snapshots`, and the commits of branches and tags in `refs`.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::id::ModelId;
use super::part::{Partial, is_part};
use super::tag::Tag;
use crate::{Error, Result};

const PREFIX: &str = "models--";
/// The folder, beside those of Hugging Face's tools, of what only this library remembers.
const LISTS: &str = ".kwaainet";
/// In it: the folders of commits of which some bytes are here.
const PARTS: &str = "parts";
/// So often it is looked whether another process has finished a file.
const LOOK: Duration = Duration::from_millis(50);
/// Files of a model lie at most so deep.
const DEEPEST: usize = 8;
const COMMIT_DIGITS: usize = 40;

/// One revision of a model in a cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CachedModel {
    /// `owner/name`.
    pub id: String,
    /// The commit.
    pub revision: String,
    /// How long its files are together, in bytes; of those in part what is there. Files that several revisions share are counted with each.
    pub bytes: u64,
    /// Whether all of it is here, and not only the bytes that some blocks needed.
    pub whole: bool,
    /// The folder of its files.
    pub path: PathBuf,
}

/// The folder of one model.
#[derive(Clone)]
pub(super) struct Repository {
    folder: PathBuf,
    locks: PathBuf,
}

/// Kept as long as a file is written. The system lets go of it when the process ends, however it ends.
pub(super) struct Lock(#[allow(dead_code, reason = "closing it gives the lock back")] File);

impl Repository {
    pub fn new(cache: &Path, id: &ModelId) -> Repository {
        let name = format!("{PREFIX}{}--{}", id.owner(), id.name());
        Repository { folder: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    pub fn blob(&self, tag: &Tag) -> PathBuf {
        self.folder.join("blobs").join(tag.as_str())
    }

    /// Where the bytes are that came so far.
    pub fn incomplete(&self, tag: &Tag) -> PathBuf {
        self.folder.join("blobs").join(format!("{}.incomplete", tag.as_str()))
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The folder of a commit of which only some bytes are needed.
    pub fn part(&self, commit: &str) -> PathBuf {
        self.folder.join(LISTS).join(PARTS).join(commit)
    }

    /// The commit that a revision had when it was fetched last.
    pub fn commit(&self, revision: &str) -> Option<String> {
        remembered(&self.folder.join("refs"), revision)
    }

    /// The commit that a revision had when some bytes of it were fetched last.
    pub fn commit_of_part(&self, revision: &str) -> Option<String> {
        remembered(&self.folder.join(LISTS).join("refs"), revision)
    }

    /// Remembers the commit of a revision, for parts.
    pub fn set_commit_of_part(&self, revision: &str, commit: &str) -> Result<()> {
        match is_commit(revision) {
            true => Ok(()),
            false => in_one_step(&self.folder.join(LISTS).join("refs").join(revision), |partial| {
                std::fs::write(partial, commit)
            }),
        }
    }

    /// Whether some bytes of a revision were fetched after it was whole here last.
    pub fn part_is_newer(&self, revision: &str) -> bool {
        let when = |refs: PathBuf| std::fs::metadata(refs.join(revision)).and_then(|file| file.modified()).ok();
        let (part, whole) = (when(self.folder.join(LISTS).join("refs")), when(self.folder.join("refs")));
        part.is_some() && part > whole
    }

    /// Takes away what is here in part of a commit, if anything is.
    pub fn forget_part(&self, commit: &str) -> Result<()> {
        let folder = self.part(commit);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", &folder, error)),
            _ => Ok(()),
        }
    }

    /// Remembers the commit of a revision.
    pub fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        in_one_step(&path, |partial| std::fs::write(partial, commit))
    }

    /// The files of a commit that are here whole, by their names at the hub.
    pub fn files(&self, commit: &str) -> Vec<String> {
        let mut found = Vec::new();
        names_below(&self.snapshot(commit), "", DEEPEST, &mut found);
        found.sort();
        found
    }

    /// The files that the hub has of a commit, if it was fetched by this library.
    pub fn listed(&self, commit: &str) -> Option<Vec<String>> {
        serde_json::from_slice(&std::fs::read(self.list(commit)).ok()?).ok()
    }

    /// Remembers the files that the hub has of a commit.
    pub fn set_listed(&self, commit: &str, files: &[String]) -> Result<()> {
        let text = serde_json::to_vec(files)
            .map_err(|error| Error::internal("a list of files could not be written down").with_source(error))?;
        in_one_step(&self.list(commit), |partial| std::fs::write(partial, &text))
    }

    fn list(&self, commit: &str) -> PathBuf {
        self.folder.join(LISTS).join(format!("{commit}.json"))
    }

    /// Puts a content into a commit under its name at the hub.
    pub fn link(&self, commit: &str, name: &str, tag: &Tag) -> Result<()> {
        self.link_into(&self.snapshot(commit), name, tag)
    }

    /// Puts a content into a folder of this model.
    pub fn link_into(&self, folder: &Path, name: &str, tag: &Tag) -> Result<()> {
        let depth = folder.strip_prefix(&self.folder).map_or(0, |below| below.components().count());
        let up = "../".repeat(depth + name.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{}", tag.as_str()));
        let blob = self.blob(tag);
        in_one_step(&folder.join(name), |partial| {
            // Where a file system, or Windows without its developer mode, has no links, a copy is what others expect.
            symlink(&target, partial).or_else(|_| std::fs::copy(&blob, partial).map(drop))
        })
    }

    /// The lock of what has this name, unless somebody else has it.
    pub fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        let path = self.locks.join(format!("{name}.lock"));
        make_parent(&path)?;
        let failed = |error| Error::file("lock", &path, error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            // A file system without locks.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => Ok(Some(Lock(file))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Waits until nobody else writes what has this name. On a file system without locks, the hash of the content is what remains.
    pub async fn lock(&self, name: &str) -> Result<Lock> {
        loop {
            match self.try_lock(name)? {
                Some(lock) => return Ok(lock),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Makes the folder that contents are written into.
    pub fn prepare(&self) -> Result<()> {
        make_parent(&self.folder.join("blobs").join("any"))
    }

    fn commits(&self) -> Vec<String> {
        commits_in(&self.folder.join("snapshots"))
    }

    fn parts(&self) -> Vec<String> {
        commits_in(&self.folder.join(LISTS).join(PARTS))
    }

    /// The bytes that the disk has of a part, without those that whole models share with it.
    fn bytes_of_part(&self, commit: &str) -> u64 {
        Partial::at(&self.part(commit)).map_or(0, |partial| partial.bytes())
    }

    /// The contents that a folder has links to.
    fn contents(&self, folder: &Path) -> BTreeSet<PathBuf> {
        let blobs = self.folder.join("blobs");
        let mut names = Vec::new();
        names_below(folder, "", DEEPEST, &mut names);
        let links = names.into_iter().filter_map(|name| std::fs::read_link(folder.join(name)).ok());
        links.filter_map(|target| Some(blobs.join(target.file_name()?))).collect()
    }

    /// Takes a model away, or one commit of it with the contents that no other commit has. The bytes that this frees.
    pub fn remove(&self, revision: Option<&str>) -> Result<u64> {
        let absent = || Error::not_found("this model is not in the cache").with_file(&self.folder);
        if !self.folder.is_dir() {
            return Err(absent());
        }
        let _nobody_writes = self.lock_all()?;
        let failed = |path: &Path, error| Error::file("remove", path, error);
        let Some(revision) = revision else {
            let mut names = Vec::new();
            names_below(&self.folder.join("blobs"), "", 1, &mut names);
            let whole: u64 = names.iter().map(|name| length(&self.folder.join("blobs").join(name))).sum();
            let parts: u64 = self.parts().iter().map(|commit| self.bytes_of_part(commit)).sum();
            std::fs::remove_dir_all(&self.folder).map_err(|error| failed(&self.folder, error))?;
            return Ok(whole + parts);
        };
        let is_here = |commit: &String| self.snapshot(commit).is_dir() || self.part(commit).is_dir();
        let known = [self.commit(revision), self.commit_of_part(revision)];
        let commit = known.into_iter().flatten().find(is_here).ok_or_else(absent)?;
        let folders = |commit: &str| [self.snapshot(commit), self.part(commit)];
        let contents = |commit: &str| -> BTreeSet<PathBuf> {
            folders(commit).iter().flat_map(|folder| self.contents(folder)).collect()
        };
        let mut unused = contents(&commit);
        for other in self.commits().iter().chain(&self.parts()).filter(|other| **other != commit) {
            unused = &unused - &contents(other);
        }
        for refs in [self.folder.join("refs"), self.folder.join(LISTS).join("refs")] {
            let mut names = Vec::new();
            names_below(&refs, "", DEEPEST, &mut names);
            for name in names.iter().filter(|name| remembered(&refs, name).as_deref() == Some(commit.as_str())) {
                std::fs::remove_file(refs.join(name)).map_err(|error| failed(&refs.join(name), error))?;
            }
        }
        let freed = unused.iter().map(|path| length(path)).sum::<u64>() + self.bytes_of_part(&commit);
        let _ = std::fs::remove_file(self.list(&commit));
        for folder in folders(&commit).iter().filter(|folder| folder.exists()) {
            std::fs::remove_dir_all(folder).map_err(|error| failed(folder, error))?;
        }
        for path in unused.iter().filter(|path| path.exists()) {
            std::fs::remove_file(path).map_err(|error| failed(path, error))?;
        }
        Ok(freed)
    }

    fn lock_all(&self) -> Result<Vec<File>> {
        let mut locked = Vec::new();
        for entry in entries(&self.locks) {
            let path = entry.path();
            let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                return Err(Error::busy("a file of this model is being fetched").with_file(&path));
            }
            locked.push(file);
        }
        Ok(locked)
    }
}

/// Every commit of every model in a cache, in the order of ids.
pub(super) fn list(cache: &Path) -> Vec<CachedModel> {
    let mut models = Vec::new();
    for entry in entries(cache) {
        let Some(id) = entry.file_name().to_str().and_then(id_of_folder) else { continue };
        let repository = Repository::new(cache, &id);
        for revision in repository.commits() {
            let path = repository.snapshot(&revision);
            let bytes = repository.files(&revision).iter().map(|name| length(&path.join(name))).sum();
            models.push(CachedModel { id: id.repository(), revision, bytes, whole: true, path });
        }
        for revision in repository.parts() {
            let path = repository.part(&revision);
            let shared: u64 = repository.contents(&path).iter().map(|content| length(content)).sum();
            let bytes = shared + repository.bytes_of_part(&revision);
            models.push(CachedModel { id: id.repository(), revision, bytes, whole: false, path });
        }
    }
    models.sort();
    models
}

/// The model whose files a folder has, if it is the folder of a commit in a cache.
pub(crate) fn id_of_snapshot(folder: &Path) -> Option<ModelId> {
    let commits = folder.parent()?;
    let above = match () {
        () if commits.ends_with("snapshots") => commits.parent()?,
        () if is_part(folder) => commits.parent()?.parent()?,
        () => return None,
    };
    id_of_folder(above.file_name()?.to_str()?)
}

/// The commits that a folder has folders for.
fn commits_in(folder: &Path) -> Vec<String> {
    let names = entries(folder).into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut commits: Vec<String> = names.filter(|name| is_commit(name)).collect();
    commits.sort();
    commits
}

/// The commit that a file of this name says; a commit says itself.
fn remembered(refs: &Path, revision: &str) -> Option<String> {
    if is_commit(revision) {
        return Some(revision.to_owned());
    }
    let commit = std::fs::read_to_string(refs.join(revision)).ok()?;
    is_commit(commit.trim()).then(|| commit.trim().to_owned())
}

fn id_of_folder(name: &str) -> Option<ModelId> {
    name.strip_prefix(PREFIX)?.replacen("--", "/", 1).parse().ok()
}

pub(super) fn is_commit(text: &str) -> bool {
    text.len() == COMMIT_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Refuses what the disk of a cache has no room for. What the system does not say of it is found out by writing.
pub(super) fn has_room(cache: &Path, needed: u64) -> Result<()> {
    let Some(free) = cache.ancestors().find_map(|place| fs4::available_space(place).ok()) else { return Ok(()) };
    match needed > free {
        false => Ok(()),
        true => {
            Err(Error::resource_exhausted(format!("{needed} bytes are to be fetched, and the disk has {free} left"))
                .with_file(cache)
                .with("needed_bytes", needed)
                .with("free_bytes", free)
                .with_remedy("make room, or set HF_HUB_CACHE to a folder on another disk"))
        }
    }
}

/// The length of a file, 0 where there is none.
pub(super) fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn entries(folder: &Path) -> Vec<std::fs::DirEntry> {
    std::fs::read_dir(folder).map(|entries| entries.flatten().collect()).unwrap_or_default()
}

fn names_below(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    for entry in entries(folder) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A link to a content that is gone is no file.
        let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
        let name = format!("{prefix}{name}");
        if metadata.is_file() {
            found.push(name);
        } else if metadata.is_dir() && depth > 1 {
            names_below(&entry.path(), &format!("{name}/"), depth - 1, found);
        }
    }
}

pub(super) fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(|error| Error::file("make", parent, error))
}

/// Makes a file beside its place and moves it there, so that others see the old one or the new one.
pub(super) fn in_one_step(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    make_parent(path)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let partial = path.with_file_name(format!(".{}-{number}.partial", std::process::id()));
    let made = make(&partial).and_then(|()| std::fs::rename(&partial, path));
    made.map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        Error::file("write", path, error)
    })
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}
