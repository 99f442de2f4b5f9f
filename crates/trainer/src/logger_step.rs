//! The step number of logged values: the 0-based count of the batches that have stepped.

use stormfire_module::place::Place;

/// Values belong to the next step: those of a batch, of the start of an epoch, and of an evaluation outside of a fit.
pub(crate) fn set_to_next(place: &mut Place) {
    place.logger_step = place.progress.global_step;
}

/// Values belong to the last step: those of the end of an epoch.
pub(crate) fn set_to_last(place: &mut Place) {
    place.logger_step = place.progress.global_step.saturating_sub(1);
}
