//! Errors that no other test has, as a table.

use std::fmt::Write as _;

use super::*;

#[test]
fn every_error_of_a_file_has_its_place() {
    let level = |level: u8| {
        let below = format!("*{}", char::from(b'a' + level));
        format!("{level}: &{} [{}]\n", char::from(b'b' + level), vec![below; 10].join(", "))
    };
    let many = format!("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n{}", (0..6).map(level).collect::<String>());
    let deep = |start: &str, open: &str| format!("{start}{}", open.repeat(70));
    let long = format!("model: {{note: {}}}", "x".repeat(3 << 20));
    let cases = [
        ("a.yaml", "model: {hidden: 1}\n---\nfast: true"),
        ("a.yaml", "? [1, 2]\n: 3"),
        ("a.yaml", "model: *none"),
        ("a.yaml", "model: &a {note: *a}"),
        ("a.yaml", &many),
        ("a.yaml", "model: {note: !own x}"),
        ("a.yaml", "model: {hidden: !!int many}"),
        ("a.yaml", &deep("model: ", "[")),
        ("a.yaml", &long),
        ("a.yaml", "model: {optim: {name: 3}}"),
        ("a.yaml", "model: {optim: sgd}"),
        ("a.yaml", "model: {hidden: 123456789012345678901234567890}"),
        ("a.json", "{\"fast\": true, \"fast\": false}"),
        ("a.json", &deep("{\"model\": ", "[")),
        ("a.json", "{\"fast\": true} x"),
        ("a.json", "[1]"),
        ("a.toml", &deep("model = ", "[")),
        ("a.toml", "fast = true\nfast = false"),
        ("a.toml", "fast = 2026-11-29"),
        ("a.toml", "[model]\nhidden = 99999999999999999999"),
    ];
    let mut table = String::new();
    for (name, text) in cases {
        let shown = if text.len() > 60 {
            format!("{}…", text.lines().last().unwrap().chars().take(30).collect::<String>())
        } else {
            text.to_owned()
        };
        let _ = writeln!(table, "{name}  {shown:?}\n{}\n", file_error(text, name));
    }
    assert_snapshot!("errors_of_files", table);
    let (folder, path) = file("", "a.yaml");
    fs_err::write(&path, b"fast: \xff").unwrap();
    let error = layers().file(&path).unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "");
    assert_snapshot!(error, @r"
    a.yaml: it is not UTF-8 from byte 6 on
      help: save it as UTF-8; a checkpoint is given with `--ckpt-path`
    ");
    let error = layers().file(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: it cannot be read: ", folder.path().display())), "{error}");
}

#[test]
fn a_line_without_a_program_has_options_and_files_alone() {
    let (_folder, path) = file("model: {hidden: 1, lr: 2.0}", "a.yaml");
    let path = path.to_str().unwrap();
    let config: Config = layers().args(&["--model.hidden", "3", "-c", path, "model.note=x"]).unwrap().resolve().unwrap();
    assert_eq!((config.model.hidden, config.model.lr, config.model.note.as_str()), (3, 2.0, "x"));
    let mut table = String::new();
    for words in [
        &["fit"][..],
        &["--help"],
        &["-h=all"],
        &["--print-config"],
        &["--print-schema"],
        &["--completion=zsh"],
        &["--ckpt-path=a"],
        &["--dry-run"],
        &["-m"],
        &["-m", "--jobs=2"],
        &["model.hidden"],
        &["--hiden=1"],
        &["-c"],
        &["-cmissing.yaml"],
    ] {
        let _ = writeln!(table, "{}: {}", words.join(" "), layers().args(words).unwrap_err());
    }
    assert_snapshot!("errors_of_lines", table);
}
