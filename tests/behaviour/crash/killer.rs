//! Kills and restarts a training repeatedly.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use stormfire::checkpoint::{Checkpoint, verify};

use super::training::{diary, last_words};
use crate::{
    child::{Running, part, poll},
    files::names,
    rig::run_of,
};

/// The instants that the kills hit.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) kills: usize,
    /// Lives that ended before their training began.
    pub(super) at_start: usize,
    /// Lives that left a file that was incomplete or not yet renamed.
    pub(super) in_a_save: usize,
    /// Batches that were trained more than once.
    pub(super) repeated: u64,
}

/// The event that the next kill waits for. A random delay follows, about as long as the targeted operation takes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The first checkpoint. Before it, there is nothing to resume from.
    FirstCheckpoint,
    /// The start of the process, which reads a checkpoint and truncates the logs.
    Start,
    /// A number of batches of this life.
    Batches(u64),
    /// The start of a save.
    Save,
}

/// The state of a training, as other processes can see it.
struct Traces {
    /// The batch after which each life's training began.
    begins: Vec<u64>,
    /// Batches of all lives.
    batches: u64,
    /// Files that are being written, or were being written when a life ended.
    half_saved: Vec<String>,
}

impl Traces {
    fn of(folder: &Path) -> Self {
        let diary = std::fs::read_to_string(diary(folder)).unwrap_or_default();
        // A kill may cut off a line, but a number is written in one call of a few bytes, so it is complete.
        let begins = diary.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
        let half_saved = names(&checkpoints(folder)).into_iter().filter(|name| name.starts_with(".saving-")).collect();
        Self { begins, batches: diary.matches('.').count() as u64, half_saved }
    }
}

pub(super) fn checkpoints(folder: &Path) -> PathBuf {
    run_of(folder).join("checkpoints")
}

pub(super) struct Killer<'a> {
    part: &'a str,
    folder: &'a Path,
    random: u64,
    /// The time from the start of a life to the start of its training.
    start: Duration,
    /// Batches in the newest checkpoint.
    saved: Option<u64>,
    report: Report,
}

impl<'a> Killer<'a> {
    pub(super) fn new(part: &'a str, folder: &'a Path, seed: u64) -> Self {
        Self { part, folder, random: seed, start: Duration::from_secs(1), saved: None, report: Report::default() }
    }

    /// Kills a training of `batches` batches `kills` times, then lets it finish.
    pub(super) fn run(mut self, batches: u64, kills: usize) -> Report {
        // The last part is out of reach, so that the training does not end too early on a busy machine.
        let reach = batches - batches / 10;
        while self.report.kills < kills {
            let left = reach.saturating_sub(self.saved.unwrap_or(0));
            let moment = self.moment(left, kills - self.report.kills);
            let before = Traces::of(self.folder);
            let status = self.live(moment, &before);
            self.report.kills += 1;
            assert_eq!(status.signal(), Some(9), "{moment:?}, {:?}: {status:?}, {}", self.report, self.last_words());
            self.look_at_what_is_left(&before);
        }
        let status = Running::start(part(self.part, self.folder)).wait();
        assert!(status.success(), "{:?}: {status:?}", self.report);
        let words = self.last_words();
        assert!(words.starts_with("`max_epochs = "), "{words}");
        let traces = Traces::of(self.folder);
        assert_eq!(traces.begins.last().copied(), self.saved);
        self.report.repeated = traces.batches - batches;
        self.report
    }

    /// Half of the lives get about as far as the required average. The others end early.
    fn moment(&mut self, left: u64, kills: usize) -> Moment {
        match (self.saved, self.below(8)) {
            (None, _) => Moment::FirstCheckpoint,
            (_, 0..2) => Moment::Start,
            (_, 2..4) if left > 0 => Moment::Save,
            _ => Moment::Batches(self.below((4 * left / kills as u64).clamp(1, left.max(1)))),
        }
    }

    fn live(&mut self, moment: Moment, before: &Traces) -> ExitStatus {
        let folder = self.folder;
        let born = Instant::now();
        let mut life = Running::start(part(self.part, folder));
        let mut wait_for = |what: &str, is_there: &dyn Fn() -> bool| {
            poll(what, Duration::from_micros(500), || (is_there() || life.try_wait().is_some()).then_some(()));
        };
        let mut delay = Duration::from_millis(5);
        if let Moment::Start = moment {
            delay = self.start;
        } else {
            wait_for("the training", &|| Traces::of(folder).begins.len() > before.begins.len());
            self.start = born.elapsed();
        }
        match moment {
            Moment::Start => {}
            Moment::FirstCheckpoint => wait_for("a checkpoint", &|| newest(folder).is_some()),
            Moment::Batches(count) => wait_for("some batches", &|| Traces::of(folder).batches >= before.batches + count),
            Moment::Save => wait_for("a save", &|| Traces::of(folder).half_saved.iter().any(|name| !before.half_saved.contains(name))),
        }
        std::thread::sleep(delay.mul_f64(self.below(1 << 20) as f64 / f64::from(1 << 20)));
        life.kill()
    }

    /// Checks that every checkpoint is valid and that the last life resumed from the newest one.
    fn look_at_what_is_left(&mut self, before: &Traces) {
        let now = Traces::of(self.folder);
        match now.begins[before.begins.len()..] {
            [] => self.report.at_start += 1,
            [begin] => assert_eq!(begin, self.saved.unwrap_or(0), "a life did not begin at the newest checkpoint: {:?}", self.report),
            _ => panic!("two lives in one: {:?}", now.begins),
        }
        self.report.in_a_save += usize::from(now.half_saved.iter().any(|name| !before.half_saved.contains(name)));
        let newest = newest(self.folder);
        assert!(newest >= self.saved, "the newest checkpoint was of batch {:?}, and is of {newest:?}: {:?}", self.saved, self.report);
        self.saved = newest;
    }

    fn last_words(&self) -> String {
        std::fs::read_to_string(last_words(self.folder)).unwrap_or_default()
    }

    /// Returns a random number below `end` (`SplitMix64`).
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// The batches in the newest checkpoint. All checkpoints must be valid.
#[track_caller]
fn newest(folder: &Path) -> Option<u64> {
    let folder = checkpoints(folder);
    let saved = names(&folder).into_iter().filter(|name| !name.starts_with(".saving-")).map(|name| {
        let path = folder.join(name);
        verify(&path).unwrap();
        Checkpoint::read_manifest(&path).unwrap().progress["batches"].as_u64().unwrap()
    });
    saved.max()
}
