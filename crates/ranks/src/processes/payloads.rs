//! Bytes from all ranks to one, and from one to all.

use mpi::{
    request::multiple_scope,
    traits::{Destination as _, Source as _},
};

use super::{engine::Engine, heads::Kind};

/// The tags of the messages.
const LENGTH: i32 = 4;
const BYTES: i32 = 5;
const SHARED: i32 = 6;

/// The most bytes of a message.
const MESSAGE: usize = 1 << 22;
/// Fewer bytes are sent to all by rank 0 alone.
const SMALL: usize = 1 << 16;

impl Engine {
    /// The bytes of all ranks, on rank 0.
    pub(super) fn gather(&mut self, bytes: Vec<u8>) -> Option<Vec<Vec<u8>>> {
        self.meet(Kind::Gather, 0, 0);
        if self.ranks.rank == 0 { Some(self.collect(bytes)) } else { self.hand_over(&bytes) }
    }

    fn hand_over(&mut self, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let length = [bytes.len() as u64];
        multiple_scope(1, |scope, requests| {
            requests.add(self.ranks.process(0).immediate_send_with_tag(scope, &length[..], LENGTH));
            self.wait(requests);
        });
        multiple_scope(1, |scope, requests| {
            for part in bytes.chunks(MESSAGE) {
                requests.add(self.ranks.process(0).immediate_send_with_tag(scope, part, BYTES));
            }
            self.wait(requests);
        });
        None
    }

    fn collect(&mut self, own: Vec<u8>) -> Vec<Vec<u8>> {
        let mut lengths = vec![0_u64; self.ranks.world - 1];
        multiple_scope(lengths.len(), |scope, requests| {
            for (rank, length) in (1_usize..).zip(lengths.chunks_mut(1)) {
                requests.add(self.ranks.process(rank).immediate_receive_into_with_tag(scope, length, LENGTH));
            }
            self.wait(requests);
        });
        let mut all: Vec<Vec<u8>> = vec![own];
        all.extend(lengths.into_iter().map(|length| vec![0; length as usize]));
        multiple_scope(all.len(), |scope, requests| {
            for (rank, bytes) in all.iter_mut().enumerate().skip(1) {
                for part in bytes.chunks_mut(MESSAGE) {
                    requests.add(self.ranks.process(rank).immediate_receive_into_with_tag(scope, part, BYTES));
                }
            }
            self.wait(requests);
        });
        all
    }

    /// Replaces the bytes with those of rank 0. A large payload is divided among the ranks, which pass their parts on.
    pub(super) fn broadcast(&mut self, bytes: &mut Vec<u8>) {
        let own = if self.ranks.rank == 0 { bytes.len() as u64 } else { 0 };
        let length = self.meet(Kind::Broadcast, 0, own) as usize;
        bytes.resize(length, 0);
        if self.ranks.world == 1 {
            return;
        }
        if length <= SMALL {
            return self.send_from_zero(bytes);
        }
        for piece in bytes.chunks_mut(MESSAGE) {
            let part = piece.len().div_ceil(self.ranks.world);
            self.hand_out(piece, part);
            self.pass_on(piece, part);
        }
    }

    /// Rank 0 sends everything to all.
    fn send_from_zero(&mut self, bytes: &mut [u8]) {
        multiple_scope(self.ranks.world, |scope, requests| {
            if self.ranks.rank == 0 {
                let bytes = &*bytes;
                for rank in 1..self.ranks.world {
                    requests.add(self.ranks.process(rank).immediate_send_with_tag(scope, bytes, BYTES));
                }
            } else {
                requests.add(self.ranks.process(0).immediate_receive_into_with_tag(scope, bytes, BYTES));
            }
            self.wait(requests);
        });
    }

    /// Rank 0 sends each rank its part of a piece.
    fn hand_out(&mut self, piece: &mut [u8], part: usize) {
        multiple_scope(self.ranks.world, |scope, requests| {
            for (rank, part) in piece.chunks_mut(part).enumerate().skip(1) {
                if self.ranks.rank == 0 {
                    let part = &*part;
                    requests.add(self.ranks.process(rank).immediate_send_with_tag(scope, part, BYTES));
                } else if self.ranks.rank == rank {
                    requests.add(self.ranks.process(0).immediate_receive_into_with_tag(scope, part, BYTES));
                }
            }
            self.wait(requests);
        });
    }

    /// Each rank sends its part to all that lack it.
    fn pass_on(&mut self, piece: &mut [u8], part: usize) {
        multiple_scope(2 * self.ranks.world, |scope, requests| {
            for (owner, part) in piece.chunks_mut(part).enumerate() {
                if owner == self.ranks.rank {
                    let part = &*part;
                    for other in (1..self.ranks.world).filter(|other| *other != owner) {
                        requests.add(self.ranks.process(other).immediate_send_with_tag(scope, part, SHARED));
                    }
                } else if self.ranks.rank != 0 {
                    requests.add(self.ranks.process(owner).immediate_receive_into_with_tag(scope, part, SHARED));
                }
            }
            self.wait(requests);
        });
    }
}
