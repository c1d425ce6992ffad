//! Models on the disk, as every tool of Hugging Face keeps them ("Hub Local Cache" in the Hub's documentation): contents by
//! their tags in `blobs`, a folder of links for each commit in `snapshots`, and the commits of branches and tags in `refs`.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::id::ModelId;
use super::tag::Tag;
use crate::{Error, Result};

const PREFIX: &str = "models--";
/// The folder, beside those of Hugging Face's tools, of what only this library remembers.
const LISTS: &str = ".kwaainet";
/// So often it is looked whether another process has finished a file.
const LOOK: Duration = Duration::from_millis(50);
/// Files of a model lie at most so deep.
const DEEPEST: usize = 8;
const COMMIT_DIGITS: usize = 40;

/// One revision of a model in a cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CachedModel {
    /// `owner/name`.
    pub id: String,
    /// The commit.
    pub revision: String,
    /// How long its files are together, in bytes. Files that several revisions share are counted with each.
    pub bytes: u64,
    /// The folder of its files.
    pub path: PathBuf,
}

/// The folder of one model.
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

    /// The commit that a revision had when it was fetched last.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let commit = std::fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        is_commit(commit.trim()).then(|| commit.trim().to_owned())
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
        let up = "../".repeat(2 + name.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{}", tag.as_str()));
        let blob = self.blob(tag);
        in_one_step(&self.snapshot(commit).join(name), |partial| {
            // Where a file system, or Windows without its developer mode, has no links, a copy is what others expect.
            symlink(&target, partial).or_else(|_| std::fs::copy(&blob, partial).map(drop))
        })
    }

    /// Waits until nobody else writes this content. On a file system without locks, the hash of the content is what remains.
    pub async fn lock(&self, tag: &Tag) -> Result<Lock> {
        let path = self.locks.join(format!("{}.lock", tag.as_str()));
        make_parent(&path)?;
        let failed = |error| Error::file("lock", &path, error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK).await,
                Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                    return Ok(Lock(file));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Makes the folder that contents are written into.
    pub fn prepare(&self) -> Result<()> {
        make_parent(&self.folder.join("blobs").join("any"))
    }

    fn commits(&self) -> Vec<String> {
        let names = entries(&self.folder.join("snapshots"))
            .into_iter()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut commits: Vec<String> = names.filter(|name| is_commit(name)).collect();
        commits.sort();
        commits
    }

    /// The contents that a commit has links to.
    fn contents(&self, commit: &str) -> BTreeSet<PathBuf> {
        let (snapshot, blobs) = (self.snapshot(commit), self.folder.join("blobs"));
        let links = self.files(commit).into_iter().filter_map(|name| std::fs::read_link(snapshot.join(name)).ok());
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
            let freed = names.iter().map(|name| length(&self.folder.join("blobs").join(name))).sum();
            std::fs::remove_dir_all(&self.folder).map_err(|error| failed(&self.folder, error))?;
            return Ok(freed);
        };
        let commit = self.commit(revision).filter(|commit| self.snapshot(commit).is_dir()).ok_or_else(absent)?;
        let mut unused = self.contents(&commit);
        for other in self.commits().iter().filter(|other| **other != commit) {
            unused = &unused - &self.contents(other);
        }
        let mut names = Vec::new();
        names_below(&self.folder.join("refs"), "", DEEPEST, &mut names);
        for name in names.iter().filter(|name| self.commit(name).as_deref() == Some(commit.as_str())) {
            let path = self.folder.join("refs").join(name);
            std::fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
        let snapshot = self.snapshot(&commit);
        let freed = unused.iter().map(|path| length(path)).sum();
        let _ = std::fs::remove_file(self.list(&commit));
        std::fs::remove_dir_all(&snapshot).map_err(|error| failed(&snapshot, error))?;
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
            models.push(CachedModel { id: id.repository(), revision, bytes, path });
        }
    }
    models.sort();
    models
}

/// The model whose files a folder has, if it is the folder of a commit in a cache.
pub(crate) fn id_of_snapshot(folder: &Path) -> Option<ModelId> {
    let snapshots = folder.parent().filter(|parent| parent.ends_with("snapshots"))?;
    id_of_folder(snapshots.parent()?.file_name()?.to_str()?)
}

fn id_of_folder(name: &str) -> Option<ModelId> {
    name.strip_prefix(PREFIX)?.replacen("--", "/", 1).parse().ok()
}

pub(super) fn is_commit(text: &str) -> bool {
    text.len() == COMMIT_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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
fn in_one_step(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
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
