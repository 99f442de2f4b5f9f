//! Logins in addresses.

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
