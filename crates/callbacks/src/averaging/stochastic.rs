//! Stochastic weight averaging.

use std::f64::consts::PI;

use stormfire_module::{Callback, Context, Error, LightningModule, Order, Result, Stage, StepOutput, state::Saved};
use stormfire_values::{
    Every, reads_text,
    text::{Misread, TextError, one_of},
};

use super::{
    pace::Pace,
    rule::Rule,
    weight_averaging::{Annealed, WeightAveraging},
};

/// How a learning rate moves to that of the averaging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Annealing {
    /// Along half a cosine.
    #[default]
    Cos,
    /// In equal steps.
    Linear,
}

impl Annealing {
    /// The share of the new rate, after a number of epochs.
    fn share(self, epochs: usize, of: usize) -> f64 {
        if epochs >= of {
            return 1.0;
        }
        let passed = epochs as f64 / of as f64;
        match self {
            Self::Cos => (1.0 - (PI * passed).cos()) / 2.0,
            Self::Linear => passed,
        }
    }
}

impl std::str::FromStr for Annealing {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        one_of(text, "an annealing strategy", &[("cos", Self::Cos), ("linear", Self::Linear)], "`cos` or `linear`")
    }
}

reads_text!(Annealing);

/// Learning rates of the averaging: one for all, or one for each logged rate.
#[derive(Clone, Debug, PartialEq)]
pub struct SwaLrs(Vec<f64>);

impl From<f64> for SwaLrs {
    fn from(rate: f64) -> Self {
        Self(vec![rate])
    }
}

impl From<Vec<f64>> for SwaLrs {
    fn from(rates: Vec<f64>) -> Self {
        Self(rates)
    }
}

impl<const N: usize> From<[f64; N]> for SwaLrs {
    fn from(rates: [f64; N]) -> Self {
        Self(rates.into())
    }
}

/// Averages the weights at the ends of the last epochs, which are trained with a constant learning rate. The average is
/// in force, as that of [`WeightAveraging`].
///
/// From its first epoch on, the learning rates move to those of the averaging. Schedules and groups no longer apply. At
/// the end of the training, the running statistics of batch normalizations are computed for the averaged weights, in a
/// pass over the training data.
///
/// ```
/// use stormfire_callbacks::{Annealing, StochasticWeightAveraging};
///
/// let of_last_fifth = StochasticWeightAveraging::new(0.05);
/// let from_epoch = StochasticWeightAveraging::new([0.05, 0.005]).start_epoch(10).annealing(5, Annealing::Linear);
/// # let _ = (of_last_fifth, from_epoch);
/// ```
///
/// Different from Lightning:
///
/// * The average contains the weights at the end of each of its epochs, the last one included. Lightning averages at
///   the start of an epoch, and leaves out the weights of the last one.
/// * The pass over the data does not count as an epoch. It is not an epoch for hooks, logs and schedules.
/// * The module that the fit returns has the trained weights. `Trainer::weights_in_force` returns the average.
///
/// The validation of the last epoch comes before the pass over the data: `trainer.validate(&fit.module, ..)` evaluates
/// the average with its own statistics.
///
/// # Errors
/// [`Error::Config`](stormfire_module::Error::Config) at the start of the fit for an invalid option.
#[derive(Debug)]
pub struct StochasticWeightAveraging {
    average: WeightAveraging,
    lrs: SwaLrs,
    start: Start,
    epochs: usize,
    annealing: Annealing,
    misread: Misread,
    /// The first epoch, once the length of the fit is known.
    first: usize,
}

#[derive(Clone, Copy, Debug)]
enum Start {
    Epoch(usize),
    Share(f64),
}

const NAME: &str = "StochasticWeightAveraging";

impl StochasticWeightAveraging {
    /// Averages over the last fifth of the epochs. The rates move to `lrs` within 10 epochs: one rate for all
    /// parameters, or one for each logged learning rate, in their order.
    pub fn new(lrs: impl Into<SwaLrs>) -> Self {
        Self {
            average: WeightAveraging::of(NAME, Rule::Mean),
            lrs: lrs.into(),
            start: Start::Share(0.8),
            epochs: 10,
            annealing: Annealing::Cos,
            misread: Misread::default(),
            first: usize::MAX,
        }
    }

    /// The 0-based first epoch of the averaging.
    pub fn start_epoch(mut self, epoch: usize) -> Self {
        self.start = Start::Epoch(epoch);
        self
    }

    /// The share of `max_epochs` before the averaging, rounded down to whole epochs. Default 0.8.
    pub fn start_share(mut self, share: f64) -> Self {
        self.start = Start::Share(share);
        self
    }

    /// In how many epochs the rates move to those of the averaging, and how: an [`Annealing`], or `"linear"`. Default:
    /// 10 epochs, along half a cosine. With 0 epochs, they have them at once.
    pub fn annealing(mut self, epochs: usize, strategy: impl TryInto<Annealing, Error: Into<TextError>>) -> Self {
        self.epochs = epochs;
        self.misread.set("StochasticWeightAveraging::annealing", &mut self.annealing, strategy);
        self
    }

    /// Number of averaged epochs in the current or newest fit.
    pub fn updates(&self) -> u64 {
        self.average.updates()
    }

    fn check(&self) -> Result<()> {
        self.misread.check()?;
        let SwaLrs(rates) = &self.lrs;
        if rates.is_empty() || !rates.iter().all(|rate| rate.is_finite() && *rate > 0.0) {
            let reason = format!("{rates:?} are not learning rates above 0");
            return Err(Error::config(format!("{NAME}::new"), reason, "use 0.05, for example"));
        }
        match self.start {
            Start::Share(share) if !(0.0..=1.0).contains(&share) => {
                Err(Error::config(format!("{NAME}::start_share"), format!("{share} is not a share"), "use a number from 0 to 1"))
            }
            _ => Ok(()),
        }
    }

    /// The first epoch of the averaging.
    fn first_epoch(&self, ctx: &Context<'_>) -> Result<usize> {
        match (self.start, ctx.limits().max_epochs) {
            (Start::Epoch(epoch), _) => Ok(epoch),
            (Start::Share(share), Some(epochs)) => Ok((epochs as f64 * share) as usize),
            (Start::Share(_), None) => {
                let reason = "a share of the epochs needs `max_epochs`";
                Err(Error::config(format!("{NAME}::start_share"), reason, "set `max_epochs`, or use `start_epoch`"))
            }
        }
    }

    fn set_rates(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        let epoch = ctx.current_epoch();
        if self.average.annealed.is_none() && epoch < self.first {
            return Ok(());
        }
        let now = || Annealed { first: epoch, before: ctx.learning_rates().to_vec() };
        let Annealed { first, before } = self.average.annealed.get_or_insert_with(now).clone();
        let SwaLrs(rates) = &self.lrs;
        if rates.len() != 1 && rates.len() != before.len() {
            let names: Vec<_> = before.iter().map(|(name, _)| format!("`{name}`")).collect();
            let reason = format!("it has {} learning rates, and the fit has {}", rates.len(), names.join(", "));
            return Err(Error::config(format!("{NAME}::new"), reason, "give one rate, or one for each"));
        }
        let share = self.annealing.share(epoch - first, self.epochs);
        for ((name, before), rate) in before.iter().zip(rates.iter().cycle()) {
            ctx.set_learning_rate(name.as_str(), rate * share + before * (1.0 - share));
        }
        Ok(())
    }
}

impl<M: LightningModule> Callback<M> for StochasticWeightAveraging {
    fn order(&self) -> Order {
        Callback::<M>::order(&self.average)
    }

    fn setup(&mut self, ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit {
            self.check()?;
            // A longer fit that resumes keeps its start.
            if self.average.annealed.is_none() && ctx.resumed_from().is_none() {
                self.first_epoch(ctx)?;
            }
        }
        self.average.setup(ctx, module, stage)
    }

    fn on_load_checkpoint(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        checkpoint: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<()> {
        self.average.on_load_checkpoint(ctx, module, checkpoint)
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        // A longer fit that resumes keeps its start.
        self.first = match &self.average.annealed {
            Some(annealed) => annealed.first,
            None => self.first_epoch(ctx)?,
        };
        let start_after = (self.first > 0).then_some(Every::Epochs(self.first as u64));
        self.average.set_pace(Pace { start_after, every: Every::Epochs(1) });
        self.average.on_fit_start(ctx, module)
    }

    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.set_rates(ctx)
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, output: &StepOutput, batch_idx: usize) -> Result<()> {
        self.average.on_train_batch_end(ctx, module, output, batch_idx)
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        self.average.on_train_epoch_end(ctx, module)
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        self.average.on_train_end(ctx, module)
    }

    fn weights(&mut self, module: &M) -> Result<Option<M>> {
        self.average.weights(module)
    }

    fn renews_statistics(&self) -> bool {
        self.average.lacks_statistics()
    }

    fn take_statistics(&mut self, module: &M) -> Result<()> {
        self.average.fix_statistics(module);
        Ok(())
    }

    fn state(&self) -> Result<Saved> {
        Callback::<M>::state(&self.average)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        Callback::<M>::load_state(&mut self.average, state)
    }
}
