//! Reads an object from start to end.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Read},
    sync::Arc,
};

use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore as _};

use super::{AT_ONCE, Answer, PART, Store, answer, start};

/// The size of the first request. It covers the header of most checkpoints, which is all that a list of checkpoints
/// needs.
const FIRST: u64 = 256 << 10;

/// The pieces of an object, some of them requested ahead.
///
/// One request per piece, because a single request for a large object would time out.
pub(super) struct Download {
    store: Store,
    object: ObjectMeta,
    /// The number of bytes requested.
    asked: u64,
    ahead: VecDeque<Answer<Vec<u8>>>,
    piece: Vec<u8>,
    used: usize,
}

impl Download {
    pub(super) fn new(store: Store, object: ObjectMeta) -> Self {
        Self { store, object, asked: 0, ahead: VecDeque::new(), piece: Vec::new(), used: 0 }
    }

    fn ask(&mut self) -> io::Result<()> {
        let (count, len) = if self.asked == 0 { (1, FIRST) } else { (AT_ONCE, PART) };
        while self.ahead.len() < count && self.asked < self.object.size {
            let range = self.asked..self.object.size.min(self.asked + len);
            self.asked = range.end;
            // A new object under this name must not be mixed with this one.
            let if_match = self.object.e_tag.clone();
            let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match, ..GetOptions::default() };
            let (store, key) = (Arc::clone(&self.store), self.object.location.clone());
            self.ahead.push_back(start(async move { Ok(store.get_opts(&key, options).await?.bytes().await?.into()) })?);
        }
        Ok(())
    }
}

impl Read for Download {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.fill_buf()?;
        let read = piece.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Download {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.piece.len() {
            self.ask()?;
            if let Some(next) = self.ahead.pop_front() {
                (self.piece, self.used) = (answer(&next)?, 0);
            }
        }
        Ok(&self.piece[self.used..])
    }

    fn consume(&mut self, bytes: usize) {
        self.used += bytes;
    }
}
