//! The messages that the ranks exchange at the start of every collective call.

use mpi::{
    request::multiple_scope,
    traits::{Destination as _, Source as _},
};

use super::engine::Engine;
use crate::error::Error;

/// The tag of the messages.
const HEAD: i32 = 1;

/// The collective calls.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Kind {
    AllReduce,
    AllReduceF64,
    Agree,
    Gather,
    Broadcast,
    Barrier,
}

/// The call of a rank: its kind, the length of the bucket, the rank.
type Call = [u64; 3];

/// All that is known of the call: the smallest and the greatest of the calls, and the union of the flags.
struct Head {
    least: Call,
    greatest: Call,
    flags: u64,
}

impl Head {
    fn to_words(&self) -> [u64; 7] {
        let mut words = [self.flags; 7];
        words[..3].copy_from_slice(&self.least);
        words[3..6].copy_from_slice(&self.greatest);
        words
    }

    fn add(&mut self, words: [u64; 7]) {
        self.least = self.least.min([words[0], words[1], words[2]]);
        self.greatest = self.greatest.max([words[3], words[4], words[5]]);
        self.flags |= words[6];
    }
}

impl Engine {
    /// Makes sure that all ranks make the same call, and returns the union of their flags. After `n` rounds each rank
    /// has the calls of 2ⁿ ranks.
    pub(super) fn meet(&mut self, kind: Kind, length: usize, flags: u64) -> u64 {
        let own = [kind as u64, length as u64, self.ranks.rank as u64];
        let mut head = Head { least: own, greatest: own, flags };
        let mut step = 1;
        while step < self.ranks.world {
            let (to, from) = ((self.ranks.rank + step) % self.ranks.world, (self.ranks.rank + self.ranks.world - step) % self.ranks.world);
            let (sent, mut received) = (head.to_words(), [0; 7]);
            multiple_scope(2, |scope, requests| {
                let receive = self.ranks.process(from).immediate_receive_into_with_tag(scope, &mut received, HEAD);
                requests.add(receive);
                requests.add(self.ranks.process(to).immediate_send_with_tag(scope, &sent, HEAD));
                self.wait(requests);
            });
            head.add(received);
            step *= 2;
        }
        let [least, greatest] = [head.least, head.greatest];
        if least[..2] != greatest[..2] {
            let mut ranks = [least, greatest].map(|call| (call[2] as usize, name(call)));
            ranks.sort_unstable();
            self.refuse_call(&Error::OutOfStep { ranks });
        }
        head.flags
    }

    /// The union of the flags of all ranks.
    pub(super) fn agree(&mut self, flags: u64) -> u64 {
        self.meet(Kind::Agree, 0, flags)
    }

    /// Waits for all ranks.
    pub(super) fn barrier(&mut self) {
        self.meet(Kind::Barrier, 0, 0);
    }
}

fn name([kind, length, _]: Call) -> String {
    const NAMES: [&str; 6] = ["all_reduce", "all_reduce_f64", "agree", "gather", "broadcast", "barrier"];
    let name = NAMES.get(kind as usize).unwrap_or(&"an unknown call");
    if kind <= Kind::AllReduceF64 as u64 { format!("{name} of {length} numbers") } else { (*name).to_owned() }
}
