//! The prefix of a logger's metric names.

/// Puts `prefix-` before a name, as in Lightning.
pub(crate) fn prefixed(prefix: &str, name: &str, into: &mut String) {
    into.clear();
    if !prefix.is_empty() {
        into.push_str(prefix);
        into.push('-');
    }
    into.push_str(name);
}
