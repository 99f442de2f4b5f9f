use std::path::{Path, PathBuf};

use stormfire_store::files;

use crate::{Error, Result};

/// Other names of the usual splits, as on Hugging Face.
const ALIASES: [&[&str]; 3] = [&["train", "training"], &["validation", "valid", "val", "dev"], &["test", "testing", "eval", "evaluation"]];

/// The data files of a split in Hugging Face's folder layouts, ordered by name.
///
/// | layout | example for `train` |
/// |---|---|
/// | a folder for each split | `train/part-1.csv` |
/// | the split as a word in the name | `train.csv`, `data/train-00000-of-00002.jsonl` |
///
/// Words end at characters that are neither letters nor digits. The splits `train`, `validation` and `test` have
/// Hugging Face's other names, too: `training`; `valid`, `val`, `dev`; `testing`, `eval`, `evaluation`. The folder may
/// be in a store.
///
/// # Errors
/// A folder that cannot be listed. [`Error::Empty`] if the split has no files.
pub fn split_files(folder: impl AsRef<Path>, split: &str) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    let names = names_of_split(split);
    let mut others = Vec::new();
    for folder in [folder.to_owned(), folder.join("data")] {
        let entries = files::list(&folder).map_err(Error::other)?;
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_hidden = |path: &Path| name(path).starts_with('.');
        let is_own = |path: &Path| names.iter().any(|alias| has_word(&name(path), alias));
        let mut found = Vec::new();
        for entry in entries.iter().filter(|entry| !is_hidden(&entry.path)) {
            if is_own(&entry.path) {
                if entry.is_folder {
                    let inside = files::list(&entry.path).map_err(Error::other)?;
                    found.extend(inside.into_iter().filter(|entry| !entry.is_folder && !is_hidden(&entry.path)).map(|entry| entry.path));
                } else {
                    found.push(entry.path.clone());
                }
            } else {
                others.push(name(&entry.path));
            }
        }
        if !found.is_empty() {
            found.sort();
            return Ok(found);
        }
    }
    others.sort();
    let others = if others.is_empty() { "nothing".to_owned() } else { others.join(", ") };
    Err(Error::Empty { reason: format!("there are no files of the split `{split}` in `{}`, which has {others}", folder.display()) })
}

/// The usual splits.
#[cfg(feature = "images")]
pub(crate) const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// All names of a split.
pub(crate) fn names_of_split(split: &str) -> Vec<&str> {
    ALIASES.iter().find(|names| names.contains(&split)).map_or_else(|| vec![split], |names| names.to_vec())
}

fn has_word(name: &str, word: &str) -> bool {
    name.match_indices(word).any(|(start, _)| {
        let (before, after) = (name[..start].chars().next_back(), name[start + word.len()..].chars().next());
        let is_end = |char: Option<char>| char.is_none_or(|char| !char.is_alphanumeric());
        is_end(before) && is_end(after)
    })
}
