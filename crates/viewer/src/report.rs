//! A page about runs: one file without requests, for any browser.

mod figure;
mod html;
mod parts;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use stormfire_store::replacement::Replacement;

use crate::runs::{Keep, MediaLimits, Run, Runs, Unreadable};
use html::escaped;

const STYLE: &str = include_str!("report/style.css");
const SCRIPT: &str = include_str!("report/script.js");

/// The limits of the page for each run.
const KEEP: Keep =
    Keep { buckets: 1 << 19, media: MediaLimits { per_tag: 6, bytes: 16 << 20 }, samples_above: u64::MAX, all_messages: true };

/// Colours of runs on a light and on a dark page. All have a contrast of at least 3 to it.
const COLORS: [(&str, &str); 8] = [
    ("#0b6bcb", "#5cb0ff"),
    ("#c2410c", "#ff9a5c"),
    ("#15803d", "#4fd17f"),
    ("#a21caf", "#e879f9"),
    ("#b91c1c", "#ff8080"),
    ("#0e7490", "#45d0e6"),
    ("#854d0e", "#e0b84a"),
    ("#4b5563", "#b6bec9"),
];
/// The dashes of runs, which distinguish them in a print without colours.
const DASHES: [&str; 4] = ["none", "7 4", "2 3", "9 3 2 3"];

const LIGHT: &str = "--page:#fff;--card:#fafbfc;--text:#1b1f24;--dim:#5f6b7a;--line:#dfe4ea;--link:#0b6bcb;--warn:#a15c00;--bad:#c01c28;";
const DARK: &str = "--page:#14171b;--card:#1b1f24;--text:#e6e9ed;--dim:#98a3b1;--line:#343b44;--link:#5cb0ff;--warn:#e0b84a;--bad:#ff8080;";

/// A page that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A path contains no run.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The file cannot be written.
    #[error("`{}` cannot be written: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl ReportError {
    /// How to fix it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable(error) => error.hint(),
            Self::Unwritable { .. } => "name a file in a folder that exists: `-o report.html`",
        }
    }
}

/// Writes a page about the runs in and below these paths. Returns the number of runs and the size of the page in bytes.
///
/// # Errors
/// [`ReportError`] if a path contains no run, or the file cannot be written.
pub fn write(paths: &[PathBuf], to: &Path) -> Result<(usize, u64), ReportError> {
    let mut runs = Runs::open(paths, KEEP)?;
    runs.read_all();
    let html = page(&title(paths, runs.list()), &runs, SystemTime::now());
    let unwritable = |error: &dyn std::fmt::Display| ReportError::Unwritable { path: to.to_owned(), reason: error.to_string() };
    let file = Replacement::new(to).map_err(|error| unwritable(&error))?;
    file.commit_bytes(html.as_bytes()).map_err(|error| unwritable(&error))?;
    Ok((runs.list().len(), html.len() as u64))
}

/// One path, or the last parts of the names of a few runs.
fn title(paths: &[PathBuf], runs: &[Run]) -> String {
    let names: Vec<&str> = runs.iter().map(|run| run.name.rsplit(['/', '\\']).next().unwrap_or(&run.name)).collect();
    match paths {
        [path] => path.display().to_string(),
        _ if names.len() <= 4 => names.join(", "),
        _ => format!("{} runs", runs.len()),
    }
}

/// The page as HTML.
pub fn page(title: &str, runs: &Runs, now: SystemTime) -> String {
    let list = runs.list();
    let body = [
        parts::runs(list, now),
        parts::curves(list),
        parts::checkpoints(list),
        parts::settings(list),
        parts::media(list),
        parts::environment(list),
        parts::profile(list),
        parts::warnings(list),
    ];
    let mut html = head(title, list.len());
    html.push_str(&switches(list));
    let _ = writeln!(html, "<main>\n<h1>{}</h1>", escaped(title));
    if runs.left_out() > 0 {
        let _ = write!(html, "<p class=\"warn\">{} older runs are left out.</p>", runs.left_out());
    }
    html.push_str(&controls(&body));
    html.extend(body);
    let _ = writeln!(
        html,
        "</main>\n<footer>Written by Stormfire {}.</footer>\n<script>{SCRIPT}</script>\n</body></html>",
        env!("CARGO_PKG_VERSION")
    );
    html
}

fn head(title: &str, runs: usize) -> String {
    // Nothing is requested, and only this script runs, even if a text of a run were not escaped.
    let hash = STANDARD.encode(Sha256::digest(SCRIPT));
    let policy = format!("default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'");
    let mut style = format!(":root{{color-scheme:light;{LIGHT}{}}}\n", colors(|pair| pair.0));
    let dark = format!("color-scheme:dark;{DARK}{}", colors(|pair| pair.1));
    let _ = writeln!(
        style,
        "@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n@media screen{{:root:has(#dark:checked){{{dark}}}"
    );
    let _ = writeln!(style, ":root:has(#light:checked){{color-scheme:light;{LIGHT}{}}}}}", colors(|pair| pair.0));
    for run in 0..runs {
        let (color, dash) = (run % COLORS.len(), DASHES[run % DASHES.len()]);
        let _ = write!(style, ".run.run{run},.c{run}{{color:var(--c{color})}}.run{run} path.line,.c{run} line{{stroke-dasharray:{dash}}}");
        let _ = writeln!(
            style,
            "#run{run}:not(:checked)~main .run{run}{{display:none}}#run{run}:not(:checked)~main label[for=run{run}]{{opacity:.4}}"
        );
    }
    for switch in ["raw", "log", "light", "dark", "auto"] {
        let _ = write!(style, "#{switch}:checked~main label[for={switch}]{{background:var(--link);color:var(--page)}}");
        let _ = writeln!(style, "#{switch}:focus-visible~main label[for={switch}]{{outline:2px solid var(--link)}}");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{}</title>\n<style>{style}{STYLE}</style></head>\n<body>\n",
        escaped(title)
    )
}

fn colors(of: impl Fn(&(&'static str, &'static str)) -> &'static str) -> String {
    COLORS.iter().enumerate().fold(String::new(), |all, (at, pair)| all + &format!("--c{at}:{};", of(pair)))
}

/// The states of the switches. Their labels are in the page, and the style sheet connects both.
fn switches(runs: &[Run]) -> String {
    let mut html = String::new();
    for run in 0..runs.len() {
        let _ = write!(html, "<input class=\"switch\" type=\"checkbox\" id=\"run{run}\" checked>");
    }
    html.push_str("<input class=\"switch\" type=\"checkbox\" id=\"raw\"><input class=\"switch\" type=\"checkbox\" id=\"log\">");
    html.push_str("<input class=\"switch\" type=\"radio\" name=\"theme\" id=\"auto\" checked>");
    html.push_str("<input class=\"switch\" type=\"radio\" name=\"theme\" id=\"light\"><input class=\"switch\" type=\"radio\" name=\"theme\" id=\"dark\">\n");
    html
}

/// Links to the sections that the page has, and the labels of the switches.
fn controls(body: &[String]) -> String {
    let names = [
        ("curves", "Curves"),
        ("machine", "Machine"),
        ("checkpoints", "Checkpoints"),
        ("settings", "Settings"),
        ("media", "Media"),
        ("environment", "Environment"),
        ("profile", "Profile"),
        ("warnings", "Warnings"),
    ];
    let exists = |id: &str| body.iter().any(|section| section.contains(&format!("<section id=\"{id}\">")));
    let mut links = String::new();
    for (id, name) in names.iter().filter(|(id, _)| exists(id)) {
        let _ = write!(links, "<a href=\"#{id}\">{name}</a>");
    }
    format!(
        "<nav>{links}</nav>\n<div class=\"switches\"><label for=\"raw\">without smoothing</label><label for=\"log\">logarithmic</label>\
         <label for=\"auto\">auto</label><label for=\"light\">light</label><label for=\"dark\">dark</label></div>\n\
         <p class=\"dim\">Lines are smoothed (weight {} of the past). Areas show the range of neighbouring values.<span class=\"screen\"> Click on a run in the table to hide it.</span></p>\n",
        figure::SMOOTHING
    )
}
