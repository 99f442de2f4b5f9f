//! Texts that a function makes from the module.

use burn::{prelude::*, tensor::Distribution};
use insta::assert_snapshot;
use stormfire::prelude::*;

use super::{Call, Descent, MemoryLogger, line_data, with};
use crate::{
    child::{folder, part, play},
    error_text::error_text,
};

fn texts(logger: &MemoryLogger) -> Vec<(u64, String, String)> {
    let of = |call| match call {
        Call::Text { tag, text, step } => Some((step.unwrap(), tag, text.markdown)),
        _ => None,
    };
    logger.calls().into_iter().filter_map(of).collect()
}

fn weight(module: &Descent) -> f32 {
    module.line.layer.weight.val().into_scalar::<f32>()
}

#[test]
fn texts_are_logged_every_n_steps_and_training_stays_the_same() {
    play(part("monitors::generated::draws", tempfile::tempdir().unwrap().path()));
}

/// Helper test for a child process, because burn's random generator is global.
#[test]
#[ignore = "a part of `texts_are_logged_every_n_steps_and_training_stays_the_same`"]
fn draws() {
    if folder().is_none() {
        return;
    }
    let fit = |generates: bool| {
        let logger = MemoryLogger::new();
        let generate = Generate::new("samples", |module: &Descent| {
            assert!(!module.line.layer.weight.val().is_autodiff(), "the module trains");
            let drawn = Tensor::<1>::random([1], Distribution::Default, &Device::flex()).into_scalar::<f32>();
            Ok(vec![drawn.to_string(), "two".into()])
        });
        // Shuffled data and a validation follow draws of the function.
        let trainer = if generates { with(generate.every("3 steps"), &logger) } else { with(LambdaCallback::new(), &logger) };
        let data = (line_data(8, 2).shuffle(true), line_data(4, 2));
        let fit = { trainer }.max_epochs(2).accumulate_grad_batches(1).fit(Descent::new(), data).unwrap();
        (weight(&fit.module), texts(&logger))
    };
    let (with_texts, texts) = fit(true);
    assert_eq!(with_texts.to_bits(), fit(false).0.to_bits());
    let places: Vec<_> = texts.iter().map(|(step, tag, _)| (*step, tag.as_str())).collect();
    assert_eq!(places, [(2, "samples/0"), (2, "samples/1"), (5, "samples/0"), (5, "samples/1")]);
    assert_eq!(texts, fit(true).1, "they are repeatable");
}

#[test]
fn a_failing_function_ends_the_fit_with_its_name() {
    let fails = Generate::new("samples", |_: &Descent| Err(stormfire::Error::other("no prompt")));
    let error = error_text(with(fails, &MemoryLogger::new()).max_epochs(1).fit(Descent::new(), line_data(2, 1)));
    assert_snapshot!(error, @"no prompt (in `on_train_batch_end` of `Generate`, epoch 0, batch 1)");
}
