//! `self.print` and `ctx.print`: lines above the progress bar.

use burn::prelude::*;
use stormfire::{prelude::*, ranks::threads};

use crate::{
    child::{folder, part},
    support::{Batch, Line, line_data},
};

/// Prints a row in each step.
#[derive(Module, Debug)]
struct Printing {
    line: Line,
}

impl LightningModule for Printing {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.print(format!("row of rank {}, step {batch_idx}", self.global_rank()));
        Ok(self.line.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

struct Rows;

impl<M: LightningModule> Callback<M> for Rows {
    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        ctx.print(format_args!("row of epoch {}", ctx.current_epoch()));
        Ok(())
    }
}

const ROWS: [&str; 6] = [
    "row of rank 0, step 0",
    "row of rank 0, step 1",
    "row of epoch 0",
    "row of rank 0, step 0",
    "row of rank 0, step 1",
    "row of epoch 1",
];

/// A fit of two batches and two epochs.
fn fit(batches: usize, devices: usize) -> Result<()> {
    let trainer = Trainer::new().no_logger().enable_checkpointing(false).enable_model_summary(false).handle_signals(false);
    trainer.max_epochs(2).devices(devices).callback(Rows).fit(Printing { line: Line::new() }, line_data(2 * batches, 2)).map(drop)
}

/// Helper test for a child process, whose output is captured.
#[test]
#[ignore = "a part of the tests of this file"]
fn alone() {
    if folder().is_some() {
        Printing { line: Line::new() }.print("row outside of a run");
        fit(2, 1).unwrap();
    }
}

/// Helper test for a child process: two threads share each batch.
#[test]
#[ignore = "a part of the tests of this file"]
fn on_two_devices() {
    if folder().is_some() {
        fit(2, 2).unwrap();
    }
}

/// Helper test for a child process: each of two ranks has two batches.
#[test]
#[ignore = "a part of the tests of this file"]
fn on_two_ranks() {
    if folder().is_some() {
        assert_eq!(threads::run(2, |_| fit(4, 1)).into_iter().filter_map(Result::err).map(|error| error.to_string()).next(), None);
    }
}

/// The rows that a part prints on a stdout that is not a terminal.
#[track_caller]
fn rows(name: &str) -> Vec<String> {
    let output = part(&format!("prints::{name}"), std::env::temp_dir().as_path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    // The first row may follow the name of the test. A rank that is a thread names its run first.
    text.lines().filter_map(|line| Some(line[line.find("row ")?..].to_owned())).collect()
}

#[test]
fn modules_and_callbacks_print_lines_without_a_terminal() {
    let mut alone = rows("alone");
    assert_eq!(alone.remove(0), "row outside of a run");
    assert_eq!(alone, ROWS);
}

#[test]
fn one_rank_and_one_part_of_a_batch_print() {
    assert_eq!((rows("on_two_ranks"), rows("on_two_devices")), (ROWS.map(str::to_owned).to_vec(), ROWS.map(str::to_owned).to_vec()));
}

#[test]
#[cfg(target_os = "linux")]
fn no_printed_line_is_overwritten_on_a_terminal() {
    use indicatif::{InMemoryTerm, TermLike as _};

    // The terminal of `script` has no size.
    let script = "exec script -qec \"stty cols 80 rows 24; $*\" /dev/null";
    let mut command = crate::child::part_under(&["sh"], script, "prints::alone", std::env::temp_dir().as_path());
    // With one thread, the first row would follow the name of the test.
    let output = command.arg("--test-threads=2").env("TERM", "xterm").env("NO_COLOR", "1").output().unwrap();
    let screen = InMemoryTerm::new(24, 80);
    screen.write_str(&String::from_utf8(output.stdout).unwrap()).unwrap();
    let screen = screen.contents();
    let starting_with = |word: &str| screen.lines().filter(|line| line.starts_with(word)).map(str::to_owned).collect::<Vec<_>>();
    assert!(screen.contains("1 passed"), "{screen}");
    assert_eq!(starting_with("row ")[1..], ROWS, "{screen}");
    assert_eq!(starting_with("Epoch ").len(), 1, "{screen}");
}
