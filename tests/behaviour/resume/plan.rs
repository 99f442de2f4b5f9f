//! The plan of a random fit.

use burn::{
    lr_scheduler::{cosine::CosineAnnealingLrSchedulerConfig, step::StepLrSchedulerConfig},
    optim::{
        AdaGradConfig, AdafactorConfig, AdamConfig, AdamWConfig, AdanConfig, LambConfig, LionConfig, MuonConfig, RmsPropConfig, SgdConfig,
        momentum::MomentumConfig,
    },
};
use proptest::{prelude::*, sample::Index};
use stormfire::{optim::ClipAlgorithm, prelude::*};

/// A fit, and the points at which it is cut.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Whether the Trainer is given the seed.
    pub(crate) is_seeded: bool,
    pub(crate) data: DataPlan,
    pub(crate) learning: Learning,
    pub(crate) fit: FitPlan,
    pub(crate) watch: Watch,
    pub(crate) cuts: [Cut; 2],
}

/// A hook, and the number of its call. If the flag is set, only calls count at which a stop or a skip was requested.
pub(crate) type Cut = (Index, Index, bool);

#[derive(Clone, Copy, Debug)]
pub(crate) enum DataKind {
    Dataset,
    Batches,
    MinSize,
    MaxSizeCycle,
    Sequential,
    /// An iterator per epoch that ends, but does not know its length.
    Stream,
    /// An endless iterator per epoch.
    EndlessStream,
    /// One endless iterator for the whole fit.
    OnePass,
    /// Files of JSON lines, whose records may be counted.
    Shards {
        counted: bool,
    },
    /// A dataset of which a sampler takes items.
    Sampled(Sampled),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Sampled {
    Weighted,
    WithoutReplacement,
    Balanced,
    Stratified,
    Subset,
    ByLength,
}

impl DataKind {
    fn has_length(self) -> bool {
        !matches!(self, Self::Stream | Self::EndlessStream | Self::OnePass | Self::Shards { counted: false })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DataPlan {
    pub(crate) kind: DataKind,
    pub(crate) items: usize,
    pub(crate) batch_size: usize,
    pub(crate) workers: usize,
    pub(crate) shuffle: bool,
    pub(crate) val_loaders: usize,
    /// The validation loaders do not know their length.
    pub(crate) val_is_unsized: bool,
    /// Random numbers are drawn when a batch is created.
    pub(crate) draws: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Algorithm {
    Sgd,
    Momentum,
    Nesterov,
    Adam,
    AmsGrad,
    AdamW,
    RmsProp,
    CenteredRmsProp,
    AdaGrad,
    Adafactor,
    Adan,
    Lamb,
    Lion,
    /// Only for weights, which are matrices.
    Muon,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ScheduleKind {
    None,
    CosinePerStep,
    StepPerEpoch,
    PlateauPerEpoch,
    PlateauPerSteps,
    OneCycle,
}

/// The weight of the loss that a training step returns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weighs {
    Nothing,
    OnHost,
    OnDevice,
    /// Every second batch on the device, the others on the host.
    OnBoth,
}

/// Features that most modules do not have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extras {
    /// Metrics of each kind are logged: counts, curves, all values, the newest values.
    pub(crate) has_metrics: bool,
    /// The biases have their own learning rate.
    pub(crate) is_grouped: bool,
}

/// The part of the plan for the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learning {
    pub(crate) weighs: Weighs,
    /// One for each optimizer. A single optimizer has the first.
    pub(crate) algorithms: [Algorithm; 2],
    pub(crate) schedule: ScheduleKind,
    /// Two optimizers with manual optimization.
    pub(crate) is_manual: bool,
    /// Batch normalization and dropout.
    pub(crate) is_regularised: bool,
    /// The loaders do not know the number of items in a batch.
    pub(crate) tells_batch_size: bool,
    pub(crate) extras: Extras,
    /// The metric of plateau schedules and early stopping.
    pub(crate) monitor: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct FitPlan {
    pub(crate) epochs: usize,
    /// The threads that share each batch.
    pub(crate) devices: usize,
    pub(crate) precision: Option<&'static str>,
    pub(crate) max_steps: Option<u64>,
    pub(crate) limit_train_batches: Option<usize>,
    pub(crate) val_check_interval: Every,
    pub(crate) accumulate: Accumulate,
    pub(crate) clip: Option<(ClipAlgorithm, f64)>,
    /// Epoch, batch, and whether the skip is requested before that batch.
    pub(crate) skip: Option<(usize, usize, bool)>,
    /// The epoch and the batch after which a stop is requested.
    pub(crate) stop: Option<(usize, usize)>,
    pub(crate) min_epochs: usize,
    /// The epoch from which the hidden layer is trained. It is frozen before.
    pub(crate) unfreeze: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Accumulate {
    Batches(usize),
    Schedule(Vec<(usize, usize)>),
}

/// The loggers. If they write files, the fit also has a `ModelCheckpoint`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Logs {
    Memory,
    DefaultLoggers,
    /// `TensorBoard`, CSV with JSON lines, and W&B offline. Checkpoints have separate folders.
    ManyLoggers,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Monitor {
    GradientNorm,
    Throughput,
    /// The weights in force are an average of the trained ones.
    Average,
    /// As `Average`, of epochs.
    StochasticAverage,
    /// As `Average`, with equal shares, from the third step on.
    EqualAverage,
    Updates,
    Pruning,
    /// Steps with a loss that has risen are skipped.
    Spikes,
    /// The hidden layer is trained from the second epoch on, with its own learning rate.
    Backbone,
    /// As `Backbone`, with the learning rate of the others.
    Stages,
    /// Logs a text every two steps.
    Texts,
}

#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) log_every_n_steps: u64,
    /// The patience of an `EarlyStopping`.
    pub(crate) patience: Option<u32>,
    pub(crate) logs: Logs,
    pub(crate) monitors: Vec<Monitor>,
    /// A callback reads metrics, losses and batches in every hook.
    pub(crate) reads: bool,
    /// The first cut is a signal instead of a requested checkpoint.
    pub(crate) is_interrupted: bool,
    /// The logged values arrive with a delay, as on a GPU.
    pub(crate) is_distant: bool,
}

impl Learning {
    pub(crate) fn optimizer(&self, algorithm: Algorithm) -> Optimizer {
        let momentum = |nesterov| SgdConfig::new().with_momentum(Some(MomentumConfig::new().with_nesterov(nesterov)));
        let optimizer = match algorithm {
            Algorithm::Sgd => Optimizer::new(SgdConfig::new(), 0.01),
            Algorithm::Momentum => Optimizer::new(momentum(false), 0.01),
            Algorithm::Nesterov => Optimizer::new(momentum(true), 0.01),
            Algorithm::Adam => Optimizer::new(AdamConfig::new(), 0.01),
            Algorithm::AmsGrad => Optimizer::new(AdamConfig::new().with_amsgrad(true), 0.01),
            Algorithm::AdamW => Optimizer::new(AdamWConfig::new(), 0.01),
            Algorithm::RmsProp => Optimizer::new(RmsPropConfig::new(), 0.001),
            Algorithm::CenteredRmsProp => Optimizer::new(RmsPropConfig::new().with_centered(true), 0.001),
            Algorithm::AdaGrad => Optimizer::new(AdaGradConfig::new().with_lr_decay(0.1), 0.01),
            Algorithm::Adafactor => Optimizer::new(AdafactorConfig::new(), 0.01),
            Algorithm::Adan => Optimizer::new(AdanConfig::new(), 0.01),
            Algorithm::Lamb => Optimizer::new(LambConfig::new(), 0.01),
            Algorithm::Lion => Optimizer::new(LionConfig::new(), 0.001),
            Algorithm::Muon => Optimizer::new(MuonConfig::new(), 0.01),
        };
        let optimizer = match algorithm {
            // It has no biases.
            Algorithm::Muon => optimizer,
            _ if self.extras.is_grouped => optimizer.group("*.bias", |group| group.lr_factor(0.5)),
            _ => optimizer,
        };
        let plateau = || Schedule::new(ReduceLrOnPlateau::new().patience(0).factor(0.5)).monitor(self.monitor).strict(false);
        match self.schedule {
            ScheduleKind::None => optimizer,
            ScheduleKind::CosinePerStep => {
                optimizer.schedule(Schedule::new(CosineAnnealingLrSchedulerConfig::new(0.01, 20)).every(Every::Steps(1)))
            }
            ScheduleKind::StepPerEpoch => optimizer.schedule(StepLrSchedulerConfig::new(0.01, 1)),
            ScheduleKind::PlateauPerEpoch => optimizer.schedule(plateau()),
            ScheduleKind::PlateauPerSteps => optimizer.schedule(plateau().every(Every::Steps(2))),
            ScheduleKind::OneCycle => optimizer.schedule(Schedule::new(OneCycle::new(0.01, 15)).every(Every::Steps(1))),
        }
    }
}

fn sampled() -> impl Strategy<Value = Sampled> {
    use Sampled::{Balanced, ByLength, Stratified, Subset, Weighted, WithoutReplacement};
    prop::sample::select(vec![Weighted, WithoutReplacement, Balanced, Stratified, Subset, ByLength])
}

fn data() -> impl Strategy<Value = DataPlan> {
    let kind = prop_oneof![
        3 => Just(DataKind::Dataset),
        1 => Just(DataKind::Batches),
        1 => Just(DataKind::MinSize),
        1 => Just(DataKind::MaxSizeCycle),
        1 => Just(DataKind::Sequential),
        1 => Just(DataKind::Stream),
        1 => Just(DataKind::EndlessStream),
        1 => Just(DataKind::OnePass),
        1 => any::<bool>().prop_map(|counted| DataKind::Shards { counted }),
        3 => sampled().prop_map(DataKind::Sampled),
    ];
    let sizes = (4..=36_usize, 2..=5_usize);
    (kind, sizes, 0..=3_usize, any::<bool>(), 0..=2_usize, prop::bool::weighted(0.3), any::<bool>()).prop_map(
        |(kind, (items, batch_size), workers, shuffle, val_loaders, val_is_unsized, draws)| DataPlan {
            kind,
            items,
            batch_size,
            workers,
            shuffle,
            val_loaders,
            val_is_unsized,
            draws,
        },
    )
}

fn learning() -> impl Strategy<Value = Learning> {
    use Algorithm::{AdaGrad, Adafactor, Adam, AdamW, Adan, AmsGrad, CenteredRmsProp, Lamb, Lion, Momentum, Muon, Nesterov, RmsProp, Sgd};
    use ScheduleKind::{CosinePerStep, None, OneCycle, PlateauPerEpoch, PlateauPerSteps, StepPerEpoch};
    let algorithm = || {
        prop::sample::select(vec![
            Adam,
            Momentum,
            AdamW,
            RmsProp,
            Sgd,
            Nesterov,
            AmsGrad,
            CenteredRmsProp,
            AdaGrad,
            Adafactor,
            Adan,
            Lamb,
            Lion,
            Muon,
        ])
    };
    let schedule = prop::sample::select(vec![None, CosinePerStep, StepPerEpoch, PlateauPerEpoch, PlateauPerSteps, OneCycle]);
    let weighs = prop::sample::select(vec![Weighs::Nothing, Weighs::OnHost, Weighs::OnDevice, Weighs::OnBoth]);
    let flags = (prop::bool::weighted(0.3), any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    ([algorithm(), algorithm()], schedule, weighs, flags).prop_map(
        |(algorithms, schedule, weighs, (is_manual, is_regularised, has_metrics, is_grouped))| Learning {
            weighs,
            algorithms,
            schedule,
            is_manual,
            is_regularised,
            tells_batch_size: true,
            extras: Extras { has_metrics, is_grouped },
            monitor: "val_loss",
        },
    )
}

fn fit() -> impl Strategy<Value = FitPlan> {
    let interval = prop_oneof![
        (1..=2_u64).prop_map(Every::Epochs),
        prop::sample::select(vec![0.3, 0.5, 1.0]).prop_map(Every::Fraction),
        (1..=7_u64).prop_map(Every::Batches),
        (1..=5_u64).prop_map(Every::Steps),
    ];
    let accumulate = prop_oneof![
        2 => Just(Accumulate::Batches(1)),
        2 => (2..=4_usize).prop_map(Accumulate::Batches),
        1 => (1..=3_usize, 1..=3_usize).prop_map(|(first, second)| Accumulate::Schedule(vec![(0, first), (1, second)])),
    ];
    let algorithm = prop::sample::select(vec![ClipAlgorithm::Norm, ClipAlgorithm::Value]);
    let clip = prop::option::of((algorithm, prop::sample::select(vec![0.05, 0.5])));
    let skip = prop::option::weighted(0.4, (0..=1_usize, 0..=5_usize, any::<bool>()));
    let stop = (prop::option::weighted(0.2, (0..=1_usize, 0..=5_usize)), 0..=2_usize);
    let limits = (prop::option::weighted(0.2, 3..=20_u64), prop::option::weighted(0.3, 2..=6_usize));
    let unfreeze = prop::option::weighted(0.3, 0..=2_usize);
    let devices = prop_oneof![4 => Just(1), 1 => Just(2), 1 => Just(3)];
    let precision = prop_oneof![6 => Just(None), 2 => Just(Some("bf16-mixed")), 2 => Just(Some("16-mixed"))];
    ((1..=3_usize, devices, precision), limits, interval, accumulate, clip, skip, (stop, unfreeze)).prop_map(
        |(
            (epochs, devices, precision),
            (max_steps, limit_train_batches),
            val_check_interval,
            accumulate,
            clip,
            skip,
            ((stop, min_epochs), unfreeze),
        )| FitPlan {
            epochs,
            devices,
            precision,
            max_steps,
            limit_train_batches,
            val_check_interval,
            accumulate,
            clip,
            skip,
            stop,
            min_epochs: min_epochs.min(epochs),
            unfreeze,
        },
    )
}

fn watch() -> impl Strategy<Value = Watch> {
    use Monitor::{Average, Backbone, EqualAverage, GradientNorm, Pruning, Spikes, Stages, StochasticAverage, Texts, Throughput, Updates};

    let patience = prop::option::weighted(0.4, 1..=2_u32);
    let logs = prop_oneof![6 => Just(Logs::Memory), 1 => Just(Logs::DefaultLoggers), 1 => Just(Logs::ManyLoggers)];
    let all = vec![GradientNorm, Throughput, Average, StochasticAverage, EqualAverage, Updates, Pruning, Spikes, Backbone, Stages, Texts];
    let monitors = prop::sample::subsequence(all, 0..=6).prop_map(|mut monitors| {
        // Only one of each kind.
        for kind in [&[Average, StochasticAverage, EqualAverage][..], &[Backbone, Stages]] {
            let first = monitors.iter().copied().find(|monitor| kind.contains(monitor));
            monitors.retain(|monitor| !kind.contains(monitor) || Some(*monitor) == first);
        }
        monitors
    });
    let is = (prop::bool::weighted(0.3), any::<bool>());
    (1..=7_u64, patience, logs, monitors, any::<bool>(), is).prop_map(
        |(log_every_n_steps, patience, logs, monitors, reads, (is_interrupted, is_distant))| Watch {
            log_every_n_steps,
            patience,
            logs,
            monitors,
            reads,
            is_interrupted,
            is_distant,
        },
    )
}

/// All plans that a Trainer accepts.
pub(crate) fn plans() -> impl Strategy<Value = Plan> {
    (any::<u64>(), prop::bool::weighted(0.8), data(), learning(), fit(), watch(), any::<[Cut; 2]>()).prop_map(
        |(seed, is_seeded, data, learning, mut fit, watch, cuts)| {
            if watch.logs != Logs::Memory
                && let Some((_, batch, _)) = &mut fit.skip
            {
                // `ModelCheckpoint` finds no metric in an epoch without a batch.
                *batch = (*batch).max(1);
            }
            if learning.is_manual {
                fit.accumulate = Accumulate::Batches(1);
                fit.devices = 1;
            }
            if !data.kind.has_length()
                && let Every::Fraction(_) = fit.val_check_interval
            {
                fit.val_check_interval = Every::Batches(3);
            }
            match data.kind {
                DataKind::EndlessStream if fit.limit_train_batches.is_none() => fit.max_steps = Some(fit.max_steps.unwrap_or(7)),
                DataKind::OnePass => {
                    fit.max_steps = Some(fit.max_steps.unwrap_or(7));
                    (fit.epochs, fit.min_epochs) = (1, fit.min_epochs.min(1));
                }
                _ => {}
            }
            let tells_batch_size = !matches!(data.kind, DataKind::Dataset | DataKind::Sampled(_)) || data.val_is_unsized;
            let monitor = match data.val_loaders {
                0 => "train_loss_epoch",
                1 => "val_loss",
                _ => "val_loss/dataloader_idx_1",
            };
            let learning = Learning { tells_batch_size, monitor, ..learning };
            Plan { seed, is_seeded, data, learning, fit, watch, cuts }
        },
    )
}
