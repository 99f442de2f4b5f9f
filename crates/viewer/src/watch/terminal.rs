//! The live view on a real terminal. It restores the terminal at its end, also after a panic or a signal.

use std::io::{self, IsTerminal as _, Write as _};
use std::panic;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ratatui_core::terminal::Terminal;
use ratatui_termion::TermionBackend;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use termion::input::TermRead as _;
use termion::raw::{IntoRawMode as _, RawTerminal};

use super::view::{Key, View};
use super::{KEEP, Theme, WatchError, draw, title};
use crate::runs::Runs;

/// The time between two pictures if nothing happens.
const REST: Duration = Duration::from_millis(500);
/// The time between two checks for a signal.
const CHECK: Duration = Duration::from_millis(50);

/// Enters the alternate screen and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
/// Shows the cursor, resets the style, and leaves the alternate screen.
const LEAVE: &str = "\x1b[?25h\x1b[m\x1b[?1049l";

/// The terminal while it is in raw mode.
static RAW: Mutex<Option<RawTerminal<io::Stdout>>> = Mutex::new(None);

/// Shows the runs below these paths until the user or a signal ends it. Returns the number of that signal.
///
/// # Errors
/// [`WatchError`] if a path contains no run, or the output is not a terminal.
pub fn watch(paths: &[PathBuf], theme: Theme) -> Result<Option<usize>, WatchError> {
    if !io::stdout().is_terminal() || !termion::is_tty(&io::stdin()) {
        return Err(WatchError::NoTerminal);
    }
    let mut runs = Runs::open(paths, KEEP)?;
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGTERM, SIGHUP, SIGINT] {
        signal_hook::flag::register_usize(number, signal.clone(), number.unsigned_abs() as usize)?;
    }
    let _restored = Screen::enter()?;
    let keys = keys();
    let mut terminal = Terminal::new(TermionBackend::new(io::stdout()))?;
    let mut view = View::new(theme);
    let (title, mut pace) = (title(paths), Pace::new());
    loop {
        let has_more = pace.read(&mut runs);
        view.notice(runs.list());
        terminal.draw(|frame| {
            let area = frame.area();
            draw(&view, &title, &runs, SystemTime::now(), area, frame.buffer_mut());
        })?;
        let mut rest = if has_more { Duration::ZERO } else { REST };
        loop {
            match keys.recv_timeout(rest.min(CHECK)) {
                Ok(key) => {
                    view.press(key, runs.list());
                    // Keys that were typed ahead need one picture only.
                    while let Ok(key) = keys.try_recv() {
                        view.press(key, runs.list());
                    }
                    rest = Duration::ZERO;
                }
                Err(RecvTimeoutError::Timeout) => rest = rest.saturating_sub(CHECK),
                // The terminal is closed.
                Err(RecvTimeoutError::Disconnected) => return Ok(Some(SIGHUP.unsigned_abs() as usize)),
            }
            if view.is_over() {
                return Ok(None);
            }
            match signal.load(Ordering::Relaxed) {
                0 if rest.is_zero() => break,
                0 => {}
                number => return Ok(Some(number)),
            }
        }
    }
}

/// Restores the terminal when it is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        let raw = io::stdout().into_raw_mode()?;
        *RAW.lock().unwrap_or_else(PoisonError::into_inner) = Some(raw);
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
        let mut out = io::stdout();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Leaves the alternate screen and the raw mode, once.
fn restore() {
    if let Some(raw) = RAW.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let mut out = io::stdout();
        // A terminal that is closed cannot be restored.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
        let _ = raw.suspend_raw_mode();
    }
}

/// The keys that the user presses. The thread ends with the terminal, or with the process.
fn keys() -> Receiver<Key> {
    let (send, receive) = channel();
    thread::spawn(move || {
        for key in io::stdin().keys() {
            let Ok(key) = key else { break };
            let key = match key {
                // In raw mode, this key is not a signal.
                termion::event::Key::Ctrl('c' | 'd') => Key::Interrupt,
                termion::event::Key::Char('\n') => Key::Enter,
                termion::event::Key::Char('\t') => Key::Tab,
                termion::event::Key::Char(c) => Key::Char(c),
                termion::event::Key::Left => Key::Left,
                termion::event::Key::Right => Key::Right,
                termion::event::Key::Up => Key::Up,
                termion::event::Key::Down => Key::Down,
                termion::event::Key::PageUp => Key::PageUp,
                termion::event::Key::PageDown => Key::PageDown,
                termion::event::Key::Esc => Key::Escape,
                termion::event::Key::Backspace => Key::Backspace,
                _ => continue,
            };
            if send.send(key).is_err() {
                break;
            }
        }
    });
    receive
}

/// The time between two searches for new runs and files.
const SEARCH: Duration = Duration::from_secs(2);
/// The bytes that are read between two pictures, so that keys are answered at once.
const PER_PICTURE: usize = 24 << 20;

/// Decides when to search for new files, which costs more than to read known ones.
#[derive(Debug)]
struct Pace {
    next: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { next: Instant::now() + SEARCH }
    }

    /// Reads what is new, and returns whether more is left.
    fn read(&mut self, runs: &mut Runs) -> bool {
        let start = Instant::now();
        if start >= self.next {
            runs.refresh();
            // A search in a large tree gets at most a tenth of the time.
            self.next = Instant::now() + SEARCH.max(start.elapsed() * 10);
        }
        runs.poll(PER_PICTURE) >= PER_PICTURE / 2
    }
}
