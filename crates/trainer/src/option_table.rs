//! The one list of the Trainer's options: [`TrainerConfig`](crate::TrainerConfig), its defaults, and the setters of
//! [`Trainer`](crate::Trainer) are made of it.
//!
//! A new option is a row here, a check in [`TrainerConfig::check`](crate::TrainerConfig::check) if a value can be wrong, and the
//! code that uses it.

/// Hands the rows to the macro of this name.
///
/// ```text
/// /// The doc of the field and of the setter, with the default.
/// option: Type = default, set(argument: Type => value);        a setter that stores the value
/// option: Type = default, read(argument: Type => value);       one that also takes the value as text
/// option: Type = default, call(argument: Type => method);      one that hands it to a method of the Trainer
/// ```
macro_rules! options {
    ($name:ident) => {
        $name! {
            /// What to train on: an [`Accelerator`](crate::Accelerator), its text (`"cpu"`, `"cuda:1"`), or, for the setter, a device.
            /// Default: the device on which the module was made.
            accelerator: Option<Accelerator> = None, call(accelerator: DeviceChoice => choose_device);
            /// Maximum number of epochs. Default: 1,000, or no limit with `max_steps`, `max_time` or a `Timer`.
            max_epochs: Option<usize> = None, set(epochs: usize => Some(epochs));
            /// Epochs to complete before an early stop. Default: none.
            min_epochs: Option<usize> = None, set(epochs: usize => Some(epochs));
            /// Maximum number of optimizer steps, also in the middle of an epoch. Default: no limit.
            max_steps: Option<u64> = None, set(steps: u64 => Some(steps));
            /// Optimizer steps to take before an early stop. Default: none.
            min_steps: Option<u64> = None, set(steps: u64 => Some(steps));
            /// Stop at the end of the batch in which this much time has passed: a `Duration`, or a text, `"10 minutes"` or
            /// `"00:12:00:00"`; in a file, seconds or a text. With a `Timer`, the smaller limit applies. Default: no limit.
            #[serde(with = "seconds")]
            max_time: Option<Duration> = None, read(time: TimeLimit => Some(time.0));
            /// Training batches of an epoch: `10` batches, a share `0.1`, or their text. 0 trains nothing. Default: all.
            limit_train_batches: Limit = Limit::ALL, read(limit: Limit => limit);
            /// Validation batches of each loader. 0 turns validation off, also for `Trainer::validate`. Default: all.
            limit_val_batches: Limit = Limit::ALL, read(limit: Limit => limit);
            /// Test batches of each loader. Default: all.
            limit_test_batches: Limit = Limit::ALL, read(limit: Limit => limit);
            /// Predict batches of each loader. Default: all.
            limit_predict_batches: Limit = Limit::ALL, read(limit: Limit => limit);
            /// Number of batches to train and validate on, unshuffled, always the same ones: shows whether the model can learn
            /// them. Not with `fast_dev_run`. Default: 0, off.
            overfit_batches: Limit = Limit::Batches(0), read(limit: Limit => limit);
            /// Number of batches of everything to run, once, without logging, checkpoints and early stopping: shows whether the
            /// code runs. Default: 0, off.
            fast_dev_run: usize = 0, set(batches: usize => batches);
            /// Validation batches of each loader before training, so that a mistake there shows at once. `None` (in a file, `null`)
            /// takes all. Default: 2.
            num_sanity_val_steps: Option<usize> = Some(2), set(batches: impl Into<Option<usize>> => batches.into());
            /// How often to validate: an [`Every`](stormfire_values::Every), or a text, `"0.25 epochs"`. Steps and batches count over
            /// the whole fit; a fraction of an epoch needs data of known length. Default: every epoch.
            val_check_interval: Every = Every::Epochs(1), read(every: Every => every);
            /// Number of batches per optimizer step. The step uses the mean of their gradients, also where an epoch ends a window
            /// early; see [`StepOutput::weight`](stormfire_module::StepOutput::weight). Automatic optimization only. Default: 1.
            accumulate_grad_batches: usize = 1, set(batches: usize => batches);
            /// Clip gradients to this norm or value, see `gradient_clip_algorithm`. Default: none.
            gradient_clip_val: Option<f64> = None, set(value: f64 => Some(value));
            /// How gradients are clipped: a [`ClipAlgorithm`](stormfire_optim::ClipAlgorithm), or `"norm"`, `"value"`.
            /// Default: by their global L2 norm.
            gradient_clip_algorithm: ClipAlgorithm = ClipAlgorithm::Norm, read(algorithm: ClipAlgorithm => algorithm);
            /// Number of steps from one for which step metrics are logged to the next; 0 logs none. Default: 50.
            log_every_n_steps: u64 = 50, set(steps: u64 => steps);
            /// The folder for the files of runs. Default: the current folder.
            ///
            /// It may be the URL of a store (`s3://bucket/run`, `gs://..`, `az://..`, with the cargo feature `remote`), one for each
            /// run: checkpoints then go to the folder `checkpoints` there, and the logs, which need a disk, to the current folder.
            default_root_dir: PathBuf = PathBuf::from("."), set(folder: impl Into<PathBuf> => folder.into());
            /// Save checkpoints, by a default `ModelCheckpoint` if none is given. Default: yes.
            enable_checkpointing: bool = true, set(on: bool => on);
            /// Write checkpoints in the background during training, at most one at a time. An error in it ends the fit a little
            /// later. Default: yes.
            async_checkpointing: bool = true, set(on: bool => on);
            /// A fit that continues from a checkpoint logs to a new `version_N`, instead of to the files of that run, which are
            /// truncated to the moment of the checkpoint. Default: no.
            new_version_on_resume: bool = false, set(on: bool => on);
            /// Show progress. Default: yes.
            enable_progress_bar: bool = true, set(on: bool => on);
            /// Print a summary of the module when a fit starts. Default: yes.
            enable_model_summary: bool = true, set(on: bool => on);
            /// Makes parameters, dropout, shuffling and what batches draw from [`random`](stormfire_data::random()) repeatable.
            /// Default: none; shuffling is repeatable anyhow.
            ///
            /// Parameters are initialised when the fit starts. Those that were read before are named in a warning, and need
            /// [`seed_everything`](crate::seed_everything). One fit at a time: the generator belongs to the process.
            seed: Option<u64> = None, set(seed: u64 => Some(seed));
            /// Check the loss and all gradients of every batch, and name the parameter whose gradient is not finite. It reads the
            /// device several times per batch. Default: no.
            detect_anomaly: bool = false, set(on: bool => on);
            /// What to do about a loss or gradient that is NaN or infinite: a [`NonFinite`](crate::NonFinite), or a text, `"skip:5"`.
            /// Off with `barebones`. Default: `"error"`, the fit fails with
            /// [`Error::NonFinite`](stormfire_module::Error::NonFinite).
            on_non_finite: NonFinite = NonFinite::Error, read(policy: NonFinite => policy);
            /// End a run cleanly on Ctrl-C and SIGTERM. `false` leaves all signals to the program. A signal that the program catches or
            /// ignores before the first run still reaches its handler. Default: yes.
            handle_signals: bool = true, set(on: bool => on);
            /// The signal on which a fit is saved and its SLURM job queued again: a [`RequeueSignal`](crate::RequeueSignal), or a text,
            /// `"usr2"`. Default: `"auto"`, SIGUSR1 inside a SLURM job.
            requeue_signal: RequeueSignal = RequeueSignal::Auto, read(signal: RequeueSignal => signal);
            /// Time every hook and part of the loop, and print a table: a [`ProfilerKind`](crate::ProfilerKind), or `"simple"`.
            /// Default: none.
            profiler: Option<ProfilerKind> = None, read(kind: ProfilerKind => Some(kind));
            /// Everything off that is not the loop: logging, checkpoints, bar, summary, sanity check. Not with `fast_dev_run`,
            /// `detect_anomaly`, `profiler`. Default: no.
            barebones: bool = false, set(on: bool => on);
        }
    };
}

pub(crate) use options;
