//! The framing of records in an event file.

/// `TensorFlow`'s masked CRC-32C. The mask avoids problems with checksums of data that contain checksums.
pub(crate) fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Number of bytes before the data: the length and its checksum.
pub(crate) const HEADER: usize = 12;

/// Appends a record. `fill` appends its data.
pub(crate) fn push(into: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend([0; HEADER]);
    fill(into);
    let length = ((into.len() - start - HEADER) as u64).to_le_bytes();
    let checksum = masked_crc(&into[start + HEADER..]);
    into[start..start + 8].copy_from_slice(&length);
    into[start + 8..start + HEADER].copy_from_slice(&masked_crc(&length).to_le_bytes());
    into.extend(checksum.to_le_bytes());
}

/// The data of the first record, and the rest of the file. `None` if the record is incomplete or damaged.
pub(crate) fn split(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = file.split_at_checked(HEADER)?;
    let (length, checksum) = header.split_at(8);
    if masked_crc(length).to_le_bytes() != checksum {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (data, rest) = rest.split_at_checked(length)?;
    let (checksum, rest) = rest.split_at_checked(4)?;
    (masked_crc(data).to_le_bytes() == checksum).then_some((data, rest))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Reads complete records. The error is the unreadable rest.
    pub(crate) fn read(mut file: &[u8]) -> Result<Vec<Vec<u8>>, &[u8]> {
        let mut records = Vec::new();
        while !file.is_empty() {
            let (data, rest) = split(file).ok_or(file)?;
            records.push(data.to_vec());
            file = rest;
        }
        Ok(records)
    }

    #[test]
    fn the_framing_of_a_known_record() {
        let mut file = Vec::new();
        // The first event in every file of TensorFlow, with a wall time of 1.0.
        push(&mut file, |data| data.extend(b"\x09\0\0\0\0\0\0\xf0\x3f\x1a\x0dbrain.Event:2"));
        assert_eq!(file[..8], 24_u64.to_le_bytes());
        // As in every event file: the masked checksum of the length 24.
        assert_eq!(file[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(file.len(), 12 + 24 + 4);
        // The check value of CRC-32C.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_read_back_and_every_flipped_bit_is_noticed() {
        let mut file = Vec::new();
        push(&mut file, |data| data.extend(b"first"));
        push(&mut file, |_| {});
        push(&mut file, |data| data.extend(b"third"));
        assert_eq!(read(&file).unwrap(), [&b"first"[..], b"", b"third"]);
        for bit in 0..file.len() * 8 {
            let mut broken = file.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&broken).is_err(), "bit {bit}");
        }
        let third = 2 * (HEADER + 4) + 5;
        for torn in third + 1..file.len() {
            assert_eq!(read(&file[..torn]), Err(&file[third..torn]));
        }
    }
}
