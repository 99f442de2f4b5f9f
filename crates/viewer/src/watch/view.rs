//! The state of the screen, and the keys that change it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::theme::Theme;
use crate::metric_names::{is_of_machine, rank};
use crate::runs::Run;

/// A key, independent of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// The arrows.
    Left,
    /// See [`Key::Left`].
    Right,
    /// See [`Key::Left`].
    Up,
    /// See [`Key::Left`].
    Down,
    /// One screen up.
    PageUp,
    /// One screen down.
    PageDown,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Tab.
    Tab,
    /// Ctrl-C.
    Interrupt,
}

/// A page of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Curves,
    Machine,
    Runs,
    Checkpoints,
    Settings,
    Media,
    Log,
}

impl Page {
    pub(super) const ALL: [Self; 7] = [Self::Curves, Self::Machine, Self::Runs, Self::Checkpoints, Self::Settings, Self::Media, Self::Log];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Curves => "Curves",
            Self::Machine => "Machine",
            Self::Runs => "Runs",
            Self::Checkpoints => "Checkpoints",
            Self::Settings => "Settings",
            Self::Media => "Media",
            Self::Log => "Log",
        }
    }

    pub(super) fn has_charts(self) -> bool {
        matches!(self, Self::Curves | Self::Machine)
    }
}

/// The weights of the past that the key `s` goes through.
const SMOOTHING: [f64; 5] = [0.0, 0.3, 0.6, 0.9, 0.97];

/// Number of runs that are shown at the start: the last ones.
const SHOWN: usize = 6;

/// The state of the screen.
#[expect(clippy::struct_excessive_bools, reason = "they are switches, each independent of the others")]
#[derive(Debug)]
pub struct View {
    pub(super) theme: Theme,
    pub(super) page: Page,
    /// The chosen chart of the pages with charts.
    pub(super) chosen: [usize; 2],
    pub(super) is_zoomed: bool,
    pub(super) smoothing: usize,
    pub(super) is_log: bool,
    pub(super) ignores_outliers: bool,
    /// Lines from the end of the log, or from the start of another list.
    pub(super) scroll: usize,
    /// The chosen run of the page of runs.
    pub(super) run: usize,
    /// The folders of the hidden runs, and of those that were hidden or shown at the start.
    hidden: BTreeSet<PathBuf>,
    seen: BTreeSet<PathBuf>,
    pub(super) filter: String,
    pub(super) is_typing: bool,
    pub(super) shows_help: bool,
    /// The user wants to leave.
    pub(super) is_over: bool,
}

impl View {
    /// The first page.
    pub fn new(theme: Theme) -> Self {
        Self {
            theme,
            page: Page::Curves,
            chosen: [0, 0],
            is_zoomed: false,
            smoothing: 0,
            is_log: false,
            ignores_outliers: false,
            scroll: 0,
            run: 0,
            hidden: BTreeSet::new(),
            seen: BTreeSet::new(),
            filter: String::new(),
            is_typing: false,
            shows_help: false,
            is_over: false,
        }
    }

    /// Whether the user wants to leave.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn weight(&self) -> f64 {
        SMOOTHING[self.smoothing % SMOOTHING.len()]
    }

    /// Hides new runs if there are too many. A run of a later start is shown.
    pub fn notice(&mut self, runs: &[Run]) {
        let is_first = self.seen.is_empty();
        for (at, run) in runs.iter().enumerate() {
            let is_new = self.seen.insert(run.folder().to_owned());
            if is_new && is_first && at + SHOWN < runs.len() {
                self.hidden.insert(run.folder().to_owned());
            }
        }
        self.run = self.run.min(runs.len().saturating_sub(1));
    }

    pub(super) fn is_shown(&self, run: &Run) -> bool {
        !self.hidden.contains(run.folder())
    }

    /// The runs that are shown, with their numbers.
    pub(super) fn shown<'a>(&self, runs: &'a [Run]) -> Vec<(usize, &'a Run)> {
        runs.iter().enumerate().filter(|(_, run)| self.is_shown(run)).collect()
    }

    /// The names of the charts of the page.
    pub(super) fn names(&self, runs: &[Run]) -> Vec<String> {
        let names: BTreeSet<&str> = self.shown(runs).into_iter().flat_map(|(_, run)| run.names()).collect();
        let filter = self.filter.to_lowercase();
        let fits = |name: &&str| {
            let page = if is_of_machine(name) { Page::Machine } else { Page::Curves };
            *name != "epoch" && page == self.page && name.to_lowercase().contains(&filter)
        };
        let mut names: Vec<String> = names.into_iter().filter(fits).map(str::to_owned).collect();
        names.sort_by_key(|name| rank(name));
        names
    }

    /// The number of the chosen chart among `count`.
    pub(super) fn chosen(&self, count: usize) -> usize {
        self.chosen[usize::from(self.page == Page::Machine)].min(count.saturating_sub(1))
    }

    /// Reacts to a key.
    pub fn press(&mut self, key: Key, runs: &[Run]) {
        if key == Key::Interrupt {
            self.is_over = true;
        } else if self.is_typing {
            return self.type_filter(key);
        }
        if std::mem::take(&mut self.shows_help) {
            return;
        }
        match key {
            Key::Char('q') => self.is_over = true,
            Key::Char('?' | 'h') => self.shows_help = true,
            Key::Char(digit @ '1'..='7') => self.open(Page::ALL[digit as usize - '1' as usize]),
            Key::Tab => {
                let at = Page::ALL.iter().position(|page| *page == self.page).unwrap_or(0);
                self.open(Page::ALL[(at + 1) % Page::ALL.len()]);
            }
            Key::Char('s') => self.smoothing = (self.smoothing + 1) % SMOOTHING.len(),
            Key::Char('S') => self.smoothing = (self.smoothing + SMOOTHING.len() - 1) % SMOOTHING.len(),
            Key::Char('l') => self.is_log = !self.is_log,
            Key::Char('o') => self.ignores_outliers = !self.ignores_outliers,
            Key::Char('/') if self.page.has_charts() => {
                self.filter.clear();
                self.is_typing = true;
            }
            Key::Escape => {
                self.is_zoomed = false;
                self.filter.clear();
            }
            Key::Enter if self.page.has_charts() => self.is_zoomed = !self.is_zoomed,
            Key::Char(' ') => self.toggle(runs),
            Key::Char('a') => self.toggle_all(runs),
            _ => self.step(key, runs),
        }
    }

    fn open(&mut self, page: Page) {
        (self.page, self.scroll) = (page, 0);
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(c) => self.filter.push(c),
            Key::Backspace => drop(self.filter.pop()),
            Key::Escape => {
                self.filter.clear();
                self.is_typing = false;
            }
            Key::Enter => self.is_typing = false,
            _ => {}
        }
        self.chosen = [0, 0];
    }

    fn toggle(&mut self, runs: &[Run]) {
        let Some(run) = runs.get(self.run).filter(|_| self.page == Page::Runs) else { return };
        if !self.hidden.remove(run.folder()) {
            self.hidden.insert(run.folder().to_owned());
        }
    }

    /// Shows all runs, or only the chosen one.
    fn toggle_all(&mut self, runs: &[Run]) {
        if self.page != Page::Runs {
            return;
        }
        if std::mem::take(&mut self.hidden).is_empty() {
            let others = runs.iter().enumerate().filter(|(at, _)| *at != self.run);
            self.hidden = others.map(|(_, run)| run.folder().to_owned()).collect();
        }
    }

    fn step(&mut self, key: Key, runs: &[Run]) {
        let by: isize = match key {
            Key::Left | Key::Up | Key::Char('k') => -1,
            Key::Right | Key::Down | Key::Char('j') => 1,
            Key::PageUp => -10,
            Key::PageDown => 10,
            _ => return,
        };
        if self.page.has_charts() {
            let count = self.names(runs).len();
            let at = self.chosen(count).saturating_add_signed(by).min(count.saturating_sub(1));
            self.chosen[usize::from(self.page == Page::Machine)] = at;
        } else if self.page == Page::Runs {
            self.run = self.run.saturating_add_signed(by).min(runs.len().saturating_sub(1));
        } else {
            // The newest log line is at the bottom.
            let by = if self.page == Page::Log { -by } else { by };
            self.scroll = self.scroll.saturating_add_signed(by);
        }
    }
}
