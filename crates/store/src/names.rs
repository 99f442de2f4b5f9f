//! Names that a service or a file system accepts. Different names stay different.

use std::borrow::Cow;
use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

/// The maximum length in bytes of a part of a file name. A file name can have 255 bytes, and a caller may add a prefix
/// and a suffix.
pub const FILE: usize = 180;

/// Returns the name if it is allowed and has at most `most` bytes. Otherwise it is shortened, `_` replaces characters
/// that are not allowed, and a hash of the whole name is appended. So two names never become the same.
pub fn fit(name: &str, most: usize, allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !name.is_empty() && name.len() <= most && name.chars().all(&allowed) {
        return Cow::Borrowed(name);
    }
    marked(name, name.chars().map(|letter| if allowed(letter) { letter } else { '_' }), most)
}

/// A relative path whose parts are short enough for a file system. A part that is too long is shortened, and its hash
/// is appended.
pub fn fit_path(path: &str) -> Cow<'_, str> {
    let fits = |part: &str| part.len() <= FILE;
    if path.split('/').all(fits) {
        return Cow::Borrowed(path);
    }
    let fitted = path.split('/').map(|part| if fits(part) { part.into() } else { fit(part, FILE, |_| true) });
    Cow::Owned(fitted.collect::<Vec<_>>().join("/"))
}

/// The changed name with the hash of the original name appended.
pub fn marked(name: &str, becomes: impl Iterator<Item = char>, most: usize) -> Cow<'static, str> {
    /// The length of the hash: twelve digits and a separator.
    const MARK: usize = 13;
    let mut fitted = String::with_capacity(most.min(name.len() + MARK));
    for letter in becomes {
        if fitted.len() + letter.len_utf8() + MARK > most {
            break;
        }
        fitted.push(letter);
    }
    let kept = fitted.trim_end_matches(['/', ' ']).len();
    fitted.truncate(kept);
    // Writing to a string cannot fail.
    let _ = write!(fitted, "-{:012x}", xxh3_64(name.as_bytes()) >> 16);
    Cow::Owned(fitted)
}

/// Whether every system allows a character in a part of a path.
pub fn in_path(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
}

/// A text as one part of a path. The result never leads to another folder.
pub fn part(text: &str) -> Cow<'_, str> {
    if matches!(text, "." | "..") { marked(text, "_".chars(), FILE) } else { fit(text, FILE, in_path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_path_is_short_enough() {
        assert!(matches!(fit_path("a/epoch=1"), Cow::Borrowed("a/epoch=1")));
        let long = |end: &str| fit_path(&format!("a/{}{end}", "x".repeat(300))).into_owned();
        assert!(long("1").starts_with("a/xxx") && long("1").len() <= FILE + 2 && long("1") != long("2"), "{}", long("1"));
    }

    #[test]
    fn names_stay_apart_and_within_their_length() {
        let fit = |name: &str| super::fit(name, 40, |letter| letter.is_alphanumeric() || "_.".contains(letter)).into_owned();
        assert_eq!(fit("acc_0.5"), "acc_0.5");
        let names = ["acc>0.5", "acc<0.5", "acc_0.5", "acc\u{0}0.5", "", &"é".repeat(30), &"é".repeat(31)].map(fit);
        for (at, name) in names.iter().enumerate() {
            assert!(name.len() <= 40 && !names[..at].contains(name), "{names:?}");
        }
        // The name must be the same in every process and version.
        assert_eq!(names[0], fit("acc>0.5"));
        assert!(names[0].starts_with("acc_0.5-") && names[0].len() == 20, "{names:?}");
    }

    #[test]
    fn a_part_of_a_path_is_one() {
        assert_eq!(part("val loss"), "val loss");
        for text in ["..", ".", "", "a/b", "a\\b", "C:", "a\u{0}", &"x".repeat(300)] {
            let part = part(text);
            assert!(part.len() <= FILE && part.chars().all(in_path) && !matches!(&*part, "." | ".."), "{part}");
        }
    }
}
