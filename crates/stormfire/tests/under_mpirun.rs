//! Whole trainings of real processes, started by `mpirun`. The program is the example `ranked`.
#![cfg(all(feature = "mpi", target_os = "linux"))]
#![cfg(test)]

#[path = "../../ranks/tests/mpirun/mod.rs"]
mod mpirun;
#[path = "under_mpirun/set_ups.rs"]
mod set_ups;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use mpirun::{Ended, Processes, mpirun, run, send};
use stormfire::checkpoint::Checkpoint;

/// A training that is not disturbed.
fn train(folder: &Path, ranks: usize, words: &[&str]) -> Ended {
    let root = folder.to_str().unwrap();
    let ended = run(mpirun(ranks, "ranked", &[&[root], words].concat()), |_| {});
    assert!(ended.status.success(), "{}", ended.text);
    ended
}

/// The values of the tensors of a checkpoint that all ranks share, by name.
fn tensors(checkpoint: &Path) -> BTreeMap<String, Vec<f32>> {
    let (_, tensors) = Checkpoint::read(checkpoint).unwrap().into_parts();
    let shared = tensors.into_iter().filter(|(name, _)| !name.starts_with("ranks/"));
    shared.map(|(name, data)| (name, data.iter::<f32>().collect())).collect()
}

/// The files of the newest run in a folder. A run that is killed before its first checkpoint is followed by another.
fn run_of(folder: &Path) -> PathBuf {
    let logs = folder.join("lightning_logs");
    let versions = fs::read_dir(&logs).unwrap().filter_map(|run| run.unwrap().file_name().to_str()?.strip_prefix("version_")?.parse().ok());
    let newest: u32 = versions.max().unwrap();
    logs.join(format!("version_{newest}"))
}

/// The weights, and the log.
fn results(folder: &Path) -> (BTreeMap<String, Vec<f32>>, String) {
    (tensors(&folder.join("end.ckpt")), fs::read_to_string(run_of(folder).join("metrics.csv")).unwrap())
}

/// The numbers of two logs, with their largest difference.
fn difference(one: &str, other: &str) -> f64 {
    let numbers = |log: &str| log.split([',', '\n']).map(|cell| cell.parse().unwrap_or(f64::NAN)).collect::<Vec<f64>>();
    let (one, other) = (numbers(one), numbers(other));
    assert_eq!(one.len(), other.len());
    one.iter().zip(&other).filter(|(a, _)| !a.is_nan()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The program has dropout, a last batch that is smaller, and epochs whose batches the ranks cannot divide evenly.
#[test]
fn ranks_equal_one_rank_with_a_larger_window() {
    for (ranks, window, within) in [(2, "1", 0.0), (3, "1", 0.0), (2, "3", 1e-5), (3, "2", 1e-5)] {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let whole = (ranks * window.parse::<usize>().unwrap()).to_string();
        train(folders[0].path(), 1, &[&whole, "3", "0"]);
        let ended = train(folders[1].path(), ranks, &[window, "3", "0"]);
        assert_eq!(ended.text.matches(" ends after 75 batches with MaxEpochs(3)").count(), ranks, "{}", ended.text);
        let [(one, log), (several, other)] = folders.each_ref().map(|folder| results(folder.path()));
        assert_eq!(one.keys().collect::<Vec<_>>(), several.keys().collect::<Vec<_>>());
        for (name, values) in one {
            let difference = values.iter().zip(&several[&name]).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
            assert!(difference <= within, "{ranks} ranks, window {window}: {name} differs by {difference}");
        }
        // Sums of logged values are divided among the ranks.
        assert!(difference(&log, &other) <= 1e-5_f64.max(within), "{log}\n{other}");
        assert!(!several_writers(folders[1].path()), "only rank 0 writes");
    }
}

/// Whether more than one process has made files.
fn several_writers(folder: &Path) -> bool {
    let events = fs::read_dir(run_of(folder)).unwrap().filter_map(Result::ok);
    events.filter(|file| file.file_name().to_string_lossy().contains("tfevents")).count() > 1
}

/// A random number below `end`.
fn draw(state: &mut u64, end: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % end
}

#[test]
fn a_signal_ends_all_ranks_and_the_next_run_continues() {
    let words = ["1", "6", "20"];
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), 3, &words);
    // `mpirun` sends the signal to all ranks when it is ended itself. A user, or a scheduler, may reach one of them.
    for receivers in [&[0, 1, 2][..], &[0], &[2]] {
        let broken = tempfile::tempdir().unwrap();
        let mut processes = Processes::default();
        let ended = run(mpirun(3, "ranked", &[&[broken.path().to_str().unwrap()], &words[..]].concat()), |line| {
            if processes.read(line, 3) {
                thread::sleep(Duration::from_millis(500));
                // One command for each would be too slow: the signal for the last rank would come after its training.
                send("-TERM", &receivers.iter().map(|rank| processes.of(*rank)).collect::<Vec<_>>());
            }
        });
        processes.assert_ended();
        assert_eq!(ended.text.matches("with Interrupted(").count(), 3, "{receivers:?}: {}", ended.text);
        train(broken.path(), 3, &words);
        let [(one, log), (other, other_log)] = [whole.path(), broken.path()].map(results);
        assert!(one == other, "{receivers:?}: the weights differ");
        assert_eq!(log, other_log, "{receivers:?}");
    }
}

/// Kills a random rank at a random instant, again and again. `cargo xtask crash --ranks` sets larger numbers.
#[test]
fn ranks_that_are_killed_end_like_uninterrupted_ones() {
    let number = |variable: &str, default: u64| env::var(variable).map_or(default, |text| text.parse().unwrap());
    let (kills, ranks) = (number("STORMFIRE_CRASH_KILLS", 4), number("STORMFIRE_CRASH_RANKS", 3) as usize);
    let mut seed = number("STORMFIRE_CRASH_SEED", 0);
    let [whole, broken] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (mut reached, mut lives) = (0, vec![0; ranks]);
    for kill in 0..kills {
        let (rank, delay) = (draw(&mut seed, ranks as u64) as usize, Duration::from_millis(draw(&mut seed, 1500)));
        // On a busy machine, a start alone takes longer than that.
        let while_starting = draw(&mut seed, 5) == 0;
        let mut processes = Processes::default();
        // No life comes to the end, however fast the machine is.
        let words = [broken.path().to_str().unwrap(), "1", "1000000", "20"];
        let ended = run(mpirun(ranks, "ranked", &words), |line| {
            let epoch = line.strip_prefix("epoch ").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
            reached = reached.max(epoch.unwrap_or(0));
            let (is_complete, is_training) = (processes.read(line, ranks), line == "the training starts");
            let is_due = if while_starting { is_complete } else { is_training };
            if is_due {
                thread::sleep(delay);
                send("-KILL", &[processes.of(rank)]);
            }
        });
        assert!(!ended.status.success(), "kill {kill}: {}", ended.text);
        processes.assert_ended();
        lives[rank] += 1;
    }
    let epochs = (reached + 2).to_string();
    println!("{kills} kills, of each rank {lives:?}; {epochs} epochs");
    let [(one, log), (other, other_log)] = [&whole, &broken].map(|folder| {
        train(folder.path(), ranks, &["1", &epochs, "0"]);
        results(folder.path())
    });
    assert!(one == other, "the weights differ");
    assert_eq!(log, other_log);
}
