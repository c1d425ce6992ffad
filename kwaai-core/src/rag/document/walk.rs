//! The files of a folder that can be read, in a fixed order.

use std::path::{Path, PathBuf};

use crate::rag::document::EXTENSIONS;
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
/// What begins with a dot is left out, and so is what a symbolic link points to: a folder shows what lies in it, never what lies
/// elsewhere. Names that are not Unicode are left out too, since a document could not be named after them.
///
/// # Errors
/// `not_found` for a folder that does not exist or holds nothing that is read, `invalid_argument` for a file, and what the operating
/// system says about a folder that cannot be listed.
pub fn walk(folder: &Path, also: &[String]) -> Result<Vec<Found>> {
    let metadata = std::fs::metadata(folder).map_err(|e| Error::file("list", folder, e))?;
    if !metadata.is_dir() {
        return Err(Error::invalid_argument(format!("{} is not a folder", folder.display()))
            .with_file(folder)
            .with_remedy("give the folder that the file lies in, or read the file alone"));
    }
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), String::new(), 0)];
    while let Some((path, prefix, depth)) = folders.pop() {
        let entries = std::fs::read_dir(&path).map_err(|e| Error::file("list", &path, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| Error::file("list", &path, e))?;
            let kind = entry.file_type().map_err(|e| Error::file("list", &path, e))?;
            let file_name = entry.file_name();
            let Some(base) = file_name.to_str().filter(|base| !base.starts_with('.')) else { continue };
            let name = format!("{prefix}{base}");
            if kind.is_dir() && depth < DEPTH {
                folders.push((entry.path(), format!("{name}/"), depth + 1));
            } else if kind.is_file() && has_extension(base, also) {
                found.push(Found { name, path: entry.path() });
            }
        }
    }
    if found.is_empty() {
        return Err(Error::not_found(format!("no document lies in {}", folder.display()))
            .with_file(folder)
            .with_remedy(format!("put files there with one of the extensions {}", EXTENSIONS.join(", "))));
    }
    found.sort();
    Ok(found)
}

fn has_extension(name: &str, also: &[String]) -> bool {
    let extension = Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    EXTENSIONS.contains(&extension.as_str()) || also.iter().any(|own| own.eq_ignore_ascii_case(&extension))
}
