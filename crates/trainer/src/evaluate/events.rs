//! The events of an evaluation: a validation, including a sanity check, or a test.

use stormfire_module::{Event, Hook, RunningStage, StepOutput};

fn is_test(stage: RunningStage) -> bool {
    stage == RunningStage::Test
}

pub(super) fn step(stage: RunningStage) -> Hook {
    if is_test(stage) { Hook::TestStep } else { Hook::ValidationStep }
}

pub(super) fn start<'a, B>(stage: RunningStage) -> Event<'a, B> {
    if is_test(stage) { Event::TestStart } else { Event::ValidationStart }
}

pub(super) fn end<'a, B>(stage: RunningStage) -> Event<'a, B> {
    if is_test(stage) { Event::TestEnd } else { Event::ValidationEnd }
}

pub(super) fn epoch_start<'a, B>(stage: RunningStage) -> Event<'a, B> {
    if is_test(stage) { Event::TestEpochStart } else { Event::ValidationEpochStart }
}

pub(super) fn epoch_end<'a, B>(stage: RunningStage) -> Event<'a, B> {
    if is_test(stage) { Event::TestEpochEnd } else { Event::ValidationEpochEnd }
}

pub(super) fn batch_start<B>(stage: RunningStage, batch: &B, batch_idx: usize, dataloader_idx: usize) -> Event<'_, B> {
    if is_test(stage) {
        Event::TestBatchStart { batch, batch_idx, dataloader_idx }
    } else {
        Event::ValidationBatchStart { batch, batch_idx, dataloader_idx }
    }
}

pub(super) fn batch_end<B>(stage: RunningStage, output: &StepOutput, batch_idx: usize, dataloader_idx: usize) -> Event<'_, B> {
    if is_test(stage) {
        Event::TestBatchEnd { output, batch_idx, dataloader_idx }
    } else {
        Event::ValidationBatchEnd { output, batch_idx, dataloader_idx }
    }
}
