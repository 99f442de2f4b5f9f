//! The pages of `--help`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    args::Words,
    node::{Node, Tree},
    print::{fill, inline, wrap},
    registry::Kind,
    schema::{Leaf, Schema, first_sentences, properties},
};

/// Columns of a page that is not on a terminal.
pub(crate) const WIDTH: usize = 80;

/// The least and the most columns: longer lines are hard to read.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=120;

/// The first column of a description.
const MARGIN: usize = 30;

/// The sections whose options are on the long page, except for the frequent ones.
const RARE: [&str; 3] = ["trainer", "tune", "sweep"];

/// The options of the Trainer on the short page.
const FREQUENT: [&str; 10] = [
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.precision",
    "trainer.seed",
    "trainer.default_root_dir",
    "trainer.limit_train_batches",
    "trainer.fast_dev_run",
    "trainer.enable_progress_bar",
];

/// The start of the line that shows the words of a program.
const USAGE: &str = "Usage: ";

/// The first column of a description that has no room behind its name.
const NARROW: usize = 6;

/// The subject of a page of help.
pub(crate) struct Page<'a> {
    pub(crate) program: &'a str,
    pub(crate) about: &'a str,
    pub(crate) words: Words<'a>,
    pub(crate) schema: &'a Schema,
    /// The values without flags.
    pub(crate) defaults: &'a Node,
    pub(crate) prefix: &'a str,
    /// The width of the terminal.
    pub(crate) columns: usize,
}

impl Page<'_> {
    /// `all`: with every option.
    pub(crate) fn text(&self, all: bool) -> String {
        let mut out = Out { text: String::new(), width: self.columns.clamp(*WIDTHS.start(), *WIDTHS.end()) };
        out.paragraph(self.about);
        let has_runs = self.words.has_runs();
        let commands: Vec<&str> = self.words.commands.iter().map(|command| command.name()).collect();
        let commands = has_runs.then(|| format!("[{}]", commands.join("|")));
        let option = if has_runs { "[--section.option=VALUE]..." } else { "[--option=VALUE]..." };
        let words = [self.program].into_iter().chain(commands.as_deref()).chain(["[-c FILE]...", option]);
        let usage = fill(words, out.width - USAGE.len()).join(&format!("\n{}", " ".repeat(USAGE.len())));
        let _ = writeln!(out.text, "\n{USAGE}{usage}\n");
        for own in self.words.own() {
            let short = own.short.map_or(String::new(), |short| format!("-{short}, "));
            let value = own.value.map_or(String::new(), |value| format!(" {value}"));
            out.entry(&format!("{short}--{}{value}", own.name), own.about, "");
        }
        let mut left_out = 0;
        let mut section = "";
        let (own, nested): (Vec<_>, Vec<_>) = self.schema.leaves().partition(|leaf| !leaf.path.contains('.'));
        for leaf in own.into_iter().chain(nested) {
            let of = match leaf.path.split_once('.') {
                Some((of, _)) => of,
                None if leaf.is_section => continue,
                None => "options",
            };
            let is_rare = has_runs && RARE.contains(&of) && !FREQUENT.contains(&leaf.path.as_str());
            if is_rare && !all {
                left_out += 1;
                continue;
            }
            if of != section {
                section = of;
                let doc = self.schema.leaf(of).map(|leaf| first_sentences(&leaf.doc)).unwrap_or_default();
                let colon = if doc.is_empty() { String::new() } else { format!(": {doc}") };
                out.text.push('\n');
                out.paragraph(&format!("{section}{colon}"));
            }
            self.option(&mut out, leaf);
        }
        if left_out > 0 {
            let _ = writeln!(out.text, "  … and {left_out} more: `--help=all`");
        }
        if all && has_runs {
            for kind in Kind::ALL {
                self.registered(&mut out, kind);
            }
        }
        if !self.words.aliases.is_empty() {
            let _ = writeln!(out.text, "\nshort");
            for alias in self.words.aliases {
                let fixed = alias.fixed.as_ref().map_or(String::new(), |fixed| format!("={fixed}"));
                out.entry(&format!("--{}", alias.name), &format!("`--{}{fixed}`", alias.path), "");
            }
        }
        let example =
            if has_runs { "trainer.seed" } else { self.schema.leaves().find(|leaf| !leaf.is_section).map_or("a.b", |leaf| &leaf.path) };
        let variable = crate::env::variable(self.prefix, example);
        out.text.push('\n');
        out.paragraph(&format!("`--a.b=1`, `--a.b 1` and `a.b=1` are the same, and so is a variable like `{variable}`."));
        out.text
    }

    /// The entries that a list of callbacks or loggers may have.
    fn registered(&self, out: &mut Out, kind: Kind) {
        let list = format!("/properties/trainer/properties/{}/anyOf/0/items/oneOf", kind.option());
        let Some(entries) = self.schema.json().pointer(&list).and_then(Value::as_array) else { return };
        out.text.push('\n');
        out.paragraph(&format!("trainer.{}: the names in the list, with their options", kind.option()));
        for variant in entries {
            let text = |value: &Value| value.as_str().map(first_sentences).unwrap_or_default();
            let options = properties(variant).filter(|(_, option)| option.get("const").is_none());
            let options: Vec<&str> = options.map(|(name, _)| name.as_str()).collect();
            let notes = if options.is_empty() { String::new() } else { format!("[{}]", options.join(", ")) };
            let name = variant["properties"]["name"]["const"].as_str().unwrap_or_default();
            out.entry(name, &text(&variant["description"]), &notes);
        }
    }

    fn option(&self, out: &mut Out, leaf: &Leaf) {
        // A section itself has no value, unless it can be chosen or left out.
        if leaf.is_section && leaf.values.is_empty() {
            return;
        }
        let mut notes = Vec::new();
        if !leaf.values.is_empty() {
            notes.push(leaf.values.join(", "));
        }
        let node = self.defaults.get(leaf.path.split('.'));
        match node.map(|node| (&node.value, node)) {
            _ if leaf.is_secret => notes.push("a secret".into()),
            None | Some((Tree::Null, _)) => {}
            Some((Tree::Map(_), _)) if leaf.is_section => {}
            Some((_, node)) => notes.push(format!("default {}", inline(node))),
        }
        let notes = if notes.is_empty() { String::new() } else { format!("[{}]", notes.join("; ")) };
        out.entry(&format!("--{}", leaf.path), &first_sentences(&leaf.doc), &notes);
    }
}

/// A page in the making.
struct Out {
    text: String,
    width: usize,
}

impl Out {
    fn paragraph(&mut self, text: &str) {
        for line in wrap(text, self.width) {
            let _ = writeln!(self.text, "{line}");
        }
    }

    /// A name, and behind it a description in a column.
    fn entry(&mut self, name: &str, about: &str, notes: &str) {
        let about = format!("{about} {notes}");
        // A narrow page has no room for two columns, and a wide column none for a long word.
        let longest = about.split_whitespace().map(|word| word.chars().count()).max().unwrap_or_default();
        let margin = if self.width < 2 * MARGIN || MARGIN + longest > self.width { NARROW } else { MARGIN };
        let lines = wrap(&about, self.width - margin);
        let mut lines = lines.iter();
        let out = &mut self.text;
        let _ = write!(out, "  {name}");
        if name.chars().count() + 4 <= margin
            && let Some(first) = lines.next()
        {
            let _ = write!(out, "{}{first}", " ".repeat(margin - 2 - name.chars().count()));
        }
        out.push('\n');
        for line in lines {
            let _ = writeln!(out, "{}{line}", " ".repeat(margin));
        }
    }
}
