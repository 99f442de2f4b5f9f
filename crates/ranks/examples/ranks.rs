//! A rank that does what its arguments say, for the tests with real processes (`tests/processes.rs`), and a bench.

#![allow(clippy::panic, reason = "a rank that panics is one of the cases")]

use std::{
    env,
    io::Write as _,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use stormfire_ranks::{Shared, here};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // A training ends at SIGTERM by its own means, too.
    let terminated = Arc::new(AtomicBool::new(false));
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGTERM, terminated) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    match act(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one piece, because several ranks write at the same time.
            let _ = std::io::stderr().write_all(format!("rank says: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn act(words: &[&str]) -> Outcome {
    let ranks = here()?;
    let who: usize = words.get(1).map_or(Ok(0), |word| word.parse())?;
    let its_me = ranks.rank() == who;
    match words.first().copied().unwrap_or_default() {
        "all" => everything(&ranks),
        "nothing" => Ok(()),
        // All wait for a rank that is killed or stopped from outside.
        "loop" => {
            println!("rank {} is process {}", ranks.rank(), std::process::id());
            let mut bucket = vec![1.0; 100_000];
            loop {
                ranks.all_reduce(&mut bucket)?;
                ranks.agree(0)?;
                bucket.fill(1.0);
            }
        }
        "fail" if its_me => {
            ranks.barrier()?;
            ranks.abort("the lamp fell over");
            Err("the lamp fell over".into())
        }
        "panic" if its_me => {
            ranks.barrier()?;
            std::panic::panic_any("this rank is tired");
        }
        // The others are busy when a rank fails, and need a while to end.
        "busy" if its_me => {
            ranks.abort("the lamp fell over");
            Err("the lamp fell over".into())
        }
        "busy" => {
            thread::sleep(Duration::from_secs(1));
            let error = ranks.barrier();
            thread::sleep(Duration::from_secs(4));
            println!("rank {} has saved", ranks.rank());
            Ok(error?)
        }
        "leave" | "differ" if its_me => Ok(ranks.barrier()?),
        "differ" => Ok(ranks.agree(0).map(drop)?),
        "fail" | "panic" | "leave" => {
            ranks.barrier()?;
            let first = ranks.all_reduce(&mut vec![0.0; 1_000_000]);
            let later = ranks.agree(0).map(drop);
            if first != later {
                return Err(format!("{first:?} first, and {later:?} later").into());
            }
            first?;
            Err("nothing has failed".into())
        }
        "bench" => bench(&ranks),
        other => Err(format!("unknown: {other}").into()),
    }
}

/// Numbers whose sum depends on the order.
fn numbers(rank: usize, count: usize) -> Vec<f32> {
    let mut state = rank as u32 * 7919 + 1;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    (0..count).map(|_| (draw() as f32 - 8e6) * 10_f32.powi((draw() % 12).cast_signed() - 6)).collect()
}

fn everything(ranks: &Shared) -> Outcome {
    let (rank, world) = (ranks.rank(), ranks.world());
    // Lengths around every limit: no number, fewer than ranks, one piece, several pieces, uneven ends.
    for count in [0, 1, 2, 1000, 1024, 1025, 4097, 100_003, 262_144 * world, 393_216 * world + 17] {
        let mut bucket = numbers(rank, count);
        ranks.all_reduce(&mut bucket)?;
        let mut expected = numbers(0, count);
        for other in 1..world {
            expected.iter_mut().zip(numbers(other, count)).for_each(|(sum, value)| *sum += value);
        }
        let wrong = bucket.iter().zip(&expected).position(|(sum, expected)| sum.to_bits() != expected.to_bits());
        ensure(wrong.is_none(), &format!("the sum of {count} numbers is wrong at {wrong:?}"))?;
        let mut wide: Vec<f64> = (0..count).map(|index| 1e16 / (index + rank + 1) as f64).collect();
        ranks.all_reduce_f64(&mut wide)?;
        for (index, sum) in wide.iter().enumerate() {
            let expected = (1..world).fold(1e16 / (index + 1) as f64, |sum, rank| sum + 1e16 / (index + rank + 1) as f64);
            ensure(sum.to_bits() == expected.to_bits(), "a wide sum is wrong")?;
        }
    }
    for round in 0..100_u64 {
        ensure(
            ranks.agree(1 << ((rank as u64 + round) % 64))? == (0..world as u64).fold(0, |all, r| all | 1 << ((r + round) % 64)),
            "agree",
        )?;
        ranks.barrier()?;
    }
    for lengths in [[0, 3, 9_000_000], [1, 0, 0], [70_000, 5, 70_000]] {
        let bytes = |rank: usize| vec![rank as u8 + 1; lengths[rank % 3]];
        let gathered = ranks.gather(bytes(rank))?;
        let expected = (rank == 0).then(|| (0..world).map(bytes).collect::<Vec<_>>());
        ensure(gathered == expected, "gather")?;
    }
    for length in [0, 1, 65_536, 65_537, 4 << 20, 100_000_000] {
        let of_zero = || (0..length).map(|index: u32| (index % 251) as u8).collect::<Vec<_>>();
        let mut bytes = if rank == 0 { of_zero() } else { vec![9; rank] };
        ranks.broadcast(&mut bytes)?;
        ensure(bytes == of_zero(), &format!("the broadcast of {length} bytes"))?;
    }
    if rank == 0 {
        println!("all is right with {world} ranks");
    }
    Ok(())
}

fn ensure(is_so: bool, what: &str) -> Outcome {
    if is_so { Ok(()) } else { Err(format!("wrong: {what}").into()) }
}

/// Prints the median times of calls.
fn bench(ranks: &Shared) -> Outcome {
    let report = |what: &str, mut times: Vec<Duration>| {
        times.sort_unstable();
        if ranks.is_global_zero() {
            println!("{what}: median {:?}, least {:?}", times[times.len() / 2], times[0]);
        }
    };
    for (count, rounds) in [(52_000, 400), (818_000, 100), (10_000_000, 20)] {
        let mut bucket = vec![1.0_f32; count];
        let mut times = Vec::new();
        for _ in 0..rounds {
            ranks.barrier()?;
            let start = Instant::now();
            ranks.all_reduce(&mut bucket)?;
            times.push(start.elapsed());
        }
        report(&format!("all_reduce of {count}"), times);
    }
    let mut times = Vec::new();
    for _ in 0..2000 {
        let start = Instant::now();
        ranks.agree(1)?;
        times.push(start.elapsed());
    }
    report("agree", times);
    let mut times = Vec::new();
    for _ in 0..200 {
        thread::sleep(Duration::from_millis(3));
        let start = Instant::now();
        ranks.agree(1)?;
        times.push(start.elapsed());
    }
    report("agree after 3 ms of something else", times);
    Ok(())
}
