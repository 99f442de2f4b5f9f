//! Tensors in the state of a data module come back bit for bit, wherever a fit is resumed.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use burn::{prelude::*, tensor::Tensor};
use stormfire::{data::Result as DataResult, prelude::*};

use crate::{
    kept_state::SaveAt,
    repeatability::{Weights, weights},
    support::{Batch, Line, line_data, quiet},
};

/// Shifts each batch by the mean of all points before. The mean is a tensor, and the state together with a count.
struct Shifted {
    mean: Arc<Mutex<(Tensor<1>, u32)>>,
}

impl Shifted {
    fn new() -> Self {
        Self { mean: Arc::new(Mutex::new((Tensor::from_floats([0.1, 0.2], &Device::flex()), 0))) }
    }
}

impl DataModule for Shifted {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> DataResult<Loader<Batch>> {
        let mean = Arc::clone(&self.mean);
        Ok(line_data(12, 2).map(move |(x, y)| {
            let mut mean = mean.lock().unwrap();
            let newest = Tensor::cat(vec![x.clone().mean(), y.clone().mean()], 0).inner();
            *mean = ((mean.0.clone() * 0.9 + newest * 0.1), mean.1 + 1);
            let shift = mean.0.clone().narrow(0, 0, 1).unsqueeze::<2>();
            (x - Tensor::from_data(shift.into_data(), &Device::flex().autodiff()), y)
        }))
    }

    fn val_dataloader(&mut self) -> DataResult<Loaders<Batch>> {
        Ok(line_data(4, 2).into())
    }

    fn state(&self) -> DataResult<Saved> {
        let (mean, count) = self.mean.lock().unwrap().clone();
        Ok(Saved::from(serde_json::json!({"count": count})).with_tensor("mean", &mean))
    }

    fn load_state(&mut self, mut state: Saved) -> DataResult<()> {
        let count = state.json()["count"].as_u64().unwrap() as u32;
        let mean: Tensor<1> = state.take_tensor("mean")?.unwrap();
        *self.mean.lock().unwrap() = (mean, count);
        Ok(())
    }
}

fn fit(trainer: Trainer<Line>, from: Option<&Path>) -> (Weights, Vec<u32>, u32) {
    let data = Shifted::new();
    let mean = Arc::clone(&data.mean);
    let mut trainer = trainer.max_epochs(2).accumulate_grad_batches(2);
    if let Some(from) = from {
        trainer = trainer.ckpt_path(from);
    }
    let fit = trainer.fit(Line::fixed(), data).unwrap();
    let (mean, count) = mean.lock().unwrap().clone();
    (weights(&fit.module), mean.into_data().iter::<f32>().map(f32::to_bits).collect(), count)
}

#[test]
fn a_mean_in_a_data_module_continues_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let uninterrupted = fit(quiet().callback(SaveAt(vec![1, 2, 3, 4, 6], folder.path().into())), None);
    assert_eq!(uninterrupted.2, 12);
    for step in [1, 2, 3, 4, 6] {
        let saved = folder.path().join(format!("{step}.ckpt"));
        assert_eq!(fit(quiet(), Some(&saved)), uninterrupted, "{step}");
    }
}
