//! The pages of the types that matter: each public method occurs in an example.

use super::{Finding, programs::blocks, source};

/// A type or a trait, the page with its examples, and the files with its methods.
type Tour = (&'static str, &'static str, &'static [&'static str]);

/// Those of the front page of the crate `stormfire`. A fit has fields and no methods.
const TOURS: [Tour; 11] = [
    ("LightningModule", "crates/module/docs/lightning_module.md", &["crates/module/src/module.rs", "crates/module/src/hook_table.rs"]),
    ("StepOutput", "crates/module/docs/step_output.md", &["crates/module/src/step_output.rs"]),
    ("Stepper", "crates/module/docs/stepper.md", &["crates/module/src/stepper.rs", "crates/module/src/stepper/automatic.rs"]),
    ("Callback", "crates/module/docs/callback.md", &["crates/module/src/callback.rs", "crates/module/src/hook_table.rs"]),
    ("Context", "crates/module/docs/context.md", &["crates/module/src/context.rs"]),
    (
        "Trainer",
        "crates/trainer/docs/trainer.md",
        &["crates/trainer/src/trainer.rs", "crates/trainer/src/trainer/after_fit.rs", "crates/trainer/src/option_table.rs"],
    ),
    (
        "Loader",
        "crates/data/docs/loader.md",
        &["crates/data/src/loader.rs", "crates/data/src/map.rs", "crates/data/src/combined.rs", "crates/data/src/shared.rs"],
    ),
    ("DataModule", "crates/data/docs/data_module.md", &["crates/data/src/data_module.rs"]),
    ("Optimizer", "crates/optim/docs/optimizer.md", &["crates/optim/src/optimizer.rs"]),
    ("Schedule", "crates/optim/docs/schedule.md", &["crates/optim/src/schedule.rs"]),
    ("ModelCheckpoint", "crates/callbacks/docs/model_checkpoint.md", &["crates/callbacks/src/model_checkpoint.rs"]),
];

/// The list of the Trainer's options, which makes setters.
const OPTIONS: &str = "option_table.rs";
/// The list of the hooks, which makes methods of both traits.
const HOOKS: &str = "hook_table.rs";

pub(super) fn check(files: &[(&str, String)]) -> Vec<Finding> {
    let text_of = |path: &str| files.iter().find(|(own, _)| *own == path).map_or("", |(_, text)| text.as_str());
    let mut findings = Vec::new();
    for (name, page, sources) in TOURS {
        for source in sources {
            let text = text_of(source);
            let examples = format!("{}{}", code(text_of(page)), code(&documented(text)));
            for (line, method) in methods(source, text, name) {
                if !has_name(&examples, &method) {
                    findings.push(Finding::at(source, line, format!("no example of `{name}::{method}`: `{page}` is the place for it")));
                }
            }
        }
    }
    findings
}

/// The public methods of a type or a trait, with the numbers of their lines. An item has its own braces on other lines
/// than its methods, as `cargo fmt` writes them. The indentation does not matter.
fn methods(path: &str, text: &str, of: &str) -> Vec<(usize, String)> {
    // Without comments and strings, every brace is code.
    let code = source::code_only(text);
    let lines = (1..).zip(code.lines().map(str::trim));
    if path.ends_with(OPTIONS) {
        return lines.filter_map(|(number, line)| Some((number, option(line)?.to_owned()))).collect();
    }
    if path.ends_with(HOOKS) {
        return lines.filter_map(|(number, line)| Some((number, hook(line)?.to_owned()))).collect();
    }
    let (mut found, mut depth, mut header, mut inside) = (Vec::new(), 0_usize, String::new(), None);
    for (number, line) in lines {
        match (depth, inside) {
            (0, _) => header.extend([line, " "]),
            (1, Some(begin)) => found.extend(method(line, begin).map(|name| (number, name.to_owned()))),
            _ => {}
        }
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            match (c, depth) {
                ('{', 1) => inside = begin_of_methods(&header, of),
                ('}' | ';', 0) => header.clear(),
                _ => {}
            }
        }
    }
    found
}

/// The name in a row of the table of options: `seed: Option<u64> = None, set(..);`.
fn option(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(": ")?;
    (rest.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).then_some(name)
}

/// The name in a row of the table of hooks that are methods: `event on_fit_end => FitEnd, NONE;`.
fn hook(line: &str) -> Option<&str> {
    line.strip_prefix("event ")?.split(" =>").next()
}

/// How a public method begins in the item with this header. `None` for another item.
fn begin_of_methods(header: &str, of: &str) -> Option<&'static str> {
    let is_of = has_name(header, of);
    if is_of && has_name(header, "trait") && has_name(header, "pub") {
        Some("")
    } else if is_of && has_name(header, "impl") && !header.contains(" for ") {
        Some("pub ")
    } else {
        None
    }
}

/// The name of the method that begins in this line.
fn method<'a>(line: &'a str, begin: &str) -> Option<&'a str> {
    let mut rest = line.strip_prefix(begin)?;
    for word in ["const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// The doc comments, as Markdown.
fn documented(text: &str) -> String {
    text.lines().filter_map(|line| line.trim_start().strip_prefix("///")).collect::<Vec<_>>().join("\n")
}

/// The blocks of code of a page. Text around them is not an example.
fn code(page: &str) -> String {
    blocks(page).into_iter().flat_map(|block| block.code).collect::<Vec<_>>().join("\n")
}

/// Whether the text contains the name as a whole word.
fn has_name(text: &str, name: &str) -> bool {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, found)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + found.len()..].chars().next());
        !before.is_some_and(is_inside) && !after.is_some_and(is_inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_without_an_example_are_found() {
        let source = "/// ```\n/// output.weight(3.0);\n/// ```\npub struct StepOutput;\n\nimpl StepOutput {\n    pub fn none() -> Self {\n    }\n    \
            fn own(&self) {}\n    pub fn with<T>(self) {}\n    pub fn weight(self) {}\n}\n\nimpl Default for StepOutput {\n    fn default() {}\n}\n";
        let files = [
            ("crates/module/docs/step_output.md", "`with` is not in an example:\n```\nStepOutput::none()\n```\n".to_owned()),
            ("crates/module/src/step_output.rs", source.to_owned()),
        ];
        let found: Vec<String> = check(&files).iter().map(ToString::to_string).collect();
        let with = "no example of `StepOutput::with`: `crates/module/docs/step_output.md` is the place for it";
        assert_eq!(found, [format!("crates/module/src/step_output.rs:10: {with}")]);
    }

    #[test]
    fn traits_and_options_have_methods() {
        let loader = "pub trait DataModule {\n    fn setup(&mut self) {\n        fn inner() {}\n    }\n}\n";
        assert_eq!(methods("data_module.rs", loader, "DataModule"), [(2, "setup".to_owned())]);
        let table =
            "    $name! {\n        /// The seed: any. Default: = none.\n        seed: Option<u64> = None, set(seed: u64 => Some(seed));\n";
        assert_eq!(methods("option_table.rs", table, "Trainer"), [(3, "seed".to_owned())]);
        let hooks = "        /// The fit ends.\n        event on_fit_end => FitEnd, NONE;\n        call test_step => TestStep, NONE;\n        \
            event on_before_step =>\n            BeforeStep { optimizer: &$a str }, STEP;\n";
        assert_eq!(methods("hook_table.rs", hooks, "Callback"), [(2, "on_fit_end".to_owned()), (4, "on_before_step".to_owned())]);
    }

    #[test]
    fn methods_are_found_at_any_indentation() {
        let source = "#[cfg(unix)]\nimpl<M> Trainer<M>\nwhere\n\tM: Send,\n{\n  pub const fn new() {\n  /* } */ let _ = \"}\";\n  }\n\
            pub fn fit<D>(\n    data: D,\n) {\n}\n  fn own() {}\n}\nimpl Drop for Trainer {\n    pub fn drop() {}\n}\n\
            impl Other {\n    pub fn other() {}\n}\n";
        assert_eq!(methods("trainer.rs", source, "Trainer"), [(6, "new".to_owned()), (9, "fit".to_owned())]);
    }
}
