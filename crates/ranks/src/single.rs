//! A training of one rank.

use crate::{communicator::Communicator, error::Result};

/// A single rank, which agrees with itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleRank;

impl Communicator for SingleRank {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn local_rank(&self) -> usize {
        0
    }

    fn all_reduce(&mut self, _bucket: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn all_reduce_f64(&mut self, _bucket: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn agree(&mut self, flags: u64) -> Result<u64> {
        Ok(flags)
    }

    fn gather(&mut self, bytes: Vec<u8>) -> Result<Option<Vec<Vec<u8>>>> {
        Ok(Some(vec![bytes]))
    }

    fn broadcast(&mut self, _bytes: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn barrier(&mut self) -> Result<()> {
        Ok(())
    }

    fn abort(&mut self, _reason: &str) {}
}
