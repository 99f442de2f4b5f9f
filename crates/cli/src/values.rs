//! Several values of an option, in a line or a file of several runs.

use crate::quote;

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

/// Whether the text of an option has several values.
pub(crate) fn is_divided(text: Option<&str>) -> bool {
    text.is_some_and(|text| !matches!(of(text), Ok(Values::Each(values)) if values.len() == 1))
}

/// `1e-3,1e-2`, `choice(a, b)`, `range(1, 5)` or `range(1, 9, 2)`, and `uniform(0, 1)`, `log_uniform(1e-5, 1e-1)` and
/// `int(16, 256)`. Commas in brackets or quotes divide nothing.
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
        return Ok(Values::Each(parts(inner)));
    }
    let Some(inner) = call(text, "range") else { return Ok(Values::Each(parts(text))) };
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

/// The parts between commas. Quotes around a part with a comma are taken away.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut quote) = (Vec::new(), String::new(), 0_usize, None);
    for c in text.chars() {
        match c {
            ',' if depth == 0 && quote.is_none() => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            '\'' | '"' if quote == Some(c) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            '[' | '{' | '(' if quote.is_none() => depth += 1,
            ']' | '}' | ')' if quote.is_none() => depth = depth.saturating_sub(1),
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    if parts.len() == 1 && !parts[0].contains(',') {
        return parts;
    }
    let unquoted = |part: &String| {
        let part = part.trim();
        let inner = ['\'', '"'].into_iter().find_map(|quote| part.strip_prefix(quote)?.strip_suffix(quote));
        inner.filter(|inner| inner.contains(',')).unwrap_or(part).to_owned()
    };
    parts.iter().map(unquoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_divided_at_commas_outside_of_brackets() {
        let cases: [(&str, &[&str]); 11] = [
            ("1e-3,1e-2", &["1e-3", "1e-2"]),
            ("a, b", &["a", "b"]),
            ("a", &["a"]),
            (" a ", &[" a "]),
            ("", &[""]),
            ("[1,2],[3]", &["[1,2]", "[3]"]),
            ("{name: a, lr: 1},{name: b}", &["{name: a, lr: 1}", "{name: b}"]),
            ("'a,b',c", &["a,b", "c"]),
            ("'a,b'", &["a,b"]),
            ("choice(a,b)", &["a", "b"]),
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
