//! What happens when a run fails or is interrupted, before its teardown.

use stormfire_data::DataModule;
use stormfire_module::{Error, Event, LightningModule, log};

use crate::{checkpoint, engine::Engine, guard::guard, training::Training};

/// Tells everybody, and saves what was asked for: the state of the last boundary, if it was kept.
pub(crate) fn on_exception<M: LightningModule, D: DataModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut D,
    training: &Training,
    error: &Error,
) {
    // What the code that failed has logged belongs to nothing that comes now.
    log::discard();
    // Its failure may be the very error; then there is nothing more to say.
    if let Err(late) = guard(|| checkpoint::settle(engine)) {
        tracing::error!("while handling `{error}`: {late}");
    }
    // Callbacks can see what will not be written any more, and ask for it again.
    if matches!(error, Error::Interrupted { .. }) {
        // A signal ends a fit between two batches: what is there is whole.
        engine.kept = None;
    }
    if let Err(late) = checkpoint::go_back(engine) {
        tracing::error!("while handling `{error}`: {late}");
    }
    let given_up = engine.run.requests.saves.len();
    let told = guard(|| engine.fire(module, Event::Exception { error }));
    engine.run.requests.saves.drain(..given_up);
    engine.run.boundary = None;
    if let Error::NonFinite { parameters, .. } = error
        && !parameters.is_empty()
    {
        for request in engine.run.requests.saves.drain(..) {
            tracing::warn!("`{}` is not written: the parameters are not finite", request.path.display());
        }
    }
    let saved = guard(|| checkpoint::write_kept(engine, module, training));
    let heard = guard(|| {
        data.on_exception(error);
        Ok(())
    });
    for late in [told, saved, heard].into_iter().filter_map(Result::err) {
        tracing::error!("while handling `{error}`: {late}");
    }
}
