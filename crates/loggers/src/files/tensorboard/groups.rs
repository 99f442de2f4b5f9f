//! Scalars that share a chart. `TensorBoard` draws one line per run and tag. So each scalar is in a separate run, a
//! folder next to the event file of the main run, as with `add_scalars` of `torch.utils.tensorboard`.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use stormfire_store::names;

use super::cut_back::cut_back;
use super::file::EventFile;
use super::run_files::{Extents, Run};
use crate::parts::notice::Notice;
use crate::parts::position;
use crate::{Metrics, Result};

/// The runs of the groups, by folder name.
#[derive(Debug, Default)]
pub(super) struct Groups {
    runs: BTreeMap<String, Run>,
    renamed: Notice,
}

impl Groups {
    /// Writes the values with the tag `tag`, each into the run of its name. `first` is the first file of the main run.
    pub(super) fn write(&mut self, folder: &Path, first: &str, tag: &str, values: &Metrics, step: i64) -> Result<()> {
        for (name, value) in values.iter() {
            let key = folder_name(tag, name);
            let wanted = format!("{}_{name}", plain(tag));
            self.renamed.tell("tensorboard", &wanted, &key, "a value of a group becomes the name of a folder");
            let path = folder.join(&key);
            let create = || {
                let mut file = EventFile::create(&path)?;
                file.belongs(part_of(first))?;
                Ok(file)
            };
            let file = self.runs.entry(key).or_default().file(create)?;
            file.write_scalars(step, &Metrics::from([(tag, value)]), |tag, into| into.push_str(tag))?;
        }
        Ok(())
    }

    pub(super) fn save(&mut self) -> Result<()> {
        self.runs.values_mut().try_for_each(Run::save)
    }

    pub(super) fn extents(&mut self) -> Result<BTreeMap<String, Extents>> {
        self.runs.iter_mut().map(|(name, run)| Ok((name.clone(), run.extents()?))).collect()
    }

    /// Rolls every group back, and removes later groups of the run that starts with the file `first`.
    pub(super) fn resume(&mut self, folder: &Path, first: &str, groups: BTreeMap<String, Extents>) -> Result<()> {
        for entry in fs_err::read_dir(folder)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            if path.is_dir() && !name.to_str().is_some_and(|name| groups.contains_key(name)) {
                cut_back(&path, &[], &part_of(first))?;
                // This succeeds only for an empty folder.
                let _ = std::fs::remove_dir(&path);
            }
        }
        for (name, extents) in groups {
            let path = folder.join(&name);
            // A position comes from an untrusted file.
            if !matches!(Path::new(&name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
                position::misfit(&path, "a group's folder is outside of the run's");
                continue;
            }
            fs_err::create_dir_all(&path)?;
            self.runs.entry(name).or_default().resume(&path, extents, part_of(first))?;
        }
        Ok(())
    }
}

/// The message in the files of a group that names their run.
fn part_of(first: &str) -> String {
    format!("part of {first}")
}

/// The folder of one value of a group. It is a single path component for all names.
fn folder_name(tag: &str, name: &str) -> String {
    // Two tags may give the same folder. The tags in the file distinguish them. Names must give different folders.
    names::part(&format!("{}_{}", plain(tag), names::part(name))).into_owned()
}

fn plain(tag: &str) -> String {
    tag.replace(['/', '\\', ':'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_group_has_its_own_folder() {
        assert_eq!((folder_name("loss", "train"), folder_name("a/b:c", "d")), ("loss_train".to_owned(), "a_b_c_d".to_owned()));
        let names = ["x/y", "x_y", "x>y", "x<y", "a\u{0}", &"x".repeat(300), &"x".repeat(301), ".."];
        let mut folders: Vec<String> = names.iter().map(|name| folder_name("t", name)).collect();
        assert!(folders.iter().all(|folder| folder.len() < 200 && folder.chars().all(names::in_path)), "{folders:?}");
        folders.sort_unstable();
        folders.dedup();
        assert_eq!(folders.len(), 8);
    }
}
