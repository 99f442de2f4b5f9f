//! The screen as an SVG, for documentation.

use std::fmt::Write as _;

use ratatui_core::buffer::Buffer;
use ratatui_core::style::{Color, Modifier, Style};

/// The size of a cell in pixels.
const CELL: (f64, f64) = (8.4, 18.0);

const PAGE: &str = "#14171b";
const TEXT: &str = "#e6e9ed";

/// Draws every run of cells with one style as a text of its exact width, so that any font keeps the columns.
pub(super) fn svg(buffer: &Buffer) -> String {
    let (columns, lines) = (f64::from(buffer.area.width), f64::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 20.0, lines * CELL.1 + 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAGE}\"/>\n"
    );
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let style = buffer[(x, y)].style();
            let start = x;
            let mut text = String::new();
            while x < buffer.area.width && buffer[(x, y)].style() == style {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            span(&mut svg, (start, y), x - start, &text, style);
        }
    }
    svg + "</svg>\n"
}

fn span(svg: &mut String, (x, y): (u16, u16), cells: u16, text: &str, style: Style) {
    let (left, top, width) = (10.0 + f64::from(x) * CELL.0, 10.0 + f64::from(y) * CELL.1, f64::from(cells) * CELL.0);
    let is_reversed = style.add_modifier.contains(Modifier::REVERSED);
    if is_reversed {
        let _ = writeln!(svg, "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{TEXT}\"/>", CELL.1);
    }
    if text.trim().is_empty() {
        return;
    }
    let color = if is_reversed { PAGE } else { color(style.fg) };
    let bold = if style.add_modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let dim = if style.add_modifier.contains(Modifier::DIM) { " opacity=\".55\"" } else { "" };
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" fill=\"{color}\"{bold}{dim} xml:space=\"preserve\">{text}</text>",
        top + 13.5
    );
}

fn color(color: Option<Color>) -> &'static str {
    match color {
        Some(Color::Cyan) => "#45d0e6",
        Some(Color::Yellow) => "#e0b84a",
        Some(Color::Magenta) => "#e879f9",
        Some(Color::Green) => "#4fd17f",
        Some(Color::Blue) => "#5cb0ff",
        Some(Color::Red) => "#ff8080",
        _ => TEXT,
    }
}
