//! Scalars that share a chart. `TensorBoard` draws one line per run and tag, so each of them gets a run of its own, a folder
//! beside the main run's event file, as with `add_scalars` of `torch.utils.tensorboard`.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::cut_back::cut_back;
use super::file::EventFile;
use super::run_files::{Extents, Run};
use crate::parts::notice::Notice;
use crate::parts::position;
use crate::{Metrics, Result};
use stormfire_store::names;

/// The runs of the groups, by the names of their folders.
#[derive(Debug, Default)]
pub(super) struct Groups {
    runs: BTreeMap<String, Run>,
    renamed: Notice,
}

impl Groups {
    /// Writes the values as `tag`, each into the run of its name. `first` is the first file of the main run.
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

    /// Takes every group back to where it was, and removes those of the run that begins with `first` which came later.
    pub(super) fn resume(&mut self, folder: &Path, first: &str, groups: BTreeMap<String, Extents>) -> Result<()> {
        for entry in fs_err::read_dir(folder)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            if path.is_dir() && !name.to_str().is_some_and(|name| groups.contains_key(name)) {
                cut_back(&path, &[], &part_of(first))?;
                // Only an empty folder can be removed like this.
                let _ = std::fs::remove_dir(&path);
            }
        }
        for (name, extents) in groups {
            let path = folder.join(&name);
            // A position is data from a file that may be anybody's.
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

/// What the files of a group say of the run that they belong to.
fn part_of(first: &str) -> String {
    format!("part of {first}")
}

/// The folder of one value of a group, which is one folder whatever the names are.
fn folder_name(tag: &str, name: &str) -> String {
    // That of the tag may be the same for two, which are told apart in the file; names have nothing but the folder.
    names::part(&format!("{}_{}", plain(tag), names::part(name))).into_owned()
}

fn plain(tag: &str) -> String {
    tag.replace(['/', '\\', ':'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_group_has_a_folder_of_its_own() {
        assert_eq!((folder_name("loss", "train"), folder_name("a/b:c", "d")), ("loss_train".to_owned(), "a_b_c_d".to_owned()));
        let names = ["x/y", "x_y", "x>y", "x<y", "a\u{0}", &"x".repeat(300), &"x".repeat(301), ".."];
        let mut folders: Vec<String> = names.iter().map(|name| folder_name("t", name)).collect();
        assert!(folders.iter().all(|folder| folder.len() < 200 && folder.chars().all(names::in_path)), "{folders:?}");
        folders.sort_unstable();
        folders.dedup();
        assert_eq!(folders.len(), 8);
    }
}
