//! The command `tune`.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use stormfire_data::DataModule;
use stormfire_module::{Error, LightningModule};
use stormfire_trainer::{Trainer, for_tuner::ProbeTrainer as _};
use stormfire_tuner::{
    LrCurve, Tuner,
    for_cli::{is_batch_size_trial, try_batch_size, try_lr_find},
};

use super::{
    Cli,
    ended::{Ended, of_tune},
    options::options_of,
};
use crate::{
    children::{ROOT, new_folder, unwritable},
    node::{Node, Tree},
    print::print_config,
    schema::Schema,
    sweep::folder_on_disk,
    tune::{self, TuneConfig},
};

/// The results of the command `tune`. `Display` shows them in a few lines.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tuned {
    /// The option of the learning rate, and its value.
    pub learning_rate: Option<(String, f64)>,
    /// The option of the batch size, and its value.
    pub batch_size: Option<(String, usize)>,
    /// A file with these options, for `-c`.
    pub config: PathBuf,
}

impl fmt::Display for Tuned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((option, size)) = &self.batch_size {
            writeln!(f, "{option}: {size}")?;
        }
        if let Some((option, rate)) = &self.learning_rate {
            writeln!(f, "{option}: {rate:.3e}")?;
        }
        write!(f, "use it: -c {}", stormfire_loggers::shell_word(&self.config.display().to_string()))
    }
}

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    /// Finds a batch size, and with that a learning rate, and writes them into a separate folder.
    pub(super) fn tune(
        &self,
        trainer: &mut Trainer<M>,
        module: &M,
        (config, schema): (&Node, &Schema),
        device: &Device,
        header: &str,
    ) -> Result<Tuned, Ended> {
        let root = folder_of(config)?;
        if is_batch_size_trial() {
            // It ends in the search, and its result belongs to the process that has started it.
            self.search(trainer, module, (config, schema), device, false)?;
            return Err(Error::other("the trial of a batch size has not reached its search").into());
        }
        // A search for a batch size would take it for a size that does not fit.
        trainer.check_start()?;
        // Before the search, which may take long.
        let made = new_folder(root, tune::SECTION).map_err(|error| unwritable("default_root_dir", &error))?;
        let found = self.search(trainer, module, (config, schema), device, false);
        if found.is_err() {
            made.remove_unused();
        }
        let Found { learning_rate, batch_size, curve } = found?;
        let folder = made.path;
        if let Some(curve) = curve {
            curve.write(&folder)?;
        }
        let size = batch_size.iter().map(|(option, size)| (option.clone(), Tree::UInt(*size as u64)));
        let rate = learning_rate.iter().map(|(option, rate)| (option.clone(), Tree::Float(*rate)));
        let file = folder.join("config.yaml");
        let text = header.to_owned() + &print_config(&tune::found(size.chain(rate)), schema, false);
        fs_err::write(&file, text).map_err(Error::from)?;
        Ok(Tuned { learning_rate, batch_size, config: file })
    }

    /// Tries the first steps of [`tune`](Self::tune), and writes nothing.
    pub(super) fn try_tune(
        &self,
        trainer: &mut Trainer<M>,
        module: &M,
        (config, schema): (&Node, &Schema),
        device: &Device,
    ) -> Result<(), Ended> {
        folder_of(config)?;
        trainer.check_start()?;
        self.search(trainer, module, (config, schema), device, true).map(drop)
    }

    /// `tries`: only the first steps, which find a batch size that works, and no learning rate.
    fn search(
        &self,
        trainer: &mut Trainer<M>,
        module: &M,
        (config, schema): (&Node, &Schema),
        device: &Device,
        tries: bool,
    ) -> Result<Found, Ended> {
        let options: TuneConfig = options_of(config, tune::SECTION)?;
        let (lr, size) = options.options(config, schema)?;
        let placed = |error| of_tune(error, config, schema);
        let (given, mut config) = (trainer.config().seed, config.clone());
        let mut found = Found { learning_rate: None, batch_size: None, curve: None };
        if let Some(option) = size {
            let data = |size: usize| {
                let config = tune::with_value(config.clone(), &option, Tree::UInt(size as u64));
                self.build_data(given, &config, schema, device).map_err(Ended::into_error)
            };
            let size = if tries {
                try_batch_size(trainer, module, data, &options.scale_batch_size)
            } else {
                Tuner::new(trainer).scale_batch_size(module, data, &options.scale_batch_size)
            };
            let size = size.map_err(placed)?;
            config = tune::with_value(config, &option, Tree::UInt(size as u64));
            found.batch_size = Some((option, size));
        }
        if let Some(option) = lr {
            let data = self.build_data(given, &config, schema, device)?;
            if tries {
                try_lr_find(trainer, module, data, &options.lr_find).map_err(placed)?;
                return Ok(found);
            }
            let curve = Tuner::new(trainer).lr_find(module, data, &options.lr_find).map_err(placed)?;
            found.learning_rate = Some((option, curve.suggestion()?));
            found.curve = Some(curve);
        }
        Ok(found)
    }
}

/// The folder of the searches.
fn folder_of(config: &Node) -> Result<&Path, Ended> {
    let root = config.get(ROOT.split('.'));
    Ok(folder_on_disk(Path::new(root.and_then(Node::text).unwrap_or(".")), root, ROOT)?)
}

/// The results of a search: options with their values, and the test of learning rates.
struct Found {
    learning_rate: Option<(String, f64)>,
    batch_size: Option<(String, usize)>,
    curve: Option<LrCurve>,
}
