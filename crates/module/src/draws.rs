//! Whether burn's random numbers were drawn since they were seeded.

use burn::tensor::{Device, Distribution, Tensor};
use stormfire_values::{Scalar, read::read};

use crate::error::Result;

/// The first number of a generator that was just seeded, which it still has to give.
#[derive(Debug)]
pub(crate) struct Undrawn(Tensor<1>);

impl Undrawn {
    /// Seeds the generator of a device with `seed`, and knows what it gives first.
    pub(crate) fn seeded(device: &Device, seed: impl Fn()) -> Self {
        seed();
        let first = draw(device);
        seed();
        Self(first)
    }

    /// Whether nothing was drawn since. It draws a number itself. One device read.
    ///
    /// # Errors
    /// [`crate::Error::Read`] when the device fails.
    pub(crate) fn holds(self, device: &Device) -> Result<bool> {
        let values = read(&[Scalar::from(self.0), Scalar::from(draw(device))])?;
        Ok(values[0].to_bits() == values[1].to_bits())
    }
}

fn draw(device: &Device) -> Tensor<1> {
    Tensor::random([1], Distribution::Default, device)
}
