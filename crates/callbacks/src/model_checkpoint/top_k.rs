//! Decides which checkpoints to keep.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stormfire_values::Mode;

/// The number of checkpoints that a [`ModelCheckpoint`](super::ModelCheckpoint) keeps. A plain number is
/// [`SaveTopK::Best`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveTopK {
    /// All of them.
    All,
    /// The best ones by the monitored metric. Without a monitor, 1 is the newest. 0 writes none.
    Best(usize),
}

impl From<usize> for SaveTopK {
    fn from(count: usize) -> Self {
        SaveTopK::Best(count)
    }
}

impl SaveTopK {
    fn is_full(self, count: usize) -> bool {
        match self {
            SaveTopK::All => false,
            SaveTopK::Best(k) => count >= k,
        }
    }
}

/// The kept checkpoints, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Kept(Vec<One>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct One {
    path: PathBuf,
    score: f64,
}

impl Kept {
    /// Whether to keep a checkpoint with this score: there is a free slot, or a kept one is strictly worse.
    pub(super) fn wants(&self, top: SaveTopK, mode: Mode, score: f64) -> bool {
        !top.is_full(self.0.len()) || self.worst(mode).is_some_and(|at| mode.is_better(score, self.0[at].score))
    }

    /// Removes the worst one if no slot is free.
    pub(super) fn make_room(&mut self, top: SaveTopK, mode: Mode) -> Option<PathBuf> {
        if !top.is_full(self.0.len()) {
            return None;
        }
        self.worst(mode).map(|at| self.0.remove(at).path)
    }

    /// Adds a checkpoint. NaN is the worst score, so any number replaces it.
    pub(super) fn insert(&mut self, mode: Mode, path: PathBuf, score: f64) {
        let score = if score.is_nan() { mode.worst() } else { score };
        match self.0.iter_mut().find(|one| one.path == path) {
            Some(overwritten) => overwritten.score = score,
            None => self.0.push(One { path, score }),
        }
    }

    /// Removes lost files from the list. Returns whether there were any.
    pub(super) fn drop_lost(&mut self, is_lost: impl Fn(&PathBuf) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|one| !is_lost(&one.path));
        self.0.len() < before
    }

    /// Whether a file is among the kept checkpoints.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.iter().any(|one| one.path == path)
    }

    /// The best checkpoint. If several are equal, the oldest.
    pub(super) fn best(&self, mode: Mode) -> Option<(&Path, f64)> {
        let better = |best: &'_ One, one: &'_ One| mode.is_better(one.score, best.score);
        let best = self.0.iter().reduce(|best, one| if better(best, one) { one } else { best })?;
        Some((&best.path, best.score))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&Path, f64)> {
        self.0.iter().map(|one| (one.path.as_path(), one.score))
    }

    /// If several are equal, the oldest.
    fn worst(&self, mode: Mode) -> Option<usize> {
        (0..self.0.len()).reduce(|worst, at| if mode.is_better(self.0[worst].score, self.0[at].score) { at } else { worst })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers scores under the names `0`, `1`, …; returns what is kept and what was removed.
    fn offer(top: SaveTopK, mode: Mode, scores: &[f64]) -> (Vec<String>, Vec<String>) {
        let (mut kept, mut removed) = (Kept::default(), Vec::new());
        for (at, &score) in scores.iter().enumerate() {
            if kept.wants(top, mode, score) {
                removed.extend(kept.make_room(top, mode).map(|p| p.display().to_string()));
                kept.insert(mode, at.to_string().into(), score);
            }
        }
        (kept.iter().map(|(path, _)| path.display().to_string()).collect(), removed)
    }

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_best_stay() {
        assert_eq!(offer(2.into(), Mode::Min, &[3.0, 1.0, 2.0, 5.0]), (texts(&["1", "2"]), texts(&["0"])));
        assert_eq!(offer(2.into(), Mode::Max, &[3.0, 1.0, 2.0, 5.0]), (texts(&["0", "3"]), texts(&["1", "2"])));
        assert_eq!(offer(SaveTopK::All, Mode::Min, &[1.0, 2.0, 3.0]).0.len(), 3);
        assert_eq!(offer(0.into(), Mode::Min, &[1.0]), (vec![], vec![]));
    }

    #[test]
    fn an_equal_score_does_not_replace_and_the_oldest_of_equals_goes_first() {
        assert_eq!(offer(1.into(), Mode::Min, &[1.0, 1.0]), (texts(&["0"]), vec![]));
        assert_eq!(offer(2.into(), Mode::Min, &[2.0, 2.0, 1.0]), (texts(&["1", "2"]), texts(&["0"])));
        let mut kept = Kept::default();
        kept.insert(Mode::Min, "a".into(), 1.0);
        kept.insert(Mode::Min, "b".into(), 1.0);
        assert_eq!(kept.best(Mode::Min), Some((Path::new("a"), 1.0)));
    }

    #[test]
    fn nan_takes_a_free_place_only_and_gives_way_to_any_number() {
        assert_eq!(offer(1.into(), Mode::Min, &[1.0, f64::NAN]), (texts(&["0"]), vec![]));
        assert_eq!(offer(1.into(), Mode::Min, &[f64::NAN, 9e9]), (texts(&["1"]), texts(&["0"])));
        assert_eq!(offer(1.into(), Mode::Max, &[f64::NAN, f64::NAN, -9e9]), (texts(&["2"]), texts(&["0"])));
    }

    #[test]
    fn a_file_written_again_is_kept_once() {
        let mut kept = Kept::default();
        kept.insert(Mode::Min, "a".into(), 1.0);
        kept.insert(Mode::Min, "a".into(), 2.0);
        assert_eq!(kept.iter().collect::<Vec<_>>(), [(Path::new("a"), 2.0)]);
    }
}
