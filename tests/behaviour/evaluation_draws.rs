//! Random numbers in the batches of an evaluation follow from the seed, as in a fit.

use burn::{data::dataset::InMemDataset, optim::SgdConfig, prelude::*, tensor::Distribution};
use stormfire::{
    data::{Loaders, random},
    prelude::*,
};

use crate::{
    child,
    support::{Line, line_data, quiet},
};

/// Logs the mean of its batches. It has nothing to train.
#[derive(Module, Debug)]
struct Tells {
    line: Line,
}

impl LightningModule for Tells {
    type Batch = Tensor<1>;

    fn training_step(&self, _batch: Tensor<1>, _batch_idx: usize) -> Result<StepOutput> {
        Ok(StepOutput::none())
    }

    fn validation_step(&self, batch: Tensor<1>, _batch_idx: usize) -> Result<StepOutput> {
        self.log("mean", batch.mean());
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: Tensor<1>, batch_idx: usize) -> Result<StepOutput> {
        self.validation_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }
}

impl PredictModule for Tells {
    type Prediction = Tensor<1>;

    fn predict_step(&self, batch: Tensor<1>, _batch_idx: usize) -> Result<Tensor<1>> {
        Ok(batch.mean())
    }
}

fn noise(workers: usize) -> Loader<Tensor<1>> {
    let draw = |items: Vec<u8>, device: &Device| random().tensor([items.len()], Distribution::Default, device);
    Loader::collate(InMemDataset::new((0..8_u8).collect()), draw).batch_size(4).workers(workers)
}

fn two(workers: usize) -> Loaders<Tensor<1>> {
    [noise(workers), noise(workers)].into_iter().collect()
}

/// The means of both loaders.
fn means(metrics: &[stormfire::loggers::Metrics]) -> Vec<f64> {
    (0..2).map(|loader| metrics[loader].get(&format!("mean/dataloader_idx_{loader}")).unwrap()).collect()
}

fn seeded(seed: u64) -> Trainer<Tells> {
    quiet().max_epochs(1).num_sanity_val_steps(0).seed(seed)
}

#[test]
fn random_numbers_in_evaluation_batches_follow_from_the_seed() {
    let module = Tells { line: Line::new() };
    let fit = |mut trainer: Trainer<Tells>| {
        let fit = trainer.fit(module.clone(), (noise(0), two(0))).unwrap();
        let means = (0..2).map(|loader| fit.metrics.get(&format!("mean/dataloader_idx_{loader}")).unwrap()).collect::<Vec<_>>();
        (trainer, means)
    };
    let (_, expected) = fit(seeded(7));
    assert!((expected[0] - expected[1]).abs() > 1e-6, "each loader draws its own");
    for workers in 0..=3 {
        assert_eq!(means(&seeded(7).validate(&module, two(workers)).unwrap()), expected, "{workers} workers");
        assert_eq!(means(&seeded(7).test(&module, two(workers)).unwrap()), expected, "{workers} workers");
        let predictions = seeded(7).predict(&module, two(workers)).unwrap();
        let predicted = |loader: usize| {
            let means: Vec<f32> = predictions[loader].iter().map(|mean| mean.clone().into_scalar::<f32>()).collect();
            f64::from(means.iter().sum::<f32>()) / 2.0
        };
        assert!((0..2).all(|loader| (predicted(loader) - expected[loader]).abs() < 1e-6), "{workers} workers");
    }
    assert_ne!(means(&seeded(8).validate(&module, two(0)).unwrap()), expected);

    // Without a given seed, the fit draws one. Later evaluations use the same seed.
    let (mut trainer, expected) = fit(quiet().max_epochs(1));
    assert_eq!(means(&trainer.validate(&module, two(2)).unwrap()), expected);
    let mut trainer = quiet();
    let first = means(&trainer.validate(&module, two(0)).unwrap());
    assert_eq!(means(&trainer.validate(&module, two(1)).unwrap()), first);
}

/// Helper test for a child process, since other tests draw from burn's generator, too.
#[test]
#[ignore = "a part of `a_seed_alone_decides_what_an_evaluation_of_a_new_module_gives`"]
fn of_new_modules() {
    if child::folder().is_none() {
        return;
    }
    let data = || line_data(8, 2);
    let seeded = |seed: u64| quiet().seed(seed);
    let draw = || drop(Tensor::<1>::random([100], Distribution::Default, &Device::flex()).into_data());
    let loss = |metrics: Vec<stormfire::loggers::Metrics>| metrics[0].get("test_loss").unwrap().to_bits();
    let tested = |seed: u64| loss(seeded(seed).test(&Line::new(), data()).unwrap());
    let expected = tested(7);
    draw();
    assert_eq!(tested(7), expected);
    assert_ne!(tested(8), expected);
    // A fit of this seed begins with the same parameters.
    let begun = seeded(7).max_epochs(0).fit(Line::new(), data()).unwrap().module;
    draw();
    assert_eq!(loss(quiet().test(&begun, data()).unwrap()), expected);
    let of_validation = |seed: u64| seeded(seed).validate(&Line::new(), data()).unwrap()[0].get("val_loss").unwrap().to_bits();
    assert_eq!(of_validation(7), expected);
    // Predictions that draw.
    let predicted = |workers: usize| -> Vec<u32> {
        draw();
        let predictions = quiet().seed(7).predict(&Draws { line: Line::new() }, data().workers(workers)).unwrap();
        predictions.into_iter().flatten().map(f32::to_bits).collect()
    };
    assert_eq!(predicted(0), predicted(2));
}

/// Predicts with noise.
#[derive(Module, Debug)]
struct Draws {
    line: Line,
}

impl LightningModule for Draws {
    type Batch = crate::support::Batch;

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

impl PredictModule for Draws {
    type Prediction = f32;

    fn predict_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<f32> {
        let loss = self.line.loss(batch);
        Ok((loss.clone() + loss.random_like(Distribution::Default)).into_scalar::<f32>())
    }
}

#[test]
fn a_seed_alone_decides_what_an_evaluation_of_a_new_module_gives() {
    child::play(child::part("evaluation_draws::of_new_modules", tempfile::tempdir().unwrap().path()));
}
