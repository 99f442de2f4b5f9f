//! What is saved and told when a run fails.

use std::path::Path;

use stormfire_data::DataModule;
use stormfire_module::{Error, Event, LightningModule, log, requests::SaveRequest};

use crate::{checkpoint, engine::Engine, guard::guard, run_id::owner_of, training::Training};

/// `of_boundary`: where the state of the last boundary is to be saved, too, if it is kept.
pub(super) fn on_exception<M: LightningModule, D: DataModule>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut D,
    training: &Training,
    error: &Error,
    of_boundary: Option<SaveRequest>,
) {
    // What the code that failed has logged belongs to nothing that comes now.
    log::discard();
    // Its failure may be the very error; then there is nothing more to say.
    if let Err(late) = guard(|| checkpoint::settle(engine)) {
        tracing::error!("while handling `{error}`: {late}");
    }
    // Callbacks can see what they have asked for and what is not written yet, and ask for it again.
    if matches!(error, Error::Interrupted { .. }) {
        // A signal ends a fit between two batches: what is there is whole.
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

/// Of the checkpoints that wait, those stay whose state was kept: that of the last boundary, at which they were asked for. The
/// names of the others are free again, unless there is an older file of the run under them.
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
