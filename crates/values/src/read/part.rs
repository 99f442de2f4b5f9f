//! The parts of a state, which are read together.

use super::{Array, Result, Scalar, Tensors};

/// A part of a state: a number or an array, on the host or on the device.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a state has few parts")]
pub enum Part {
    /// A number.
    Number(Scalar),
    /// Numbers in a shape.
    Array(Array),
}

impl Part {
    /// Whether all of it is on the host.
    pub fn is_on_host(&self) -> bool {
        match self {
            Part::Number(scalar) => matches!(scalar, Scalar::Host(_)),
            Part::Array(array) => array.on_host().is_some(),
        }
    }

    /// The number, if it is one on the host; otherwise NaN.
    pub fn number(&self) -> f64 {
        match self {
            Part::Number(Scalar::Host(value)) => *value,
            _ => f64::NAN,
        }
    }
}

/// Copies parts to the host, in one transaction. Does not access the device if all are there.
///
/// # Errors
/// As [`read`](super::read).
pub fn read_parts(parts: &[Part]) -> Result<Vec<Part>> {
    let mut tensors = Tensors::new();
    for part in parts {
        match part {
            Part::Number(scalar) => scalar.register(&mut tensors),
            Part::Array(array) => array.register(&mut tensors),
        }
    }
    let mut read = tensors.read()?.into_iter();
    let on_host = |part: &Part| match part {
        Part::Number(scalar) => Ok(Part::Number(Scalar::Host(scalar.take_read(&mut read)?))),
        Part::Array(array) if array.on_host().is_some() => Ok(Part::Array(array.clone())),
        Part::Array(array) => {
            let values = array.take_read(&mut read)?;
            let array = Array::new(array.dims(), values);
            array.map(Part::Array).ok_or_else(|| super::ReadError { count: 1, reason: "the device returned another shape".into() })
        }
    };
    parts.iter().map(on_host).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int, Tensor};

    use super::*;
    use crate::read::{DistantCpu, device_reads};

    #[test]
    fn many_parts_are_one_read() {
        let _distant = DistantCpu::new();
        let number = Scalar::from(Tensor::<1>::from_floats([0.5], &Device::flex()));
        let array = Array::from(Tensor::<2, Int>::from_ints([[1, 2], [3, 4]], &Device::flex()));
        let parts = [Part::Number(number), Part::Array(Array::row(vec![9.0])), Part::Array(array), Part::Number(7.0.into())];
        let before = device_reads();
        let host = read_parts(&parts).unwrap();
        assert_eq!(device_reads() - before, 1);
        assert!(host.iter().all(Part::is_on_host) && !parts[0].is_on_host() && !parts[2].is_on_host());
        let Part::Array(array) = &host[2] else { panic!("no array") };
        assert_eq!((array.dims(), array.on_host()), (&[2, 2][..], Some(&[1.0, 2.0, 3.0, 4.0][..])));
        assert_eq!(vec![host[0].number(), host[3].number()], [0.5, 7.0]);
    }
}
