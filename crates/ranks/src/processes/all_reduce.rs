//! The sum over all ranks, in their order.
//!
//! A bucket is cut into pieces, and a piece into a chunk for each rank. A rank receives its chunk from all others,
//! adds, and sends the sum to all. That transfers as many bytes as a ring, and it fixes the order of the additions.
//! While the sums of a piece are sent, the chunks of the next one already arrive.

use std::ops::AddAssign;

use mpi::{
    request::{LocalScope, RequestCollection, multiple_scope},
    traits::{Destination as _, Equivalence, Source as _},
};

use super::{connection::Connection, engine::Engine, heads::Kind};

/// The tags of the messages.
const CHUNK: i32 = 2;
const SUM: i32 = 3;

/// The bytes of a chunk in a large bucket. A piece should fit into the cache of a core.
const CHUNK_BYTES: usize = 1 << 19;
/// The bytes of a piece, however many ranks there are.
const PIECE_BYTES: usize = 1 << 24;
/// A message of fewer numbers is not worth its delay.
const SHORTEST_CHUNK: usize = 1024;
/// The numbers that are added at once, inside of the fastest cache.
const BLOCK: usize = 1024;

/// A type of numbers that can be summed.
pub(super) trait Number: Copy + Default + AddAssign + Equivalence + Send + 'static {
    const KIND: Kind;
}

impl Number for f32 {
    const KIND: Kind = Kind::AllReduce;
}

impl Number for f64 {
    const KIND: Kind = Kind::AllReduceF64;
}

impl Engine {
    pub(super) fn all_reduce<T: Number>(&mut self, bucket: &mut [T]) {
        self.meet(T::KIND, bucket.len(), 0);
        if self.ranks.world == 1 || bucket.is_empty() {
            return;
        }
        let most = (self.ranks.world * CHUNK_BYTES).min(PIECE_BYTES) / size_of::<T>();
        let piece = most.min(bucket.len());
        let chunk = piece.div_ceil(self.ranks.world).max(SHORTEST_CHUNK);
        let pieces = bucket.len().div_ceil(piece);
        let mut arrived = vec![T::default(); chunk * self.ranks.world];
        for next in 0..=pieces {
            let (done, rest) = bucket.split_at_mut((next * piece).min(bucket.len()));
            let summed = if next == 0 { &mut [][..] } else { &mut done[(next - 1) * piece..] };
            let length = piece.min(rest.len());
            let current = &mut rest[..length];
            multiple_scope(4 * self.ranks.world, |scope, requests| {
                exchange_sums(&self.ranks, summed, chunk, scope, requests);
                exchange_chunks(&self.ranks, (&*current, &mut arrived), chunk, scope, requests);
                self.wait(requests);
            });
            if let Some(own) = current.chunks_mut(chunk).nth(self.ranks.rank) {
                add_in_order(own, &mut arrived, self.ranks.rank, chunk);
            }
        }
    }
}

/// Sends each other rank its chunk of a piece, and receives the own one from all.
fn exchange_chunks<'a, T: Number>(
    ranks: &Connection,
    (piece, arrived): (&'a [T], &'a mut [T]),
    chunk: usize,
    scope: &LocalScope<'a>,
    requests: &mut RequestCollection<'a, [T]>,
) {
    let own = piece.chunks(chunk).nth(ranks.rank).map_or(0, <[T]>::len);
    for (other, place) in arrived.chunks_mut(chunk).enumerate().filter(|(other, _)| *other != ranks.rank && own > 0) {
        let process = ranks.process(other);
        requests.add(process.immediate_receive_into_with_tag(scope, &mut place[..own], CHUNK));
    }
    for (other, chunk) in piece.chunks(chunk).enumerate().filter(|(other, _)| *other != ranks.rank) {
        requests.add(ranks.process(other).immediate_send_with_tag(scope, chunk, CHUNK));
    }
}

/// Sends the own chunk of a piece to all, and receives the chunks of the others.
fn exchange_sums<'a, T: Number>(
    ranks: &Connection,
    piece: &'a mut [T],
    chunk: usize,
    scope: &LocalScope<'a>,
    requests: &mut RequestCollection<'a, [T]>,
) {
    for (owner, chunk) in piece.chunks_mut(chunk).enumerate() {
        if owner != ranks.rank {
            requests.add(ranks.process(owner).immediate_receive_into_with_tag(scope, chunk, SUM));
            continue;
        }
        let chunk = &*chunk;
        for other in ranks.others() {
            requests.add(ranks.process(other).immediate_send_with_tag(scope, chunk, SUM));
        }
    }
}

/// Adds what has arrived to the own chunk, in the order of the ranks.
fn add_in_order<T: Number>(own: &mut [T], arrived: &mut [T], rank: usize, chunk: usize) {
    let world = arrived.len() / chunk;
    arrived[rank * chunk..][..own.len()].copy_from_slice(own);
    for (start, sums) in (0..).step_by(BLOCK).zip(own.chunks_mut(BLOCK)) {
        sums.copy_from_slice(&arrived[start..][..sums.len()]);
        for other in 1..world {
            let values = &arrived[other * chunk + start..][..sums.len()];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
        }
    }
}
