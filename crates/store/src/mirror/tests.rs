use std::io::Read;
use std::thread::sleep;

use super::*;

const ALWAYS: Duration = Duration::from_millis(5);

fn none(_name: &OsStr) -> bool {
    false
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    files::open(path).unwrap().0.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_failed_pass_is_retried() {
    let machine = tempfile::tempdir().unwrap();
    let (folder, away) = (machine.path().join("run"), machine.path().join("away"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.log"), "1").unwrap();
    let url = "memory://again/run";
    let mirror = Mirror::start(folder.clone(), url.into(), ALWAYS, none).unwrap();
    assert!(mirror.settle());
    // A pass without its folder fails, like one without its store.
    fs::rename(&folder, &away).unwrap();
    fs::write(away.join("a.log"), "1 and more").unwrap();
    sleep(Duration::from_millis(30));
    fs::rename(&away, &folder).unwrap();
    assert!(mirror.settle());
    assert_eq!(text(Path::new("memory://again/run/a.log")), "1 and more");
}

#[test]
fn a_longer_file_in_the_store_is_the_newer_one() {
    let machine = tempfile::tempdir().unwrap();
    let url = Path::new("memory://longer/run");
    let (stale, ahead) = (machine.path().join("a.log"), machine.path().join("b.log"));
    for (name, text) in [("a.log", "123456"), ("b.log", "12")] {
        fs::write(machine.path().join("x"), text).unwrap();
        upload(&machine.path().join("x"), &url.join(name)).unwrap();
    }
    fs::write(&stale, "123").unwrap();
    fs::write(&ahead, "1234").unwrap();
    assert!(bring_back(url, machine.path(), none).unwrap());
    assert_eq!((fs::read_to_string(stale).unwrap(), fs::read_to_string(ahead).unwrap()), ("123456".into(), "1234".into()));
    assert!(!bring_back(Path::new("memory://longer/other"), machine.path(), none).unwrap());
}
