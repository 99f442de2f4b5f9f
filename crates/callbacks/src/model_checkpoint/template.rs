//! File names with numbers of the run: `{epoch:02d}-{val_loss:.2f}`.

use std::path::{Component, Path};

/// A file name with placeholders for numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Place { name: String, format: Format },
}

/// The part of Python's format specification that makes sense in a file name: `[0][width][.precision][d|f|e]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Format {
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Kind {
    #[default]
    Shortest,
    Integer,
    Fixed,
    Exponent,
}

impl Template {
    /// Parses a template. The error is the reason, as a clause.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let inner = from.strip_prefix('{').ok_or_else(|| format!("`{text}` has a `}}` without a `{{`"))?;
            let end = inner.find(['{', '}']).filter(|&end| inner[end..].starts_with('}'));
            let end = end.ok_or_else(|| format!("`{text}` has a `{{` without a `}}`"))?;
            let (name, format) = inner[..end].split_once(':').unwrap_or((&inner[..end], ""));
            if name.is_empty() {
                return Err(format!("a placeholder in `{text}` has no name"));
            }
            let format = Format::parse(format).ok_or_else(|| format!("unknown format `{format}` of `{name}`"))?;
            parts.push(Part::Place { name: name.into(), format });
            rest = &inner[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        let template = Self { parts };
        template.check(text).map(|()| template)
    }

    /// If a name could leave its folder, a checkpoint could overwrite and later remove an unrelated file.
    fn check(&self, text: &str) -> Result<(), String> {
        let sample = self.render(true, 0, 0, |_| 0.0);
        if sample.is_empty() || sample.ends_with('/') {
            return Err(format!("`{text}` is not a file name"));
        }
        let inside = Path::new(&sample).components().all(|part| matches!(part, Component::Normal(_)));
        if inside { Ok(()) } else { Err(format!("`{text}` is outside of the checkpoint folder")) }
    }

    /// The number of folders in the name.
    pub(super) fn depth(&self, insert_names: bool) -> usize {
        self.render(insert_names, 0, 0, |_| 0.0).matches('/').count()
    }

    /// The names of the metrics in the template.
    pub(super) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place { name, .. } if name != "epoch" && name != "step" => Some(name.as_str()),
            _ => None,
        })
    }

    /// Fills in the numbers. With `insert_names`, each number is written as `name=number`.
    pub(super) fn render(&self, insert_names: bool, epoch: u64, step: u64, mut metric: impl FnMut(&str) -> f64) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Place { name, format } => {
                    if insert_names {
                        out.push_str(name);
                        out.push('=');
                    }
                    out.push_str(&match name.as_str() {
                        "epoch" => format.integer(epoch),
                        "step" => format.integer(step),
                        name => format.float(metric(name)),
                    });
                }
            }
        }
        out
    }
}

impl Format {
    fn parse(text: &str) -> Option<Self> {
        let (text, kind) = match text.as_bytes().last() {
            Some(b'd') => (&text[..text.len() - 1], Kind::Integer),
            Some(b'f') => (&text[..text.len() - 1], Kind::Fixed),
            Some(b'e') => (&text[..text.len() - 1], Kind::Exponent),
            _ => (text, Kind::Shortest),
        };
        let (width, precision) = text.split_once('.').map_or((text, None), |(width, precision)| (width, Some(precision)));
        let number = |digits: &str| {
            let whole = digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit());
            if whole { if digits.is_empty() { Some(0) } else { digits.parse().ok() } } else { None }
        };
        let (zeros, width) = width.strip_prefix('0').map_or((false, width), |width| (true, width));
        let precision = match (precision, kind) {
            (Some(""), _) | (Some(_), Kind::Integer | Kind::Shortest) => return None,
            (Some(digits), _) => Some(number(digits)?),
            (None, _) => None,
        };
        Some(Self { zeros, width: number(width)?, precision, kind })
    }

    fn integer(self, value: u64) -> String {
        match self.kind {
            Kind::Integer | Kind::Shortest => self.pad(&value.to_string()),
            Kind::Fixed | Kind::Exponent => self.float(value as f64),
        }
    }

    fn float(self, value: f64) -> String {
        let precision = self.precision.unwrap_or(6);
        let text = match self.kind {
            _ if value.is_nan() => "nan".into(),
            Kind::Shortest => value.to_string(),
            Kind::Integer => format!("{value:.0}"),
            Kind::Fixed => format!("{value:.precision$}"),
            Kind::Exponent => pythonic(&format!("{value:.precision$e}")),
        };
        self.pad(&text)
    }

    fn pad(self, text: &str) -> String {
        let width = self.width;
        if !self.zeros {
            return format!("{text:>width$}");
        }
        let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
        let width = width.saturating_sub(sign.len());
        format!("{sign}{digits:0>width$}")
    }
}

/// `1.5e-3` as Python writes it: `1.5e-03`.
fn pythonic(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else { return text.into() };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(template: &str, insert_names: bool) -> String {
        let metric = |name: &str| match name {
            "val_loss" | "val/loss" => 0.12345,
            "nan" => f64::NAN,
            "low" => -0.00125,
            _ => 0.0,
        };
        Template::parse(template).unwrap().render(insert_names, 3, 120, metric)
    }

    #[test]
    fn names_are_lightnings() {
        let cases = [
            ("{epoch}-{step}", "epoch=3-step=120"),
            ("{epoch:02d}-{val_loss:.2f}", "epoch=03-val_loss=0.12"),
            ("best", "best"),
            ("run-{step:6d}", "run-step=   120"),
            ("{val/loss:.3f}", "val/loss=0.123"),
            ("{val_loss}", "val_loss=0.12345"),
            ("{val_loss:.1e}", "val_loss=1.2e-01"),
            ("{epoch:.1f}", "epoch=3.0"),
            ("{nan:05.1f}", "nan=00nan"),
            ("{low:08.4f}", "low=-00.0013"),
            ("{unknown}", "unknown=0"),
        ];
        for (template, expected) in cases {
            assert_eq!(name(template, true), expected);
        }
        assert_eq!(name("epoch={epoch:03d},loss={val/loss:.2f}", false), "epoch=003,loss=0.12");
    }

    #[test]
    fn metrics_are_all_but_the_counters() {
        let template = Template::parse("{epoch}-{a:.1f}-{step}-{b}").unwrap();
        assert_eq!(template.metrics().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn wrong_templates_say_what_is_wrong() {
        let templates = [
            "",
            "folder/",
            "{epoch",
            "{epoch{step}}",
            "epoch}",
            "{}",
            "{epoch:x}",
            "{a:.2}",
            "{a:.f}",
            "{a:+3d}",
            "{a:999d}",
            "../{epoch}",
            "/elsewhere/{epoch}",
            "a/../../b",
        ];
        let reasons = templates.map(|template| format!("{template:?}: {}", Template::parse(template).unwrap_err()));
        insta::assert_snapshot!(reasons.join("\n"), @r#"
        "": `` is not a file name
        "folder/": `folder/` is not a file name
        "{epoch": `{epoch` has a `{` without a `}`
        "{epoch{step}}": `{epoch{step}}` has a `{` without a `}`
        "epoch}": `epoch}` has a `}` without a `{`
        "{}": a placeholder in `{}` has no name
        "{epoch:x}": unknown format `x` of `epoch`
        "{a:.2}": unknown format `.2` of `a`
        "{a:.f}": unknown format `.f` of `a`
        "{a:+3d}": unknown format `+3d` of `a`
        "{a:999d}": unknown format `999d` of `a`
        "../{epoch}": `../{epoch}` is outside of the checkpoint folder
        "/elsewhere/{epoch}": `/elsewhere/{epoch}` is outside of the checkpoint folder
        "a/../../b": `a/../../b` is outside of the checkpoint folder
        "#);
    }
}
