use std::path::Path;
use std::time::{Duration, SystemTime};

use insta::assert_snapshot;
use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;
use tempfile::tempdir;

use super::*;
use crate::samples;

/// The screen after these keys, drawn by a terminal. Times and folders are replaced.
fn screen(root: &Path, (width, height): (u16, u16), keys: &[Key]) -> String {
    let mut runs = Runs::open(&[root.to_owned()], KEEP).unwrap();
    runs.read_all();
    let mut view = View::new(Theme { has_colors: false });
    view.notice(runs.list());
    for key in keys {
        view.press(*key, runs.list());
    }
    let now = runs.list().iter().filter_map(crate::runs::Run::modified).max().unwrap() + Duration::from_secs(5);
    let screen = drawn(&view, &runs, (width, height), now).replace(&root.display().to_string(), "[root]");
    // The two runs are written one after the other.
    (6..8).fold(screen, |screen, age| screen.replace(&format!("  {age} s  "), "  5 s  "))
}

fn drawn(view: &View, runs: &Runs, (width, height): (u16, u16), now: SystemTime) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, "logs", runs, now, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().to_string()
}

fn typed(text: &str) -> Vec<Key> {
    text.chars().map(|c| if c == '\n' { Key::Enter } else { Key::Char(c) }).collect()
}

#[test]
fn every_page_fits_in_80_columns_without_colours() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    let pages = ["1", "2", "3", "4", "5", "6", "7", "?", "1\nsss", "l/acc\n"];
    let screens = pages.map(|keys| format!("--- {keys:?}\n{}", screen(folder.path(), (80, 24), &typed(keys))));
    assert_snapshot!(screens.join("\n"));
}

#[test]
fn a_large_terminal_shows_more_charts() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    assert_snapshot!(screen(folder.path(), (120, 40), &typed("s")));
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    for size in [(1, 1), (39, 11), (40, 12), (41, 19), (60, 20), (300, 9), (300, 100)] {
        for keys in ["1", "1\n", "2", "3", "4", "5", "6", "7", "?"] {
            screen(folder.path(), size, &typed(keys));
        }
    }
}

#[test]
fn the_settings_of_the_charts_are_shown_at_any_width() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    let pages = |width| screen(folder.path(), (width, 24), &typed("ssssl/acc\n")).lines().nth(1).unwrap().to_owned();
    for (width, names, settings) in
        [(120, "2 Machine 3", "smooth 0.97 · log · /acc"), (80, "2 Mach 3", "smooth 0.97 · log · /acc"), (60, "2 Mach 3", "… log · /acc")]
    {
        let pages = pages(width);
        assert!(pages.contains(names) && pages.ends_with(&format!("{settings}\"")), "{pages}");
    }
}

#[test]
fn the_number_of_a_chart_covers_no_axis() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    let small = screen(folder.path(), (60, 15), &[]);
    assert!(small.contains(" 2999 ") && small.contains(" 1/3\""), "{small}");
}

#[test]
fn long_texts_are_divided_after_spaces() {
    assert_eq!(lists::wrapped("no learning rates and no machine", 14), ["no learning ", "rates and no ", "machine"]);
    assert_eq!(lists::wrapped("0123456789", 4), ["0123", "4567", "89"]);
    assert_eq!(lists::wrapped("", 0), [""]);
    let folder = tempdir().unwrap();
    let run = folder.path().join("a");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("metrics.csv"), "step,loss\n0,1\n").unwrap();
    let machine = screen(folder.path(), (50, 24), &typed("2"));
    assert!(machine.contains("`DeviceStatsMonitor`"), "{machine}");
}

#[test]
fn a_long_log_line_loses_its_middle() {
    assert_eq!(lists::log_lines("0123456789", 6, 3), ["0123", "  4567", "  89"]);
    assert_eq!(lists::log_lines("0123456789", 6, 2), ["01…5", "  6789"]);
    assert_eq!(lists::log_lines("0123456789", 6, 1), ["0…89"]);
    assert_eq!(lists::fitted("a b", 80, 1), ["a b"]);
    assert_eq!(lists::without_middle("0123456789", 0), "…");
}

#[test]
fn the_newest_log_line_is_complete_and_once_on_its_page() {
    let folder = tempdir().unwrap();
    let run = folder.path().join("a");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("metrics.csv"), "step,loss\n0,1\n").unwrap();
    let start = "2026-11-29T13:12:58.102311Z  INFO stormfire_trainer::whereabouts: ";
    let lines = format!("{start}the first\n{start}to view its logs: `tensorboard --logdir ../lightning_logs/flowers`\n");
    std::fs::write(run.join("training.log"), lines).unwrap();
    let screens = ["1", "7"].map(|keys| screen(folder.path(), (80, 24), &typed(keys)));
    let end =
        |screen: &str, lines: usize| screen.lines().rev().take(lines).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    assert_snapshot!(end(&screens[0], 5), @r#"
    "a  step 0                                                                       "
    "no checkpoint                                                                   "
    "13:12:58 INFO stormfire_trainer: to view its logs: `tensorboard --logdir        "
    "  ../lightning_logs/flowers`                                                    "
    "q quit  1-7 page  ←→ chart  Enter zoom  s smooth  l log  / find  ? keys         "
    "#);
    assert_eq!(screens[1].matches("flowers`").count(), 1, "{}", screens[1]);
    assert!(end(&screens[1], 3).starts_with("\"a  step 0 "), "{}", screens[1]);
}

#[test]
fn log_lines_have_the_crate_and_not_its_module() {
    let start = "2026-11-29T13:12:58.102311Z  INFO fit:epoch{epoch=2}: ";
    assert_eq!(
        lists::short_line(&format!("{start}stormfire_trainer::session: a: b")),
        "13:12:58 INFO fit:epoch{epoch=2}: stormfire_trainer: a: b"
    );
    let own = "my_program: see stormfire_x y: z";
    assert_eq!(lists::short_line(&format!("{start}{own}")), format!("13:12:58 INFO fit:epoch{{epoch=2}}: {own}"));
    assert_eq!(lists::short_line("a panic"), "a panic");
}

#[test]
fn a_picture_has_the_colours_and_escapes_its_text() {
    let folder = tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("a/metrics.csv"), "step,<loss>\n0,1\n1,2\n").unwrap();
    let svg = picture(&[folder.path().to_owned()], (80, 24), &[]).unwrap();
    assert!(svg.contains("&lt;loss&gt;") && !svg.contains("<loss>") && svg.contains("fill=\"#45d0e6\""), "{svg}");
    assert!(svg.contains('⡀') || svg.contains('⠁') || svg.contains('⣀') || svg.contains('⠤'), "{svg}");
}

#[test]
fn keys_choose_hide_and_leave() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    let hidden = screen(folder.path(), (80, 24), &typed("3 1"));
    assert!(hidden.contains("b version_1") && !hidden.contains("a version_0"), "{hidden}");
    let one = screen(folder.path(), (80, 24), &[typed("3"), vec![Key::Down], typed("a1")].concat());
    assert!(one.contains("b version_1 failed  +1") && !one.contains("a version_0"), "{one}");
    let none = screen(folder.path(), (80, 24), &[typed("3 "), vec![Key::Down], typed(" 1")].concat());
    assert!(none.contains("all runs are hidden"), "{none}");
    let second = screen(folder.path(), (80, 24), &[vec![Key::Right], typed("\n")].concat());
    assert!(second.contains("val_loss") && !second.contains("train_loss "), "{second}");
    let filtered = screen(folder.path(), (80, 24), &typed("/nothing"));
    assert!(filtered.contains("/nothing_") && filtered.contains("no name contains the filter"), "{filtered}");
    let back = screen(folder.path(), (80, 24), &[typed("/nothing\n"), vec![Key::Escape]].concat());
    assert!(back.contains("train_loss"), "{back}");
    for (keys, is_over) in [(typed("q"), true), (typed("/q"), false), ([typed("/q"), vec![Key::Interrupt]].concat(), true)] {
        let mut view = View::new(Theme { has_colors: true });
        for key in &keys {
            view.press(*key, &[]);
        }
        assert_eq!(view.is_over(), is_over, "{keys:?}");
    }
}

#[test]
fn a_run_that_failed_at_once_does_not_hide_the_state_of_another() {
    let folder = tempdir().unwrap();
    samples::write(folder.path()).unwrap();
    let failed = folder.path().join("version_2");
    std::fs::create_dir(&failed).unwrap();
    std::fs::write(failed.join("metrics.csv"), "step,train_loss,test_acc\n3,5,0.25\n").unwrap();
    let now = SystemTime::now() + Duration::from_secs(1000);
    let mut runs = Runs::open(&[folder.path().to_owned()], KEEP).unwrap();
    runs.read_all();
    let text = drawn(&View::new(Theme { has_colors: false }), &runs, (100, 40), now);
    assert!(text.contains("b  step 1799") && !text.contains("c  step 3"), "{text}");
    assert!(text.contains("c 0.25 at step 3"), "{text}");
}

#[test]
fn names_cannot_change_the_terminal() {
    let folder = tempdir().unwrap();
    let run = folder.path().join("a\u{1b}[31mred\u{202e}");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("metrics.csv"), format!("step,\u{1b}]0;title\u{7}loss,{}\n0,1,2\n1,inf,3\n", "ü".repeat(150))).unwrap();
    std::fs::write(run.join("hparams.yaml"), "x: \"\\e[2J\"\n").unwrap();
    for keys in ["1", "1\n", "3", "5"] {
        let screen = screen(folder.path(), (80, 24), &typed(keys));
        assert!(!screen.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{screen:?}");
    }
    assert!(screen(folder.path(), (80, 24), &[]).contains("loss"));
}
