//! Images of validation batches.

use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;
use insta::assert_snapshot;
use stormfire::{media::Layout, prelude::*};

use super::{Call, Descent, MemoryLogger, line_data, with};
use crate::{error_text::error_text, support::Batch};

/// A grey image of each item. Its brightness is the item's `x`.
fn bright((x, _): &Batch) -> Result<Vec<stormfire::loggers::Image>> {
    let items = x.dims()[0];
    media::images(x.clone().reshape([items, 1, 1, 1]), Layout::ChannelsFirst)
}

/// Step, name and pixels of each image.
fn images(logger: &MemoryLogger) -> Vec<(u64, String, Vec<u8>)> {
    let of = |call| match call {
        Call::Image { tag, image, step } => Some((step.unwrap(), tag, image.pixels().to_vec())),
        _ => None,
    };
    logger.calls().into_iter().filter_map(of).collect()
}

#[test]
fn one_batch_of_every_nth_validation_is_logged() {
    let shown = |monitor: ImageGridMonitor<Descent>| {
        let logger = MemoryLogger::new();
        let data = (line_data(2, 1), line_data(4, 1));
        drop(with(monitor, &logger).max_epochs(5).fit(Descent::new(), data).unwrap());
        images(&logger)
    };
    let at = |steps: &[u64], pixel: u8| steps.iter().map(|step| (*step, "line".to_string(), vec![pixel; 3])).collect::<Vec<_>>();
    let new = || ImageGridMonitor::new("line", |_: &Descent, batch: &Batch| bright(batch));
    assert_eq!(shown(new()), at(&[1, 3, 5, 7, 9], 0), "the sanity check is not shown");
    assert_eq!(shown(new().every_n_validations(2).batch_idx(3)), at(&[3, 7], 191), "x = 3/4");
    assert!(shown(new().dataloader_idx(1)).is_empty());
}

#[test]
fn images_are_arranged_in_a_grid() {
    let logger = MemoryLogger::new();
    let monitor = ImageGridMonitor::new("line", |_: &Descent, batch: &Batch| bright(batch)).columns(2).padding(1, 255);
    drop(with(monitor, &logger).max_epochs(1).fit(Descent::new(), (line_data(2, 1), line_data(4, 4))).unwrap());
    let row = |a, b| [[255; 3], [a; 3], [255; 3], [b; 3], [255; 3]].concat();
    let expected = [row(255, 255), row(0, 64), row(255, 255), row(128, 191), row(255, 255)].concat();
    assert_eq!(images(&logger), [(1, "line".to_string(), expected)]);
}

#[test]
fn the_module_is_in_evaluation_mode() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let monitor = {
        let seen = Arc::clone(&seen);
        ImageGridMonitor::new("line", move |module: &Descent, (x, _): &Batch| {
            let answer: Tensor<2> = module.line.layer.forward(x.clone());
            seen.lock().unwrap().push((answer.is_autodiff(), x.is_autodiff()));
            Ok(Vec::new())
        })
    };
    drop(with(monitor, &MemoryLogger::new()).max_epochs(1).fit(Descent::new(), (line_data(2, 1), line_data(2, 1))).unwrap());
    assert_eq!(*seen.lock().unwrap(), [(false, false)]);
}

#[test]
fn an_error_of_the_image_function_ends_the_run() {
    let monitor =
        ImageGridMonitor::new("line", |_: &Descent, (x, _): &Batch| media::images(x.clone().reshape([1, 2, 1, 1]), Layout::ChannelsFirst));
    let error = with(monitor, &MemoryLogger::new()).max_epochs(1).fit(Descent::new(), (line_data(2, 1), line_data(2, 2)));
    assert_snapshot!(error_text(error), @"invalid image: a tensor of shape [1, 2, 1, 1]: found 2 channels, expected 1, 3 or 4 channels in `[channels, height, width]`; for channels last use `Layout::ChannelsLast` (in `on_validation_batch_start` of `ImageGridMonitor`, epoch 0, batch 0)");
    let none = with(ImageGridMonitor::new("line", |_: &Descent, batch: &Batch| bright(batch)).every_n_validations(0), &MemoryLogger::new());
    assert_snapshot!(error_text(none.max_epochs(1).fit(Descent::new(), (line_data(2, 1), line_data(2, 2)))), @"
    `ImageGridMonitor::every_n_validations`: the number must be at least 1 (in `setup` of `ImageGridMonitor`)
      hint: use 1 or more
    ");
}
