use super::*;

fn yaml(text: &str) -> Result<Node> {
    yaml::read(text, &Source::default_value())
}

#[test]
fn yaml_has_the_types_of_its_core_schema() {
    let cases = [
        ("no", Tree::Text("no".into())),
        ("on", Tree::Text("on".into())),
        ("'1'", Tree::Text("1".into())),
        ("!!str 1", Tree::Text("1".into())),
        ("1_000", Tree::Text("1_000".into())),
        ("1:30", Tree::Text("1:30".into())),
        ("2026-01-01", Tree::Text("2026-01-01".into())),
        ("true", Tree::Bool(true)),
        ("", Tree::Null),
        ("~", Tree::Null),
        ("1", Tree::UInt(1)),
        ("+1", Tree::UInt(1)),
        ("-1", Tree::Int(-1)),
        ("007", Tree::UInt(7)),
        ("0x1F", Tree::UInt(31)),
        ("0o17", Tree::UInt(15)),
        ("18446744073709551615", Tree::UInt(u64::MAX)),
        ("1.0", Tree::Float(1.0)),
        ("1.", Tree::Float(1.0)),
        (".5", Tree::Float(0.5)),
        ("1e-4", Tree::Float(1e-4)),
        ("-.inf", Tree::Float(f64::NEG_INFINITY)),
        ("e5", Tree::Text("e5".into())),
        (".", Tree::Text(".".into())),
        ("0.1.2", Tree::Text("0.1.2".into())),
    ];
    for (text, expected) in cases {
        assert_eq!(yaml(text).unwrap().value, expected, "{text}");
    }
    for text in ["18446744073709551616", "-9223372036854775809", "1e999", "!!int x", "!custom 1", "*a", "{a: b}: c", "a: 1\n---\nb: 2"] {
        assert!(yaml(text).is_err(), "{text}: {:?}", yaml(text));
    }
}

#[test]
fn aliases_have_a_limit() {
    let node = yaml("a: &x {b: 1}\nc: *x").unwrap();
    assert!(node.get(["c", "b"]).is_some_and(|b| b.value == Tree::UInt(1)));
    let level = |level: usize| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
    let bomb = format!("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}", (1..30).map(level).collect::<String>());
    assert!(yaml(&bomb).unwrap_err().to_string().contains("more than 100000 values"));
    let long = format!("a: &x {}\nb: [{}]", "y".repeat(1 << 20), vec!["*x"; 1000].join(", "));
    assert!(yaml(&long).unwrap_err().to_string().contains("more than 100000 values"));
    // Each anchor has a copy.
    let open = |level: usize| format!("&a{level} [");
    let nested = format!("{}{}{}", (0..60).map(open).collect::<String>(), "1,".repeat(99_000), "]".repeat(60));
    assert!(yaml(&nested).unwrap_err().to_string().contains("more than 100000 values"));
    assert!(yaml(&format!("a: &a [{}]", "1,".repeat(90_000))).is_ok());
}

#[test]
fn every_format_has_a_limit_of_values() {
    let source = Source::default_value();
    let list = format!("[{}1]", "1, ".repeat(MOST_VALUES));
    for read in [yaml(&list), json::read(&list, &source), toml::read(&format!("a = {list}"), &source)] {
        assert!(read.unwrap_err().to_string().contains("more than 100000 values"));
    }
}

#[test]
fn the_columns_of_a_long_line_count_characters() {
    let source = Source::default_value();
    let items = "\"ä\", ".repeat(1000);
    let json = json::read(&format!("\n{{\"a\": [{items}1]}}"), &source).unwrap();
    let toml = toml::read(&format!("\na = [{items}1]"), &source).unwrap();
    for (node, first) in [(json, 8), (toml, 6)] {
        let Tree::List(items) = &node.get(["a"]).unwrap().value else { panic!("{node:?}") };
        for (index, item) in items.iter().enumerate() {
            assert_eq!(item.source.position(), Some((2, first + 5 * index)));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_device_has_a_limit_and_a_pipe_is_read() {
    use std::{io::Write as _, os::fd::AsRawFd as _};

    let folder = tempfile::tempdir().unwrap();
    let link = |name: &str, to: &str| {
        let path = folder.path().join(name);
        fs_err::os::unix::fs::symlink(to, &path).unwrap();
        path
    };
    let error = file(&link("zero.yaml", "/dev/zero")).unwrap_err().to_string();
    assert!(error.ends_with("zero.yaml: it has more than 2097152 bytes, the most of a configuration"), "{error}");
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"a: 1").unwrap();
    drop(writer);
    let node = file(&link("pipe.yaml", &format!("/dev/fd/{}", reader.as_raw_fd()))).unwrap();
    assert_eq!(node.get(["a"]).unwrap().value, Tree::UInt(1));
}

/// `prog --print-config | prog -c /dev/stdin`, and `-c <(…)`.
#[cfg(unix)]
#[test]
fn a_pipe_without_an_ending_has_yaml_or_json() {
    use std::{io::Write as _, os::fd::AsRawFd as _};

    for text in ["a: 1", "{\"a\": 1}"] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        drop(writer);
        let node = file(Path::new(&format!("/dev/fd/{}", reader.as_raw_fd()))).unwrap();
        assert_eq!(node.get(["a"]).unwrap().value, Tree::UInt(1));
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_readable_again_and_a_pipe_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs_err::write(&path, "a: 1").unwrap();
    let link = folder.path().join("b.yaml");
    fs_err::os::unix::fs::symlink("/dev/null", &link).unwrap();
    check_readable_again(&[path.clone(), folder.path().join("missing.yaml"), folder.path().to_owned()]).unwrap();
    for other in [link, "/dev/stdin".into(), "/dev/null".into()] {
        let error = check_readable_again(&[path.clone(), other.clone()]).unwrap_err();
        assert_eq!(error.problems().len(), 1);
        assert!(error.to_string().starts_with(&format!("{}: it is a pipe or a device", other.display())), "{error}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for text in [deep("[", "]"), deep("{a: ", "}"), "- ".repeat(100_000)] {
        assert!(yaml(&text).is_err());
    }
    let source = Source::default_value();
    assert!(json::read(&deep("[", "]"), &source).is_err() && json::read(&deep("{\"a\":", "}"), &source).is_err());
    assert!(toml::read(&format!("a = {}", deep("[", "]")), &source).is_err());
}

#[test]
fn json_has_positions_and_every_number() {
    let text = "{\"a\": [1, -2.5e3,\n {\"b\\\"\\u00e4\": \"x\\n\"}], \"c\": null, \"d\": true, \"e\": 1.0}";
    let node = json::read(text, &Source::default_value()).unwrap();
    let Tree::List(items) = &node.get(["a"]).unwrap().value else { panic!("{node:?}") };
    assert_eq!((&items[0].value, &items[1].value), (&Tree::UInt(1), &Tree::Float(-2500.0)));
    let inner = items[2].get(["b\"ä"]).unwrap();
    assert_eq!((inner.text(), inner.source.position()), (Some("x\n"), Some((2, 3))));
    assert_eq!((node.get(["c"]).map(|c| &c.value), node.get(["e"]).map(|e| &e.value)), (Some(&Tree::Null), Some(&Tree::Float(1.0))));
    for wrong in ["", "{", "[1,]", "{\"a\": 1, \"a\": 2}", "nan", "01", "\"\\ud800\""] {
        assert!(json::read(wrong, &Source::default_value()).is_err(), "{wrong}");
    }
}

#[test]
fn toml_has_positions_and_the_order_of_the_file() {
    let node = toml::read("z = 1\na = 0x10\n[m]\nx = [1.5, inf]\nd = 2026-01-01\n[[l]]\nb = 'q'\n", &Source::default_value()).unwrap();
    assert_eq!(node.fields().unwrap().keys().collect::<Vec<_>>(), ["z", "a", "m", "l"]);
    assert_eq!(node.get(["a"]).unwrap().value, Tree::UInt(16));
    let Tree::List(items) = &node.get(["m", "x"]).unwrap().value else { panic!("{node:?}") };
    assert_eq!(items[1].value, Tree::Float(f64::INFINITY));
    assert_eq!((node.get(["m", "d"]).unwrap().text(), node.get(["m", "d"]).unwrap().source.position()), (Some("2026-01-01"), Some((5, 1))));
    assert!(toml::read("a = 99999999999999999999", &Source::default_value()).is_err());
    assert!(toml::read("a = 1e999", &Source::default_value()).is_err());
}
