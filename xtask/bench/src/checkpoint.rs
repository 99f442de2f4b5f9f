//! The cost of a checkpoint: 100 million parameters with Adam's moments, compared with `torch.save` and a plain copy of
//! the file.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
    process::Command,
    time::Instant,
};

use accelerator_tests::{
    Outcome,
    saving::{LAYERS, WIDTH, save},
};
use burn::tensor::Device;
use stormfire::checkpoint::Checkpoint;

/// The seconds of one memory copy of `len` bytes, including page faults.
fn copy_in_memory(len: usize) -> f64 {
    let source = vec![1_u8; len];
    let began = Instant::now();
    let copy = std::hint::black_box(source.clone());
    let seconds = began.elapsed().as_secs_f64();
    drop(copy);
    seconds
}

/// Copies with reads and writes, as `cp` does, then waits for the disk.
fn copy_and_sync(from: &Path, to: &Path) -> Outcome<f64> {
    let began = Instant::now();
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut chunk = vec![0; 1 << 20];
    loop {
        match from.read(&mut chunk)? {
            0 => break,
            len => to.write_all(&chunk[..len])?,
        }
    }
    to.sync_all()?;
    Ok(began.elapsed().as_secs_f64())
}

fn load(path: &Path) -> Outcome<f64> {
    let began = Instant::now();
    let checkpoint = std::hint::black_box(Checkpoint::read(path)?);
    let seconds = began.elapsed().as_secs_f64();
    drop(checkpoint);
    Ok(seconds)
}

/// The seconds to save, to sync and to load, and the growth of memory during a save.
fn torch(python: &str, script: &str, file: &Path) -> Outcome<[f64; 4]> {
    let output = Command::new(python).arg(script).arg(file).arg(WIDTH.to_string()).arg(LAYERS.to_string()).output();
    let output = output.map_err(|error| format!("`{python}` did not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let numbers: std::result::Result<[f64; 4], _> = numbers.try_into();
    numbers.map_err(|_| format!("`{python}` did not measure: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Runs interleaved rounds in `folder` and prints the medians. `torch` is a Python with torch and the script that it
/// runs.
pub fn run(folder: &Path, rounds: usize, torch_by: Option<(&str, &str)>) -> Outcome {
    fs::create_dir_all(folder)?;
    let device = Device::flex();
    let (file, copy, other) = (folder.join("large.ckpt"), folder.join("copy"), folder.join("torch"));
    let mut rows: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    let mut note = |name, measured| match rows.iter_mut().find(|(known, _)| *known == name) {
        Some((_, all)) => all.push(measured),
        None => rows.push((name, vec![measured])),
    };
    for _ in 0..rounds {
        // A step that follows immediately also needs memory. So the printed peak is that of a synchronous save.
        note("stormfire: a save in the background stops the training", (save(&file, true, &device)?.0, f64::NAN));
        note("stormfire: a save until it is durable", save(&file, false, &device)?);
        note("stormfire: load and verify", (load(&file)?, f64::NAN));
        let len = fs::metadata(&file)?.len();
        note("a copy of its bytes in memory", (copy_in_memory(len as usize), f64::NAN));
        note("a copy of its file, then sync", (copy_and_sync(&file, &copy)?, f64::NAN));
        fs::remove_file(&copy)?;
        if let Some((python, script)) = torch_by {
            let [saved, synced, loaded, save_memory] = torch(python, script, &other)?;
            note("torch.save", (saved, save_memory));
            note("torch.save, then sync", (saved + synced, save_memory));
            note("torch.load", (loaded, f64::NAN));
            fs::remove_file(&other)?;
        }
    }
    println!(
        "{rounds} rounds, medians; {LAYERS} layers {WIDTH} -> {WIDTH} with Adam's moments, {:.2} GB\n",
        fs::metadata(&file)?.len() as f64 / 1e9
    );
    println!("| what | seconds | more memory at the peak, GiB |");
    println!("|---|---|---|");
    for (name, measured) in &rows {
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = measured.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let memory = median(|m| m.1);
        let memory = if memory.is_nan() { String::new() } else { format!("{memory:.2}") };
        println!("| {name} | {:.4} | {memory} |", median(|m| m.0));
    }
    fs::remove_dir_all(folder)?;
    Ok(())
}
