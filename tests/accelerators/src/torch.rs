//! PyTorch and Lightning as contestants: a Python process that trains the same models on request.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::Outcome;

/// A Python process with the script `torch_throughput.py`.
#[derive(Debug)]
pub struct Torch {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The measurements of PyTorch.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The seconds of a step. NaN if it has failed, such as without Lightning.
    pub seconds: f64,
    /// The largest memory of the GPU that PyTorch had reserved, in MiB. NaN on the CPU.
    pub mebibytes: f64,
}

impl Torch {
    /// Starts the process.
    pub fn start(python: &str, script: &str) -> Outcome<Self> {
        let mut process = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, answers) = (process.stdin.take().ok_or("no input")?, process.stdout.take().ok_or("no output")?);
        Ok(Self { process, orders, answers: BufReader::new(answers) })
    }

    /// Trains a model for some seconds. `mode` is `raw` or `lightning`, and `precision` one of Lightning's names.
    pub fn train(&mut self, model: &str, mode: &str, precision: &str, seconds: f64) -> Outcome<Measured> {
        writeln!(self.orders, "{model} {mode} {precision} {seconds}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let mut numbers = line.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(seconds)), Some(Ok(mebibytes))) => Ok(Measured { seconds, mebibytes }),
            _ => Err(format!("the script for PyTorch has answered `{}`", line.trim()).into()),
        }
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
