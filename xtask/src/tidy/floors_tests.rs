use super::*;

/// The findings for a crate `x` with these files and this list.
fn findings(list: &str, files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> = files.iter().map(|(path, text)| (format!("crates/x/src/{path}"), (*text).to_owned())).collect();
    let files: Vec<(&str, String)> = files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    let tests: Vec<String> = files.iter().flat_map(|(path, text)| source::test_modules(path, text)).collect();
    let mut report = Report { findings: Vec::new(), floors: Vec::new() };
    check_crate("x", &sources("x", &files, &tests), &lists(list), &mut report);
    report.findings.iter().map(ToString::to_string).collect()
}

const LIST: &str = "text\n```floors x\na, b — below\nc\n```\nmore\n";
const UP: &str = "crates/x/src/a.rs:1: `a` uses `c::C`, and `c` is not on a floor below `a` in ARCHITECTURE.md";

#[test]
fn a_list_is_read_up_to_its_fence() {
    let expected = List {
        krate: "x".to_owned(),
        parent: vec!["p".to_owned()],
        floors: vec![(2, vec!["a".to_owned(), "b".to_owned()]), (3, vec!["c".to_owned()])],
    };
    assert_eq!(lists("```floors x::p\na b — below\nc\n```\nd\n```\ne\n```\n"), [expected]);
    assert!(lists("floors x\n```rust\na\n```\n").is_empty());
}

#[test]
fn a_module_only_uses_lower_layers() {
    let lib = ("lib.rs", "mod a;\nmod b;\nmod c;\npub use c::C;\nuse a::A;");
    assert!(findings(LIST, &[lib, ("a.rs", "pub struct A;"), ("b.rs", ""), ("c.rs", "use crate::a::A;\npub struct C;")]).is_empty());
    for a in [
        "use crate::c::C;",
        "use super::c::C;",
        "use crate::{b::{self}, c::{C as Other}};",
        "fn f() { crate::c::C::new() }",
        "use crate::C;",
        "mod inner { use super::super::C; }",
        "fn f(x: &dyn Fn(crate::c::C)) {}",
        "const A: char = '\"'; use crate::c::C;",
    ] {
        let found = findings(LIST, &[lib, ("a.rs", a), ("b.rs", ""), ("c.rs", "pub struct C;")]);
        let expected = if a.contains("b::") { 2 } else { 1 };
        assert_eq!(found.len(), expected, "{a}: {found:?}");
        assert_eq!(found.last().map(String::as_str), Some(UP), "{a}");
    }
}

#[test]
fn an_exported_macro_belongs_to_the_module_that_writes_it() {
    let lib = ("lib.rs", "mod a;\nmod b;\nmod c;");
    let exports = "#[macro_export]\nmacro_rules! make { () => { $crate::c::C } }";
    // The expansion belongs to the module that calls the macro.
    assert!(findings(LIST, &[lib, ("a.rs", exports), ("b.rs", ""), ("c.rs", "crate::make!();")]).is_empty());
    let found = findings(LIST, &[lib, ("a.rs", "crate::make!();"), ("b.rs", ""), ("c.rs", exports)]);
    assert_eq!(found, [UP.replace("c::C", "c::make")]);
}

#[test]
fn modules_of_one_layer_do_not_use_each_other() {
    let found = findings(LIST, &[("lib.rs", ""), ("a.rs", ""), ("b.rs", "\nuse crate::a;"), ("c.rs", "")]);
    assert_eq!(found, ["crates/x/src/b.rs:2: `b` uses `a`, and `a` is not on a floor below `b` in ARCHITECTURE.md"]);
}

#[test]
fn only_code_of_the_library_counts() {
    for a in [
        "// use crate::c::C;",
        "/// [`crate::c::C`]\nfn f() {}",
        "const A: &str = \"crate::c::C\";",
        "#[cfg(test)]\nmod tests { use crate::c::C; }",
        "#[cfg(test)]\nmod tests;",
        "use other::c::C;",
        "use self::inner::c; mod inner { pub mod c {} }",
        "mod inner { use super::A; }\nstruct A;",
    ] {
        let mut files = vec![("lib.rs", ""), ("a.rs", a), ("b.rs", ""), ("c.rs", "pub struct C;")];
        if a.ends_with("mod tests;") {
            files.push(("a/tests.rs", "use crate::c::C;"));
        }
        assert_eq!(findings(LIST, &files), [] as [&str; 0], "{a}");
    }
}

#[test]
fn a_use_is_followed_through_globs() {
    let list = "```floors x\nlow\nhigh\n```";
    let found = |low: &str| {
        findings(
            list,
            &[("lib.rs", "pub use high::*;\n"), ("low.rs", low), ("high.rs", "mod a;\npub use a::A;"), ("high/a.rs", "pub struct A;")],
        )
    };
    assert_eq!(
        found("use crate::A;"),
        ["crates/x/src/low.rs:1: `low` uses `high::a::A`, and `high` is not on a floor below `low` in ARCHITECTURE.md"]
    );
    assert!(found("").is_empty());
}

#[test]
fn a_list_names_every_module_once_and_no_other() {
    let found = findings("```floors x\na, gone\na\n```", &[("lib.rs", ""), ("a.rs", ""), ("b.rs", "")]);
    let expected = [
        "ARCHITECTURE.md:2: `x` has no module `gone`",
        "ARCHITECTURE.md:3: `a` is on two floors of `x`",
        "ARCHITECTURE.md: the module `b` is on no floor of `x`",
    ];
    assert_eq!(found, expected);
    assert!(findings("", &[("lib.rs", ""), ("a.rs", "")])[0].contains("there is no list"));
}

#[test]
fn a_folder_without_a_list_has_no_cycle() {
    let list = "```floors x\na\n```";
    let files = |c: &'static str| {
        let b = ("a/b.rs", "use super::{c::C, Face};");
        [
            ("lib.rs", ""),
            ("a.rs", "mod b; mod c; mod d; pub use b::B; struct Face;"),
            b,
            ("a/c.rs", c),
            ("a/d.rs", "use super::b;\npub struct D;"),
        ]
    };
    assert!(findings(list, &files("pub struct C;")).is_empty());
    for (c, circle) in
        [("use super::b::B;", "`b` → `c` → `b`"), ("use super::B;", "`b` → `c` → `b`"), ("use super::d::D;", "`b` → `c` → `d` → `b`")]
    {
        let found = findings(list, &files(c));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!("a circle in `x::a`: {circle}")), "{found:?}");
    }
}

#[test]
fn a_folder_with_a_list_is_checked() {
    let list = "```floors x\na\n```\n```floors x::a\nb\nc\n```";
    let files = |b: &'static str| [("lib.rs", ""), ("a.rs", "mod b; mod c;"), ("a/b.rs", b), ("a/c.rs", "pub struct C;")];
    assert!(findings(list, &files("")).is_empty());
    assert!(findings(list, &files("use super::c::C;"))[0].contains("`b` uses `a::c::C`"));
}

#[test]
fn the_root_of_a_crate_only_re_exports() {
    let found = findings("```floors x\na\n```", &[("lib.rs", "pub struct Root;"), ("a.rs", "use crate::Root;")]);
    assert_eq!(found, ["crates/x/src/a.rs:1: `a` uses `Root` of the crate's root, which is above it"]);
}
