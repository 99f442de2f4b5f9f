//! Small numbers in run lengths and bit packs: levels, indices of dictionaries, booleans.

use crate::{
    compact::write_varint,
    error::{Result, damaged},
};

/// Decodes `count` numbers of `width` bits. Returns them.
pub(crate) fn decode(bytes: &[u8], width: u32, count: usize) -> Result<Vec<u32>> {
    let broken = || damaged("a run of it ends too early");
    if width > 32 {
        return Err(damaged(format!("numbers of {width} bits")));
    }
    let mut numbers = Vec::with_capacity(count.min(bytes.len().saturating_mul(8).max(1 << 16)));
    let mut at = 0;
    while numbers.len() < count {
        let (mut header, mut shift) = (0_u64, 0);
        loop {
            let byte = *bytes.get(at).ok_or_else(broken)?;
            at += 1;
            header |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 56 {
                return Err(broken());
            }
        }
        let left = count - numbers.len();
        if header & 1 == 1 {
            let groups = usize::try_from(header >> 1).map_err(|_| broken())?;
            let length = groups.checked_mul(width as usize).ok_or_else(broken)?;
            // The last pack may be cut short.
            let packed = bytes.get(at..at.saturating_add(length).min(bytes.len())).ok_or_else(broken)?;
            at += packed.len();
            let values = groups.saturating_mul(8).min(left);
            if packed.len() * 8 < values * width as usize {
                return Err(broken());
            }
            let (mut buffer, mut bits, mut next) = (0_u64, 0, 0);
            for _ in 0..values {
                while bits < width {
                    buffer |= u64::from(packed[next]) << bits;
                    next += 1;
                    bits += 8;
                }
                numbers.push((buffer & ((1_u64 << width) - 1)) as u32);
                buffer >>= width;
                bits -= width;
            }
        } else {
            let length = usize::try_from(header >> 1).map_err(|_| broken())?;
            if length == 0 {
                return Err(broken());
            }
            let bytes_of = width.div_ceil(8) as usize;
            let value = bytes.get(at..at + bytes_of).ok_or_else(broken)?;
            at += bytes_of;
            let value = value.iter().rev().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
            numbers.extend(std::iter::repeat_n(value, length.min(left)));
        }
    }
    Ok(numbers)
}

/// The bits that a number up to `largest` needs.
pub(crate) fn width_of(largest: u32) -> u32 {
    u32::BITS - largest.leading_zeros()
}

/// Flags as run lengths.
pub(crate) fn encode_flags(flags: impl IntoIterator<Item = bool>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut flags = flags.into_iter().peekable();
    while let Some(flag) = flags.next() {
        let mut length = 1_u64;
        while flags.next_if_eq(&flag).is_some() {
            length += 1;
        }
        write_varint(length << 1, &mut out);
        out.push(u8::from(flag));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_packs_are_decoded() {
        // The example of the format: 0 to 7 in 3 bits.
        assert_eq!(decode(&[0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010], 3, 8).unwrap(), (0..8).collect::<Vec<_>>());
        assert_eq!(decode(&[0b1000, 5, 0b11, 0xff], 1, 9).unwrap(), [5, 5, 5, 5, 1, 1, 1, 1, 1]);
        assert_eq!(decode(&[], 0, 0).unwrap(), Vec::<u32>::new());
        assert_eq!(decode(&[8], 0, 4).unwrap(), [0; 4]);
        assert!(decode(&[0b11, 0b1000_1000], 3, 8).is_err() && decode(&[0], 1, 1).is_err() && decode(&[8], 9, 4).is_err());
        assert_eq!((width_of(0), width_of(1), width_of(2), width_of(255), width_of(256)), (0, 1, 2, 8, 9));
    }

    #[test]
    fn flags_are_read_back() {
        let flags: Vec<bool> = (0..1000).map(|index| index % 7 < 3 || index > 500).collect();
        let decoded = decode(&encode_flags(flags.clone()), 1, flags.len()).unwrap();
        assert_eq!(decoded, flags.into_iter().map(u32::from).collect::<Vec<_>>());
    }
}
