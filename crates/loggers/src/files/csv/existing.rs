//! Reads an existing table, which may end with an incomplete row.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// The properties of a file that are needed to continue it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Existing {
    /// The bytes of the header, without its line end.
    pub(super) header: Vec<u8>,
    pub(super) columns: Vec<String>,
    /// Number of bytes of line ends after the header.
    pub(super) room: u64,
    /// The end of the last complete row.
    pub(super) end: u64,
}

/// Reads the header and finds the end of the last complete row.
pub(super) fn examine(file: &mut (impl Read + Seek)) -> io::Result<Existing> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(&mut *file);
    let mut header = Vec::new();
    read_record(&mut reader, &mut header)?;
    if header.pop_if(|last| *last == b'\n').is_none() {
        // The header is incomplete, so there is nothing to continue.
        return Ok(Existing::default());
    }
    let mut room = 1;
    if header.pop_if(|last| *last == b'\r').is_some() {
        room += 1;
    }
    loop {
        let bytes = reader.fill_buf()?;
        let blank = bytes.iter().take_while(|byte| is_line_end(**byte)).count();
        let done = blank < bytes.len() || bytes.is_empty();
        reader.consume(blank);
        room += blank as u64;
        if done {
            break;
        }
    }
    let start = header.len() as u64 + room;
    let end = last_line_end(file, start, length)?;
    let columns = columns(&header)?;
    Ok(Existing { header, columns, room, end })
}

/// Appends one record with its line end and returns the number of its cells, or 0 at the end of the file.
pub(super) fn read_record(reader: &mut impl BufRead, record: &mut Vec<u8>) -> io::Result<usize> {
    let start = record.len();
    let (mut quoted, mut cells) = (false, 1);
    loop {
        let before = record.len();
        if reader.read_until(b'\n', record)? == 0 {
            return Ok(if record.len() == start { 0 } else { cells });
        }
        let line = &record[before..];
        if !quoted && !line.contains(&b'"') {
            // This form lets the compiler count many bytes at a time. It dominates the time of a rewrite.
            return Ok(cells + line.iter().map(|byte| usize::from(*byte == b',')).sum::<usize>());
        }
        for byte in line {
            quoted ^= *byte == b'"';
            cells += usize::from(*byte == b',' && !quoted);
        }
        // A line end within quotes belongs to the cell.
        if !quoted {
            return Ok(cells);
        }
    }
}

/// Counts at most `most` rows. Returns the number of rows and bytes. Empty lines are not rows.
pub(super) fn count_rows(reader: &mut impl BufRead, most: u64) -> io::Result<(u64, u64)> {
    let (mut rows, mut bytes, mut read) = (0, 0, 0);
    let mut row = Vec::new();
    while rows < most && read_record(reader, &mut row)? > 0 {
        read += row.len() as u64;
        if !row.iter().all(|byte| is_line_end(*byte)) {
            rows += 1;
            bytes = read;
        }
        row.clear();
    }
    Ok((rows, bytes))
}

pub(super) fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn columns(header: &[u8]) -> io::Result<Vec<String>> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(header);
    let mut record = ::csv::ByteRecord::new();
    reader.read_byte_record(&mut record)?;
    Ok(record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

/// The end of the last terminated line between `start` and `length`, without empty lines after it.
pub(super) fn last_line_end(file: &mut (impl Read + Seek), start: u64, length: u64) -> io::Result<u64> {
    const CHUNK: u64 = 1 << 12;
    // Scans backwards: skips an incomplete line, then line ends, and keeps the line end nearest to the row.
    let mut in_torn_line = true;
    let mut upper = length;
    while upper > start {
        let lower = start.max(upper.saturating_sub(CHUNK));
        let mut chunk = vec![0; (upper - lower) as usize];
        file.seek(SeekFrom::Start(lower))?;
        file.read_exact(&mut chunk)?;
        for (at, byte) in chunk.iter().enumerate().rev() {
            in_torn_line &= *byte != b'\n';
            if !in_torn_line && !is_line_end(*byte) {
                let after = chunk.get(at + 1).copied();
                let ends = if after == Some(b'\r') { 2 } else { 1 };
                return Ok((lower + at as u64 + 1 + ends).min(length));
            }
        }
        upper = lower;
    }
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (String, Vec<String>, u64, usize) {
        let existing = examine(&mut io::Cursor::new(text.as_bytes())).unwrap();
        let header = String::from_utf8(existing.header).unwrap();
        (header, existing.columns, existing.room, text.len() - existing.end as usize)
    }

    #[test]
    fn a_whole_table_is_taken_as_it_is() {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(found("step,a\n1,2\n"), ("step,a".to_owned(), columns(&["step", "a"]), 1, 0));
        assert_eq!(found("step,a\n\n\n1,2\n"), ("step,a".to_owned(), columns(&["step", "a"]), 3, 0));
        assert_eq!(found("step,a\r\n1,2\r\n"), ("step,a".to_owned(), columns(&["step", "a"]), 2, 0));
        assert_eq!(found("\"a\nb,c\"\n"), ("\"a\nb,c\"".to_owned(), columns(&["a\nb,c"]), 1, 0));
        let long = format!("step\n{}{}", "7\n".repeat(9000), "\n".repeat(9000));
        assert_eq!(found(&long).3, 9000);
    }

    #[test]
    fn records_are_read_whole_with_their_number_of_cells() {
        let mut reader = io::Cursor::new(b"1,,3\n\n\"a,\nb\",\"\"\"c\",2\nlast,");
        let mut next = || {
            let mut record = Vec::new();
            let cells = read_record(&mut reader, &mut record).unwrap();
            (String::from_utf8(record).unwrap(), cells)
        };
        let found: Vec<_> = (0..5).map(|_| next()).collect();
        let found: Vec<_> = found.iter().map(|(text, cells)| (text.as_str(), *cells)).collect();
        assert_eq!(found, [("1,,3\n", 3), ("\n", 1), ("\"a,\nb\",\"\"\"c\",2\n", 3), ("last,", 2), ("", 0)]);
    }

    #[test]
    fn rows_are_counted_up_to_a_limit() {
        let count = |most| count_rows(&mut io::Cursor::new(b"1,2\n\n\"a\nb\",3\n4,5\n\n"), most).unwrap();
        assert_eq!([count(0), count(1), count(2), count(3), count(9)], [(0, 0), (1, 4), (2, 13), (3, 17), (3, 17)]);
    }

    #[test]
    fn an_unfinished_row_of_a_crash_is_truncated() {
        assert_eq!(found("step,a\n1,2\n3,").3, 2);
        assert_eq!(found("step,a\n1,2\n\n\n").3, 2);
        assert_eq!(found("step,a\n1,2\n\n3").3, 2);
        assert_eq!(found("step,a\n3,").3, 2);
        assert_eq!(found("step,a\n").3, 0);
        let torn = examine(&mut io::Cursor::new(b"step,a")).unwrap();
        assert_eq!(torn, Existing::default());
        assert_eq!(examine(&mut io::Cursor::new(b"")).unwrap(), Existing::default());
    }
}
