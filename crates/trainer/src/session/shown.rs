//! How a run appears in messages and on the screen.

use stormfire_callbacks::Printer;
use stormfire_data::Stage;
use stormfire_ranks::Shared;

/// The name of a span must be a literal.
pub(super) fn run_span(stage: Stage) -> tracing::Span {
    match stage {
        Stage::Fit => tracing::info_span!("fit"),
        Stage::Validate => tracing::info_span!("validate"),
        Stage::Test => tracing::info_span!("test"),
        Stage::Predict => tracing::info_span!("predict"),
    }
}

/// A failure to print a table (such as a closed pipe) is not a failure of the run.
pub(super) fn print(ranks: &Shared, what: &str, table: &str) {
    if !ranks.is_global_zero() {
        return;
    }
    if let Err(error) = Printer::live().print_of_run(what, &table) {
        tracing::debug!("cannot print to the terminal: {error}");
    }
}
