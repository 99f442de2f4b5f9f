//! The only list of the Trainer's options. It generates [`TrainerConfig`](crate::TrainerConfig), its defaults, and the
//! setters of [`Trainer`](crate::Trainer).
//!
//! A new option needs a row here, a check in [`TrainerConfig::check`](crate::TrainerConfig::check) if a value can be
//! invalid, and the code that uses it.

/// Passes the rows to the macro with this name.
///
/// ```text
/// /// The doc of the field and of the setter, with the default.
/// option: Type = default, set(argument: Type => value);        a setter that stores the value
/// option: Type = default, read(argument: Type => value);       one that also takes the value as text
/// option: Type = default, call(argument: Type => method);      one that hands it to a method of the Trainer
/// option: Type = default, split(argument: Type => value);      one that needs batches that can be split
/// option: Type = default, cast(argument: Type => value);       one that needs batches that can be cast
/// ```
macro_rules! options {
    ($name:ident) => {
        $name! {
            /// The device to train on, such as `"cpu"`, `"gpu"` or `"cuda:1"`. Default: the device of the module.
            ///
            /// The setter takes an [`Accelerator`](crate::Accelerator), its name, or a device.
            accelerator: Option<Accelerator> = None, call(accelerator: DeviceChoice => choose_device);
            /// How many devices to use: a number, or `"auto"`. On the CPU (burn's `flex`) they are threads that divide
            /// each batch of the loaders among them; `"auto"` takes one for each core. Other accelerators have one.
            /// Default: 1.
            ///
            /// Steps and batches are those of one device. So are the results, up to rounding, if losses and values are
            /// means over the items of a batch. `docs/devices.md` lists the differences.
            /// [`SplitBatch`](stormfire_data::SplitBatch) lists the batches that can be divided. Automatic optimization
            /// only.
            ///
            /// Under a launcher such as `mpirun`, it is the number of processes on each machine, which must fit, unless
            /// `strategy` is `"threads"`. Without this option, any number of processes fits.
            devices: Devices = Devices::ONE, split(devices: Devices => devices);
            /// How a training is divided. `"auto"` takes the processes that a launcher (`mpirun`, `srun`) has started,
            /// else threads as `devices` says. `"single"` refuses both, `"threads"` gives each process `devices`
            /// threads, `"mpi"` refuses a process without a launcher. Default: `"auto"`.
            ///
            /// The setter takes a [`Strategy`](stormfire_ranks::Strategy), or its name. The processes are the ranks of
            /// `docs/ranks.md`.
            strategy: Strategy = Strategy::Auto, read(strategy: Strategy => strategy);
            /// The number of machines that the launcher has used. The run is refused if the number differs. Default:
            /// any.
            num_nodes: Option<usize> = None, set(nodes: usize => Some(nodes));
            /// The float types of parameters and steps, named as in Lightning: `"32-true"`, `"bf16-mixed"`,
            /// `"16-mixed"`, `"bf16-true"`, `"64-true"`. Default: the types that the module has, which are `f32` unless
            /// its device was set to another type.
            ///
            /// The setter takes a [`Precision`](crate::Precision), or its name.
            ///
            /// With a mixed precision the parameters and the optimizer stay in `f32`, and the steps get a copy of the
            /// module and of the batch in the narrower type: see [`CastBatch`](stormfire_data::CastBatch) for the
            /// batches and `docs/precision.md` for what burn cannot compute there.
            precision: Option<Precision> = None, cast(precision: Precision => Some(precision));
            /// Whether the backward pass computes cheap results of the forward pass again instead of keeping them. It
            /// needs less memory and more time, and changes no number. Default: the strategy of the module's device,
            /// which is off unless the device was created with `gradient_checkpointing()`.
            ///
            /// It is burn's strategy `Balanced`: see `docs/precision.md`.
            gradient_checkpointing: Option<bool> = None, set(on: bool => Some(on));
            /// Maximum number of epochs. Default: 1,000, or no limit with `max_steps`, `max_time` or a `Timer`.
            max_epochs: Option<usize> = None, set(epochs: usize => Some(epochs));
            /// Minimum number of epochs before an early stop. Default: none.
            min_epochs: Option<usize> = None, set(epochs: usize => Some(epochs));
            /// Maximum number of optimizer steps. The fit may end within an epoch. Default: no limit.
            max_steps: Option<u64> = None, set(steps: u64 => Some(steps));
            /// Minimum number of optimizer steps before an early stop. Default: none.
            min_steps: Option<u64> = None, set(steps: u64 => Some(steps));
            /// Time limit: a number of seconds, or a string such as `"10 minutes"` or `"00:12:00:00"`. The fit stops at
            /// the end of the batch in which it is reached. With a `Timer`, the smaller limit applies. Default: no
            /// limit.
            ///
            /// The setter takes a `Duration`, or a string.
            #[serde(with = "seconds")]
            max_time: Option<Duration> = None, read(time: TimeLimit => Some(time.0));
            /// Maximum number of training batches per epoch: a number such as `10`, a share such as `0.1`, or a string
            /// with one of these. 0 trains nothing. Default: all.
            limit_train_batches: Limit = Limit::ALL, read(limit: Limit => limit);
            /// Maximum number of validation batches per loader. 0 disables validation, also in `validate`.
            /// Default: all.
            limit_val_batches: Limit = Limit::ALL, read(limit: Limit => limit);
            /// Maximum number of test batches per loader. Default: all.
            limit_test_batches: Limit = Limit::ALL, read(limit: Limit => limit);
            /// Maximum number of prediction batches per loader. Default: all.
            limit_predict_batches: Limit = Limit::ALL, read(limit: Limit => limit);
            /// Number of batches to train and validate on. They are unshuffled and always the same, which shows whether
            /// the model can learn them. Not with `fast_dev_run`. Default: 0, off.
            overfit_batches: Limit = Limit::Batches(0), read(limit: Limit => limit);
            /// Number of batches of each loop to run, once, without logging, checkpoints and early stopping. This shows
            /// whether the code runs. Default: 0, off.
            fast_dev_run: usize = 0, set(batches: usize => batches);
            /// Number of validation batches per loader before training, which reveals mistakes early. With null, all of
            /// them. Default: 2.
            ///
            /// The setter takes `None` as null.
            num_sanity_val_steps: Option<usize> = Some(2), set(batches: impl Into<Option<usize>> => batches.into());
            /// How often to validate, such as `"0.25 epochs"` or `"50 steps"`. Steps and batches count over the whole
            /// fit. A fraction of an epoch requires data of known length. Default: every epoch.
            ///
            /// The setter takes an [`Every`](stormfire_values::Every), or a string.
            val_check_interval: Every = Every::Epochs(1), read(every: Every => every);
            /// Number of batches per optimizer step. The step uses the mean of their gradients, even if the end of an
            /// epoch shortens a window. Automatic optimization only. Default: 1.
            ///
            /// [`StepOutput::weight`](stormfire_module::StepOutput::weight) gives batches different weights in that
            /// mean.
            accumulate_grad_batches: usize = 1, set(batches: usize => batches);
            /// Maximum norm or value of gradients, which are clipped to it. See `gradient_clip_algorithm`. Default: no
            /// clipping.
            gradient_clip_val: Option<f64> = None, set(value: f64 => Some(value));
            /// The method of gradient clipping: `"norm"` scales all gradients together by their L2 norm, `"value"`
            /// limits each number. Default: `"norm"`.
            ///
            /// The setter takes a [`ClipAlgorithm`](stormfire_optim::ClipAlgorithm), or its name.
            gradient_clip_algorithm: ClipAlgorithm = ClipAlgorithm::Norm, read(algorithm: ClipAlgorithm => algorithm);
            /// Number of steps between two logs of step metrics. 0 logs none. Default: 50.
            log_every_n_steps: u64 = 50, set(steps: u64 => steps);
            /// The folder for the files of runs. Default: the current folder.
            ///
            /// It may be the URL of a store (`s3://bucket/run`, `gs://..`, `az://..`, with the cargo feature `remote`),
            /// a different one for each run. Then checkpoints are written to the folder `checkpoints` there, and the
            /// logs to `lightning_logs/version_N`: `docs/remote-folders.md`.
            default_root_dir: PathBuf = PathBuf::from("."), set(folder: impl Into<PathBuf> => folder.into());
            /// Whether to save checkpoints. If no `ModelCheckpoint` is given, a default one is added. Default: yes.
            enable_checkpointing: bool = true, set(on: bool => on);
            /// Whether to write checkpoints in the background during training, at most one at a time. An error in it
            /// ends the fit a little later. Default: yes.
            async_checkpointing: bool = true, set(on: bool => on);
            /// Whether a resumed fit logs to a new `version_N`. Otherwise it continues the files of the original run,
            /// which are truncated to the moment of the checkpoint. Default: no.
            new_version_on_resume: bool = false, set(on: bool => on);
            /// Whether to show progress. Default: yes.
            enable_progress_bar: bool = true, set(on: bool => on);
            /// Whether to print a summary of the module at the start of a fit. Default: yes.
            enable_model_summary: bool = true, set(on: bool => on);
            /// Makes parameters, dropout, shuffling and the random draws of batches reproducible. Default: none.
            /// Shuffling is reproducible even then.
            ///
            /// Batches draw from [`random`](stormfire_data::random()).
            ///
            /// Parameters are initialized when the fit starts. Parameters that were read before are listed in a
            /// warning, and need [`seed_everything`](crate::seed_everything). Run one fit at a time, because the
            /// generator belongs to the process.
            seed: Option<u64> = None, set(seed: u64 => Some(seed));
            /// Whether to check the loss and all gradients of every batch. The error names the parameter whose gradient
            /// is not finite. Reads the device several times per batch. Default: no.
            detect_anomaly: bool = false, set(on: bool => on);
            /// The policy for a loss or gradient that is NaN or infinite: `"error"` fails the fit, `"stop"` ends it
            /// cleanly, `"skip:5"` skips at most 5 steps in a row, `"off"` checks nothing. Off with `barebones`.
            /// Default: `"error"`.
            ///
            /// The setter takes a [`NonFinite`](crate::NonFinite), or a string. The error is
            /// [`Error::NonFinite`](stormfire_module::Error::NonFinite).
            on_non_finite: NonFinite = NonFinite::Error, read(policy: NonFinite => policy);
            /// Whether Ctrl-C and SIGTERM end a run cleanly. `false` leaves all signals to the program. Signals that
            /// the program caught or ignored before the first run still reach its handler. Default: yes.
            handle_signals: bool = true, set(on: bool => on);
            /// The signal on which a fit is saved and its SLURM job requeued. `"auto"` is SIGUSR1 inside a SLURM job.
            /// Default: `"auto"`.
            ///
            /// The setter takes a [`RequeueSignal`](crate::RequeueSignal), or its name.
            requeue_signal: RequeueSignal = RequeueSignal::Auto, read(signal: RequeueSignal => signal);
            /// Measures the time of every hook and part of the loop, and prints a table. `"chrome"` also writes each
            /// call into a file for `chrome://tracing`. Default: none.
            ///
            /// The setter takes a [`ProfilerKind`](crate::ProfilerKind), or its name.
            profiler: Option<ProfilerKind> = None, read(kind: ProfilerKind => Some(kind));
            /// Whether to disable everything except the loop: logging, checkpoints, progress bar, summary, sanity
            /// check. Not with `fast_dev_run`, `detect_anomaly`, `profiler`. Default: no.
            barebones: bool = false, set(on: bool => on);
        }
    };
}

pub(crate) use options;
