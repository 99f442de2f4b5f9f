//! The values of an option in a line of several runs.

/// `1e-3,1e-2`, `choice(a, b)` and `range(1, 5)` or `range(1, 9, 2)`. Commas in brackets or quotes divide nothing.
pub(super) fn of(text: &str) -> Result<Vec<String>, String> {
    if let Some(inner) = call(text, "choice") {
        return Ok(parts(inner));
    }
    let Some(inner) = call(text, "range") else { return Ok(parts(text)) };
    let numbers: Option<Vec<i64>> = parts(inner).iter().map(|part| part.parse().ok()).collect();
    let (start, end, step) = match numbers.as_deref() {
        Some([start, end]) => (*start, *end, 1),
        Some([start, end, step]) if *step > 0 => (*start, *end, *step),
        _ => return Err(format!("`{text}`: a range has a start, an end and possibly a step above 0, in whole numbers")),
    };
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    let values: Vec<String> = (start..end).step_by(step).take(10_001).map(|value| value.to_string()).collect();
    if values.is_empty() { Err(format!("`{text}`: the range is empty")) } else { Ok(values) }
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
