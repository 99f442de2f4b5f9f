//! Logs the norms of gradients.

use std::collections::HashSet;

use burn::{optim::GradientsParams, tensor::Tensor};
use stormfire_module::{Callback, Context, LightningModule, Result, StepOutput};
use stormfire_optim::gradients::{self, Norms};

/// A norm of a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientNorm {
    /// The square root of the sum of the squares, `grad_2.0_norm`.
    L2,
    /// The largest absolute value, `grad_inf_norm`.
    Max,
}

impl GradientNorm {
    fn name(self) -> &'static str {
        match self {
            GradientNorm::L2 => "grad_2.0_norm",
            GradientNorm::Max => "grad_inf_norm",
        }
    }

    fn of(self, norms: &Norms) -> Tensor<1> {
        match self {
            GradientNorm::L2 => norms.squares.clone().sqrt(),
            GradientNorm::Max => norms.max.clone(),
        }
    }

    /// The norm of all gradients, taken as one vector.
    fn total(self, norms: &[Norms]) -> Option<Tensor<1>> {
        let all = |part: fn(&Norms) -> &Tensor<1>| {
            let parts: Vec<_> = norms.iter().map(|norms| part(norms).clone()).collect();
            (!parts.is_empty()).then(|| Tensor::cat(parts, 0))
        };
        match self {
            GradientNorm::L2 => all(|norms| &norms.squares).map(|squares| squares.sum().sqrt()),
            GradientNorm::Max => all(|norms| &norms.max).map(Tensor::max_abs),
        }
    }
}

/// Logs the norms of the gradients at logging steps (`log_every_n_steps`), per parameter and in total.
///
/// The names are those of Lightning's `grad_norm`: `grad_2.0_norm/hidden.weight` and `grad_2.0_norm_total`, or
/// `grad_inf_norm/…` and `grad_inf_norm_total`. Gradients are measured as the optimizer gets them, before clipping.
/// With several optimizers, the total covers all gradients that they have received in this batch. A skipped step
/// (`on_non_finite`) is not logged.
///
/// The device computes the norms. They are read together with the other metrics of the step, in the same read. They are
/// logged values: callbacks can monitor them, and a progress bar can show them.
///
/// ```
/// use stormfire_callbacks::{GradientNorm, GradientNormMonitor};
///
/// let of_each_parameter = GradientNormMonitor::new();
/// let both_totals = GradientNormMonitor::new().norms([GradientNorm::L2, GradientNorm::Max]).per_parameter(false);
/// # let _ = (of_each_parameter, both_totals);
/// ```
#[derive(Clone, Debug)]
pub struct GradientNormMonitor {
    norms: Vec<GradientNorm>,
    per_parameter: bool,
    measured: Vec<Norms>,
}

impl Default for GradientNormMonitor {
    fn default() -> Self {
        Self { norms: vec![GradientNorm::L2], per_parameter: true, measured: Vec::new() }
    }
}

impl GradientNormMonitor {
    /// Logs L2 norms, per parameter and in total.
    pub fn new() -> Self {
        Self::default()
    }

    /// The norms to log. Default: L2.
    pub fn norms(mut self, norms: impl IntoIterator<Item = GradientNorm>) -> Self {
        self.norms = norms.into_iter().collect();
        self
    }

    /// Whether to log the norm of each parameter's gradient in addition to the total. Default `true`.
    pub fn per_parameter(mut self, on: bool) -> Self {
        self.per_parameter = on;
        self
    }
}

impl GradientNormMonitor {
    fn log_measured(&mut self, ctx: &mut Context<'_>) {
        let measured = std::mem::take(&mut self.measured);
        if ctx.run().step_skipped {
            return;
        }
        for norm in &self.norms {
            if self.per_parameter {
                for of in &measured {
                    ctx.log(format!("{}/{}", norm.name(), of.path), norm.of(of));
                }
            }
            if let Some(total) = norm.total(&measured) {
                ctx.log(format!("{}_total", norm.name()), total);
            }
        }
    }
}

impl<M: LightningModule> Callback<M> for GradientNormMonitor {
    fn on_train_batch_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        self.measured.clear();
        Ok(())
    }

    fn on_before_optimizer_step(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        _optimizer: &str,
        gradients: &mut GradientsParams,
    ) -> Result<()> {
        if ctx.run().place.logs_this_step {
            let norms = gradients::norms(gradients, module);
            // An optimizer may step twice in a batch.
            let new: HashSet<&str> = norms.iter().map(|norms| norms.path.as_str()).collect();
            self.measured.retain(|known| !new.contains(known.path.as_str()));
            self.measured.extend(norms);
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.log_measured(ctx);
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        // `skip_epoch` may have closed a window with a step that no batch has ended.
        self.log_measured(ctx);
        Ok(())
    }
}
