//! The name that the user may have meant.

use strsim::damerau_levenshtein;

/// Longer names are not compared, which would take quadratic time.
const LONGEST: usize = 200;

/// The known name with the fewest typing errors, if there are few.
///
/// ```
/// use stormfire_values::nearest::nearest;
/// assert_eq!(nearest("val_los", ["train_loss", "val_loss"]), Some("val_loss"));
/// assert_eq!(nearest("accuracy", ["train_loss", "val_loss"]), None);
/// ```
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    within(given, known, |length| 1 + length / 4)
}

/// As [`nearest`], with one typing error less: for a part of a name, which many names have.
///
/// ```
/// use stormfire_values::nearest::almost;
/// assert_eq!(almost("not", ["mode", "note"]), Some("note"));
/// assert_eq!(almost("nope", ["mode", "name"]), None);
/// ```
pub fn almost<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    within(given, known, |length| (length / 4).max(1))
}

/// `most`: the number of typing errors in a name of this length.
fn within<'a>(given: &str, known: impl IntoIterator<Item = &'a str>, most: impl Fn(usize) -> usize) -> Option<&'a str> {
    if given.len() > LONGEST {
        return None;
    }
    let simple = |text: &str| text.to_lowercase().replace('-', "_");
    let given = simple(given);
    let most = most(given.chars().count());
    let distances = known.into_iter().filter(|name| name.len() <= LONGEST).map(|name| (damerau_levenshtein(&given, &simple(name)), name));
    distances.filter(|(distance, _)| *distance <= most).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// A help for a misspelled name.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(given, known).map(|name| format!("did you mean `{name}`?"))
}
