//! Logins in addresses.

use std::fmt;

/// Splits `user:password@` off the text after the scheme of an address.
///
/// ```
/// use stormfire_loggers::for_trainer::split_login;
/// assert_eq!(split_login("me:p/ss@host/a"), (Some("me:p/ss"), "host/a"));
/// assert_eq!(split_login("host:80/a@b"), (None, "host:80/a@b"));
/// ```
pub fn split_login(rest: &str) -> (Option<&str>, &str) {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    // A password with an unescaped `/` looks like a port that is not a number.
    let is_cut =
        || authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']') && !port.bytes().all(|byte| byte.is_ascii_digit()));
    let at = authority.rfind('@').or_else(|| if is_cut() { rest.rfind('@') } else { None });
    at.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]))
}

/// An address in parts. It may be malformed, and its secrets are in their own parts anyway.
///
/// ```
/// use stormfire_loggers::for_trainer::AddressParts;
/// let parts = AddressParts::of("me:pass@host/?write_token=abc");
/// assert_eq!((parts.login, parts.place, parts.query), (Some("me:pass"), "host/", "?write_token=abc"));
/// ```
#[derive(Clone, Copy)]
pub struct AddressParts<'a> {
    /// The scheme with its slashes: `http://`. Empty for a path, and for a host without a scheme.
    pub start: &'a str,
    /// `user:password`.
    pub login: Option<&'a str>,
    /// Host and path.
    pub place: &'a str,
    /// The query, the fragment and parameters after `;`, with the character before them.
    pub query: &'a str,
}

impl<'a> AddressParts<'a> {
    /// The parts of a text that should be an address or a path.
    pub fn of(text: &'a str) -> Self {
        let (start, rest) = text.split_at(start_of(text));
        let is_proper = start.ends_with("://");
        let (login, rest) = if is_proper {
            split_login(rest)
        } else {
            match rest.rfind('@') {
                Some(at) if !start.is_empty() || is_login(&rest[..at]) => (Some(&rest[..at]), &rest[at + 1..]),
                _ => (None, rest),
            }
        };
        let marks: &[char] = if is_proper { &['?', '#'] } else { &['?', '#', ';'] };
        let at = rest.find(['?', '#', ';']).filter(|at| has_secret_field(&rest[*at..]));
        let at = at.or_else(|| if start.is_empty() { None } else { rest.find(marks) });
        let (place, query) = at.map_or((rest, ""), |at| rest.split_at(at));
        Self { start, login, place, query }
    }

    /// The secrets: the password and the values of the query.
    pub fn secrets(&self) -> impl Iterator<Item = &'a str> {
        let login = self.login.unwrap_or_default();
        let password = login.split_once(':').map_or(login, |(_, password)| password);
        let fields = fields(self.query).map(|field| field.split_once('=').map_or(field, |(_, value)| value));
        [password].into_iter().chain(fields).filter(|secret| !secret.is_empty())
    }
}

/// Without the secrets.
impl fmt::Debug for AddressParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressParts").field("start", &self.start).field("place", &self.place).finish_non_exhaustive()
    }
}

/// The length of the scheme of an address with its slashes, also of a malformed one such as `http:/` or `//`.
/// Another scheme without two slashes (`file:/runs`) and the drive of a Windows path are parts of a path.
fn start_of(text: &str) -> usize {
    let name = text.split_once(':').map_or("", |(name, _)| name);
    let is_name = name.len() > 1 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let after = if is_name { name.len() + 1 } else { 0 };
    let slashes = text[after..].len() - text[after..].trim_start_matches(['/', '\\']).len();
    let is_http = is_http(name);
    match slashes {
        2.. if is_name && !is_http && text[after..].starts_with("//") => after + 2,
        1.. if is_http => after + slashes,
        2.. if !is_name => slashes,
        _ => 0,
    }
}

/// Whether this is the scheme of a server.
pub(crate) fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Whether the text before an `@` is a login, and not a part of a path.
fn is_login(before: &str) -> bool {
    let plain = || before.strip_prefix("file:").unwrap_or(before);
    let before = before.split_once(":/").map_or_else(plain, |(_, path)| path);
    before.contains(':') || !before.contains(['/', '\\'])
}

/// The fields of a query.
fn fields(query: &str) -> impl Iterator<Item = &str> {
    query.split(['?', '#', '&', ';'])
}

/// Whether the name of a field says that its value is a secret.
fn has_secret_field(query: &str) -> bool {
    fields(query).filter_map(|field| field.split_once('=')).any(|(name, _)| {
        let name = name.to_ascii_lowercase();
        ["token", "key", "pass", "pwd", "secret", "auth", "credential", "login"].iter().any(|word| name.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::AddressParts;

    #[test]
    fn an_address_has_a_login_and_a_query_also_if_it_is_malformed() {
        let cases: [(&str, &str, &[&str]); 25] = [
            ("http://127.0.0.1:7860/?write_token=abc", "http://127.0.0.1:7860/", &["abc"]),
            ("https://me:p@ss@host/a/b@c#x", "https://host/a/b@c", &["p@ss", "x"]),
            ("http://me:p/ss@host/a", "http://host/a", &["p/ss"]),
            ("https://token@host", "https://host", &["token"]),
            ("http://host?a=1&b=2", "http://host", &["1", "2"]),
            ("http://host;write_token=abc", "http://host", &["abc"]),
            ("https://host/path", "https://host/path", &[]),
            ("me:pw@host/?write_token=abc", "host/", &["pw", "abc"]),
            ("//me:pw@host", "//host", &["pw"]),
            ("http:/me:pw@host", "http:/host", &["pw"]),
            (r"http:\\me:pw@host", r"http:\\host", &["pw"]),
            ("http:///me:pw@host", "http:///host", &["pw"]),
            ("u:pw@host/?next=http://x", "host/?next=http://x", &["pw"]),
            ("http:me:pw@host", "host", &["me:pw"]),
            ("host:80?write_token=abc", "host:80", &["abc"]),
            ("host;api_key=abc&x=d", "host", &["abc", "d"]),
            ("token@host", "host", &["token"]),
            ("runs/a?b@c", "runs/a?b@c", &[]),
            ("runs/a#b=c;d", "runs/a#b=c;d", &[]),
            ("/home/me@site/runs", "/home/me@site/runs", &[]),
            ("file:/home/me@site/runs", "file:/home/me@site/runs", &[]),
            ("dbfs:/Users/me@site/runs", "dbfs:/Users/me@site/runs", &[]),
            ("file:///tmp/a b", "file:///tmp/a b", &[]),
            (r"C:\runs", r"C:\runs", &[]),
            ("", "", &[]),
        ];
        for (text, open, secrets) in cases {
            let parts = AddressParts::of(text);
            assert_eq!((format!("{}{}", parts.start, parts.place).as_str(), parts.secrets().collect::<Vec<_>>()), (open, secrets.to_vec()));
        }
    }
}
