use super::*;
use crate::{assign::Assignment, source::Origin};

#[cfg(unix)]
fn program(file: &std::path::Path) -> Program<'_> {
    Program { file, selector: &[] }
}

fn line(options: &[(&str, &str)]) -> Line {
    let option = |(path, text): &(&str, &str)| Assignment {
        path: (*path).to_owned(),
        text: Some((*text).to_owned()),
        source: Origin::Flag((*path).to_owned()).into(),
    };
    Line { options: options.iter().map(option).collect(), ..Line::default() }
}

#[test]
fn every_combination_is_a_run() {
    let plan = plan(&line(&[("model.lr", "1,2"), ("model.note", "x"), ("data.n", "range(0,2)")]), "root".into()).unwrap();
    assert_eq!(plan.common, ["--model.note=x"]);
    let runs: Vec<String> = plan.runs.iter().map(|run| run.join(" ")).collect();
    let expected = ["--model.lr=1 --data.n=0", "--model.lr=1 --data.n=1", "--model.lr=2 --data.n=0", "--model.lr=2 --data.n=1"];
    assert_eq!(runs, expected);
}

#[test]
fn quotes_around_each_value_are_taken_away() {
    let given = line(&[("a", r#""x","y,z""#), ("b", "'t/a,b'"), ("c", "'x'")]);
    let plan = plan(&given, "root".into()).unwrap();
    assert_eq!(
        (plan.words(0), plan.words(1)),
        (strings(&["--a=x", "--b=t/a,b", "--c='x'"]), strings(&["--a=y,z", "--b=t/a,b", "--c='x'"]))
    );
    let texts: Vec<Vec<Option<String>>> =
        plan.options_of_runs(&given.options).map(|run| run.into_iter().map(|option| option.text).collect()).collect();
    assert_eq!(texts[1], strings(&["y,z", "t/a,b", "'x'"]).into_iter().map(Some).collect::<Vec<_>>());
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn the_options_of_a_run_have_the_order_of_the_line() {
    let given = Line { files: vec!["a.yaml".into()], ..line(&[("crop.size", "1,2"), ("crop", "null"), ("cropped", "x")]) };
    let plan = plan(&given, "root".into()).unwrap();
    assert_eq!(plan.words(1), ["--config=a.yaml", "--crop.size=2", "--crop=null", "--cropped=x"]);
}

#[test]
fn mistakes_are_named() {
    let told = |options: &[(&str, &str)]| plan(&line(options), "root".into()).unwrap_err().to_string();
    assert!(told(&[("model.lr", "1")]).starts_with("`--multirun`: no option has several values\n  help: "));
    assert!(told(&[(ROOT, "a,b")]).contains("its own folder"));
    assert!(told(&[("a", "int(0,2)")]).contains("the command `sweep` draws from a range"));
    assert_eq!(told(&[("a", "range(0,200)"), ("b", "range(0,200)")]), "b: these are more than 10000 runs");
}

#[cfg(unix)]
#[test]
fn each_run_is_a_process_with_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    for jobs in [1, 3] {
        let mut given = line(&[("a", "0,1,2")]);
        given.jobs = Some(jobs);
        let plan = plan(&given, folder.path().into()).unwrap();
        // It ends with the number of the value as its exit code, and notes its folder.
        let file = folder.path().join("program.sh");
        let script = "#!/bin/sh\nroot=${2#--trainer.default_root_dir=}\necho \"$1\" > \"$root/words\"\nexit ${1#--a=}\n";
        fs_err::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (table, is_good) = plan.run(program(&file)).unwrap();
        assert!(!is_good);
        assert!(table.ends_with("job_0  a=0  good\njob_1  a=1  exit code 1\njob_2  a=2  exit code 2\n"), "{table}");
        let number = usize::from(jobs > 1);
        let words = |job: usize| fs_err::read_to_string(folder.path().join(format!("multirun_{number}/job_{job}/words"))).unwrap();
        assert_eq!(words(2), "--a=2\n");
    }
}

#[cfg(unix)]
#[test]
fn runs_that_write_nothing_leave_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&line(&[("a", "1,2")]), folder.path().into()).unwrap();
    let (table, is_good) = plan.run(program("/bin/false".as_ref())).unwrap();
    assert!(!is_good && table.ends_with("job_0  a=1  exit code 1\njob_1  a=2  exit code 1\n"), "{table}");
    assert!(fs_err::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn the_last_of_several_flags_counts() {
    let plan = plan(&line(&[("a", "1,2"), ("b", "x"), ("a", "3,4"), ("b", "y")]), "root".into()).unwrap();
    assert_eq!((plan.common, plan.runs), (vec!["--b=y".to_owned()], vec![vec!["--a=3".to_owned()], vec!["--a=4".to_owned()]]));
    let error = super::plan(&line(&[("a", "1,2"), ("a", "5")]), "root".into()).unwrap_err().to_string();
    assert!(error.contains("no option has several values"), "{error}");
}

#[test]
fn a_section_and_an_option_in_it_do_not_both_have_several_values() {
    for options in [[("a", "{b: 1},{b: 2}"), ("a.b", "1,2")], [("a.b", "1,2"), ("a", "{b: 1},{b: 2}")]] {
        let error = super::plan(&line(&options), "root".into()).unwrap_err().to_string();
        assert!(error.contains("`a` has several values, and so has `a.b`, which is a part of it"), "{error}");
    }
    assert_eq!(plan(&line(&[("a", "{b: 1},{b: 2}"), ("ab", "1,2")]), "root".into()).unwrap().runs.len(), 4);
}

#[cfg(unix)]
#[test]
fn a_dry_run_makes_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    for jobs in [1, 2] {
        let given = Line { dry_run: true, jobs: Some(jobs), ..line(&[("a", "1,2")]) };
        let (table, is_good) = plan(&given, folder.path().into()).unwrap().run(program("/bin/true".as_ref())).unwrap();
        assert!(is_good && fs_err::read_dir(folder.path()).unwrap().next().is_none());
        assert!(table.starts_with(&format!("2 runs would be in {}/multirun_K\n", folder.path().display())), "{table}");
    }
}
