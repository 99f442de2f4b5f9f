//! Patterns of parameter paths.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};
use stormfire_values::ConfigError;

/// Number of similar names in an error.
const NEAR: usize = 3;

/// Patterns that select parameters of a module by path, for parameter groups and for freezing.
///
/// | pattern | selects |
/// |---|---|
/// | `head.weight` | this parameter |
/// | `head` | all parameters of this part of the module |
/// | `*.bias` | all parameters with this name, at any depth |
/// | `blocks.*.norm` | all parameters of these parts; `*` stands for any text, with dots |
/// | `*` | all parameters |
///
/// Each pattern must select a parameter. Otherwise it is an error with similar names.
///
/// ```
/// use stormfire_optim::Patterns;
///
/// let no_decay = Patterns::from(["*.bias", "*.gamma", "*.beta"]);
/// assert!(no_decay.matches("blocks.0.norm.gamma") && !no_decay.matches("blocks.0.fc.weight"));
/// assert!(Patterns::from("blocks.0").matches("blocks.0.fc.weight"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Patterns(Vec<String>);

impl From<&str> for Patterns {
    fn from(pattern: &str) -> Self {
        Self(vec![pattern.into()])
    }
}

impl From<String> for Patterns {
    fn from(pattern: String) -> Self {
        Self(vec![pattern])
    }
}

impl<P: Into<String>> From<Vec<P>> for Patterns {
    fn from(patterns: Vec<P>) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }
}

impl<P: Into<String>, const N: usize> From<[P; N]> for Patterns {
    fn from(patterns: [P; N]) -> Self {
        Self(patterns.into_iter().map(Into::into).collect())
    }
}

impl Patterns {
    /// Whether one of the patterns selects the parameter with this path.
    pub fn matches(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| selects(pattern, path))
    }

    /// The selected paths, in order.
    ///
    /// # Errors
    /// [`ConfigError`] for a pattern that selects nothing. `option` is the option with the patterns.
    pub fn select<'p>(&self, option: &str, paths: impl IntoIterator<Item = &'p str>) -> Result<Vec<String>, ConfigError> {
        let paths: Vec<&str> = paths.into_iter().collect();
        if self.0.is_empty() {
            return Err(ConfigError::new(option, "there is no pattern", "give one, such as `*.bias`"));
        }
        if let Some(pattern) = self.0.iter().find(|pattern| !paths.iter().any(|path| selects(pattern, path))) {
            let hint = match near(pattern, &paths) {
                near if near.is_empty() => "there are no parameters".into(),
                near => format!("similar names are {}", near.join(", ")),
            };
            return Err(ConfigError::new(option, format!("`{pattern}` matches no parameter"), hint));
        }
        Ok(paths.into_iter().filter(|path| self.matches(path)).map(String::from).collect())
    }

    /// A name without wildcards: `head` for `head.*`, `bias` for `*.bias`.
    pub(crate) fn name(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|pattern| literal(pattern)).collect();
        names.join(",")
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<_> = self.0.iter().map(|pattern| format!("`{pattern}`")).collect();
        f.write_str(&quoted.join(", "))
    }
}

/// Whether a pattern selects a parameter: it matches its path, or that of a part of the module which contains it.
fn selects(pattern: &str, path: &str) -> bool {
    // A parameter of the module itself is at any depth, too.
    let anywhere = pattern.strip_prefix("*.");
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| &path[..end]).any(|part| is_match(pattern, part) || anywhere.is_some_and(|rest| is_match(rest, part)))
}

/// `*` stands for any text.
fn is_match(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    if rest.is_empty() {
        return true;
    }
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| is_match(rest, &text[at..]))
}

fn literal(pattern: &str) -> String {
    let parts: Vec<_> = pattern.split('*').map(|part| part.trim_matches('.')).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "all".into() } else { parts.join(".") }
}

/// The most similar names: paths, their starts, and their last parts.
fn near(pattern: &str, paths: &[&str]) -> Vec<String> {
    let wanted = literal(pattern);
    let from_end = pattern.starts_with('*');
    let names = paths.iter().flat_map(|path| {
        let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).chain(path.match_indices('.').filter(|_| from_end).map(|(at, _)| &path[at + 1..]))
    });
    let mut seen = HashSet::new();
    let mut names: Vec<_> =
        names.filter(|name| seen.insert(*name)).map(|name| (strsim::damerau_levenshtein(name, &wanted), name)).collect();
    names.sort_unstable();
    names.into_iter().take(NEAR).map(|(_, name)| format!("`{name}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 6] = ["scale", "blocks.0.norm.gamma", "blocks.0.fc.bias", "blocks.10.fc.bias", "head.weight", "head.bias"];

    fn selected(patterns: impl Into<Patterns>) -> Vec<String> {
        patterns.into().select("group", PATHS).unwrap()
    }

    #[test]
    fn patterns_select_parameters_and_parts() {
        assert_eq!(selected("head"), ["head.weight", "head.bias"]);
        assert_eq!(selected("*.bias"), ["blocks.0.fc.bias", "blocks.10.fc.bias", "head.bias"]);
        assert_eq!(selected("*.fc"), ["blocks.0.fc.bias", "blocks.10.fc.bias"]);
        assert_eq!(selected("blocks.*.fc"), ["blocks.0.fc.bias", "blocks.10.fc.bias"]);
        assert_eq!(selected("blocks.1*"), ["blocks.10.fc.bias"]);
        assert_eq!(selected("*.scale"), ["scale"]);
        assert_eq!(selected(["head.weight", "*.norm"]), ["blocks.0.norm.gamma", "head.weight"]);
        assert_eq!(selected("*").len(), PATHS.len());
        for (pattern, path) in [("block", "blocks.0"), ("bias", "head.bias"), ("*ead.weight2", "head.weight"), ("", "head")] {
            assert!(!Patterns::from(pattern).matches(path), "{pattern}");
        }
        assert!(Patterns::from("größe.*").matches("größe.ü"));
    }

    #[test]
    fn a_pattern_without_a_match_is_refused_with_similar_names() {
        let text = |patterns: Patterns, paths: &[&str]| {
            let error = patterns.select("Optimizer::group", paths.iter().copied()).unwrap_err();
            format!("{error} | hint: {}", error.hint)
        };
        insta::assert_snapshot!(text("haed".into(), &PATHS), @"`Optimizer::group`: `haed` matches no parameter | hint: similar names are `head`, `scale`, `blocks`");
        insta::assert_snapshot!(text(["*.bias", "*.gama"].into(), &PATHS), @"`Optimizer::group`: `*.gama` matches no parameter | hint: similar names are `gamma`, `bias`, `head`");
        insta::assert_snapshot!(text("blocks.1".into(), &PATHS), @"`Optimizer::group`: `blocks.1` matches no parameter | hint: similar names are `blocks.0`, `blocks.10`, `blocks`");
        insta::assert_snapshot!(text("head".into(), &[]), @"`Optimizer::group`: `head` matches no parameter | hint: there are no parameters");
        insta::assert_snapshot!(text(Vec::<String>::new().into(), &PATHS), @"`Optimizer::group`: there is no pattern | hint: give one, such as `*.bias`");
    }
}
