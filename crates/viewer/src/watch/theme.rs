//! Colours, which are never the only sign: each run has a letter, each level a word.

use ratatui_core::style::{Color, Modifier, Style};

use crate::runs::{Level, State};

/// The colours of runs, readable on dark and light terminals.
const RUNS: [Color; 6] = [Color::Cyan, Color::Yellow, Color::Magenta, Color::Green, Color::Blue, Color::Red];

/// The styles of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether to use colours. Bold and reversed text are always used.
    pub has_colors: bool,
}

impl Theme {
    fn colored(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn run(self, number: usize) -> Style {
        self.colored(RUNS[number % RUNS.len()])
    }

    pub(super) fn dim(self) -> Style {
        if self.has_colors { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    #[expect(clippy::unused_self, reason = "as the other styles")]
    pub(super) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    #[expect(clippy::unused_self, reason = "as the other styles")]
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn level(self, level: Level) -> Style {
        match level {
            Level::Error => self.colored(Color::Red).add_modifier(Modifier::BOLD),
            Level::Warn => self.colored(Color::Yellow),
            Level::Info => Style::new(),
            Level::Debug => self.dim(),
        }
    }

    pub(super) fn state(self, state: State) -> Style {
        match state {
            State::Running => self.colored(Color::Green),
            State::Failed => self.colored(Color::Red),
            State::Quiet | State::Ended => self.dim(),
        }
    }
}

/// The letter of a run: `a` to `z`, then `A` to `Z`, and again from `a`.
pub(super) fn letter(number: usize) -> char {
    ('a'..='z').chain('A'..='Z').nth(number % 52).unwrap_or('a')
}
