//! The prefix of a logger's names.

/// Puts Lightning's `prefix-` before a name.
pub(crate) fn prefixed(prefix: &str, name: &str, into: &mut String) {
    into.clear();
    if !prefix.is_empty() {
        into.push_str(prefix);
        into.push('-');
    }
    into.push_str(name);
}
