use std::fs::{create_dir, write as write_file};

use tempfile::tempdir;

use super::*;
use crate::samples;

fn page_of(paths: &[PathBuf]) -> String {
    let folder = tempdir().unwrap();
    let file = folder.path().join("report.html");
    let (_, bytes) = write(paths, &file).unwrap();
    let html = std::fs::read_to_string(file).unwrap();
    assert_eq!(bytes, html.len() as u64);
    html
}

/// The values of an attribute.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn a_page_has_everything_and_requests_nothing() {
    let folder = tempdir().unwrap();
    let runs = samples::write(folder.path()).unwrap();
    let html = page_of(&runs);
    for id in ["runs", "curves", "machine", "checkpoints", "settings", "media", "environment", "profile", "warnings"] {
        assert_eq!(html.matches(&format!("<section id=\"{id}\">")).count(), 1, "{id}");
    }
    for text in ["train_loss", "val_acc", "samples/digit", "confusion_matrix", "PR curve", "data:audio/wav;base64,"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(html.contains("3 not finite, first at 809"), "NaN is reported");
    assert!(html.contains("the loss of 3 batches is NaN") && html.contains("run_training_epoch"));
    let sources = [attributes(&html, "src"), attributes(&html, "href")].concat();
    assert!(sources.len() > 10 && sources.iter().all(|source| source.starts_with("data:") || source.starts_with('#')), "{sources:?}");
    assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("@import") && !html.contains("url("));
    assert!(html.len() < 400_000, "{} bytes", html.len());
    // The switches of the style sheet exist.
    for switch in attributes(&html, "for") {
        assert!(html.contains(&format!("id=\"{switch}\"")), "{switch}");
    }
}

#[test]
fn a_metric_with_one_value_is_a_number_and_no_chart() {
    let folder = tempdir().unwrap();
    for (run, table) in [("a", "step,loss,test_acc,odd\n0,1,,\n1,2,,\n2,,0.5,nan\n"), ("b", "step,loss\n0,1\n1,3\n")] {
        create_dir(folder.path().join(run)).unwrap();
        write_file(folder.path().join(run).join("metrics.csv"), table).unwrap();
    }
    let html = page_of(&[folder.path().to_owned()]);
    let cells = |first: &str| format!("<td class=\"run0\">{first}</td><td class=\"run1\">–</td></tr>");
    assert!(html.contains(&format!("<th>test_acc</th>{}", cells("0.5 <span class=\"dim\">at 2</span>"))), "{html}");
    assert!(html.contains(&format!("<th>odd</th>{}", cells("NaN <span class=\"dim\">at 2</span>"))), "{html}");
    assert!(html.contains("aria-label=\"loss\"") && !html.contains("aria-label=\"test_acc\""));
    // Neither run has a checkpoint.
    assert!(!html.contains("best checkpoint"));
}

#[test]
fn titles_and_times_are_short() {
    let folder = tempdir().unwrap();
    let runs = samples::write(folder.path()).unwrap();
    assert!(page_of(&runs).contains("<h1>version_0, version_1</h1>"));
    for (time, short) in
        [("2026-11-29T13:11:57.640212Z", "2026-11-29T13:11:57Z"), ("2026-11-29T13:11:57Z", "2026-11-29T13:11:57Z"), ("", "")]
    {
        assert_eq!(parts::to_seconds(time), short);
    }
}

#[test]
fn a_hostile_run_is_harmless() {
    let folder = tempdir().unwrap();
    let evil = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>";
    let run = folder.path().join(evil.replace('/', "%"));
    create_dir(&run).unwrap();
    write_file(run.join("metrics.csv"), format!("step,\"{}\"\n0,1\n1,2\n", evil.replace('"', "\"\""))).unwrap();
    write_file(run.join("hparams.yaml"), "'</style><script>': '</title><script>alert(3)</script>'\n").unwrap();
    write_file(run.join("training.log"), "2026-11-29T13:11:57Z  WARN my: <script>alert(4)</script>\n").unwrap();
    write_file(run.join("fit-trace.json"), "[\n{\"ph\":\"X\",\"dur\":1,\"name\":\"<script>alert(5)\"}\n]").unwrap();
    let other = folder.path().join("other");
    create_dir(&other).unwrap();
    write_file(other.join("metrics.csv"), "step,a\n0,1\n").unwrap();
    let html = page_of(&[folder.path().to_owned()]);
    let scripts: Vec<_> = html.match_indices("<script").collect();
    assert_eq!(scripts.len(), 1, "{scripts:?}");
    let body = &html[html.find("<body>").unwrap()..html.rfind("<script>").unwrap()];
    assert!(!body.contains("<img") && !body.contains("</style") && !body.contains("</title"));
    for number in 1..6 {
        assert!(body.contains(&format!("alert({number})")), "{number} is shown as text");
    }
    assert!(html.contains("script-src 'sha256-"), "only the script of the page runs");
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_with_a_hint() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    let error = write(&[folder.path().to_owned()], &folder.path().join("version_0/metrics.csv/report.html")).unwrap_err();
    let shown = |text: String| text.replace(&folder.path().display().to_string(), "[folder]");
    // The end of the text names the temporary file.
    let text = error.to_string();
    let text = text.split(" at path").next().unwrap();
    insta::assert_snapshot!(shown(format!("{text}\n  hint: {}", error.hint())), @r"
    `[folder]/version_0/metrics.csv/report.html` cannot be written: failed to create a temporary file for `[folder]/version_0/metrics.csv/report.html`: Not a directory (os error 20)
      hint: name a file in a folder that exists: `-o report.html`
    ");
    let error = write(&[folder.path().join("nothing")], Path::new("report.html")).unwrap_err();
    insta::assert_snapshot!(shown(error.to_string()), @"`[folder]/nothing` does not exist");
}
