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
    let closed = |start: &str, end: &str| format!("{start}{}{}{end}", "[".repeat(70), "]".repeat(70));
    assert_eq!(file_error(&closed("{\"model\": ", "}"), "a.json"), "a.json:1:75: it is nested more than 64 deep");
    assert_eq!(file_error(&closed("model = ", ""), "a.toml"), "a.toml:1:73: it is nested more than 64 deep");
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

#[test]
fn ten_mistakes_are_shown_at_once() {
    let fields: Vec<String> = (0..20_000).map(|index| format!("\"n{index}\": 1")).collect();
    let error = file_error(&format!("{{{}}}", fields.join(",")), "a.json");
    assert_eq!(error.matches("there is no option").count(), 10);
    assert!(error.ends_with("\na.json:1:82: more mistakes follow, only 10 are shown"), "{error}");
    let error = file_error(&format!("model: {{layers: [{}]}}", "x, ".repeat(20_000)), "a.yaml");
    assert_eq!(error.matches("expected a whole number").count(), 10);
    assert!(error.ends_with(": more mistakes follow, only 10 are shown"), "{error}");
    // Exactly as many as are shown.
    let error = file_error(&format!("model: {{layers: [{}]}}", "x, ".repeat(10)), "a.yaml");
    assert_eq!(error.lines().count(), 10);
    let names: Vec<String> = (0..30).map(|index| format!("--model.weights.n{index}")).collect();
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let error = flags(&empty).unwrap_err();
    assert_eq!((error.problems().len(), error.to_string().matches("has no value").count()), (11, 10));
    let names = (0..30).map(|index| (format!("APP__N{index}"), "1".to_owned()));
    assert_eq!(layers().env("APP", names).unwrap_err().problems().len(), 11);
    // A mistake that is repeated is one.
    assert_eq!(flags(&[("--model.crop", ""); 30]).unwrap_err().problems().len(), 1);
}

#[test]
fn a_file_with_a_similar_name_is_named_with_its_folder() {
    let (folder, path) = file("", "base.yaml");
    let error = layers().file(folder.path().join("bas.yaml")).unwrap_err().to_string();
    assert!(error.ends_with(&format!("help: did you mean `{}`?", path.display())), "{error}");
}

#[test]
fn an_empty_json_file_has_a_first_column() {
    assert_eq!(file_error("", "a.json"), "a.json:1:1: not valid JSON: EOF while parsing a value");
    assert_eq!(file_error("\n", "a.json"), "a.json:2:1: not valid JSON: EOF while parsing a value");
}

#[test]
fn names_and_values_in_errors_are_short_and_on_one_line() {
    assert_eq!(file_error("{\"model\": {\"\\u001b[31mx\\n\": 3}}", "a.json"), r"a.json:1:12: there is no option `model.\u{1b}[31mx\n`");
    assert_eq!(
        file_error("model: {hidden: \"\\e[31m\"}", "a.yaml"),
        r"a.yaml:1:9: `model.hidden`: expected a whole number, not the string `\u{1b}[31m`"
    );
    let long = "x".repeat(900_000);
    for text in [format!("{{\"{long}\": 1}}"), format!("{{\"model\": {{\"weights\": {{\"{long}\": \"{long}\"}}}}}}")] {
        let error = file_error(&text, "a.json");
        assert!(error.starts_with("a.json:1:") && error.len() < 1000, "{} bytes", error.len());
    }
    let error = flags(&[("--model.\u{1b}[31m", "1"), (&format!("--{long}.a"), "1")]).unwrap_err().to_string();
    assert!(error.len() < 1000 && error.contains(r"--model.\u{1b}[31m: ") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_login_is_hidden_where_no_address_is_expected() {
    assert_eq!(
        flags(&[("--model.layers", "http://me:PW@h")]).unwrap_err().to_string(),
        "--model.layers: `model.layers`: expected a list, not the string `http://me:[secret]@h`"
    );
    // A long secret is cut.
    let key = "geheim".repeat(20);
    assert_eq!(
        flags(&[("--model.key", &key), ("--model.hidden", &key)]).unwrap_err().to_string(),
        "--model.hidden: `model.hidden`: expected a whole number, not the string `[secret]`"
    );
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
enum Pruner {
    None,
    Median { trials: usize },
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Search {
    pruner: Pruner,
}

#[test]
fn a_variant_without_options_lists_none() {
    let layers = Layers::of(&Search { pruner: Pruner::None }).unwrap().flag("--pruner.trials", "3");
    assert_eq!(
        layers.resolve::<Search>().unwrap_err().to_string(),
        "--pruner.trials: there is no option `pruner.trials` with this `pruner.name`"
    );
}
