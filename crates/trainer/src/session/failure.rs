//! Saves and reports when a run fails.

use std::path::Path;

use stormfire_data::DataModule;
use stormfire_module::{Error, Event, LightningModule, for_trainer::record, requests::SaveRequest};

use crate::{checkpoint, engine::Engine, guard::guard, run_id::owner_of, training::Training};

/// `of_boundary`: an additional checkpoint of the last boundary's state, if it is kept.
pub(super) fn on_exception<M: LightningModule, D: DataModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut D,
    training: &Training,
    error: &Error,
    of_boundary: Option<SaveRequest>,
) {
    // Values logged by the failed code belong to no later event.
    record::discard();
    // This failure may be the same error. Then nothing is left to report.
    if let Err(late) = guard(|| checkpoint::settle(engine)) {
        tracing::error!("while handling `{error}`: {late}");
    }
    // Callbacks can see their unwritten requests, and request them again.
    if matches!(error, Error::Interrupted { .. }) {
        // A signal ends a fit between two batches, so the current state is complete.
        engine.books.kept = None;
    }
    if let Err(late) = checkpoint::go_back(engine) {
        tracing::error!("while handling `{error}`: {late}");
    }
    let waiting = engine.run.place.requests.saves.len();
    let told = guard(|| engine.fire(module, Event::Exception { error }));
    give_up(engine, waiting);
    engine.run.boundary = None;
    if let Error::NonFinite { parameters, .. } = error
        && !parameters.is_empty()
    {
        for request in engine.run.place.requests.saves.drain(..) {
            tracing::warn!("`{}` is not written: the parameters are not finite", request.path.display());
        }
    }
    if engine.books.kept.is_some() {
        engine.run.place.requests.saves.extend(of_boundary);
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

/// Keeps the waiting checkpoints whose state was kept: the state of the last boundary, where they were requested. The
/// names of the others become free, unless an older file of the run has the name.
fn give_up<M: LightningModule>(engine: &mut Engine<M>, waiting: usize) {
    let is_kept = engine.books.kept.is_some();
    let requests = &mut engine.run.place.requests;
    let asked_now: Vec<SaveRequest> = requests.saves.drain(waiting..).collect();
    let mut waiting = std::mem::take(&mut requests.saves);
    waiting.retain(|old| !asked_now.iter().any(|request| request.path == old.path));
    if is_kept {
        requests.saves.append(&mut waiting);
    }
    requests.saves.extend(asked_now);
    let is_asked = |path: &Path| requests.saves.iter().any(|request| request.paths().any(|name| name == path));
    for path in waiting.iter().flat_map(SaveRequest::paths) {
        if !is_asked(path) && owner_of(path).is_none_or(|owner| owner != engine.run.id) {
            requests.checkpoints.remove(path);
        }
    }
}
