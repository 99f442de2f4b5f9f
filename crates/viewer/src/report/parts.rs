//! The sections of the page.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::figure;
use super::html::{escaped, filled, filled_table, markdown, section, table};
use crate::compare;
use crate::metric_names::{is_of_machine, rank};
use crate::runs::{Content, Curve, Level, MediaKind, Run, Tag, number};

/// Number of log lines at the end of the page.
const LOG_LINES: usize = 40;
/// Number of actions of a profile.
const ACTIONS: usize = 20;
/// Images that are smaller than this are enlarged without smoothing.
const SMALL: u32 = 128;

/// The runs with their state, and the switches that hide them.
pub(super) fn runs(runs: &[Run], now: SystemTime) -> String {
    let head = ["state", "step", "epoch", "best checkpoint", "device", "folder"];
    let cells = |run: &Run| {
        let best = run.checkpoints().iter().find(|saved| saved.is_best).and_then(|saved| saved.score.clone());
        let device = run.about().facts.iter().find(|(found, _)| found == "device").map(|(_, value)| value.clone());
        [
            run.state(now).name().to_owned(),
            run.step().map(number).unwrap_or_default(),
            run.last("epoch").map(number).unwrap_or_default(),
            best.map(|(metric, score)| format!("{metric} {}", number(score))).unwrap_or_default(),
            device.unwrap_or_default(),
            run.folder().display().to_string(),
        ]
    };
    let rows: Vec<_> = runs.iter().map(cells).collect();
    let columns = filled(head.len(), &rows);
    let mut html = String::from("<div class=\"wide\"><table><thead><tr><th>run</th>");
    html.extend(columns.iter().map(|at| format!("<th>{}</th>", head[*at])));
    html.push_str("</tr></thead><tbody>");
    for ((at, run), cells) in runs.iter().enumerate().zip(&rows) {
        let name = escaped(&run.name);
        let _ = write!(html, "<tr><th data-name=\"{name}\"><label for=\"run{at}\">{}{name}</label></th>", swatch(at));
        html.extend(columns.iter().map(|at| format!("<td>{}</td>", escaped(&cells[*at]))));
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    section("runs", "Runs", &html)
}

/// A time in UTC without the fractions of its second: `2026-11-29T13:11:57.640212Z`.
pub(super) fn to_seconds(time: &str) -> String {
    let Some((seconds, fraction)) = time.split_once('.') else { return time.to_owned() };
    format!("{seconds}{}", fraction.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// The colour and the dashes of a run.
fn swatch(at: usize) -> String {
    format!("<svg class=\"swatch c{at}\" viewBox=\"0 0 26 8\"><line x1=\"0\" x2=\"26\" y1=\"4\" y2=\"4\"/></svg>")
}

/// A chart for each metric, and a table of the metrics that have one value.
pub(super) fn curves(runs: &[Run]) -> String {
    let names: BTreeSet<&str> = runs.iter().flat_map(Run::names).filter(|name| *name != "epoch").collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| rank(name));
    let (machine, metrics): (Vec<&str>, Vec<&str>) = names.into_iter().partition(|name| is_of_machine(name));
    let figures = |names: Vec<&str>| {
        let has_one = |name: &&str| runs.iter().filter_map(|run| run.curve(name)).all(|curve| curve.len() == 1);
        let (single, several): (Vec<&str>, Vec<&str>) = names.into_iter().partition(has_one);
        let figures: String = several.iter().map(|name| curve(name, runs)).collect();
        let figures = if figures.is_empty() { figures } else { format!("<div class=\"grid2\">{figures}</div>") };
        figures + &single_values(&single, runs)
    };
    section("curves", "Curves", &figures(metrics)) + &section("machine", "Learning rates, speed and machine", &figures(machine))
}

fn single_values(names: &[&str], runs: &[Run]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let mut html = String::from("<div class=\"wide\"><table class=\"single\"><thead><tr><th>single values</th>");
    for (at, run) in runs.iter().enumerate() {
        let _ = write!(html, "<th class=\"run{at}\">{}{}</th>", swatch(at), escaped(&run.name));
    }
    html.push_str("</tr></thead><tbody>");
    for name in names {
        let _ = write!(html, "<tr><th>{}</th>", escaped(name));
        for (at, run) in runs.iter().enumerate() {
            let value = match run.curve(name).and_then(Curve::last) {
                None => "–".to_owned(),
                Some((step, value)) => format!("{} <span class=\"dim\">at {}</span>", number(value), number(step)),
            };
            let _ = write!(html, "<td class=\"run{at}\">{value}</td>");
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table></div>"
}

fn curve(name: &str, runs: &[Run]) -> String {
    let curves: Vec<(usize, &Curve)> = runs.iter().enumerate().filter_map(|(at, run)| Some((at, run.curve(name)?))).collect();
    let mut html = format!(
        "<figure><h3>{}</h3>{}<table><thead><tr><th></th><th>newest</th><th>lowest</th><th>highest</th><th>values</th></tr></thead><tbody>",
        escaped(name),
        figure::curves(name, &curves)
    );
    for (at, curve) in &curves {
        let value = |point: Option<(f64, f64)>, with_step: bool| match point {
            Some((step, value)) if with_step => format!("{} <span class=\"dim\">at {}</span>", number(value), number(step)),
            Some((_, value)) => number(value),
            None => "–".to_owned(),
        };
        let broken = match curve.first_broken() {
            Some((step, _)) => format!(" <span class=\"bad\">{} not finite, first at {}</span>", curve.broken(), number(step)),
            None => String::new(),
        };
        let (last, min, max) = (value(curve.last(), false), value(curve.min(), true), value(curve.max(), true));
        let _ = write!(
            html,
            "<tr class=\"run{at}\"><th>{}{}</th><td>{last}</td><td>{min}</td><td>{max}</td><td>{}{broken}</td></tr>",
            swatch(*at),
            escaped(&runs[*at].name),
            curve.len()
        );
    }
    html + "</tbody></table></figure>"
}

/// The checkpoints with scores, best first, then the newest ones.
pub(super) fn checkpoints(runs: &[Run]) -> String {
    let mut rows = Vec::new();
    for run in runs {
        let mut list: Vec<_> = run.checkpoints().iter().collect();
        list.sort_by_key(|saved| !saved.is_best);
        for saved in list {
            let count = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
            let (metric, score) = saved.score.clone().map(|(name, score)| (name, number(score))).unwrap_or_default();
            let kind = match (saved.is_best, saved.weights_only) {
                (true, _) => "best",
                (false, true) => "weights only",
                (false, false) => "",
            };
            let (name, path) = (run.name.clone(), saved.path.display().to_string());
            rows.push(vec![
                name,
                kind.into(),
                metric,
                score,
                count(saved.global_step),
                count(saved.epoch),
                path,
                to_seconds(&saved.saved_at),
            ]);
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    section("checkpoints", "Checkpoints", &filled_table(&["run", "", "metric", "score", "step", "epochs done", "file", "saved at"], &rows))
}

/// The settings that differ, then the common ones.
pub(super) fn settings(runs: &[Run]) -> String {
    let all = compare::settings(&runs.iter().collect::<Vec<_>>());
    let names: Vec<&str> = std::iter::once("setting").chain(runs.iter().map(|run| run.name.as_str())).collect();
    let row = |setting: &compare::Setting| -> Vec<String> {
        let values = setting.values.iter().map(|value| value.clone().unwrap_or_else(|| "–".to_owned()));
        std::iter::once(setting.name.clone()).chain(values).collect()
    };
    let (differing, common): (Vec<_>, Vec<_>) = all.iter().partition(|setting| setting.differs);
    let mut html = String::new();
    if !differing.is_empty() {
        html.push_str("<p>These differ:</p>");
        html.push_str(&table(&names, &differing.into_iter().map(row).collect::<Vec<_>>()));
    }
    if !common.is_empty() {
        let rows: Vec<_> = common.iter().map(|setting| vec![setting.name.clone(), setting.values[0].clone().unwrap_or_default()]).collect();
        let opened = if html.is_empty() && rows.len() <= 30 { " open" } else { "" };
        let what = if runs.len() > 1 { "settings that all runs share" } else { "settings" };
        let _ = write!(html, "<details{opened}><summary>{} {what}</summary>{}</details>", rows.len(), table(&["setting", "value"], &rows));
    }
    section("settings", "Settings", &html)
}

/// Images, sounds, texts, PR curves and histograms, a figure for each tag.
pub(super) fn media(runs: &[Run]) -> String {
    let tags: BTreeSet<(MediaKind, &str)> = runs.iter().flat_map(Run::media).map(|(name, tag)| (tag.kind, name)).collect();
    let mut html = String::new();
    for (kind, name) in tags {
        let of_runs: Vec<(usize, &Tag)> = runs
            .iter()
            .enumerate()
            .flat_map(|(at, run)| run.media().filter(|(found, tag)| *found == name && tag.kind == kind).map(move |(_, tag)| (at, tag)))
            .collect();
        let content = if kind == MediaKind::PrCurve {
            let newest: Vec<_> = of_runs
                .iter()
                .filter_map(|(at, tag)| match &tag.kept.last()?.content {
                    Content::PrCurve(precision, recall) => Some((*at, &precision[..], &recall[..])),
                    _ => None,
                })
                .collect();
            format!("{}<figcaption>precision over recall, the newest of each run</figcaption>", figure::pr_curves(name, &newest))
        } else {
            of_runs.iter().map(|(at, tag)| tag_of_run(name, *at, runs, tag)).collect()
        };
        let _ = write!(html, "<figure><h3>{} <span class=\"dim\">{}</span></h3>{content}</figure>", escaped(name), kind.name());
    }
    if html.is_empty() {
        return html;
    }
    let left_out: u64 = runs.iter().map(Run::media_left_out).sum();
    let note =
        if left_out > 0 { format!("<p class=\"dim\">{left_out} values are left out, to keep this page small.</p>") } else { String::new() };
    section("media", "Media", &format!("{note}<div class=\"grid2\">{html}</div>"))
}

fn tag_of_run(name: &str, at: usize, runs: &[Run], tag: &Tag) -> String {
    let mut html = String::new();
    let newest = tag.kept.last().into_iter();
    let only_newest = matches!(tag.kind, MediaKind::Histogram | MediaKind::Text);
    let shown: Vec<_> = if only_newest { newest.collect() } else { tag.kept.iter().collect() };
    for medium in shown {
        let content = match &medium.content {
            Content::Image(bytes, width, height) => image(name, bytes, (*width, *height)),
            Content::Audio(bytes, content_type) => sound(bytes, content_type),
            Content::Text(text) => markdown(text),
            Content::Histogram(limits, counts) => figure::histogram(name, at, limits, counts),
            Content::PrCurve(..) => String::new(),
        };
        let _ = write!(html, "<div>{content}<figcaption>step {}</figcaption></div>", medium.step);
    }
    let more = tag.count.saturating_sub(tag.kept.len() as u64);
    let more = if more > 0 { format!(" · {more} older ones") } else { String::new() };
    let run = escaped(&runs[at].name);
    format!("<div class=\"run{at}\"><p>{}{run}<span class=\"dim\">{more}</span></p><div class=\"strip\">{html}</div></div>", swatch(at))
}

/// Only formats that a browser draws without running code in them.
fn image(name: &str, bytes: &[u8], (width, height): (u32, u32)) -> String {
    let formats: [(&[u8], &str); 3] = [(b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif")];
    let Some((_, format)) = formats.iter().find(|(start, _)| bytes.starts_with(start)) else {
        return "<p class=\"dim\">an image in a format that is not shown</p>".to_owned();
    };
    let is_small = width < SMALL && height < SMALL;
    let class = if is_small { " class=\"small\"" } else { "" };
    let name = escaped(name);
    format!("<img{class} alt=\"{name}\" width=\"{width}\" src=\"data:image/{format};base64,{}\">", STANDARD.encode(bytes))
}

fn sound(bytes: &[u8], content_type: &str) -> String {
    let known = ["audio/wav", "audio/mpeg", "audio/ogg", "audio/flac"];
    let kind = known.iter().find(|known| **known == content_type).unwrap_or(&known[0]);
    format!("<audio controls preload=\"none\" src=\"data:{kind};base64,{}\"></audio>", STANDARD.encode(bytes))
}

/// Device, precision, seed and versions, from the checkpoints.
pub(super) fn environment(runs: &[Run]) -> String {
    let names: Vec<&str> =
        runs.iter().flat_map(|run| run.about().facts.iter().map(|(name, _)| name.as_str())).fold(Vec::new(), |mut all, name| {
            if !all.contains(&name) {
                all.push(name);
            }
            all
        });
    let value = |run: &Run, name: &str| run.about().facts.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    let row =
        |name: &&str| std::iter::once((*name).to_owned()).chain(runs.iter().map(|run| value(run, name).unwrap_or_default())).collect();
    let rows: Vec<Vec<String>> = names.iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head: Vec<&str> = std::iter::once("").chain(runs.iter().map(|run| run.name.as_str())).collect();
    section("environment", "Environment", &table(&head, &rows))
}

/// The longest actions of the profiler's traces.
pub(super) fn profile(runs: &[Run]) -> String {
    let mut html = String::new();
    for run in runs {
        let actions = run.profile();
        let Some(longest) = actions.first().map(|action| action.seconds) else { continue };
        let _ = write!(
            html,
            "<h3>{}</h3><div class=\"wide\"><table><thead><tr><th>action</th><th>seconds</th><th>calls</th><th>ms each</th><th></th></tr></thead><tbody>",
            escaped(&run.name)
        );
        for action in actions.iter().take(ACTIONS) {
            let width = (action.seconds / longest.max(f64::MIN_POSITIVE) * 200.0).round();
            let _ = write!(
                html,
                "<tr><th>{}</th><td>{:.3}</td><td>{}</td><td>{}</td><td><span class=\"bar\" style=\"width:{width}px\"></span></td></tr>",
                escaped(&action.name),
                action.seconds,
                action.calls,
                number(action.seconds * 1e3 / action.calls as f64)
            );
        }
        html.push_str("</tbody></table></div>");
    }
    let note = "<p class=\"dim\">An action contains those that it calls, so the times do not add up.</p>";
    section("profile", "Profile", &if html.is_empty() { html } else { format!("{note}{html}") })
}

/// Warnings and errors of the logs, what is wrong with the files, and the newest log lines.
pub(super) fn warnings(runs: &[Run]) -> String {
    let mut rows = String::new();
    for run in runs {
        for problem in run.problems() {
            let _ = write!(
                rows,
                "<tr><th>{}</th><td class=\"warn\">files</td><td></td><td>{}</td></tr>",
                escaped(&run.name),
                escaped(&problem)
            );
        }
        for warning in run.warnings() {
            let (class, level) = if warning.level == Level::Error { ("bad", "error") } else { ("warn", "warning") };
            let count = if warning.count > 1 { format!("{}×", warning.count) } else { String::new() };
            let (run, text) = (escaped(&run.name), escaped(&warning.text));
            let _ = write!(rows, "<tr><th>{run}</th><td class=\"{class}\">{level}</td><td>{count}</td><td>{text}</td></tr>");
        }
    }
    let mut html = if rows.is_empty() { rows } else { format!("<div class=\"wide\"><table><tbody>{rows}</tbody></table></div>") };
    for run in runs {
        let newest: Vec<_> = run.messages().rev().take(LOG_LINES).map(|message| message.text.as_str()).collect();
        if !newest.is_empty() {
            let text = newest.into_iter().rev().collect::<Vec<_>>().join("\n");
            let _ = write!(html, "<details><summary>log of {}</summary><pre>{}</pre></details>", escaped(&run.name), escaped(&text));
        }
    }
    section("warnings", "Warnings and log", &html)
}
