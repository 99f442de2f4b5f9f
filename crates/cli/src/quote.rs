//! The user's text in messages: short, on one line, without control characters and without logins.

use stormfire_loggers::for_trainer::split_login;
use stormfire_module::secrets::HIDDEN;

/// The longest value, in characters.
const LONGEST_VALUE: usize = 60;

/// The longest name or path of an option. The end of a path matters, so it may be longer than a value.
const LONGEST_NAME: usize = 200;

/// The number of characters that are searched for logins. The search takes quadratic time.
const MOST_SEARCHED: usize = 4096;

/// A value as a message shows it.
pub(crate) fn value(text: &str) -> String {
    line(&short(text))
}

/// A name, or the path of an option.
pub(crate) fn name(text: &str) -> String {
    line(&shortened(text, LONGEST_NAME))
}

/// As [`value`], for a message that escapes control characters itself.
pub(crate) fn short(text: &str) -> String {
    shortened(text, LONGEST_VALUE)
}

fn shortened(text: &str, most: usize) -> String {
    // A login that was cut first would no longer be recognized.
    let searched: String = text.chars().take(MOST_SEARCHED).collect();
    let open = without_logins(&searched);
    let short: String = open.chars().take(most).collect();
    let is_cut = searched.len() < text.len() || short.len() < open.len();
    if is_cut { format!("{short}…") } else { short }
}

/// A text with `[secret]` in place of the passwords and queries of the addresses in it.
fn without_logins(text: &str) -> String {
    let mut open = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        open.push_str(before);
        open.push_str("://");
        let (login, place) = split_login(after);
        if let Some(login) = login {
            // A login without a password is a token.
            if let Some((user, _)) = login.split_once(':') {
                open.push_str(user);
                open.push(':');
            }
            open.push_str(HIDDEN);
            open.push('@');
        }
        rest = place;
    }
    open.push_str(rest);
    let start = open.find("://").map_or(open.len(), |at| at + 3);
    if let Some(at) = open[start..].find(['?', '#']) {
        open.truncate(start + at + 1);
        open.push_str(HIDDEN);
    }
    open
}

/// A text that stays on its line and cannot control a terminal.
pub(crate) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// As [`line`], for a message with several lines.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Also characters that have no width or change the direction of others.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_short_and_on_one_line() {
        assert_eq!(value("日本 a"), "日本 a");
        assert_eq!(value("\u{1b}[31mx\n"), r"\u{1b}[31mx\n");
        assert_eq!(name("mod\u{200b}el\u{9b}"), r"mod\u{200b}el\u{9b}");
        assert_eq!(value(&"ä".repeat(61)), format!("{}…", "ä".repeat(60)));
        assert_eq!(value(&"ä".repeat(60)), "ä".repeat(60));
        assert_eq!(name(&"ä".repeat(2 << 20)), format!("{}…", "ä".repeat(200)));
        assert_eq!(lines("a\n\u{7}b\r\n"), "a\n\\u{7}b\\r\n");
    }

    #[test]
    fn a_text_has_no_login() {
        let cases = [
            ("http://me:PW@h", "http://me:[secret]@h"),
            ("http://token@h/a", "http://[secret]@h/a"),
            ("[{url: http://me:P/W@h}]", "[{url: http://me:[secret]@h}]"),
            ("http://a,http://me:PW@h", "http://a,http://me:[secret]@h"),
            ("http://h/?write_token=PW", "http://h/?[secret]"),
            ("http://a,http://me:PW@h?x#y", "http://a,http://me:[secret]@h?[secret]"),
            ("what? me@h", "what? me@h"),
            ("file:///tmp/a b", "file:///tmp/a b"),
        ];
        for (text, shown) in cases {
            assert_eq!(value(text), shown);
        }
        // The end of the login is further on than the message goes.
        assert!(!value(&format!("http://me:{}@h", "PW".repeat(50))).contains("PW"));
        assert!(value(&"://".repeat(700_000)).ends_with('…'));
    }
}
