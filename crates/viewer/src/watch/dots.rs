//! A picture of dots in braille characters: two by four dots in each cell.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

/// The bits of the dots of a cell, by row and column.
const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// A grid of dots. The cell keeps the style of its last dot.
pub(super) struct Dots {
    area: Rect,
    cells: Vec<(u8, Style)>,
}

impl Dots {
    pub(super) fn new(area: Rect) -> Self {
        Self { area, cells: vec![(0, Style::new()); usize::from(area.width) * usize::from(area.height)] }
    }

    pub(super) fn width(&self) -> usize {
        usize::from(self.area.width) * 2
    }

    pub(super) fn height(&self) -> usize {
        usize::from(self.area.height) * 4
    }

    /// Sets a dot. Its origin is at the top left. Dots outside of the grid are ignored.
    pub(super) fn set(&mut self, x: usize, y: usize, style: Style) {
        if x < self.width() && y < self.height() {
            let cell = &mut self.cells[y / 4 * usize::from(self.area.width) + x / 2];
            *cell = (cell.0 | BITS[y % 4][x % 2], style);
        }
    }

    /// Sets the dots between two rows of a column.
    pub(super) fn column(&mut self, x: usize, from: usize, to: usize, style: Style) {
        (from.min(to)..=from.max(to)).for_each(|y| self.set(x, y, style));
    }

    /// Sets the dots between two dots. Each column has at least one.
    pub(super) fn line(&mut self, from: (usize, usize), to: (usize, usize), style: Style) {
        let ((x0, y0), (x1, y1)) = if from.0 <= to.0 { (from, to) } else { (to, from) };
        if x0 == x1 {
            return self.column(x0, y0, y1, style);
        }
        let at = |x: f64| y0 as f64 + (y1 as f64 - y0 as f64) * ((x - x0 as f64) / (x1 - x0) as f64).clamp(0.0, 1.0);
        for x in x0..=x1 {
            self.column(x, at(x as f64 - 0.5).round() as usize, at(x as f64 + 0.5).round() as usize, style);
        }
    }

    /// Draws the cells that have dots.
    pub(super) fn draw(&self, buffer: &mut Buffer) {
        for (at, (bits, style)) in self.cells.iter().enumerate().filter(|(_, (bits, _))| *bits > 0) {
            let (x, y) = (at % usize::from(self.area.width), at / usize::from(self.area.width));
            let cell = &mut buffer[(self.area.x + x as u16, self.area.y + y as u16)];
            cell.set_char(char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ')).set_style(*style);
        }
    }
}
