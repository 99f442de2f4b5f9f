//! Whether an accelerator computes as the CPU does, and how fast.
//!
//! | command | output |
//! |---|---|
//! | `accelerator-tests ACCELERATOR` | the table of the checks |
//! | `accelerator-tests ACCELERATOR small` | the table of the checks that a software driver can do |
//! | `accelerator-tests ACCELERATOR speed [PYTHON SCRIPT]` | the same, then the table of the speeds, next to those of PyTorch and Lightning |
//! | `accelerator-tests ACCELERATOR only NAME` | one check or one speed, in this process |
//!
//! Each check and each measurement runs in its own process, with a limit of time. The crash of one does not hide the
//! others.

mod checks;
mod speed;
mod suite;

use std::process::ExitCode;

use accelerator_tests::Outcome;
use burn::tensor::Device;
use stormfire::prelude::*;

use crate::suite::Scope;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let [accelerator, "only", name] = args[..] {
        // In this process, the driver may crash.
        return ended(only(accelerator, name));
    }
    Accelerator::serve_probe();
    ended(match args[..] {
        [accelerator] => suite::run(accelerator, Scope::Checks),
        [accelerator, "small"] => suite::run(accelerator, Scope::Small),
        [accelerator, "speed"] => suite::run(accelerator, Scope::Speeds(None)),
        [accelerator, "speed", python, script] => suite::run(accelerator, Scope::Speeds(Some((python, script)))),
        _ => Err("write `accelerator-tests ACCELERATOR`, with `small` or `speed [PYTHON SCRIPT]`".into()),
    })
}

fn ended(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<Error>() {
                // With its hint.
                Some(error) => eprintln!("{error:?}"),
                None => eprintln!("{error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn device(accelerator: &str) -> Result<Device> {
    Ok(accelerator.parse::<Accelerator>()?.device()?)
}

/// One check or speed in this process. Its result is the last line.
fn only(accelerator: &str, name: &str) -> Outcome {
    let device = device(accelerator)?;
    let check = checks::CHECKS.iter().find(|check| check.name == name).map(|check| check.body);
    let body = check.or_else(|| speed::ROWS.iter().find(|row| row.name == name).map(|row| row.body));
    let body = body.ok_or_else(|| format!("there is no check `{name}`"))?;
    println!("{}{}", suite::RESULT, body(&device)?);
    Ok(())
}
