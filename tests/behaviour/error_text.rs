//! The text of an error, as `main` prints it.

use stormfire::Error;

/// The message of the error that ends a run, and below it the hint.
#[track_caller]
pub(crate) fn error_text<T>(result: Result<T, Error>) -> String {
    let Err(error) = result else { panic!("the run should fail") };
    let text = format!("{error:?}");
    let parts = error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}\n  hint: {hint}"));
    assert_eq!(text, parts);
    text
}
