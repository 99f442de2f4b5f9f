//! Names that a service or a file system takes, different ones for different names.

use std::borrow::Cow;
use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

/// A name of a file may have 255 bytes; something may come before and behind it.
pub const FILE: usize = 180;

/// The name itself if it is allowed and has `most` bytes at most. Else it is shortened, `_` stands for what is not allowed, and
/// a hash of the whole name follows, so that two names never become one.
pub fn fit(name: &str, most: usize, allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !name.is_empty() && name.len() <= most && name.chars().all(&allowed) {
        return Cow::Borrowed(name);
    }
    marked(name, name.chars().map(|letter| if allowed(letter) { letter } else { '_' }), most)
}

/// A relative path whose parts are short enough for a file system. A part that is too long is shortened, and a hash of it
/// follows.
pub fn fit_path(path: &str) -> Cow<'_, str> {
    let fits = |part: &str| part.len() <= FILE;
    if path.split('/').all(fits) {
        return Cow::Borrowed(path);
    }
    let fitted = path.split('/').map(|part| if fits(part) { part.into() } else { fit(part, FILE, |_| true) });
    Cow::Owned(fitted.collect::<Vec<_>>().join("/"))
}

/// What a name is to become, with its hash behind it.
pub fn marked(name: &str, becomes: impl Iterator<Item = char>, most: usize) -> Cow<'static, str> {
    /// Twelve digits and what joins them to the name.
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

/// What a part of a path may hold on every system.
pub fn in_path(letter: char) -> bool {
    !letter.is_control() && !matches!(letter, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
}

/// A text as one part of a path. It leads nowhere else.
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
        // It must be the same in every process and version.
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
