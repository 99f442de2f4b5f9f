//! Runs a command.

use std::path::Path;

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use stormfire_data::DataModule;
use stormfire_loggers::Metrics;
use stormfire_module::{Error as RunError, LightningModule, Result};
use stormfire_trainer::{CkptPath, Stop, Trainer, for_tuner::ProbeTrainer as _, forget_interrupt, seed_everything};

use super::{
    Cli, Tuned,
    ended::{Ended, in_source},
    explain::{check_barebones, check_monitors, is_watched, with_checkpoint, with_place},
    options::options_of,
    prepare::Prepared,
    sections::shown_for,
};
use crate::{
    args::Command,
    children,
    error::{Error, Problem},
    node::Node,
    print::print_config,
    process::{self, Process},
    schema::Schema,
    secret,
};

/// The result of a program.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It has trained.
    Fit(Stop),
    /// It has validated or tested: the metrics of each loader.
    Evaluated(Vec<Metrics>),
    /// It has predicted.
    Predicted,
    /// It has found a learning rate, a batch size, or both.
    Tuned(Tuned),
    /// The output that the user requested, such as the help. Nothing was run.
    Printed(String),
}

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    /// Runs the program with the command line and the environment of the process. Return its result from `main`.
    ///
    /// This serves the probe of drivers
    /// ([`Accelerator::serve_probe`](stormfire_trainer::Accelerator::serve_probe)) and starts the console first. A
    /// page of help goes to stdout and ends the process with the exit code 0. A mistake on the command line or in a
    /// file goes to stderr and ends it with 2. After a signal, each command ends with the exit code of the signal.
    ///
    /// # Errors
    /// As the runs of a [`Trainer`].
    pub fn run(mut self) -> Result<Stop> {
        let Process { program, args, variables, undecodable, columns } = Process::start();
        let args = args.strip_prefix(self.selector.as_slice()).unwrap_or(&args);
        self.take_task();
        (self.columns, self.undecodable) = (columns, undecodable);
        match self.execute(&program, args, variables) {
            Ok(Outcome::Fit(stop)) => Ok(stop),
            Ok(Outcome::Evaluated(_) | Outcome::Predicted) => Ok(Stop::Complete),
            Ok(Outcome::Tuned(tuned)) => process::printed(&format!("{tuned}\n"), 0),
            Ok(Outcome::Printed(text)) | Err(Ended::Printed(text)) => process::printed(&text, 0),
            Err(Ended::Several(runs)) => match runs.run(&std::env::current_exe()?) {
                Ok((table, true)) => process::printed(&table, 0),
                Ok((table, false)) => process::printed(&table, forget_interrupt().map_or(1, |signal| signal.exit_code().into())),
                Err(ended) => unsuccessful(ended),
            },
            Err(ended) => unsuccessful(ended),
        }
    }

    /// Finds out whether another process of the program has started this one.
    pub(super) fn take_task(&mut self) {
        let task = children::task();
        self.is_child = task.is_some();
        self.trial = task.and_then(|task| task.trial);
    }

    /// Runs the program with this command line, without the name of the program, and these variables. Unlike
    /// [`run`](Self::run), it never ends the process and prints nothing itself.
    ///
    /// # Errors
    /// [`Error`](crate::Error) in [`stormfire_module::Error::Other`] for a mistake on the command line or in a file,
    /// and as the runs of a [`Trainer`].
    pub fn try_run(self, args: &[&str], variables: &[(&str, &str)]) -> Result<Outcome> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match self.execute("program", &args, variables) {
            Ok(outcome) => Ok(outcome),
            Err(Ended::Printed(text)) => Ok(Outcome::Printed(text)),
            Err(Ended::Several(_)) => {
                let help = "`Cli::run` starts the program again for each of them";
                Err(Error::from(Problem::general("several runs need processes").help(help.to_owned())).into())
            }
            Err(Ended::Usage(error)) => Err(error.into()),
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    /// An error of a trial is noted with the sweep.
    pub(super) fn execute(self, program: &str, args: &[String], variables: Vec<(String, String)>) -> Result<Outcome, Ended> {
        let trial = self.trial.clone();
        let outcome = self.perform(program, args, variables);
        let Some(trial) = trial else { return outcome };
        outcome.map_err(|ended| {
            let error = ended.into_error();
            match trial.failed(&error) {
                Ok(()) => Ended::Failed(error),
                Err(other) => Ended::Failed(other),
            }
        })
    }

    fn perform(mut self, program: &str, args: &[String], variables: Vec<(String, String)>) -> Result<Outcome, Ended> {
        let prepared = self.prepare(program, args, variables)?;
        let secrets = prepared.secrets.clone();
        self.perform_prepared(prepared).map_err(|ended| ended.hide(&secrets))
    }

    fn perform_prepared(&mut self, prepared: Prepared<M>) -> Result<Outcome, Ended> {
        let Prepared { command, dry_run, mut trainer, config, schema, secrets: _, checkpoint, saved, header, trials } = prepared;
        let options = trainer.config().clone();
        let placed = |error: RunError| with_place(error.into(), &self.registry, &config, &schema);
        let device = options.accelerator.unwrap_or_default().of_this_rank().device().map_err(|error| placed(error.into()))?;
        if let Some(precision) = options.precision {
            // Before the first tensor.
            precision.prepare(&device).map_err(placed)?;
        }
        trainer = trainer.accelerator(device.clone());
        if dry_run && command != Command::Tune {
            trainer = trainer.rehearsal().map_err(placed)?;
        }
        let data = self.build_data(options.seed, &config, &schema, &device)?;
        let model: MC = options_of(&config, "model").map_err(|error| secret::redacted(error, &config, &schema))?;
        seed(options.seed, &device);
        let module = self.build.model(model, &data, &device).map_err(|error| in_source(error, &config, &schema, "model"))?;
        let started = Started {
            command,
            dry_run,
            is_watched: is_watched(&options),
            trainer,
            module,
            data,
            config: &config,
            schema: &schema,
            device: &device,
            header: &header,
        };
        let outcome = self.command(started, checkpoint.as_deref());
        let outcome = outcome
            .map_err(|ended| with_checkpoint(ended, checkpoint.as_deref(), saved.as_ref(), &config))
            .map_err(|ended| with_place(ended, &self.registry, &config, &schema))?;
        if dry_run {
            let from = checkpoint.map_or_else(String::new, |path| format!(" from {}", path.display()));
            let text = print_config(&shown_for(command, config), &schema, false);
            let of_sweep = trials.map_or_else(String::new, |trials| format!(" {trials} {}", if trials == 1 { "trial" } else { "trials" }));
            return Ok(Outcome::Printed(format!("`{}`{from} would run{of_sweep} with\n{text}", command.name())));
        }
        Ok(outcome)
    }

    fn command(&mut self, started: Started<'_, M, D>, checkpoint: Option<&Path>) -> Result<Outcome, Ended> {
        let Started { command, dry_run, is_watched, mut trainer, module, data, config, schema, device, header } = started;
        match checkpoint {
            Some(path) => trainer.set_ckpt_path(CkptPath::Path(path.to_owned())),
            None if matches!(command, Command::Validate | Command::Test | Command::Predict) => {
                tracing::warn!("without `--ckpt-path`, `{}` has a module that was not trained", command.name());
            }
            None => {}
        }
        match command {
            Command::Tune if dry_run => {
                self.try_tune(&mut trainer, &module, (config, schema), device)?;
                Ok(Outcome::Printed(String::new()))
            }
            Command::Tune => Ok(Outcome::Tuned(self.tune(&mut trainer, &module, (config, schema), device, header)?)),
            Command::Fit | Command::Sweep => {
                let (fit, is_pruned);
                (trainer, fit, is_pruned) = if let Some(trial) = self.trial.take() {
                    trial.fit(trainer, module, data)?
                } else {
                    let fit = trainer.fit(module, data)?;
                    (trainer, fit, false)
                };
                if dry_run {
                    if is_watched && fit.progress.batches > 0 {
                        check_barebones(command, config, &trainer)?;
                        check_monitors(command, config, &trainer, &fit)?;
                    }
                } else if !fit.stop.is_interrupted()
                    && !is_pruned
                    && let Some(then) = self.after_fit.take()
                {
                    let data = self.build_data(trainer.config().seed, config, schema, device)?;
                    then(&mut trainer, &fit, data)?;
                }
                Ok(Outcome::Fit(fit.stop))
            }
            Command::Validate => Ok(Outcome::Evaluated(trainer.validate(&module, data)?)),
            Command::Test => Ok(Outcome::Evaluated(trainer.test(&module, data)?)),
            Command::Predict => {
                let with = self.predict.take().ok_or_else(|| Ended::Usage(Problem::general("this program cannot predict").into()))?;
                with(&mut trainer, &module, data)?;
                Ok(Outcome::Predicted)
            }
        }
    }

    /// `given`: the seed of the Trainer.
    pub(super) fn build_data(&self, given: Option<u64>, config: &Node, schema: &Schema, device: &Device) -> Result<D, Ended> {
        let data: DC = options_of(config, "data").map_err(|error| secret::redacted(error, config, schema))?;
        seed(given, device);
        self.build.data(data, device).map_err(|error| in_source(error, config, schema, "data"))
    }
}

fn unsuccessful(ended: Ended) -> Result<Stop> {
    match ended {
        Ended::Usage(error) => process::refused(&error),
        other => interrupted(other.into_error()),
    }
}

/// A signal gives each command the exit code that it gives a fit. Other errors stay as they are.
pub(super) fn interrupted(error: RunError) -> Result<Stop> {
    let is_interrupt = matches!(error, RunError::Interrupted { .. });
    match is_interrupt.then(forget_interrupt).flatten() {
        Some(signal) => {
            tracing::warn!("{error}");
            Ok(Stop::Interrupted(signal))
        }
        None => Err(error),
    }
}

/// A seed reaches the random numbers of the program's functions, too: a fit only seeds what comes after its start.
fn seed(given: Option<u64>, device: &Device) {
    if let Some(seed) = given {
        seed_everything(seed, device);
    }
}

/// All that a command needs.
struct Started<'a, M: LightningModule, D> {
    command: Command,
    dry_run: bool,
    /// Whether monitors read metrics in a fit.
    is_watched: bool,
    trainer: Trainer<M>,
    module: M,
    data: D,
    config: &'a Node,
    schema: &'a Schema,
    device: &'a Device,
    header: &'a str,
}
