//! Names in messages: the one that the user may have meant, and lists of them.

pub(crate) use stormfire_values::nearest::{almost, did_you_mean, nearest};

/// `` `a`, `b` or `c` ``
pub(crate) fn any_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}
