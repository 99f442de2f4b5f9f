use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::here;

/// Numbers whose sum depends on the order.
fn numbers(rank: usize, count: usize) -> Vec<f32> {
    let mut state = rank as u32 * 7919 + 1;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    (0..count).map(|_| (draw() as f32 - 8e6) * 10_f32.powi((draw() % 12).cast_signed() - 6)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_sum_has_the_bits_of_a_sum_in_the_order_of_the_ranks() {
    for world in 1..=5 {
        let sum = |ranks: &mut dyn Iterator<Item = usize>| {
            let add = |sum: Vec<f32>, rank| sum.iter().zip(numbers(rank, 1000)).map(|(sum, value)| sum + value).collect();
            let first = numbers(ranks.next().unwrap(), 1000);
            ranks.fold(first, add)
        };
        let expected = bits(&sum(&mut (0..world)));
        if world > 2 {
            assert_ne!(expected, bits(&sum(&mut (0..world).rev())), "the numbers do not show the order");
        }
        let sums = run(world, |rank| {
            let mut bucket = numbers(rank, 1000);
            here()?.all_reduce(&mut bucket)?;
            Ok::<_, Error>(bits(&bucket))
        });
        assert_eq!(sums, vec![Ok(expected); world]);
    }
}

#[test]
fn wide_sums_keep_the_order_too() {
    let sums = run(3, |rank| {
        let mut bucket = [[1e300, 1.0, 0.5], [-1e300, 1.0, 0.25], [1.0, 1.0, 0.125]][rank];
        here()?.all_reduce_f64(&mut bucket)?;
        Ok::<_, Error>(bucket)
    });
    assert_eq!(sums, vec![Ok([1.0, 3.0, 0.875]); 3]);
}

#[test]
fn payloads_of_any_length_come_in_order() {
    let parts = || [vec![1, 2, 3], vec![], vec![7; 100_000]];
    let results = run(3, |rank| {
        let ranks = here()?;
        let gathered = ranks.gather(parts()[rank].clone())?;
        let mut bytes = parts()[2 - rank].clone();
        ranks.broadcast(&mut bytes)?;
        let mut empty = vec![u8::try_from(rank).unwrap(); rank];
        ranks.broadcast(&mut empty)?;
        ranks.all_reduce(&mut [])?;
        let agreed = ranks.agree(1 << rank)?;
        ranks.barrier()?;
        Ok::<_, Error>((gathered, bytes, empty, agreed))
    });
    let expected = |gathered| Ok((gathered, vec![7; 100_000], vec![], 0b111));
    assert_eq!(results, [expected(Some(parts().to_vec())), expected(None), expected(None)]);
}

#[test]
fn every_rank_knows_its_place() {
    let places = run(2, |rank| {
        let ranks = here()?;
        assert_eq!(thread::current().name(), Some(format!("rank {rank}").as_str()));
        Ok::<_, Error>((ranks.rank(), ranks.world(), ranks.local_rank(), ranks.is_global_zero()))
    });
    assert_eq!(places, [Ok((0, 2, 0, true)), Ok((1, 2, 1, false))]);
    let single = here().unwrap();
    assert_eq!((single.rank(), single.world(), single.agree(5), single.gather(vec![1])), (0, 1, Ok(5), Ok(Some(vec![vec![1]]))));
    assert!(run(0, |_| Ok::<_, Error>(())).is_empty());
}

#[test]
fn ranks_can_be_inside_of_a_rank() {
    let sums = run(2, |outer| {
        let inner = run(3, |rank| here()?.agree(1 << (3 * outer + rank)));
        here()?.agree(inner[0].clone()?)
    });
    assert_eq!(sums, vec![Ok(0b11_1111); 2]);
}

#[test]
fn a_rank_that_fails_ends_the_others_with_its_name() {
    for failing in 0..3 {
        let lamp = || Error::Rank { rank: 9, reason: "the lamp fell over".to_owned() };
        let results = run(3, |rank| {
            here()?.barrier()?;
            if rank == failing {
                return Err(lamp());
            }
            let first = here()?.all_reduce(&mut [0.0]);
            let second = here()?.agree(0).map(|_| ());
            assert_eq!(first, second, "a later call");
            first
        });
        let told = Error::Rank { rank: failing, reason: lamp().to_string() };
        for (rank, result) in results.into_iter().enumerate() {
            assert_eq!(result, Err(if rank == failing { lamp() } else { told.clone() }));
        }
    }
}

#[test]
fn an_abort_ends_the_others_while_the_rank_continues() {
    let results = run(2, |rank| {
        if rank == 1 {
            here()?.abort("no more disk");
            return Ok(());
        }
        here()?.barrier()
    });
    assert_eq!(results, [Err(Error::Rank { rank: 1, reason: "no more disk".to_owned() }), Ok(())]);
}

#[test]
fn a_rank_that_panics_ends_the_others_with_its_message() {
    let results = run(3, |rank| {
        assert!(rank != 2, "rank two is tired");
        here()?.barrier()
    });
    assert_eq!(results, vec![Err::<(), _>(Error::Rank { rank: 2, reason: "it panicked: rank two is tired".to_owned() }); 3]);
}

#[test]
fn waiting_for_a_rank_that_has_ended_is_an_error() {
    let results = run(2, |rank| if rank == 0 { Ok(()) } else { here()?.barrier() });
    assert_eq!(results[0], Ok(()));
    let error = results[1].clone().unwrap_err();
    assert_eq!(error.to_string(), "rank 0 has failed: it has ended, and others still wait for it");
}

#[test]
fn different_calls_are_an_error_on_every_rank() {
    let results = run(3, |rank| if rank == 2 { here()?.barrier() } else { here()?.agree(0).map(drop) });
    let error = results[0].clone().unwrap_err();
    assert_eq!(error.to_string(), "the ranks are out of step: rank 0 calls `agree`, and rank 2 calls `barrier`");
    assert!(results.iter().all(|result| result.as_ref() == Err(&error)));
    let results = run(2, |rank| here()?.all_reduce(&mut vec![0.0; rank + 1]));
    insta::assert_snapshot!(results[1].clone().unwrap_err(), @"the ranks are out of step: rank 0 calls `all_reduce of 1 numbers`, and rank 1 calls `all_reduce of 2 numbers`");
}

#[test]
fn many_calls_in_a_row_never_mix() {
    let done = AtomicUsize::new(0);
    let results = run(4, |rank| {
        for round in 0..500_u32 {
            let mut bucket = [(rank as u32 + round) as f32];
            here()?.all_reduce(&mut bucket)?;
            assert_eq!(bucket.map(f32::to_bits), [((4 * round + 6) as f32).to_bits()]);
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, Error>(())
    });
    assert_eq!((results, done.into_inner()), (vec![Ok(()); 4], 2000));
}

#[test]
fn the_kernel_threads_of_the_caller_are_divided_among_the_ranks() {
    for (threads, world, each) in [(1, 2, 1), (4, 2, 2), (5, 2, 2), (4, 1, 4)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // Each kernel thread of a rank waits for all the others: a shared pool would never end.
        let met = std::sync::Barrier::new(each * world);
        let seen = pool.install(|| {
            run(world, |_| {
                rayon::broadcast(|_| met.wait());
                Ok::<_, Error>(rayon::current_num_threads())
            })
        });
        assert_eq!(seen, vec![Ok(each); world], "{threads} threads, {world} ranks");
    }
}
