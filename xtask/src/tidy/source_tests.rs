use super::*;

fn messages(path: &str, text: &str) -> Vec<String> {
    let tests = ["crates/x/src/a/tests".to_owned(), "crates/module/src/a/tests".to_owned()];
    check(path, text, &tests).iter().map(ToString::to_string).collect()
}

#[test]
fn panics_are_found_with_their_line() {
    for code in ["todo!()", "unimplemented!(\"later\")", "dbg!(x)", "panic!(\"{x}\")", "x.unwrap()", "x\n.expect(\"why\")"] {
        assert_eq!(messages("crates/x/src/a.rs", &format!("fn f() {{ {code} }}")).len(), 1, "{code}");
    }
    assert_eq!(
        messages("crates/x/src/a.rs", "fn f() {\n    panic!();\n}\n"),
        ["crates/x/src/a.rs:2: `panic!` ends the caller's process; return an error"]
    );
    assert!(messages("crates/x/src/a.rs", "fn f() { x.unwrap_or(1).unexpected(2); my_panic!() }").is_empty());
}

#[test]
fn a_text_that_repeats_its_source_is_found() {
    let of = |text: &str| messages("crates/x/src/a.rs", text);
    let expected = "crates/x/src/a.rs:1: the text repeats that of the source: make it transparent, or convert without `#[from]`";
    assert_eq!(of("    #[error(\"it failed: {0}\")]\n    Io(#[from] io::Error),\n"), [expected]);
    for text in [
        "#[error(transparent)]\nIo(#[from] io::Error),",
        "#[error(\"it failed: {0}\")]\nIo(String),",
        "#[error(\"it failed\")]\nIo(#[from] io::Error),",
    ] {
        assert!(of(text).is_empty(), "{text}");
    }
}

#[test]
fn only_code_of_the_library_counts() {
    for text in [
        "/// let x = y.unwrap();\nfn f() {}\n",
        "//! panic!()\n",
        "/* a /* nested */ panic!() */ fn f() {}\n",
        "const A: &str = \"panic!() \\\" todo!()\";\n",
        "const A: &str = r#\"panic!() \" todo!()\"#;\n",
        "const A: &[u8] = br\"panic!()\";\n",
        "#[expect(clippy::panic)]\nfn f() { x.unwrap_or(1).expecting(2); }\n",
        "#[cfg(test)]\nmod tests {\n    fn f() { if a { x.unwrap() } }\n}\n",
        "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nfn f() {}\n",
    ] {
        assert_eq!(messages("crates/x/src/a.rs", text), Vec::<String>::new(), "{text}");
    }
    for path in ["crates/x/src/a/tests.rs", "crates/x/src/a/tests/b.rs", "crates/x/tests/a.rs", "xtask/src/a.rs", "crates/x/src/a.txt"] {
        assert!(messages(path, "fn f() { panic!() }").is_empty(), "{path}");
    }
}

#[test]
fn code_after_a_literal_or_a_test_still_counts() {
    for text in [
        "const A: char = '\"';\nfn f() { x.unwrap() }\n",
        "const A: char = '\\'';\nfn f() { x.unwrap() }\n",
        "fn f<'a>(x: &'a str) { x.unwrap() }\n\n",
        "const A: &str = \"// no comment\";\nfn f() { x.unwrap() }\n",
        "#[cfg(test)]\nmod tests { const A: char = '{'; }\nfn f() { x.unwrap() }\n",
        "#[cfg(test)] use a::b;\nfn f() { x.unwrap() }\n",
        "const A: &str = r\"\\\";\nfn f() { x.unwrap() }\n",
    ] {
        assert_eq!(messages("crates/x/src/a.rs", text).len(), 1, "{text}");
    }
}

#[test]
fn devices_may_only_be_read_in_the_listed_files() {
    let text = "fn f(t: Tensor<1>) { t.into_scalar(); my_into_data(); t.to_data_type(); }\n";
    assert_eq!(messages("crates/trainer/src/fit.rs", text).len(), 1);
    assert_eq!(messages("crates/metrics/src/metric.rs", text).len(), 1);
    for path in ["crates/values/src/read.rs", "crates/loggers/src/a.rs", "crates/module/src/a/tests.rs"] {
        assert!(messages(path, text).is_empty(), "{path}");
    }
}

#[test]
fn long_files_are_found() {
    let lines = |count: usize| "\n".repeat(count);
    assert!(messages("crates/x/src/a.rs", &lines(450)).is_empty());
    assert_eq!(messages("crates/x/src/a.rs", &lines(451)), ["crates/x/src/a.rs: 451 lines, 450 are allowed: split the file"]);
    assert!(messages("crates/trainer/src/fit.rs", &lines(300)).is_empty());
    assert_eq!(messages("crates/trainer/src/fit.rs", &lines(301)).len(), 1);
    assert_eq!(messages("crates/x/tests/a.rs", &lines(451)).len(), 1);
    assert!(messages("xtask/src/a.rs", &lines(451)).is_empty());
    assert!(messages("examples/a.rs", &lines(149)).is_empty());
    assert_eq!(messages("examples/a.rs", &lines(150)), ["examples/a.rs: 150 lines, 149 are allowed: split the file"]);
    assert!(messages("examples/src/a.rs", &lines(451)).is_empty());
}

#[test]
fn modules_of_tests_are_found_by_their_declaration() {
    let cases: [(&str, &str, &[&str]); 7] = [
        ("crates/x/src/lib.rs", "#[cfg(test)]\nmod testing;\nmod a;\n", &["crates/x/src/testing"]),
        ("crates/x/src/a.rs", "#[cfg(test)]\nmod tests;\n", &["crates/x/src/a/tests"]),
        ("crates/x/src/a.rs", "// ä\n#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\n", &["crates/x/src/a_tests"]),
        ("crates/x/src/a/mod.rs", "#[cfg(test)]\npub(crate) mod tests;\n", &["crates/x/src/a/tests"]),
        ("crates/x/src/a.rs", "#[cfg(test)]\nmod tests { fn f() {} }\n", &[]),
        ("crates/x/src/a.rs", "#[cfg(test)]\nuse b;\nmod c;\n", &[]),
        ("crates/x/src/a.rs", "// #[cfg(test)] mod tests;\n", &[]),
    ];
    for (path, text, expected) in cases {
        assert_eq!(test_modules(path, text), expected, "{path}: {text}");
    }
    assert_eq!(messages("crates/x/src/a/testsuite.rs", "fn f() { panic!() }").len(), 1);
}
