//! The framing of a `.wandb` file: `LevelDB`'s log format with another header and another checksum.

/// The start of a file: `:W&B`, the number 0xBEE1, version 0. It is a part of the first block.
pub(super) const MAGIC: [u8; 7] = *b":W&B\xe1\xbe\0";

const BLOCK: u64 = 32768;
/// Checksum, length and type of a chunk.
const HEADER: usize = 7;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Appends a record to `into`, which will be written at byte `at` of the file. A record that does not fit into a block
/// is split.
pub(super) fn push(into: &mut Vec<u8>, at: u64, mut record: &[u8]) {
    let begin = into.len();
    let mut first = true;
    loop {
        let mut left = (BLOCK - (at + (into.len() - begin) as u64) % BLOCK) as usize;
        if left < HEADER {
            into.resize(into.len() + left, 0);
            left = BLOCK as usize;
        }
        let (chunk, rest) = record.split_at(record.len().min(left - HEADER));
        let kind = match (first, rest.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&[kind]);
        checksum.update(chunk);
        into.extend(checksum.finalize().to_le_bytes());
        // It fits into 16 bits, because a chunk is shorter than a block.
        into.extend((chunk.len() as u16).to_le_bytes());
        into.push(kind);
        into.extend(chunk);
        if rest.is_empty() {
            return;
        }
        record = rest;
        first = false;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads a whole file, strictly.
    pub(in super::super) fn read(file: &[u8]) -> Vec<Vec<u8>> {
        assert_eq!(file[..7], MAGIC);
        let (mut at, mut records, mut open) = (7, Vec::new(), None::<Vec<u8>>);
        while at < file.len() {
            let left = BLOCK as usize - at % BLOCK as usize;
            if left < HEADER {
                assert!(file[at..at + left].iter().all(|byte| *byte == 0));
                at += left;
                continue;
            }
            let length = usize::from(u16::from_le_bytes([file[at + 4], file[at + 5]]));
            let (kind, data) = (file[at + 6], &file[at + HEADER..at + HEADER + length]);
            assert!(HEADER + length <= left, "a chunk crosses a block at {at}");
            assert_eq!(file[at..at + 4], crc32fast::hash(&[&[kind], data].concat()).to_le_bytes(), "checksum at {at}");
            match (kind, open.take()) {
                (FULL, None) => records.push(data.to_vec()),
                (FIRST, None) => open = Some(data.to_vec()),
                (MIDDLE, Some(begun)) => open = Some([&begun, data].concat()),
                (LAST, Some(begun)) => records.push([&begun, data].concat()),
                (kind, begun) => panic!("chunk type {kind} at {at} after {begun:?}"),
            }
            at += HEADER + length;
        }
        assert_eq!(open, None);
        records
    }

    #[test]
    fn records_of_every_length_around_a_block_read_back() {
        let mut file = MAGIC.to_vec();
        let mut written = Vec::new();
        let near = |length: usize| (length.saturating_sub(9)..length + 9).chain([0, 1]);
        for length in near(BLOCK as usize - 14).chain(near(BLOCK as usize)).chain([3 * BLOCK as usize]) {
            let record: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let at = file.len() as u64;
            push(&mut file, at, &record);
            written.push(record);
        }
        assert!(read(&file) == written);
    }
}
