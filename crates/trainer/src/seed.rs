//! Seeds the parameters, and finds those that were initialized before.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    tensor::{Bool, Device, Int, Tensor},
};
use stormfire_checkpoint::origin;
use stormfire_module::Result;
use stormfire_optim::float_params::{EachFloat, walk};
use stormfire_values::{Scalar, read::read};

/// Maximum number of parameters in a warning.
const NAMED: usize = 5;

static IS_SEEDED: AtomicBool = AtomicBool::new(false);

/// Seeds the random numbers of burn, on the CPU and on `device`. Call this first in a program.
///
/// [`Trainer::seed`](crate::Trainer::seed) seeds everything from the start of a fit, and initializes the parameters
/// that are not initialized yet. burn initializes a parameter at its first read, so printing the module or a forward
/// pass suffices. For such a module to be equal in every process, this function must be called before.
///
/// ```
/// use burn::{nn::LinearConfig, prelude::*};
/// use stormfire_trainer::seed_everything;
///
/// let device = Device::flex();
/// let draw = || {
///     seed_everything(7, &device);
///     LinearConfig::new(2, 1).init(&device).weight.val().into_data()
/// };
/// assert_eq!(draw(), draw());
/// ```
pub fn seed_everything(seed: u64, device: &Device) {
    let cpu = Device::flex();
    cpu.seed(seed);
    if *device != cpu {
        device.seed(seed);
    }
    IS_SEEDED.store(true, Ordering::Relaxed);
}

/// The parameters of a seeded fit that have already drawn values, as far as this can be detected. Loaded or trained
/// parameters are excluded, and also those with equal elements. Needs one device read if there are candidates.
pub(crate) fn drawn_before<M: Module>(module: &M) -> Result<Vec<String>> {
    if IS_SEEDED.load(Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let (paths, spreads): (Vec<_>, Vec<_>) = walk(module, Drawn::default()).0.into_iter().unzip();
    let spreads = read(&spreads)?;
    // Non-finite values were not drawn either.
    Ok(paths.into_iter().zip(spreads).filter(|(_, spread)| *spread > 0.0).map(|(path, _)| path).collect())
}

/// Warns about parameters that were initialized before the seed.
pub(crate) fn warn_of(drawn: &[String]) {
    if drawn.is_empty() {
        return;
    }
    let named: Vec<_> = drawn.iter().take(NAMED).map(|path| format!("`{path}`")).collect();
    let more = drawn.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    tracing::warn!(
        "`seed` does not reach {}{more}: they were initialised before the fit and without a seed (printing the module, a forward pass, \
         `valid()`, an earlier fit without a seed), and differ in each process unless you loaded or set them; call \
         `stormfire::seed_everything(seed, &device)` before you create the module",
        named.join(", ")
    );
}

/// Initializes parameters by reading them.
#[derive(Default)]
struct Initialise(Vec<ParamId>);

impl ModuleVisitor for Initialise {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_initialized() {
            self.0.push(param.id);
        }
        param.val();
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        param.val();
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        param.val();
    }
}

/// Initializes the uninitialized parameters with burn's random numbers in their current state.
pub(crate) fn initialise<M: Module>(module: &M) {
    module.visit(&mut Initialise::default());
}

/// Initializes the parameters of a module on the CPU with random numbers of this seed. Later fits do not warn about
/// them.
pub(crate) fn initialise_with<M: Module>(module: &M, seed: u64) {
    Device::flex().seed(seed);
    let mut walk = Initialise::default();
    module.visit(&mut walk);
    origin::choose(walk.0);
}

/// As [`initialise_with`], but leaves the parameters on `device`, which should be their own.
pub(crate) fn initialise_on<M: Module>(module: &M, seed: u64, device: &Device) {
    if *device != Device::flex() {
        device.seed(seed);
    }
    initialise_with(module, seed);
}

#[derive(Default)]
struct Drawn(Vec<(String, Scalar)>);

impl EachFloat for Drawn {
    fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        if param.is_initialized() && !origin::is_chosen(param.id) {
            let value = param.val();
            let value = if value.is_autodiff() { value.inner() } else { value };
            let spread = value.clone().max() - value.min();
            self.0.push((path.into(), spread.into()));
        }
    }
}
