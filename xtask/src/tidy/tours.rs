//! The pages of the types that matter: each public method occurs in an example.

use super::Finding;

/// A type or a trait, the page with its examples, and the files with its methods.
type Tour = (&'static str, &'static str, &'static [&'static str]);

/// Those of the front page of the crate `stormfire`. A fit has fields and no methods.
const TOURS: [Tour; 11] = [
    ("LightningModule", "crates/module/docs/lightning_module.md", &["crates/module/src/module.rs"]),
    ("StepOutput", "crates/module/docs/step_output.md", &["crates/module/src/step_output.rs"]),
    ("Stepper", "crates/module/docs/stepper.md", &["crates/module/src/stepper.rs", "crates/module/src/stepper/automatic.rs"]),
    ("Callback", "crates/module/docs/callback.md", &["crates/module/src/callback.rs"]),
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

pub(super) fn check(files: &[(&str, String)]) -> Vec<Finding> {
    let text_of = |path: &str| files.iter().find(|(own, _)| *own == path).map_or("", |(_, text)| text.as_str());
    let mut findings = Vec::new();
    for (name, page, sources) in TOURS {
        for source in sources {
            let text = text_of(source);
            let examples = format!("{}{}", text_of(page), documented(text));
            for (line, method) in methods(source, text, name) {
                if !has_name(&examples, method) {
                    findings.push(Finding::at(source, line, format!("no example of `{name}::{method}`: `{page}` is the place for it")));
                }
            }
        }
    }
    findings
}

/// The public methods of a type or a trait, with the numbers of their lines.
fn methods<'a>(path: &str, text: &'a str, of: &str) -> Vec<(usize, &'a str)> {
    if path.ends_with(OPTIONS) {
        let option = |line: &'a str| line.strip_prefix("            ").filter(|rest| rest.contains("= "))?.split_once(": ");
        let rows = (1..).zip(text.lines()).filter_map(|(number, line)| Some((number, option(line)?.0)));
        return rows.filter(|(_, name)| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect();
    }
    let mut found = Vec::new();
    let mut begin: Option<&str> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('}') {
            begin = None;
        } else if line.starts_with("pub trait ") && has_name(line, of) {
            begin = Some("    fn ");
        } else if line.starts_with("impl") && !line.contains(" for ") && has_name(line, of) {
            begin = Some("    pub fn ");
        } else if let Some(rest) = begin.and_then(|begin| line.strip_prefix(begin)) {
            found.extend(rest.split(['(', '<']).next().map(|name| (number, name)));
        }
    }
    found
}

/// The lines of doc comments.
fn documented(text: &str) -> String {
    text.lines().filter(|line| line.trim_start().starts_with("/// ")).collect::<Vec<_>>().join("\n")
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
            ("crates/module/docs/step_output.md", "StepOutput::none()".to_owned()),
            ("crates/module/src/step_output.rs", source.to_owned()),
        ];
        let found: Vec<String> = check(&files).iter().map(ToString::to_string).collect();
        let with = "no example of `StepOutput::with`: `crates/module/docs/step_output.md` is the place for it";
        assert_eq!(found, [format!("crates/module/src/step_output.rs:10: {with}")]);
    }

    #[test]
    fn traits_and_options_have_methods() {
        let loader = "pub trait DataModule {\n    fn setup(&mut self) {\n        fn inner() {}\n    }\n}\n";
        assert_eq!(methods("data_module.rs", loader, "DataModule"), [(2, "setup")]);
        let table = "        $name! {\n            /// The seed: any. Default: = none.\n            seed: Option<u64> = None, set(seed: u64 => Some(seed));\n";
        assert_eq!(methods("option_table.rs", table, "Trainer"), [(3, "seed")]);
    }
}
