//! A run whose workers draw from burn's generator is not repeatable. It logs a warning with every kind of loader.

use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::{Dataset, DatasetError},
    },
    nn::{Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
    tensor::Distribution,
};
use stormfire::{
    data::{CombinedLoader, random},
    prelude::*,
};

use crate::{
    child::{folder, part, play},
    repeatability::weights,
    support::{Batch, quiet},
    told::told,
};

#[derive(Module, Debug)]
struct Net {
    layer: Linear,
}

impl Net {
    fn new() -> Self {
        Self { layer: LinearConfig::new(1, 1).init(&Device::flex()) }
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok((self.layer.forward(x) - y).square().mean().into())
    }

    fn validation_step(&self, (x, _): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("x", x.mean());
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

struct Points;

impl Dataset<f32> for Points {
    fn get(&self, index: usize) -> Result<f32, DatasetError> {
        Ok(index as f32 / 20.0)
    }

    fn len(&self) -> usize {
        32
    }
}

#[derive(Clone, Copy)]
struct Noisy {
    draws_from_burn: bool,
}

impl Batcher<f32, Batch> for Noisy {
    fn batch(&self, points: Vec<f32>, device: &Device) -> Batch {
        let shape = [points.len(), 1];
        let noise = if self.draws_from_burn {
            Tensor::random(shape, Distribution::Default, device)
        } else {
            random().tensor(shape, Distribution::Default, device)
        };
        let x = Tensor::<1>::from_floats(points.as_slice(), device).unsqueeze_dim::<2>(1);
        (x.clone() + noise, x)
    }
}

fn noisy((x, y): Batch) -> Batch {
    (x.clone() + x.random_like(Distribution::Default), y)
}

/// Loaders that create batches on other threads, directly or as a part of another loader. Other parts draw from burn's
/// generator on the iterating thread, which is repeatable.
fn every_kind(draws_from_burn: bool) -> [(&'static str, Loader<Batch>); 8] {
    let batcher = Noisy { draws_from_burn };
    let ahead = || Loader::new(Points, batcher).batch_size(8).workers(2);
    let beside = || Loader::new(Points, Noisy { draws_from_burn: true }).batch_size(8);
    let of_burn = |workers| Loader::from_burn(DataLoaderBuilder::new(batcher).batch_size(8).num_workers(workers).build(Points));
    let sum = |batches: Vec<Batch>| batches.into_iter().reduce(|a, b| (a.0 + b.0, a.1)).unwrap();
    [
        ("alone", ahead()),
        ("mapped", ahead().map(noisy)),
        ("zipped", beside().zip(ahead().map(noisy)).map(|(a, b)| (a.0 + b.0, a.1))),
        ("zipped in a cycle", ahead().zip_cycle(beside()).map(|(a, b)| (a.0 + b.0, a.1))),
        ("combined", CombinedLoader::min_size([beside(), ahead().map(noisy)]).map(sum)),
        ("in sequence", CombinedLoader::sequential([beside().map(noisy), ahead()])),
        ("of burn", of_burn(0).map(noisy)),
        ("of burn with workers", of_burn(2)),
    ]
}

fn warnings(told: &[String]) -> usize {
    told.iter().filter(|line| line.starts_with("WARN random numbers of burn are drawn while the workers")).count()
}

/// Helper test for a child process, because burn's random generator is global.
#[test]
#[ignore = "a part of the other tests"]
fn runs_with_every_kind_of_loader() {
    let Some(_) = folder() else { return };
    for (draws, kinds) in [(false, every_kind(false)), (true, every_kind(true))] {
        for (kind, loader) in kinds {
            let mut results = Vec::new();
            let trainer = || quiet().max_epochs(2).seed(7);
            for _ in 0..2 {
                let fit = || results.push(weights(&trainer().fit(Net::new(), (loader.clone(), loader.clone())).unwrap().module));
                let told = told(fit);
                assert_eq!(warnings(&told), if draws { 2 } else { 0 }, "{kind}, draws: {draws}, {told:?}");
            }
            // The order of the batches of burn's workers is not deterministic, and they have no seed.
            assert!(draws || kind == "of burn with workers" || results[0] == results[1], "{kind}");
            let told = told(|| drop(trainer().validate(&Net::new(), Loaders::from(loader)).unwrap()));
            assert_eq!(warnings(&told), usize::from(draws), "{kind}, draws: {draws}, {told:?}");
        }
    }
}

#[test]
fn workers_that_draw_from_burn_are_reported_for_every_kind_of_loader() {
    play(part("foreign_draws::runs_with_every_kind_of_loader", tempfile::tempdir().unwrap().path()));
}
