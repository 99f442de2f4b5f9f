//! Snappy's raw format.

use crate::error::{Result, damaged};

/// Unpacks bytes of a known length.
pub(crate) fn unpack(packed: &[u8], length: usize) -> Result<Vec<u8>> {
    let broken = || damaged("a compressed part of it");
    let (mut at, mut said, mut shift) = (0, 0_u64, 0);
    loop {
        let byte = *packed.get(at).ok_or_else(broken)?;
        at += 1;
        said |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return Err(broken());
        }
    }
    if said != length as u64 {
        return Err(broken());
    }
    let mut out = Vec::with_capacity(length);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte));
    while at < packed.len() {
        let tag = packed[at];
        at += 1;
        let bytes = |at: usize, count: usize| packed.get(at..at + count).ok_or_else(broken);
        if tag.trailing_zeros() >= 2 {
            let mut count = usize::from(tag >> 2);
            if count >= 60 {
                let width = count - 59;
                count = number(bytes(at, width)?);
                at += width;
            }
            count += 1;
            out.extend_from_slice(bytes(at, count)?);
            at += count;
        } else {
            let (count, offset, width) = match tag & 3 {
                1 => (4 + usize::from((tag >> 2) & 7), (usize::from(tag >> 5) << 8) | number(bytes(at, 1)?), 1),
                2 => (1 + usize::from(tag >> 2), number(bytes(at, 2)?), 2),
                _ => (1 + usize::from(tag >> 2), number(bytes(at, 4)?), 4),
            };
            at += width;
            if offset == 0 || offset > out.len() {
                return Err(broken());
            }
            let start = out.len() - offset;
            // A copy may overlap with itself.
            for index in start..start + count {
                out.push(out[index]);
            }
        }
        if out.len() > length {
            return Err(broken());
        }
    }
    if out.len() == length { Ok(out) } else { Err(broken()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_overlapping_copies() {
        // "Wikipedia is a free, web-based, collaborative, multilingual encyclopedia project." begins like this.
        let packed = [8, 4, b'a', b'b', 0x09, 2];
        assert_eq!(unpack(&packed, 8).unwrap(), b"abababab");
        let long: Vec<u8> = [vec![0xc8, 0x01, 0xf0, 199], vec![7; 200]].concat();
        assert_eq!(unpack(&long, 200).unwrap(), [7; 200]);
        for end in 0..packed.len() {
            assert!(unpack(&packed[..end], 8).is_err(), "{end}");
        }
        assert!(unpack(&packed, 7).is_err() && unpack(&[8, 4, b'a', b'b', 0x09, 3], 8).is_err());
    }
}
