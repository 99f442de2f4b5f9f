//! Renders a bar as text: the line on a terminal, and further lines for its metrics.

use console::Style;

use super::{View, format};

/// The possible widths of a bar. The largest one is used for which the numbers after it fit.
const BARS: [usize; 3] = [25, 15, 8];

/// The spinner frames that a [`View`] without a length shows instead of a bar.
const SPINNER: [&str; 8] = ["⠁", "⠂", "⠄", "⡀", "⢀", "⠠", "⠐", "⠈"];

/// Maximum length of the displayed name of a run.
const NAME: usize = 24;

/// Draws a view for a terminal of `columns` columns. `drawn` counts the pictures.
pub(super) fn picture(view: &View, columns: usize, colored: bool, drawn: u64) -> String {
    let name = view.run.as_deref().map(|name| shortened(name) + " ").unwrap_or_default();
    let before = format!("{name}{} ", view.label);
    let position = match view.total {
        Some(total) => format!(" {}/{total} ", view.done),
        None => format!(" {} ", view.done),
    };
    let numbers = numbers(view);
    let width = |text: &str| text.chars().count();
    let (bar, bar_width) = match view.total {
        Some(total) => {
            let others = width(&before) + width(&position) + width(&numbers);
            // On a very narrow screen, the numbers are cut, as without a bar.
            let bar_width = BARS.into_iter().find(|bar| others + bar <= columns).unwrap_or(BARS[2]);
            (bar(view.done, total, bar_width, colored), bar_width)
        }
        None => (painted(SPINNER[(drawn % SPINNER.len() as u64) as usize], &Style::new().cyan(), colored), 1),
    };
    let metrics = view.metrics.iter().map(|(name, value)| format!("{name}: {value}").replace(char::is_control, ""));
    let taken = width(&before) + bar_width + width(&position);
    format!("{before}{bar}{position}{}", format::lines(numbers, metrics.collect(), taken, columns))
}

/// Keeps the end of a long name, because that distinguishes runs.
fn shortened(name: &str) -> String {
    let name = name.replace(char::is_control, "");
    match name.chars().count().checked_sub(NAME) {
        Some(more) if more > 0 => format!("…{}", name.chars().skip(more + 1).collect::<String>()),
        _ => name,
    }
}

/// Times and speed.
fn numbers(view: &View) -> String {
    let elapsed = format::clock(view.elapsed);
    let remaining = match format::remaining(view.done, view.total, view.per_second) {
        Some(time) => format!(" • {}", format::clock(time)),
        None if view.total.is_some() => " • -:--".into(),
        None => String::new(),
    };
    let to_end = view.to_end.map(|time| format!(" • {} to end", format::clock(time))).unwrap_or_default();
    format!("{elapsed}{remaining} {}{to_end}", format::speed(view.per_second))
}

fn bar(done: u64, total: u64, width: usize, colored: bool) -> String {
    let share = if total == 0 { 1.0 } else { (done as f64 / total as f64).min(1.0) };
    let whole = (share * width as f64) as usize;
    let begun = usize::from(share > 0.0 && whole < width);
    let done = "━".repeat(whole) + &"╸".repeat(begun);
    // Without color, the remaining part must look different from the finished part.
    let left = if colored { "━" } else { " " }.repeat(width - whole - begun);
    painted(&done, &Style::new().cyan(), colored) + &painted(&left, &Style::new().black().bright(), colored)
}

fn painted(text: &str, style: &Style, colored: bool) -> String {
    if colored && !text.is_empty() { style.clone().force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn view(run: Option<&str>, label: &str) -> View {
        View {
            run: run.map(Into::into),
            label: label.into(),
            done: 5,
            total: Some(10),
            elapsed: Duration::from_secs(45),
            per_second: Some(0.5),
            to_end: None,
            metrics: vec![("loss".into(), "0.5".into())],
        }
    }

    #[test]
    fn a_run_among_others_begins_with_its_name_and_its_bar_gives_way_to_the_numbers() {
        let line = |run, label, columns| picture(&view(run, label), columns, false, 0);
        assert_eq!(line(None, "Epoch 0/2", 80), "Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:45 • 0:10 0.50 it/s loss: 0.5");
        let named = line(Some("version_1"), "Epoch 0/2", 80);
        assert_eq!(named, "version_1 Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:45 • 0:10 0.50 it/s\n  loss: 0.5");
        let validation = line(Some("version_1"), "Validation DataLoader 0", 80);
        assert_eq!(validation, "version_1 Validation DataLoader 0 ━━━━━━━╸        5/10 0:45 • 0:10 0.50 it/s\n  loss: 0.5");
        let long = line(Some("an/experiment/of/many/words/version_1"), "Epoch 0/2", 120);
        insta::assert_snapshot!(long, @"…of/many/words/version_1 Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:45 • 0:10 0.50 it/s loss: 0.5");
    }

    #[test]
    fn colors_are_added_where_they_are_wanted() {
        let colored = picture(&view(None, "Epoch 0/2"), 80, true, 0);
        assert!(colored.contains("\u{1b}[36m━━━━━━━━━━━━╸\u{1b}[0m"), "{colored:?}");
        let plain = picture(&view(None, "Epoch 0/2"), 80, false, 0);
        assert_eq!(
            console::strip_ansi_codes(&colored).replacen(&"━".repeat(12), "", 1).replace(&"━".repeat(12), &" ".repeat(12)),
            plain.replacen(&"━".repeat(12), "", 1)
        );
    }

    #[test]
    fn nothing_to_do_is_done() {
        assert_eq!([bar(0, 0, 8, false), bar(0, 9, 8, false), bar(9, 9, 8, false)], ["━".repeat(8), " ".repeat(8), "━".repeat(8)]);
        assert_eq!(bar(20, 10, 8, false), "━".repeat(8));
    }
}
