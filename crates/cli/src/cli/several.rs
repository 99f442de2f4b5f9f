//! The runs of a line with several values.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use stormfire_data::DataModule;
use stormfire_module::LightningModule;

use super::{
    Cli,
    ended::{Ended, Plan, Runs},
    options::{found, trainer_options},
};
use crate::{
    args::Line,
    assign,
    children::ROOT,
    layers::Layers,
    multirun,
    node::Node,
    secret,
    sweep::{folder_on_disk, source_of},
    values,
};

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    /// The runs of a line, whose options are checked before the first one starts. The layers are those below the flags.
    pub(super) fn runs_of(&mut self, mut line: Line, layers: &Layers) -> Result<Runs, Ended> {
        // Its own value, unless a flag has another one.
        let roots = line.options.iter().filter(|option| option.path == ROOT).filter_map(values::of_all_runs);
        let root = layers.clone().flags(roots).merged()?;
        let given = root.get(ROOT.split('.'));
        let folder = source_of(given);
        let root = Path::new(given.and_then(Node::text).unwrap_or("."));
        let root = folder_on_disk(root, given, ROOT)?.to_owned();
        let mut plan = multirun::plan(&line, root.clone())?;
        for options in plan.options_of_runs(&line.options) {
            let layers = layers.clone().flags(options);
            self.check_run(&layers, line.command.unwrap_or_default(), line.ckpt_path.is_some())?;
        }
        if line.ckpt_path.is_some() {
            // The runs have other folders.
            line.ckpt_path = self.checkpoint_of_runs(&line, layers)?.map(|path| path.display().to_string());
            plan = multirun::plan(&line, root)?;
        }
        Ok(Runs { plan: Plan::Multirun(plan), folder, selector: self.selector.clone() })
    }

    /// The checkpoint from which all runs of a line start. Each of them has a folder in which there is none.
    fn checkpoint_of_runs(&mut self, line: &Line, layers: &Layers) -> Result<Option<PathBuf>, Ended> {
        let Some(path) = &line.ckpt_path else { return Ok(None) };
        let layers = layers.clone().flags(assign::last_of_each(&line.options).filter_map(values::of_all_runs));
        let (schema, merged) = (layers.schema().clone(), layers.merged()?);
        let trainer = self.trainer_of(&trainer_options(&merged)?, &merged, &schema);
        found(&trainer.map_err(|ended| ended.hide(&secret::of(&merged, &schema)))?, path, line.command.unwrap_or_default())
    }
}
