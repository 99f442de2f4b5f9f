//! Which tensors of a file may be meant for the parameters that it lacks.

use std::collections::{BTreeMap, HashMap, HashSet};

use strsim::normalized_damerau_levenshtein as similarity;

/// Tensors below this similarity are not shown: their names have little in common.
const LEAST: f64 = 0.5;

/// How many parameters get a proposal. More would neither be read nor be computed quickly.
const MOST: usize = 20;

/// A parameter that the file lacks.
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a str,
    /// The names by which it was searched.
    pub(crate) names: Vec<&'a str>,
    pub(crate) shape: &'a [usize],
}

/// The most similar name of each wanted parameter, among the other tensors of the file. Those with another number of
/// elements are not meant.
pub(crate) fn most_similar<'a>(wanted: &[Wanted<'a>], others: &[(&'a str, &[usize])]) -> Vec<(String, String)> {
    let nearest = |wanted: &Wanted<'a>| {
        let sorted = |shape: &[usize]| {
            let mut shape = shape.to_vec();
            shape.sort_unstable();
            shape
        };
        let shape = sorted(wanted.shape);
        let fitting = others.iter().filter(|(_, other)| sorted(other) == shape);
        let rated = fitting.map(|(other, _)| (wanted.names.iter().map(|name| similarity(name, other)).fold(0.0, f64::max), other));
        let (rate, name) = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (rate >= LEAST).then(|| (wanted.path.to_owned(), (*name).to_owned()))
    };
    wanted.iter().take(MOST).filter_map(nearest).collect()
}

/// The start of names that must be replaced so that most of the wanted parameters are found: the arguments of
/// `LoadOptions::rename`.
pub(crate) fn rename_rule(wanted: &[Wanted<'_>], others: &[(&str, &[usize])]) -> Option<(String, String)> {
    let names: HashSet<&str> = wanted.iter().flat_map(|wanted| wanted.names.iter().copied()).collect();
    let mut by_end: HashMap<&str, Vec<&str>> = HashMap::new();
    for name in &names {
        by_end.entry(last_part(name)).or_default().push(name);
    }
    let mut rules: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (other, _) in others.iter().take(MOST) {
        for name in by_end.get(last_part(other)).into_iter().flatten() {
            rules.entry(starts(other, name)).or_default();
        }
    }
    for ((from, to), count) in &mut rules {
        let replaced = others.iter().filter_map(|(name, _)| Some(format!("{to}{}", name.strip_prefix(from)?)));
        *count = replaced.filter(|name| names.contains(name.as_str())).count();
    }
    // Between equal rules, the shorter one wins.
    let ((from, to), count) = rules.into_iter().max_by_key(|((from, to), count)| (*count, std::cmp::Reverse(from.len() + to.len())))?;
    (count >= 2 && 2 * count >= wanted.len()).then(|| (format!("^{}", regex::escape(from)), to.to_owned()))
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The starts of two names, without their longest common end of whole parts.
fn starts<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let common = a.rsplit('.').zip(b.rsplit('.')).take_while(|(a, b)| a == b);
    let len = common.map(|(part, _)| part.len() + 1).sum::<usize>().saturating_sub(1);
    (&a[..a.len() - len], &b[..b.len() - len])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(names: &[&'a str]) -> Vec<Wanted<'a>> {
        names.iter().map(|name| Wanted { path: name, names: vec![name], shape: &[2, 3] }).collect()
    }

    fn rule(wanted_names: &[&str], others: &[&str]) -> Option<(String, String)> {
        let others: Vec<(&str, &[usize])> = others.iter().map(|name| (*name, &[2usize, 3][..])).collect();
        rename_rule(&wanted(wanted_names), &others)
    }

    #[test]
    fn names_with_another_start_give_a_rule() {
        let own = ["encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "head.weight"];
        let prefixed = ["model.encoder.0.weight", "model.encoder.0.bias", "model.encoder.1.weight", "model.head.weight"];
        assert_eq!(rule(&own, &prefixed), Some((r"^model\.".into(), String::new())));
        assert_eq!(rule(&prefixed, &own), Some(("^".into(), "model.".into())));
        let other = ["bert.layer.0.weight", "bert.layer.0.bias", "bert.layer.1.weight", "pooler.weight"];
        assert_eq!(rule(&own, &other), Some((r"^bert\.layer\.".into(), "encoder.".into())));
        assert_eq!(rule(&["größe.weight", "größe.bias"], &["a.weight", "a.bias"]), Some((r"^a\.".into(), "größe.".into())));
        assert_eq!(rule(&own, &["a.b", "c.d"]), None);
        assert_eq!(rule(&own[..1], &prefixed[..1]), None, "one name is not a rule");
    }

    #[test]
    fn the_most_similar_name_has_a_fitting_shape() {
        let others: [(&str, &[usize]); 4] =
            [("encoder.fc.weight", &[3, 2]), ("encoder.fc1.weight", &[4, 2]), ("encoder.fc2.weights", &[2, 3]), ("x", &[2, 3])];
        let found = most_similar(&wanted(&["encoder.fc1.weight", "zzz"]), &others);
        assert_eq!(found, [("encoder.fc1.weight".to_owned(), "encoder.fc.weight".to_owned())]);
    }
}
