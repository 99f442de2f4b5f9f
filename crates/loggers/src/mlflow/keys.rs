//! Names and values that MLflow takes.

use std::borrow::Cow;

/// Characters in the name of a metric, parameter or tag.
const KEY: usize = 250;
/// Characters in the value of a parameter; the server cuts there, too.
const PARAM: usize = 6000;
/// Characters in the value of a tag.
pub(super) const TAG: usize = 8000;

/// Fits names and values, and says once that it had to.
#[derive(Debug, Default)]
pub(super) struct Fitter {
    told_of_keys: bool,
    told_of_values: bool,
}

impl Fitter {
    /// A name without the characters that MLflow refuses.
    pub(super) fn key(&mut self, logger: &str, wanted: &str) -> String {
        let key = key(wanted);
        if key != wanted && !std::mem::replace(&mut self.told_of_keys, true) {
            tracing::warn!(
                logger,
                "MLflow takes letters, digits, `_`, `-`, `.`, `/`, `:` and spaces in names, and 250 of them; `{wanted}` is logged as \
                 `{key}`, and others likewise"
            );
        }
        key
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
            tracing::warn!(logger, key, "a value is cut to the {limit} characters that MLflow keeps, and others likewise");
        }
        fitting.to_owned()
    }
}

fn key(wanted: &str) -> String {
    let known = |c: &char| c.is_alphanumeric() || "_-./ :".contains(*c);
    let kept: String = wanted.chars().filter(known).collect();
    // A name is a path in some stores, so that it must have no empty part and lead nowhere else.
    let parts = kept.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    let joined = parts.collect::<Vec<_>>().join("/");
    let fitting = cut(&joined, KEY).trim_end_matches('/');
    if fitting.is_empty() { "_".to_owned() } else { fitting.to_owned() }
}

fn cut(text: &str, limit: usize) -> &str {
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

/// The name of an image: there MLflow takes fewer characters, and `/` has to be another one in the name of a file.
pub(super) fn image_key(tag: &str) -> String {
    let part = |c: char| {
        if c.is_ascii_alphanumeric() || "_-. ".contains(c) {
            c
        } else if c == '/' {
            '~'
        } else {
            '_'
        }
    };
    tag.chars().map(part).take(100).collect()
}

/// A tag as a folder of artifacts.
pub(super) fn folder(tag: &str) -> Cow<'_, str> {
    let fits = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    if tag.split('/').all(fits) {
        return Cow::Borrowed(tag);
    }
    let parts = tag.split('/').map(|part| part.replace(['\\', ':', '\0'], "_"));
    let parts = parts.filter(|part| !matches!(part.as_str(), "" | "." | "..")).collect::<Vec<_>>();
    Cow::Owned(if parts.is_empty() { "_".to_owned() } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_a_server_takes() {
        for (wanted, expected) in [
            ("val/loss (mean)", "val/loss mean"),
            ("a@b", "ab"),
            ("a:b", "a:b"),
            ("/a", "a"),
            ("a//b", "a/b"),
            ("../a/./b/..", "a/b"),
            ("é", "é"),
            ("@", "_"),
            ("", "_"),
        ] {
            assert_eq!(key(wanted), expected, "{wanted}");
        }
        assert_eq!(key(&"k".repeat(251)).len(), 250);
        assert_eq!(key(&format!("{}/b", "k".repeat(249))).len(), 249);
    }

    #[test]
    fn values_are_cut_between_characters() {
        let mut fitter = Fitter::default();
        assert_eq!(fitter.param("x", "k", &"é".repeat(6001)).chars().count(), 6000);
        assert_eq!(fitter.tag("x", "k", &"é".repeat(8000)).chars().count(), 8000);
        assert_eq!((folder("a/../b:c").as_ref(), folder("a/b").as_ref(), image_key("a/b%c")), ("a/b_c", "a/b", "a~b_c".to_owned()));
    }
}
