//! Runs a command.

use std::io::Write as _;

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use stormfire_data::DataModule;
use stormfire_loggers::Metrics;
use stormfire_module::{LightningModule, Result};
use stormfire_trainer::{Accelerator, CkptPath, Limit, Stop, Trainer, TrainerConfig};

use super::{
    Cli,
    prepare::{Ended, Prepared, in_source, options_of},
};
use crate::{
    args::Command,
    error::{Error, Problem},
    node::Node,
    schema::Schema,
    secret,
};

/// What a program has done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It has trained.
    Fit(Stop),
    /// It has validated or tested: the metrics of each loader.
    Evaluated(Vec<Metrics>),
    /// It has predicted.
    Predicted,
    /// What the user asked it to print, such as its help. Nothing was run.
    Printed(String),
}

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    /// Runs the program with the command line and the environment of the process. Return its result from `main`.
    ///
    /// This serves the probe of drivers ([`Accelerator::serve_probe`]) and starts the console first. A page of help
    /// goes to stdout and ends the process with the exit code 0. A mistake on the command line or in a file goes to
    /// stderr and ends it with 2.
    ///
    /// # Errors
    /// As the runs of a [`Trainer`].
    pub fn run(self) -> Result<Stop> {
        Accelerator::serve_probe();
        stormfire_console::init();
        let mut args = std::env::args_os();
        let program = args.next().map_or_else(|| "program".into(), std::path::PathBuf::from);
        let program = program.file_name().map_or_else(|| "program".into(), |name| name.to_string_lossy().into_owned());
        let program = program.trim_end_matches(std::env::consts::EXE_SUFFIX).to_owned();
        let args = args.map(|arg| {
            arg.into_string().unwrap_or_else(|arg| {
                // It cannot be stored in a configuration.
                let _ = writeln!(std::io::stderr().lock(), "error: `{}` is not UTF-8", arg.to_string_lossy());
                std::process::exit(2)
            })
        });
        let args: Vec<String> = args.collect();
        // A variable that is not UTF-8 is none of ours.
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        match self.execute(&program, &args, variables.collect()) {
            Ok(Outcome::Fit(stop)) => Ok(stop),
            Ok(Outcome::Evaluated(_) | Outcome::Predicted) => Ok(Stop::Requested("the command is complete".into())),
            Ok(Outcome::Printed(text)) | Err(Ended::Printed(text)) => {
                let mut stdout = std::io::stdout().lock();
                match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                    // A closed pipe, as of `| head`, is not an error.
                    Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                        let _ = writeln!(std::io::stderr().lock(), "error: stdout cannot be written: {error}");
                        std::process::exit(1)
                    }
                    _ => std::process::exit(0),
                }
            }
            Err(Ended::Several(plan)) => {
                let (table, is_good) = plan.run(&std::env::current_exe()?)?;
                let _ = std::io::stdout().lock().write_all(table.as_bytes());
                std::process::exit(i32::from(!is_good))
            }
            Err(Ended::Usage(error)) => {
                let _ = writeln!(std::io::stderr().lock(), "error: {error}");
                std::process::exit(2)
            }
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    /// Runs the program with this command line, without the name of the program, and these variables. Unlike
    /// [`run`](Self::run), it never ends the process and prints nothing of its own.
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

    fn execute(mut self, program: &str, args: &[String], variables: Vec<(String, String)>) -> Result<Outcome, Ended> {
        let Prepared { command, dry_run, mut trainer, config, schema, checkpoint } = self.prepare(program, args, variables)?;
        let options = trainer.config().clone();
        // A machine without the device is not a mistake on the command line.
        let device = options.accelerator.unwrap_or_default().of_this_rank().device().map_err(stormfire_module::Error::from)?;
        if let Some(precision) = options.precision {
            // Before the first tensor.
            precision.prepare(&device)?;
        }
        trainer = trainer.accelerator(device.clone());
        if dry_run {
            trainer = Trainer::from_config(rehearsal(&options)).accelerator(device.clone());
            for change in &self.of_batches {
                trainer = change(trainer, &options);
            }
        }
        let data = self.build_data(&config, &schema, &device)?;
        let model: MC = options_of(&config, "model").map_err(|error| secret::redacted(error, &config, &schema))?;
        let module = self.build.model(model, &data, &device).map_err(|error| in_source(error, &config, &schema, "model"))?;
        if command != Command::Fit && checkpoint.is_none() {
            tracing::warn!("without `--ckpt-path`, `{}` has a module that was not trained", command.name());
        }
        // A trial is no continued fit, whose limits may be reached.
        if let Some(path) = checkpoint.as_ref().filter(|_| !(dry_run && command == Command::Fit)) {
            trainer.set_ckpt_path(CkptPath::Path(path.clone()));
        }
        let name = command.name();
        let outcome = match command {
            Command::Fit => {
                let fit = trainer.fit(module, data)?;
                if !fit.stop.is_interrupted()
                    && !dry_run
                    && let Some(then) = self.after_fit.take()
                {
                    let data = self.build_data(&config, &schema, &device)?;
                    then(&mut trainer, &fit, data)?;
                }
                Outcome::Fit(fit.stop)
            }
            Command::Validate => Outcome::Evaluated(trainer.validate(&module, data)?),
            Command::Test => Outcome::Evaluated(trainer.test(&module, data)?),
            Command::Predict => {
                let with = self.predict.take().ok_or_else(|| Ended::Usage(Problem::general("this program cannot predict").into()))?;
                with(&mut trainer, &module, data)?;
                Outcome::Predicted
            }
        };
        if dry_run {
            let from = checkpoint.map_or_else(String::new, |path| format!(" from {}", path.display()));
            let text = format!("`{name}`{from} would run with\n{}", crate::print::print_config(&config, &schema, false));
            return Ok(Outcome::Printed(text));
        }
        Ok(outcome)
    }

    fn build_data(&self, config: &Node, schema: &Schema, device: &Device) -> Result<D, Ended> {
        let data: DC = options_of(config, "data").map_err(|error| secret::redacted(error, config, schema))?;
        self.build.data(data, device).map_err(|error| in_source(error, config, schema, "data"))
    }
}

/// Options with which a run writes nothing, and takes one batch of each loader.
fn rehearsal(options: &TrainerConfig) -> TrainerConfig {
    TrainerConfig {
        fast_dev_run: 1,
        barebones: false,
        overfit_batches: Limit::Batches(0),
        profiler: None,
        min_epochs: None,
        min_steps: None,
        enable_progress_bar: false,
        enable_model_summary: false,
        enable_checkpointing: false,
        ..options.clone()
    }
}
