//! Validation of run and experiment names, which become parts of paths.

use std::borrow::Cow;
use std::path::{Component, Path};

use crate::{Error, Result};

/// Rejects a user's name or version that leads out of its parent folder.
pub(crate) fn inside(what: &'static str, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let leads_in = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    let is_text = |path: &Path| !path.as_os_str().as_encoded_bytes().contains(&0);
    if path.components().all(leads_in) && is_text(path) { Ok(()) } else { Err(Error::Outside { what, path: path.to_owned() }) }
}

/// A path as a word for a shell, in quotes if it needs them.
pub fn shell_word(path: &str) -> Cow<'_, str> {
    let needs_quotes = path.is_empty() || path.contains(|c: char| !c.is_alphanumeric() && !"/\\:._-+=".contains(c));
    if needs_quotes { Cow::Owned(format!("'{}'", path.replace('\'', "'\\''"))) } else { Cow::Borrowed(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_path_as_one_word() {
        for (path, word) in [("a/b.c-1", "a/b.c-1"), ("a b", "'a b'"), ("it's $x", "'it'\\''s $x'"), ("", "''"), ("ü/epoch=1", "ü/epoch=1")]
        {
            assert_eq!(shell_word(path), word);
        }
    }

    #[test]
    fn a_path_that_leads_out_of_its_folder_is_refused() {
        for path in ["", "a", "a/b", "./a", "a..b", "..."] {
            inside("name", path).unwrap();
        }
        let errors = ["..", "../a", "a/../..", "a/..", "/a", "a\0"].map(|path| {
            let error = inside("name", path).unwrap_err();
            format!("{error}\n  hint: {}", error.hint().unwrap())
        });
        insta::assert_snapshot!(errors.join("\n").replace('\0', "[NUL]"), @r"
        the name `..` is outside of its folder
          hint: give a relative path without `..`; the `save_dir` is the folder of all logs
        the name `../a` is outside of its folder
          hint: give a relative path without `..`; the `save_dir` is the folder of all logs
        the name `a/../..` is outside of its folder
          hint: give a relative path without `..`; the `save_dir` is the folder of all logs
        the name `a/..` is outside of its folder
          hint: give a relative path without `..`; the `save_dir` is the folder of all logs
        the name `/a` is outside of its folder
          hint: give a relative path without `..`; the `save_dir` is the folder of all logs
        the name `a[NUL]` is outside of its folder
          hint: give a relative path without `..`; the `save_dir` is the folder of all logs
        ");
    }
}
