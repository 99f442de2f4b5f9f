//! The parameter groups of a scheduler. burn does not expose them, so they are found by their rates.

use std::collections::HashMap;

use burn::{
    lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler},
    module::ParamId,
};

/// Maximum number of steps in which two groups must differ to be distinguished.
const STEPS: usize = 256;

/// A group of parameters with their own rate, identified by one of them.
#[derive(Debug)]
pub(crate) struct Group {
    /// The common part of its parameters' paths: `head`.
    pub(crate) name: String,
    id: ParamId,
    path: String,
}

impl Group {
    pub(crate) fn rate(&self, rates: &ModuleLearningRate) -> f64 {
        rates.lr_from_param(self.id, Some(&self.path))
    }
}

/// The groups of these parameters, without the default group.
pub(super) fn find(scheduler: &ModuleLrScheduler, params: &[(ParamId, String)]) -> Vec<Group> {
    let mut ahead = scheduler.clone();
    // The class of each parameter. The last entry is the default group. Parameters with equal rates so far have the
    // same number.
    let mut classes = vec![0; params.len() + 1];
    for _ in 0..STEPS {
        let rates = ahead.step();
        let all = params.iter().map(|(id, path)| rates.lr_from_param(*id, Some(path))).chain([rates.base()]);
        let mut known: HashMap<(usize, u64), usize> = HashMap::new();
        for (class, rate) in classes.iter_mut().zip(all) {
            let next = known.len();
            *class = *known.entry((*class, rate.to_bits())).or_insert(next);
        }
    }
    let others = classes.pop();
    let mut groups: Vec<Group> = Vec::new();
    for class in 0..=params.len() {
        let members: Vec<_> = params.iter().zip(&classes).filter(|(_, of)| **of == class).map(|(param, _)| param).collect();
        let Some((id, path)) = members.first().filter(|_| Some(class) != others) else { continue };
        let paths: Vec<&str> = members.iter().map(|(_, path)| path.as_str()).collect();
        let name = common(&paths).filter(|name| groups.iter().all(|group| group.name != *name));
        let name = name.unwrap_or_else(|| format!("group {}", groups.len() + 1));
        groups.push(Group { name, id: *id, path: path.clone() });
    }
    groups
}

/// The common first segments of the paths, or else the common last ones.
fn common(paths: &[&str]) -> Option<String> {
    let split: Vec<Vec<&str>> = paths.iter().map(|path| path.split('.').collect()).collect();
    let (first, rest) = split.split_first()?;
    let same =
        |mine: usize, at: &dyn Fn(&[&str]) -> Option<usize>| rest.iter().all(|other| at(other).is_some_and(|i| other[i] == first[mine]));
    let begin = (0..first.len()).take_while(|&i| same(i, &|other| (i < other.len()).then_some(i))).count();
    if begin > 0 {
        return Some(first[..begin].join("."));
    }
    let end = (1..=first.len()).take_while(|&i| same(first.len() - i, &|other| other.len().checked_sub(i))).count();
    (end > 0).then(|| first[first.len() - end..].join("."))
}

#[cfg(test)]
mod tests {
    use burn::module::ParamGroup;

    use super::*;

    #[test]
    fn groups_are_distinguished_by_their_rates_and_named_by_their_parameters() {
        let names = ["body.weight", "body.bias", "head.inner.weight", "head.outer.weight", "head.bias"];
        let params: Vec<_> = names.iter().map(|name| (ParamId::new(), (*name).to_string())).collect();
        let found = |scheduler: ModuleLrScheduler| {
            let mut ahead = scheduler.clone();
            let rates = ahead.step();
            find(&scheduler, &params).into_iter().map(|group| (group.name.clone(), group.rate(&rates))).collect::<Vec<_>>()
        };
        let base = || ModuleLrScheduler::new(0.1_f64);
        let group = |part: &str| ParamGroup::from_predicate(part);
        assert_eq!(found(base()), []);
        assert_eq!(found(base().with_group(group("head"), 0.2_f64)), [("head".to_string(), 0.2)]);
        assert_eq!(found(base().with_group(group("bias"), 0.3_f64)), [("bias".to_string(), 0.3)]);
        let two = base().with_group(group("head"), 0.2_f64).with_group(group("inner"), 0.4_f64);
        assert_eq!(found(two), [("head.inner.weight".to_string(), 0.4), ("head".to_string(), 0.2)]);
        // They have equal first rates, except for rounding.
        let later = base().with_group(group("head"), crate::one_cycle::OneCycle::new(2.5, 100));
        assert_eq!(found(later).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["head"]);
    }
}
