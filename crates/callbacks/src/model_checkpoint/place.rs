//! Where the checkpoints of a run go: the folder and the names, from the options.

use std::path::PathBuf;

use stormfire_module::{Context, Error, Result};

use super::{ModelCheckpoint, SaveTopK, Template};
use crate::files;

#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) name: Template,
    pub(super) last: Template,
}

impl ModelCheckpoint {
    /// Checks the options; the folder and the names that follow from them.
    pub(super) fn place(&self, ctx: &Context<'_>) -> Result<Place> {
        self.every.check().map_err(|reason| {
            Error::config("ModelCheckpoint::every", format!("{reason} (`{}`)", self.every), "use `Every::Epochs(1)`, for example")
        })?;
        if let (None, SaveTopK::Best(count @ 2..)) = (&self.monitor, self.top) {
            return Err(Error::config(
                "ModelCheckpoint::save_top_k",
                format!("the best {count} cannot be told without a metric"),
                "name it with `monitor(..)`, or use `SaveTopK::All`, 1 (the newest) or 0 (none)",
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
        let dir = self.dirpath.clone().unwrap_or_else(|| ctx.log_dir().join("checkpoints"));
        let dir = files::folder("ModelCheckpoint::dirpath", &dir)?;
        let goes_on_here = ctx.resumed_from().and_then(|from| std::path::absolute(from).ok()).is_some_and(|from| from.starts_with(&dir));
        let is_used = || fs_err::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some());
        if self.top != SaveTopK::Best(0) && !ctx.run().fast_dev_run && !goes_on_here && is_used() {
            tracing::warn!("the folder of the checkpoints, `{}`, is not empty", dir.display());
        }
        Ok(Place { dir, name, last })
    }
}
