//! Names and values that MLflow accepts.

use std::borrow::Cow;

use stormfire_store::names;

use crate::parts::notice::Notice;

/// Maximum number of bytes in the name of a metric, parameter or tag. MLflow counts characters, but its file store uses
/// the name as a file name.
const KEY: usize = 250;
/// Maximum number of characters in the name of an image.
const IMAGE: usize = 100;
/// Maximum number of characters in the value of a parameter. The server truncates at the same limit.
const PARAM: usize = 6000;
/// Maximum number of characters in the value of a tag.
pub(super) const TAG: usize = 8000;

/// Adapts names and values to MLflow, and reports the first change.
#[derive(Debug, Default)]
pub(super) struct Fitter {
    keys: Notice,
    files: Notice,
    told_of_values: bool,
}

impl Fitter {
    /// A name without the characters that MLflow refuses.
    pub(super) fn key(&mut self, logger: &str, wanted: &str) -> String {
        let key = key(wanted).into_owned();
        self.keys.tell(logger, wanted, &key, "MLflow takes letters, digits, `_`, `-`, `.`, `/`, `:` and spaces in names, and 250 of them");
        key
    }

    /// A tag as a folder of artifacts.
    pub(super) fn folder(&mut self, logger: &str, tag: &str) -> String {
        let folder = tag_folder(tag);
        self.files.tell(logger, tag, &folder, "a tag becomes the name of a file");
        folder
    }

    pub(super) fn param(&mut self, logger: &str, key: &str, value: &str) -> String {
        self.value(logger, key, value, PARAM)
    }

    pub(super) fn tag(&mut self, logger: &str, key: &str, value: &str) -> String {
        self.value(logger, key, value, TAG)
    }

    fn value(&mut self, logger: &str, key: &str, value: &str, limit: usize) -> String {
        let fitting = cut(value, limit);
        if fitting.len() < value.len() && !std::mem::replace(&mut self.told_of_values, true) {
            tracing::warn!(logger, key, "a value is truncated to MLflow's limit of {limit} characters, and others likewise");
        }
        fitting.to_owned()
    }
}

fn key(wanted: &str) -> Cow<'_, str> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ' | ':') || c.is_alphanumeric();
    // Some stores use a name as a path. It must not have an empty part or lead out of its folder.
    let leads_on = |part: &str| !matches!(part, "" | "." | "..");
    if wanted.split('/').all(leads_on) {
        return names::fit(wanted, KEY, known);
    }
    let parts: Vec<&str> = wanted.split('/').filter(|part| leads_on(part)).collect();
    let joined = if parts.is_empty() { "_".to_owned() } else { parts.join("/") };
    names::marked(wanted, joined.chars().map(|letter| if known(letter) { letter } else { '_' }), KEY)
}

fn cut(text: &str, limit: usize) -> &str {
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

/// The name of an image. MLflow accepts fewer characters in it, and `/` is replaced because it cannot be in a file
/// name.
pub(super) fn image_key(tag: &str) -> String {
    names::fit(tag, IMAGE, |c| c.is_ascii_alphanumeric() || "_-. /".contains(c)).replace('/', "~")
}

/// The path of a folder of artifacts, valid on every system.
pub(super) fn folder(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).map(names::part).collect();
    if parts.is_empty() { "_".to_owned() } else { parts.join("/") }
}

/// The folder of a tag, unique for each tag.
fn tag_folder(tag: &str) -> String {
    let folder = folder(tag);
    if tag.split('/').any(|part| matches!(part, "" | ".")) { names::marked(tag, folder.chars(), names::FILE).into_owned() } else { folder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_a_server_takes_and_stay_apart() {
        for wanted in ["val/loss mean", "a:b", "é", &"k".repeat(250)] {
            assert_eq!(key(wanted), wanted);
        }
        let long = ["k".repeat(251), "k".repeat(300), format!("{}/b", "k".repeat(249)), "é".repeat(150), "é".repeat(151)];
        let odd = ["acc>0.5", "acc<0.5", "acc_0.5", "a@b", "/a", "a//b", "a/b", "../a/./b/..", "@", "#", "", ".", "a\u{0}", "a/"];
        let wanted: Vec<&str> = long.iter().map(String::as_str).chain(odd).collect();
        let mut keys: Vec<_> = wanted.iter().map(|wanted| key(wanted)).collect();
        for key in &keys {
            assert!(key.len() <= KEY && key.chars().all(|c| c.is_alphanumeric() || "_-./ :".contains(c)), "{key}");
            assert!(key.split('/').all(|part| !matches!(part, "" | "." | "..")), "{key}");
        }
        assert!(keys[5].starts_with("acc_0.5-"), "{keys:?}");
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), wanted.len());
    }

    #[test]
    fn values_are_cut_between_characters() {
        let mut fitter = Fitter::default();
        assert_eq!(fitter.param("x", "k", &"é".repeat(6001)).chars().count(), 6000);
        assert_eq!(fitter.tag("x", "k", &"é".repeat(8000)).chars().count(), 8000);
    }

    #[test]
    fn files_of_two_tags_are_two() {
        let tags = ["a/b", "a:b", "a_b", "a//b", "a/../b", "..", "", "a\u{0}b", "a~b", "a?b", &"x".repeat(300), &"x".repeat(301)];
        for name in [|tag: &str| Fitter::default().folder("x", tag), image_key] {
            let mut found: Vec<String> = tags.iter().map(|tag| name(tag)).collect();
            for name in &found {
                assert!(name.split('/').all(|part| !part.is_empty() && part.len() < 200 && !part.contains('\0')), "{name}");
            }
            assert_eq!(found[0].replace('~', "/"), "a/b");
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), tags.len(), "{found:?}");
        }
        assert!(!Fitter::default().folder("x", "../a/..").split('/').any(|part| part == ".."));
        assert_eq!((folder("/a/b/").as_str(), folder("/").as_str()), ("a/b", "_"));
    }
}
