//! Derives the folder and the names of a run's checkpoints from the options.

use std::path::{Path, PathBuf};

use stormfire_checkpoint::storage;
use stormfire_module::{Context, Error, Result};
use stormfire_store::names;

use super::{ModelCheckpoint, SaveLast, SaveTopK, Template};
use crate::files;

#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) dir: PathBuf,
    pub(super) name: Template,
    pub(super) last: Template,
}

impl ModelCheckpoint {
    /// Checks the options and returns the folder and the names.
    pub(super) fn destination(&self, ctx: &Context<'_>) -> Result<Destination> {
        self.every.check().map_err(|reason| {
            Error::config("ModelCheckpoint::every", format!("{reason} (`{}`)", self.every), "use `1 epoch`, for example")
        })?;
        if let (None, SaveTopK::Best(count @ 2..)) = (&self.monitor, self.top) {
            return Err(Error::config(
                "ModelCheckpoint::save_top_k",
                format!("the best {count} cannot be selected without a metric"),
                "name it with `monitor`, or keep all, 1 (the newest) or 0 (none)",
            ));
        }
        let parse = |option: &str, text: &str| {
            Template::parse(text).map_err(|reason| {
                Error::config(
                    format!("ModelCheckpoint::{option}"),
                    reason,
                    "write it as `{epoch:02d}-{val_loss:.2f}`, with formats `[0][width][.precision][d|f|e]`, and choose the folder with `dirpath`",
                )
            })
        };
        let (name, last) = (parse("filename", &self.filename)?, parse("last_filename", &self.last_filename)?);
        let dir = self.dirpath.clone().unwrap_or_else(|| default_dir(ctx));
        let dir = files::folder("ModelCheckpoint::dirpath", &dir)?;
        if self.top != SaveTopK::Best(0) || self.save_last != SaveLast::Off || self.on_exception {
            let option = if self.dirpath.is_some() { "ModelCheckpoint::dirpath" } else { "default_root_dir" };
            files::check_folder(option, &dir, ctx.run().fast_dev_run)?;
            for (option, template) in [("ModelCheckpoint::filename", &name), ("ModelCheckpoint::last_filename", &last)] {
                // A long name is shortened, as when it is written.
                let sample = template.render(self.auto_insert_metric_name, 0, 0, |_| 0.0);
                files::check_name(option, &dir, &names::fit_path(&sample))?;
            }
        }
        let continues_here = ctx.resumed_from().is_some_and(|from| from.starts_with(&dir));
        if self.top != SaveTopK::Best(0) && !ctx.run().fast_dev_run && !continues_here && is_used(ctx, &dir)? {
            tracing::warn!("the folder of the checkpoints, `{}`, is not empty", dir.display());
        }
        Ok(Destination { dir, name, last })
    }
}

/// Checkpoints are next to the logs on a disk, unless `default_root_dir` is in a store. In a store, the folder has no
/// version number, so that a restart on a fresh machine finds it.
fn default_dir(ctx: &Context<'_>) -> PathBuf {
    let root = &ctx.run().default_root_dir;
    if storage::is_url(root) { root.join(files::FOLDER) } else { ctx.log_dir().join(files::FOLDER) }
}

/// Whether the folder contains anything that this run did not write.
fn is_used(ctx: &Context<'_>, dir: &Path) -> Result<bool> {
    match storage::list(dir) {
        Ok(entries) => Ok(entries.iter().any(|entry| !(storage::is_checkpoint(entry) && ctx.has_written(&entry.path)))),
        // For a store, fail now rather than after an epoch. A problem with a folder on a disk may be fixed by then.
        Err(error) if storage::is_url(dir) => Err(error.into()),
        Err(_) => Ok(false),
    }
}
