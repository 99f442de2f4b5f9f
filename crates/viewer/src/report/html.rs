//! Text that becomes HTML. Everything that comes from a run goes through [`escaped`].

use std::fmt::Write as _;

/// Number of rows of a logged table that are shown.
const ROWS: usize = 100;

/// The text as content or as the value of an attribute in double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Not allowed in HTML.
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A table with escaped cells. The first column of a row names it.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = String::from("<div class=\"wide\"><table>");
    if !head.is_empty() {
        html.push_str("<thead><tr>");
        html.extend(head.iter().map(|name| format!("<th>{}</th>", escaped(name))));
        html.push_str("</tr></thead>");
    }
    html.push_str("<tbody>");
    for row in rows {
        html.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let element = if at == 0 { "th" } else { "td" };
            let _ = write!(html, "<{element}>{}</{element}>", escaped(cell));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html
}

/// The columns that have a value in some row.
pub(super) fn filled(columns: usize, rows: &[impl AsRef<[String]>]) -> Vec<usize> {
    (0..columns).filter(|at| rows.iter().any(|row| !row.as_ref()[*at].is_empty())).collect()
}

/// A table without the columns that have no value.
pub(super) fn filled_table(head: &[&str], rows: &[Vec<String>]) -> String {
    let columns = filled(head.len(), rows);
    let head: Vec<&str> = columns.iter().map(|at| head[*at]).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|at| row[*at].clone()).collect()).collect();
    table(&head, &rows)
}

/// A section with a heading. Nothing without content.
pub(super) fn section(id: &str, heading: &str, content: &str) -> String {
    if content.is_empty() { String::new() } else { format!("<section id=\"{id}\"><h2>{heading}</h2>\n{content}</section>\n") }
}

/// Markdown as HTML: a table of pipes becomes a table, everything else stays text.
pub(super) fn markdown(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim).collect();
    let is_table = lines.len() >= 2 && lines.iter().all(|line| line.starts_with('|')) && lines[1].contains("--");
    if !is_table {
        return format!("<pre>{}</pre>", escaped(text.trim()));
    }
    let cells = |line: &str| -> Vec<String> {
        let inner = line.strip_prefix('|').unwrap_or(line);
        let inner = inner.strip_suffix('|').unwrap_or(inner);
        inner.replace("\\|", "\u{1}").split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    let head = cells(lines[0]);
    let rows: Vec<Vec<String>> = lines[2..].iter().take(ROWS).map(|line| cells(line)).collect();
    let more = (lines.len() - 2).saturating_sub(ROWS);
    let more = if more > 0 { format!("<p class=\"dim\">… and {more} more rows</p>") } else { String::new() };
    table(&head.iter().map(String::as_str).collect::<Vec<_>>(), &rows) + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_an_element_or_an_attribute() {
        assert_eq!(escaped("<a href='x' on=\"y\">&\u{0}\u{1b}ü\n"), "&lt;a href=&#39;x&#39; on=&quot;y&quot;&gt;&amp;\u{fffd}\u{fffd}ü\n");
        assert_eq!(table(&["<h>"], &[vec!["<a>".into(), "<b>".into()]]).matches("&lt;").count(), 3);
        let text = markdown("| <a> | b\\|c |\n|---|--:|\n| 1 | <i>2</i> |");
        assert!(text.contains("<th>&lt;a&gt;</th><th>b|c</th>") && text.contains("<th>1</th><td>&lt;i&gt;2&lt;/i&gt;</td>"), "{text}");
        assert_eq!(markdown("# <b>\n"), "<pre># &lt;b&gt;</pre>");
    }

    #[test]
    fn long_tables_are_cut_and_columns_without_a_value_left_out() {
        let long = (0..150).map(|row| format!("| {row} |\n")).collect::<Vec<_>>().concat();
        let table_of = markdown(&format!("| a |\n|---|\n{long}"));
        assert!(
            table_of.contains("<th>99</th>") && !table_of.contains("<th>100</th>") && table_of.contains("… and 50 more rows"),
            "{table_of}"
        );
        let row = |cells: &[&str]| vec![cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
        assert_eq!(filled_table(&["run", "", "step"], &row(&["a", "", "3"])), table(&["run", "step"], &row(&["a", "3"])));
    }
}
