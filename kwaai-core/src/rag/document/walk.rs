//! The files of a folder that can be read, in a fixed order.

use std::path::{Path, PathBuf};

use crate::rag::document::{EXTENSIONS, extension};
use crate::store::Store;
use crate::{Error, Result};

/// Folders inside each other further than this are left out.
const DEPTH: usize = 64;

/// A file that a walk found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its path inside the folder with `/` between the parts, which serves as the document's name.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// Lists the files under a folder that [`read`](super::read) reads by their extension, and those with the extensions
/// `also`, in the order of their names.
///
/// What begins with a dot is left out, and so are the files by which word processors lock a document (`~$`), data directories of nodes
/// and knowledge bases, and what a symbolic link points to: a folder shows what lies in it, never what lies elsewhere. Names that are
/// not Unicode are left out too, since a document could not be named after them.
///
/// # Errors
/// `not_found` for a folder that does not exist or holds nothing that is read, `invalid_argument` for a file, and what the operating
/// system says about a folder that cannot be listed.
pub fn walk(folder: &Path, also: &[String]) -> Result<Vec<Found>> {
    let reads =
        |extension: &str| EXTENSIONS.contains(&extension) || also.iter().any(|own| own.eq_ignore_ascii_case(extension));
    let Scan { found, unread } = scan(folder, &reads)?;
    if let Some((_, error)) = unread.into_iter().next() {
        return Err(error);
    }
    if found.is_empty() {
        return Err(Error::not_found(format!("no document lies in {}", folder.display()))
            .with_file(folder)
            .with_remedy(format!("put files there with one of the extensions {}", EXTENSIONS.join(", "))));
    }
    Ok(found)
}

/// What a look through a folder found.
pub(crate) struct Scan {
    pub found: Vec<Found>,
    /// Folders inside it that could not be listed, and why.
    pub unread: Vec<(PathBuf, Error)>,
}

/// As [`walk`], for files of the extensions that `reads` says; goes on past folders that cannot be listed.
///
/// # Errors
/// As [`walk`], for the folder itself; an empty one is no error.
pub(crate) fn scan(folder: &Path, reads: &dyn Fn(&str) -> bool) -> Result<Scan> {
    let metadata = std::fs::metadata(folder).map_err(|e| Error::file("list", folder, e))?;
    if !metadata.is_dir() {
        return Err(Error::invalid_argument(format!("{} is not a folder", folder.display()))
            .with_file(folder)
            .with_remedy("give the folder that the file lies in, or read the file alone"));
    }
    let mut scan = Scan { found: Vec::new(), unread: Vec::new() };
    let mut folders = vec![(folder.to_path_buf(), String::new(), 0)];
    while let Some((path, prefix, depth)) = folders.pop() {
        if let Err(error) = list(&path, &prefix, depth, reads, &mut scan, &mut folders) {
            if depth == 0 {
                return Err(error);
            }
            scan.unread.push((path, error));
        }
    }
    scan.found.sort();
    scan.unread.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(scan)
}

fn list(
    path: &Path,
    prefix: &str,
    depth: usize,
    reads: &dyn Fn(&str) -> bool,
    scan: &mut Scan,
    folders: &mut Vec<(PathBuf, String, usize)>,
) -> Result<()> {
    let failed = |error| Error::file("list", path, error);
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let file_name = entry.file_name();
        let is_read = |base: &&str| !base.starts_with('.') && !base.starts_with("~$");
        let Some(base) = file_name.to_str().filter(is_read) else { continue };
        let name = format!("{prefix}{base}");
        if kind.is_dir() && depth < DEPTH && !Store::exists(&entry.path()) {
            folders.push((entry.path(), format!("{name}/"), depth + 1));
        } else if kind.is_file() && reads(&extension(base)) {
            scan.found.push(Found { name, path: entry.path() });
        }
    }
    Ok(())
}
