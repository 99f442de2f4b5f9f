//! The command `tune`.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use stormfire_data::DataModule;
use stormfire_module::LightningModule;
use stormfire_trainer::Trainer;
use stormfire_tuner::Tuner;

use super::{
    Cli,
    prepare::{Ended, options_of},
};
use crate::{
    children::{ROOT, new_folder},
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
        let options: TuneConfig = options_of(config, tune::SECTION)?;
        let (lr, batch_size) = options.options(config, schema)?;
        let root = config.get(ROOT.split('.'));
        let folder = folder_on_disk(Path::new(root.and_then(Node::text).unwrap_or(".")), root, ROOT)?;
        let mut config = config.clone();
        let mut values = Vec::new();
        let mut found_size = None;
        if let Some(option) = batch_size {
            let data = |size: usize| {
                let config = tune::with_value(config.clone(), &option, Tree::UInt(size as u64));
                self.build_data(&config, schema, device).map_err(Ended::into_error)
            };
            let size = Tuner::new(trainer).scale_batch_size(module, data, &options.scale_batch_size)?;
            config = tune::with_value(config, &option, Tree::UInt(size as u64));
            values.push((option.clone(), Tree::UInt(size as u64)));
            found_size = Some((option, size));
        }
        let mut found_rate = None;
        let mut curve = None;
        if let Some(option) = lr {
            let data = self.build_data(&config, schema, device)?;
            let found = Tuner::new(trainer).lr_find(module, data, &options.lr_find)?;
            let rate = found.suggestion()?;
            values.push((option.clone(), Tree::Float(rate)));
            found_rate = Some((option, rate));
            curve = Some(found);
        }
        let folder = new_folder(folder, tune::SECTION).map_err(stormfire_module::Error::from)?;
        if let Some(curve) = curve {
            curve.write(&folder)?;
        }
        let file = folder.join("config.yaml");
        let text = header.to_owned() + &print_config(&tune::found(values), schema, false);
        fs_err::write(&file, text).map_err(stormfire_module::Error::from)?;
        Ok(Tuned { learning_rate: found_rate, batch_size: found_size, config: file })
    }
}
