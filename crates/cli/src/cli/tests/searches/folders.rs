//! The folder of a sweep.

use super::*;

#[test]
fn a_sweep_in_the_folder_of_a_url_runs_and_continues() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("searched");
    let url = format!("--sweep.folder=file://{}", place.display());
    let (told, is_good) = sweep(folder.path(), &["model.lr=0.01,0.1", &url]).unwrap();
    let best = place.join("trial_1/config.yaml");
    let expected = format!("best: trial 1 with val_loss 1: --model.lr=0.1\nall of its options: -c {}\n", best.display());
    assert_eq!((told, is_good), (expected.clone(), true));
    for number in 0..2 {
        let trial = place.join(format!("trial_{number}"));
        assert!(trial.join("config.yaml").is_file() && trial.join("metrics.csv").is_file(), "{number}");
    }
    assert_eq!(processes(folder.path()).len(), 2);
    // A sweep that ended before its second trial continues with that one.
    fs_err::remove_file(place.join("trial_1.json")).unwrap();
    fs_err::remove_dir_all(place.join("trial_1")).unwrap();
    assert_eq!(sweep(folder.path(), &["model.lr=0.01,0.1", &url]).unwrap(), (expected.clone(), true));
    assert_eq!(processes(folder.path()).len(), 3);
    // The path of the folder is another name of the same sweep.
    let path = format!("--sweep.folder={}", place.display());
    assert_eq!(sweep(folder.path(), &["model.lr=0.01,0.1", &path]).unwrap(), (expected, true));
    assert_eq!(processes(folder.path()).len(), 3);
    assert!(!folder.path().join("sweep").exists());
}
