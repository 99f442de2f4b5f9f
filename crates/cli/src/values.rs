//! Several values of an option, in a line or a file of several runs.

use crate::{assign::Assignment, quote};

/// The values of an option in several runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Each of these. One is an ordinary value.
    Each(Vec<String>),
    /// A number in this range.
    Uniform(f64, f64),
    /// A number in this range, whose logarithm is uniform.
    LogUniform(f64, f64),
    /// A whole number in this range, both ends included.
    Int(i64, i64),
}

/// The option as all runs of a line have it. `None` if its text has several values.
pub(crate) fn of_all_runs(option: &Assignment) -> Option<Assignment> {
    let Some(text) = &option.text else { return Some(option.clone()) };
    match of(text) {
        Ok(Values::Each(values)) => match values.as_slice() {
            [only] => Some(Assignment { text: Some(only.clone()), ..option.clone() }),
            _ => None,
        },
        _ => None,
    }
}

/// `1e-3,1e-2`, `choice(a, b)`, `range(1, 5)` or `range(1, 9, 2)`, and `uniform(0, 1)`, `log_uniform(1e-5, 1e-1)` and
/// `int(16, 256)`. Commas in brackets or quotes divide nothing. Quotes around an element are taken away.
pub(crate) fn of(text: &str) -> Result<Values, String> {
    for name in ["uniform", "log_uniform"] {
        let Some(inner) = call(text, name) else { continue };
        let ends: Option<Vec<f64>> = parts(inner).iter().map(|part| part.parse().ok()).collect();
        return match ends.as_deref() {
            Some([low, high]) if name == "uniform" => Ok(Values::Uniform(*low, *high)),
            Some([low, high]) => Ok(Values::LogUniform(*low, *high)),
            _ => Err(format!("`{}`: expected two numbers, such as `{name}(1e-5, 1e-1)`", quote::value(text))),
        };
    }
    if let Some(inner) = call(text, "int") {
        return match whole(inner).as_deref() {
            Some([low, high]) => Ok(Values::Int(*low, *high)),
            _ => Err(format!("`{}`: expected two whole numbers, such as `int(16, 256)`", quote::value(text))),
        };
    }
    if let Some(inner) = call(text, "choice") {
        return Ok(Values::Each(elements(inner)));
    }
    let Some(inner) = call(text, "range") else { return Ok(Values::Each(listed(text))) };
    let (start, end, step) = match whole(inner).as_deref() {
        Some([start, end]) => (*start, *end, 1),
        Some([start, end, step]) if *step > 0 => (*start, *end, *step),
        _ => {
            let text = quote::value(text);
            return Err(format!("`{text}`: a range has a start, an end and possibly a step above 0, in whole numbers"));
        }
    };
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    let values: Vec<String> = (start..end).step_by(step).take(MOST + 1).map(|value| value.to_string()).collect();
    if values.is_empty() { Err(format!("`{}`: the range is empty", quote::value(text))) } else { Ok(Values::Each(values)) }
}

/// The most runs of one line.
pub(crate) const MOST: usize = 10_000;

fn whole(inner: &str) -> Option<Vec<i64>> {
    parts(inner).iter().map(|part| part.parse().ok()).collect()
}

fn call<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.trim().strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

/// The values of a text without a name before brackets. One value is as in a line of one run, unless it is quoted for
/// the commas in it.
fn listed(text: &str) -> Vec<String> {
    match parts(text).as_slice() {
        [only] if !only.contains(',') || unquoted(only) == *only => vec![text.to_owned()],
        _ => elements(text),
    }
}

/// The parts between commas, without the quotes around them.
fn elements(text: &str) -> Vec<String> {
    parts(text).into_iter().map(|part| unquoted(part).to_owned()).collect()
}

/// A part without the quotes around it. `'a' or 'b'` has none around it.
fn unquoted(part: &str) -> &str {
    let inner = |quote: char| part.strip_prefix(quote)?.strip_suffix(quote).filter(|inner| !inner.contains(quote));
    ['\'', '"'].into_iter().find_map(inner).unwrap_or(part)
}

/// The parts between commas outside of brackets and quotes.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in text.char_indices() {
        match c {
            ',' if depth == 0 && quote.is_none() => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            '\'' | '"' if quote == Some(c) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            '[' | '{' | '(' if quote.is_none() => depth += 1,
            ']' | '}' | ')' if quote.is_none() => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_divided_at_commas_outside_of_brackets() {
        let cases: [(&str, &[&str]); 19] = [
            ("1e-3,1e-2", &["1e-3", "1e-2"]),
            ("a, b", &["a", "b"]),
            ("a", &["a"]),
            (" a ", &[" a "]),
            ("", &[""]),
            ("[1,2],[3]", &["[1,2]", "[3]"]),
            ("{name: a, lr: 1},{name: b}", &["{name: a, lr: 1}", "{name: b}"]),
            ("'a,b',c", &["a,b", "c"]),
            ("'a,b'", &["a,b"]),
            (r#""a","b,c""#, &["a", "b,c"]),
            (r#""a", 'b'"#, &["a", "b"]),
            (r#""a""#, &[r#""a""#]),
            (r#"'"a"',b"#, &[r#""a""#, "b"]),
            ("'a' or 'b',c", &["'a' or 'b'", "c"]),
            ("\"\",a", &["", "a"]),
            (" [a, b] ", &[" [a, b] "]),
            ("choice(a,b)", &["a", "b"]),
            ("choice('a')", &["a"]),
            ("range(1,6,2)", &["1", "3", "5"]),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), Ok(Values::Each(expected.iter().map(|value| (*value).to_owned()).collect())), "{text}");
        }
        for wrong in ["range(1)", "range(5,1)", "range(1,2,0)", "range(a,b)", "int(1.5,2)", "uniform(1)", "log_uniform(a,b)"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn distributions_have_two_ends() {
        assert_eq!(of("uniform(0, 0.5)"), Ok(Values::Uniform(0.0, 0.5)));
        assert_eq!(of("log_uniform(1e-5,1e-1)"), Ok(Values::LogUniform(1e-5, 1e-1)));
        assert_eq!(of("int(-2, 8)"), Ok(Values::Int(-2, 8)));
        assert_eq!(of("integer(1, 2)"), Ok(Values::Each(vec!["integer(1, 2)".into()])));
    }
}
