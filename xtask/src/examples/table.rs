//! The runs of the examples.

use std::ops::RangeInclusive;

use self::Picture::{File, Terminal};

/// The arguments of an example, and the files that it must write.
pub(super) struct Run {
    pub(super) example: &'static str,
    /// `{root}` stands for the folder of this run.
    pub(super) arguments: &'static [&'static str],
    /// Paths below that folder. The last part may begin with `*`.
    pub(super) leaves: &'static [&'static str],
    /// A CSV file below that folder, a column of it, and the usual values of its last row, with a margin.
    pub(super) quality: &'static [(&'static str, &'static str, RangeInclusive<f64>)],
    /// The picture of its result.
    pub(super) picture: Picture,
}

/// The picture that `cargo xtask pictures` writes to `docs/pictures`.
#[derive(PartialEq)]
pub(super) enum Picture {
    None,
    /// A file that the run writes, below its folder.
    File(&'static str),
    /// The last lines of a terminal after the run, and a command that shows more there.
    Terminal(u32, Option<&'static str>),
}

/// The default data of the MNIST example.
pub(crate) const MNIST_DATA: &str = "data/mnist-mini";

/// The metrics of a run.
const METRICS: &str = "lightning_logs/version_0/metrics.csv";

/// Hides the progress bar.
const QUIET: &str = "trainer.enable_progress_bar=false";

/// The same for a program without the Trainer's options.
const NO_BAR: &str = "progress_bar=false";

/// Arguments that hide the progress bar.
pub(super) const HIDES_BAR: [&str; 2] = [QUIET, NO_BAR];

/// The folder of a run.
const ROOT: &str = "trainer.default_root_dir={root}";

pub(super) const MNIST: Run = Run {
    example: "mnist",
    arguments: &["trainer.max_steps=60", "trainer.seed=1", "trainer.log_every_n_steps=5", QUIET, ROOT],
    leaves: &[
        METRICS,
        "lightning_logs/version_0/hparams.yaml",
        "lightning_logs/version_0/config.yaml",
        "lightning_logs/version_0/*.tfevents.*",
        "lightning_logs/version_0/checkpoints/*.ckpt",
    ],
    quality: &[(METRICS, "test_acc", 0.6..=1.0)],
    picture: Picture::None,
};

/// The examples whose weights are fetched.
pub(super) const FINETUNE_TEXT: &str = "finetune_text";
pub(super) const FINETUNE_VISION: &str = "finetune_vision";
/// Vectors of sentences that `NumPy` has calculated.
pub(super) const MINILM_TABLE: &str = "examples/testdata/minilm.json";

/// One row for each example. A missing row fails the step.
pub(super) const RUNS: &[Run] = &[
    MNIST,
    Run {
        example: "char_gpt",
        arguments: &[
            "fit",
            "--trainer.max_steps=100",
            "--trainer.limit_val_batches=20",
            "--trainer.val_check_interval=100 steps",
            "--model.layers=1",
            "--model.width=32",
            "--model.lr=0.01",
            "--data.context=32",
            "--devices=2",
            "--model.dropout=0.1",
            QUIET,
            ROOT,
        ],
        leaves: &[METRICS, "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[(METRICS, "val_bits", 3.2..=4.0)],
        picture: Picture::None,
    },
    Run {
        example: FINETUNE_TEXT,
        arguments: &["--model.compare", MINILM_TABLE, QUIET, ROOT],
        leaves: &["adapters.safetensors", "model.safetensors", "lightning_logs/version_2/checkpoints/*.ckpt"],
        quality: &[
            (METRICS, "test_f1", 0.55..=1.0),
            ("lightning_logs/version_1/metrics.csv", "test_f1", 0.75..=1.0),
            ("lightning_logs/version_2/metrics.csv", "test_f1", 0.75..=1.0),
        ],
        picture: Terminal(24, None),
    },
    Run {
        example: FINETUNE_VISION,
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS, "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[(METRICS, "test_acc", 0.9..=1.0)],
        picture: Terminal(24, None),
    },
    Run {
        example: "gan",
        arguments: &["trainer.max_steps=500", QUIET, ROOT],
        leaves: &[
            "lightning_logs/version_0/samples.png",
            METRICS,
            "lightning_logs/version_0/*.tfevents.*",
            "lightning_logs/version_0/checkpoints/*.ckpt",
        ],
        quality: &[(METRICS, "critic_loss", 0.7..=2.0), (METRICS, "generator_loss", 0.3..=2.0)],
        picture: Picture::None,
    },
    Run {
        example: "custom_callback",
        arguments: &["--stop.threshold", "0.8", QUIET, ROOT],
        leaves: &[METRICS, "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[(METRICS, "val_acc", 0.8..=1.0), (METRICS, "step", 10.0..=300.0)],
        picture: Terminal(24, None),
    },
    Run {
        example: "titanic",
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "test_auroc", 0.80..=0.95)],
        picture: File("lightning_logs/version_0/survival.svg"),
    },
    Run {
        example: "diamonds",
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "test_r2", 0.97..=1.0), (METRICS, "test_error", 0.05..=0.12)],
        picture: File("lightning_logs/version_0/prices.svg"),
    },
    Run {
        example: "vowels",
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "test_acc", 0.88..=1.0)],
        picture: File("lightning_logs/version_0/confusion.svg"),
    },
    Run {
        example: "co2",
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "test_error", 0.3..=0.7)],
        picture: File("lightning_logs/version_0/forecast.svg"),
    },
    Run {
        example: "vae",
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "test_loss", 80.0..=125.0)],
        picture: File("lightning_logs/version_0/digits.png"),
    },
    Run {
        example: "tune",
        arguments: &["--root", "{root}"],
        leaves: &["lr_find.csv", "sweep/trials.csv", "sweep/trial_11/metrics.csv"],
        quality: &[("folds/version_0/folds.csv", "mean", 0.85..=1.0)],
        picture: File("lr_find.svg"),
    },
    Run {
        example: "own_loop",
        arguments: &["--root", "{root}"],
        leaves: &["own.ckpt", "from_epoch_0/*.tfevents.*"],
        quality: &[("from_epoch_0/metrics.csv", "val_acc", 0.88..=1.0)],
        picture: Terminal(24, None),
    },
    Run {
        example: "custom_metric",
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "test_acc", 0.84..=1.0), (METRICS, "test_acc_90", 0.88..=1.0)],
        picture: File("lightning_logs/version_0/coverage.svg"),
    },
    Run {
        example: "several_ranks",
        arguments: &[NO_BAR, "root={root}"],
        leaves: &[METRICS, "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[(METRICS, "val_acc", 0.85..=1.0)],
        picture: Terminal(24, None),
    },
    Run {
        example: "diffusion",
        arguments: &["--epochs", "6", QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "test_class", 0.5..=1.0)],
        picture: Picture::None,
    },
    Run {
        example: "finetune_image",
        arguments: &[QUIET, ROOT],
        leaves: &["known.safetensors"],
        quality: &[("lightning_logs/version_1/metrics.csv", "test_acc", 0.68..=0.95)],
        picture: Terminal(24, Some("tail -n 1 lightning_logs/version_[12]/metrics.csv")),
    },
    Run {
        example: "segmentation",
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "test_iou/class_3", 0.4..=1.0)],
        picture: File("lightning_logs/version_0/shapes.png"),
    },
    Run {
        example: "dqn",
        arguments: &[QUIET, ROOT],
        leaves: &[METRICS],
        quality: &[(METRICS, "val_reward", 150.0..=500.0)],
        picture: File("lightning_logs/version_0/episode.svg"),
    },
    Run {
        example: "new_blank",
        arguments: &["-c", "crates/stormfire/templates/blank.yaml", "--root", "{root}"],
        leaves: &[METRICS, "lightning_logs/version_0/training.log", "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[(METRICS, "val_loss", 0.0..=1.0)],
        picture: Picture::None,
    },
    Run {
        example: "new_tabular",
        arguments: &[
            "-c",
            "crates/stormfire/templates/tabular.yaml",
            "data.file=crates/stormfire/templates/customers.csv",
            "--root",
            "{root}",
        ],
        leaves: &[METRICS, "lightning_logs/version_0/training.log", "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[(METRICS, "val_acc", 0.85..=1.0)],
        picture: Picture::None,
    },
    Run {
        example: "new_vision",
        arguments: &["-c", "crates/stormfire/templates/vision.yaml", "--root", "{root}"],
        leaves: &[METRICS, "lightning_logs/version_0/training.log", "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[(METRICS, "val_acc", 0.8..=1.0)],
        picture: Picture::None,
    },
    Run {
        example: "new_text",
        arguments: &["-c", "crates/stormfire/templates/text.yaml", "--epochs", "4", "--root", "{root}"],
        leaves: &[METRICS, "lightning_logs/version_0/training.log", "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[(METRICS, "val_acc", 0.3..=1.0)],
        picture: Picture::None,
    },
    Run {
        example: "custom_logger",
        arguments: &[QUIET, ROOT, "lines.file={root}/metrics.jsonl"],
        leaves: &["metrics.jsonl", METRICS, "lightning_logs/version_0/hparams.yaml"],
        quality: &[(METRICS, "val_loss", 0.005..=0.02)],
        picture: Terminal(24, Some("tail -n 3 metrics.jsonl")),
    },
    Run {
        example: "custom_logger",
        arguments: &[QUIET, ROOT, "-m", "model.lr=0.1,0.2", "--jobs=2", "lines.file={root}/metrics.jsonl"],
        leaves: &[
            "multirun_0/job_1/lightning_logs/version_0/config.yaml",
            "multirun_0/job_1/lightning_logs/version_0/metrics.csv",
            "multirun_0/job_1/output.log",
        ],
        quality: &[],
        picture: Picture::None,
    },
    Run {
        example: "custom_logger",
        arguments: &["sweep", QUIET, ROOT, "model.lr=0.1,0.2", "--jobs=2", "lines.file={root}/metrics.jsonl"],
        leaves: &[
            "sweep/config.yaml",
            "sweep/trials.csv",
            "sweep/trial_1/lightning_logs/version_0/config.yaml",
            "sweep/trial_1/output.log",
        ],
        quality: &[],
        picture: Picture::None,
    },
    Run {
        example: "trackers",
        arguments: &["--epochs", "1", QUIET, ROOT],
        leaves: &[
            METRICS,
            "lightning_logs/version_0/hparams.yaml",
            "lightning_logs/version_0/training.log",
            "lightning_logs/version_0/report.md",
            "wandb/latest-run/*.wandb",
            "comet/*.zip",
            ".neptune/offline/run__*",
            "lightning_logs/version_0/*.tfevents.*",
            "lightning_logs/version_0/checkpoints/*.ckpt",
        ],
        quality: &[(METRICS, "val_acc", 0.82..=1.0)],
        picture: Terminal(24, Some("ls -d lightning_logs/version_0/*.* comet/* wandb/* .neptune/offline/*")),
    },
];

/// Runs that need a minute or more, for `--full`.
pub(super) const LONG_RUNS: &[Run] = &[
    Run {
        example: "mnist",
        arguments: &[QUIET, ROOT],
        leaves: &[],
        quality: &[(METRICS, "test_acc", 0.95..=1.0)],
        picture: Terminal(24, None),
    },
    Run {
        example: "char_gpt",
        arguments: &[QUIET, ROOT],
        leaves: &[],
        quality: &[(METRICS, "val_bits", 2.7..=3.5)],
        picture: Terminal(30, None),
    },
    Run {
        example: "gan",
        arguments: &[QUIET, ROOT],
        leaves: &[],
        quality: &[(METRICS, "modes", 7.0..=8.0), (METRICS, "on_ring", 0.6..=1.0)],
        picture: File("lightning_logs/version_0/samples.png"),
    },
    Run {
        example: "diffusion",
        arguments: &[QUIET, ROOT],
        leaves: &[],
        quality: &[(METRICS, "test_class", 0.7..=1.0)],
        picture: File("lightning_logs/version_0/digits.png"),
    },
];
