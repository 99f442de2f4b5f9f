//! A training program: [`Cli`].

mod build;
mod ended;
mod explain;
mod options;
mod prepare;
mod run;
mod sections;
mod several;
mod tuning;

use burn::tensor::Device;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use stormfire_data::{CastBatch, DataModule, SplitBatch};
use stormfire_loggers::Logger;
use stormfire_module::{Callback, LightningModule, Result};
use stormfire_trainer::{Fit, Trainer, TrainerConfig};
use stormfire_tuner::for_cli::TrialTask;

use crate::{
    args::Alias,
    error, help,
    node::Node,
    registry::Registry,
    section::{Part, Section},
    sweep, tune,
};
use ended::Ended;

pub use run::Outcome;
pub use tuning::Tuned;

/// A change of the Trainer by the program.
type Change<M> = Box<dyn FnOnce(Trainer<M>) -> Trainer<M>>;

type AddSection<M> = Box<dyn FnOnce(&Node, Trainer<M>) -> Result<Trainer<M>, Ended>>;

/// A section in addition to those of model and data, and the function that applies its options.
struct OwnSection<M: LightningModule> {
    name: &'static str,
    add: AddSection<M>,
}

/// The function that runs after a fit, with a new data module.
type AfterFit<M, D> = Box<dyn FnOnce(&mut Trainer<M>, &Fit<M>, D) -> Result<()>>;

/// The function of the command `predict`.
type Predict<M, D> = Box<dyn FnOnce(&mut Trainer<M>, &M, D) -> Result<()>>;

/// The options of a Trainer that need a property of the batches.
type OfBatches<M> = fn(Trainer<M>, &TrainerConfig) -> Trainer<M>;

/// A training program with one command line and one configuration: a function that makes the module from its options,
/// and one that makes the data from theirs.
///
/// ```no_run
/// # use burn::{nn::{Linear, LinearConfig}, prelude::*};
/// # use stormfire_data::Loader;
/// # use stormfire_module::{LightningModule, Result};
/// # use stormfire_trainer::Stop;
/// # #[derive(Module, Debug)]
/// # struct Mnist { layer: Linear }
/// # impl Mnist { fn new(config: MnistConfig, device: &Device) -> Self { Self { layer: LinearConfig::new(1, config.hidden).init(device) } } }
/// # impl LightningModule for Mnist { type Batch = Tensor<2>; }
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// use stormfire_cli::Cli;
///
/// #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
/// #[serde(default, deny_unknown_fields)]
/// struct MnistConfig {
///     /// Units of the hidden layer.
///     hidden: usize,
/// }
///
/// impl Default for MnistConfig {
///     fn default() -> Self {
///         Self { hidden: 64 }
///     }
/// }
///
/// fn main() -> Result<Stop> {
///     Cli::new(
///         |model: MnistConfig, device: &Device| Ok(Mnist::new(model, device)),
///         |(): ()| Ok(Loader::from_batches(vec![Tensor::<2>::ones([4, 1], &Device::flex())])),
///     )
///     .run()
/// }
/// ```
///
/// The program then understands `program -c a.yaml --model.hidden=128 trainer.max_epochs=3`, `program test --ckpt-path
/// best`, `program --help` and more: `docs/command-line.md`.
pub struct Cli<M: LightningModule, D, MC, DC> {
    about: String,
    version: String,
    prefix: String,
    /// The words that select it in a file with several programs.
    selector: Vec<String>,
    aliases: Vec<Alias>,
    trainer_defaults: TrainerConfig,
    parts: error::Result<Vec<Part>>,
    build: build::Build<M, D, MC, DC>,
    registry: Registry<M>,
    sections: Vec<OwnSection<M>>,
    changes: Vec<Change<M>>,
    /// With the options that they set.
    of_batches: Vec<(&'static str, OfBatches<M>)>,
    predict: Option<Predict<M, D>>,
    after_fit: Option<AfterFit<M, D>>,
    /// The width of a page of help.
    columns: usize,
    /// The names of the variables that are not UTF-8.
    undecodable: Vec<String>,
    /// Whether this is one of several runs, which have a folder each.
    is_child: bool,
    /// The trial of a sweep that this process runs.
    trial: Option<TrialTask>,
}

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    /// A program with the sections `model` and `data`. Their types are those of the functions' arguments. A function
    /// with the argument `()` has no options.
    pub fn new(model: impl Fn(MC, &Device) -> Result<M> + 'static, data: impl Fn(DC) -> Result<D> + 'static) -> Self
    where
        MC: Section,
        DC: Section,
    {
        Self::of(parts::<MC, DC>(), build::Build::apart(model, data))
    }

    /// As [`new`](Self::new), for a module that depends on its data, such as on the size of a vocabulary, or data that
    /// is made on the device. The first function gets the data module before its `setup`.
    pub fn linked(model: impl Fn(MC, &D, &Device) -> Result<M> + 'static, data: impl Fn(DC, &Device) -> Result<D> + 'static) -> Self
    where
        MC: Section,
        DC: Section,
    {
        Self::of(parts::<MC, DC>(), build::Build::linked(model, data))
    }

    /// As [`new`](Self::new), for types without a schema, such as those with burn's `#[derive(Config)]`. The defaults
    /// show which options there are.
    pub fn with_defaults(
        model_defaults: &MC,
        data_defaults: &DC,
        model: impl Fn(MC, &Device) -> Result<M> + 'static,
        data: impl Fn(DC) -> Result<D> + 'static,
    ) -> Self
    where
        MC: Serialize,
        DC: Serialize,
    {
        let parts = Part::of_value("model", model_defaults).and_then(|model| Ok(vec![model, Part::of_value("data", data_defaults)?]));
        Self::of(parts, build::Build::apart(model, data))
    }

    fn of(parts: error::Result<Vec<Part>>, build: build::Build<M, D, MC, DC>) -> Self {
        Self {
            about: String::new(),
            version: String::new(),
            prefix: crate::env::PREFIX.into(),
            selector: Vec::new(),
            aliases: Vec::new(),
            trainer_defaults: TrainerConfig::default(),
            parts,
            build,
            registry: Registry::built_in(),
            sections: Vec::new(),
            changes: Vec::new(),
            of_batches: Vec::new(),
            predict: None,
            after_fit: None,
            columns: help::WIDTH,
            undecodable: Vec::new(),
            is_child: false,
            trial: None,
        }
    }

    /// The description of the program, for `--help`.
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.about = text.into();
        self
    }

    /// The version of the program, for `config.yaml`: `env!("CARGO_PKG_VERSION")`.
    pub fn version(mut self, text: impl Into<String>) -> Self {
        self.version = text.into();
        self
    }

    /// A shorter name of an option: `.alias("epochs", "trainer.max_epochs")` makes `--epochs 3` and `epochs=3`
    /// possible. With a value the flag takes none: `.alias("quiet", "trainer.enable_progress_bar=false")`.
    pub fn alias(mut self, name: impl Into<String>, option: impl Into<String>) -> Self {
        let option = option.into();
        let (path, fixed) = option.split_once('=').map_or((option.as_str(), None), |(path, value)| (path, Some(value.to_owned())));
        self.aliases.push(Alias { name: name.into(), path: path.to_owned(), fixed });
        self
    }

    /// Defaults of the Trainer's options in this program, below those of files and flags.
    pub fn trainer_defaults(mut self, config: TrainerConfig) -> Self {
        self.trainer_defaults = config;
        self
    }

    /// Completes the Trainer with callbacks, loggers and everything that no file changes. It is called after the
    /// options were set. If it sets an option that a file or flag sets as well, the run is refused:
    /// [`trainer_defaults`](Self::trainer_defaults) are for options.
    pub fn trainer(mut self, change: impl FnOnce(Trainer<M>) -> Trainer<M> + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Adds a section of options, such as for a callback of the program: with `.section("stop", |stop: StopConfig,
    /// trainer| Ok(trainer.callback(GoodEnough::new(stop))))`, the flag `--stop.threshold=0.9` is known. It is called
    /// before the functions of [`trainer`](Self::trainer). `--print-config` and `--dry-run` also call it, so it must
    /// not write a file: a logger opens its file with the first value.
    pub fn section<C: Section>(mut self, name: &'static str, add: impl FnOnce(C, Trainer<M>) -> Result<Trainer<M>> + 'static) -> Self {
        self.parts = self.parts.and_then(|mut parts| {
            if parts.iter().any(|part| part.name == name) || ["trainer", sweep::SECTION, tune::SECTION].contains(&name) {
                return Err(error::Problem::general(format!("the program has two sections `{name}`")).into());
            }
            parts.push(Part::of::<C>(name)?);
            Ok(parts)
        });
        let add = move |config: &Node, trainer| {
            let options: C = options::options_of(config, name)?;
            Ok(build::guarded(name, || add(options, trainer))?)
        };
        self.sections.push(OwnSection { name, add: Box::new(add) });
        self
    }

    /// A callback that files can name. With `.register("good_enough", |options: StopConfig|
    /// Ok(GoodEnough::new(options)))`, a file may have `trainer.callbacks: [{name: good_enough, threshold: 0.9}]`. It
    /// replaces a built-in one of the same name.
    pub fn register<C, T>(mut self, name: &str, make: impl Fn(C) -> Result<T> + 'static) -> Self
    where
        C: DeserializeOwned + JsonSchema,
        T: Callback<M>,
    {
        self.registry.callback(name, make);
        self
    }

    /// A logger that files can name in `trainer.loggers`. The function also gets the Trainer with its options, such as
    /// `default_root_dir`. As in a [`section`](Self::section), it must not write a file.
    pub fn register_logger<C, T>(mut self, name: &str, make: impl Fn(C, &Trainer<M>) -> Result<T> + 'static) -> Self
    where
        C: DeserializeOwned + JsonSchema,
        T: Logger,
    {
        self.registry.logger(name, make);
        self
    }

    /// Allows the option `trainer.devices`: several threads share each batch.
    pub fn with_devices(mut self) -> Self
    where
        M::Batch: SplitBatch,
    {
        let set: OfBatches<M> = |trainer, config| trainer.devices(config.devices);
        self.of_batches.push(("devices", set));
        self
    }

    /// Allows the option `trainer.precision`.
    pub fn with_precision(mut self) -> Self
    where
        M::Batch: CastBatch,
    {
        let set: OfBatches<M> = |trainer, config| match config.precision {
            Some(precision) => trainer.precision(precision),
            None => trainer,
        };
        self.of_batches.push(("precision", set));
        self
    }

    /// Runs a function after a fit that neither a signal nor a pruner has ended, such as a test. It gets a new data
    /// module.
    pub fn after_fit(mut self, then: impl FnOnce(&mut Trainer<M>, &Fit<M>, D) -> Result<()> + 'static) -> Self {
        self.after_fit = Some(Box::new(then));
        self
    }

    /// Adds the command `predict`, such as with
    /// `trainer.predict_each(module, data, PredictionWriter::csv("predictions.csv", rows))`. A tuple of loaders has no
    /// loader for predictions: give one of them, such as `data.2`, in place of `data`. `docs/prediction.md` has a whole
    /// program.
    pub fn predict(mut self, with: impl FnOnce(&mut Trainer<M>, &M, D) -> Result<()> + 'static) -> Self {
        self.predict = Some(Box::new(with));
        self
    }

    /// The words that select this program, if the file has several. With `.selected_by(["vae"])`,
    /// [`run`](Self::run) takes `file vae fit --model.lr=0.1` as the line `fit --model.lr=0.1`. `main` reads the words
    /// first, and runs the program that they select. The processes of `-m` and `sweep` are started with them, too.
    ///
    /// ```no_run
    /// # use burn::{nn::{Linear, LinearConfig}, prelude::*};
    /// # use stormfire_cli::Cli;
    /// # use stormfire_data::Loader;
    /// # use stormfire_module::{Error, LightningModule, Result};
    /// # use stormfire_trainer::Stop;
    /// # #[derive(Module, Debug)]
    /// # struct Net { layer: Linear }
    /// # impl LightningModule for Net { type Batch = Tensor<2>; }
    /// # fn vae() -> Cli<Net, Loader<Tensor<2>>, (), ()> {
    /// #     Cli::new(
    /// #         |(): (), device: &Device| Ok(Net { layer: LinearConfig::new(1, 1).init(device) }),
    /// #         |(): ()| Ok(Loader::from_batches(Vec::new())),
    /// #     )
    /// # }
    /// # fn gan() -> Cli<Net, Loader<Tensor<2>>, (), ()> { vae() }
    /// fn main() -> Result<Stop> {
    ///     match std::env::args().nth(1).as_deref() {
    ///         Some("vae") => vae().selected_by(["vae"]).run(),
    ///         Some("gan") => gan().selected_by(["gan"]).run(),
    ///         _ => Err(Error::other("the programs are `vae` and `gan`")),
    ///     }
    /// }
    /// ```
    pub fn selected_by<T: Into<String>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.selector = words.into_iter().map(Into::into).collect();
        self
    }

    /// The start of the names of environment variables, `STORMFIRE` by default: `STORMFIRE__MODEL__LR` is `model.lr`.
    /// Give each of several programs in one environment its own.
    pub fn env_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

fn parts<MC: Section, DC: Section>() -> error::Result<Vec<Part>> {
    Ok(vec![Part::of::<MC>("model")?, Part::of::<DC>("data")?])
}

#[cfg(test)]
mod tests;
