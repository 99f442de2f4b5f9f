//! A live view of runs in a terminal.

mod chart;
mod dots;
mod lists;
mod picture;
mod screen;
#[cfg(unix)]
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod view;

use std::path::PathBuf;
use std::time::SystemTime;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

pub use screen::draw;
#[cfg(unix)]
pub use terminal::watch;
pub use theme::Theme;
pub use view::{Key, View};

use crate::runs::{Keep, MediaLimits, Runs, Unreadable};

/// A live view that cannot start or continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The path contains no run.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The output is not a terminal.
    #[error("`stormfire watch` needs a terminal, and this is not one")]
    NoTerminal,
    /// The terminal failed.
    #[error("the terminal cannot be used: {0}")]
    Terminal(std::io::Error),
}

impl From<std::io::Error> for WatchError {
    fn from(error: std::io::Error) -> Self {
        Self::Terminal(error)
    }
}

impl WatchError {
    /// How to fix it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(error) => Some(error.hint()),
            Self::NoTerminal => Some("`stormfire watch --once` prints one picture as text, `stormfire report` writes a page"),
            Self::Terminal(_) => None,
        }
    }
}

/// The limits of the live view for each run.
pub const KEEP: Keep = Keep { buckets: 1 << 18, media: MediaLimits::TAGS, samples_above: 16 << 20, all_messages: false };

/// The title of the view of these paths.
pub fn title(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// The screen of a size as plain text, after all files were read.
///
/// # Errors
/// [`Unreadable`] if a path contains no run.
pub fn snapshot(paths: &[PathBuf], size: (u16, u16), keys: &[Key]) -> Result<String, Unreadable> {
    Ok(text(&once(paths, size, keys, Theme { has_colors: false })?))
}

/// The screen of a size as an SVG with colors, after all files were read.
///
/// # Errors
/// [`Unreadable`] if a path contains no run.
pub fn picture(paths: &[PathBuf], size: (u16, u16), keys: &[Key]) -> Result<String, Unreadable> {
    Ok(picture::svg(&once(paths, size, keys, Theme { has_colors: true })?))
}

fn once(paths: &[PathBuf], (width, height): (u16, u16), keys: &[Key], theme: Theme) -> Result<Buffer, Unreadable> {
    let mut runs = Runs::open(paths, KEEP)?;
    runs.read_all();
    let mut view = View::new(theme);
    view.notice(runs.list());
    for key in keys {
        view.press(*key, runs.list());
    }
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(&view, &title(paths), &runs, SystemTime::now(), area, &mut buffer);
    Ok(buffer)
}

/// The characters of a screen, without spaces at the ends of its lines.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content.chunks(width).map(|line| {
        let mut text = String::new();
        let mut covered = 0;
        for cell in line {
            // A wide character covers the next cell.
            if covered == 0 {
                text.push_str(cell.symbol());
                covered = ratatui_core::text::Span::raw(cell.symbol()).width().max(1);
            }
            covered -= 1;
        }
        text.trim_end().to_owned() + "\n"
    });
    lines.collect()
}
