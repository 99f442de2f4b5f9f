//! Files in a spool's folder besides the records: files that records refer to, and damaged lines.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use stormfire_store::private;

use super::KEPT;
use crate::Result;

/// Lines of the spool that could not be read. They stay until a user removes the file.
const DAMAGED: &str = "damaged.jsonl";

/// Creates a file in the spool's folder, with the extension of `name`. Returns its relative path and its length.
pub(super) fn make(folder: &Path, number: &mut u64, name: &Path, make: impl Fn(&Path) -> io::Result<u64>) -> Result<(PathBuf, u64)> {
    private::folder(&folder.join(KEPT))?;
    let extension = name.extension().map(|extension| stormfire_store::names::part(&extension.to_string_lossy()).into_owned());
    let extension = extension.map_or(String::new(), |extension| format!(".{extension}"));
    loop {
        let name = Path::new(KEPT).join(format!("{number:06}{extension}"));
        *number += 1;
        match make(&folder.join(&name)) {
            Ok(bytes) => return Ok((name, bytes)),
            // An earlier process kept a file with that number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Creates a file from bytes.
pub(super) fn bytes_as(path: &Path, bytes: &[u8]) -> io::Result<u64> {
    private::options().create_new(true).write(true).open(path)?.write_all(bytes)?;
    Ok(bytes.len() as u64)
}

/// Creates a hard link to a file, or a copy where links are not supported.
pub(super) fn file_as(path: &Path, source: &Path) -> io::Result<u64> {
    match std::fs::hard_link(source, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let mut copy = private::options().create_new(true).write(true).open(path)?;
            io::copy(&mut fs_err::File::open(source)?, &mut copy)
        }
        other => other.and_then(|()| Ok(fs_err::metadata(path)?.len())),
    }
}

/// Removes a file if it was kept in the spool. Returns its size.
pub(super) fn remove(folder: &Path, file: &Path) -> u64 {
    if !file.starts_with(folder.join(KEPT)) {
        return 0;
    }
    let length = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    // A file that cannot be removed wastes space, but does no other harm.
    let _ = fs_err::remove_file(file);
    length
}

/// Total size of the kept files, in bytes.
pub(super) fn bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder.join(KEPT)).into_iter().flatten().flatten();
    files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
}

/// Appends a damaged line to the file of damaged lines.
pub(super) fn put_apart(folder: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = private::options().create(true).append(true).open(folder.join(DAMAGED))?;
    let mut whole = line.trim_ascii_end().to_vec();
    whole.push(b'\n');
    file.write_all(&whole)
}

/// Number of damaged lines of a spool.
pub(crate) fn damaged(folder: &Path) -> u64 {
    let Ok(file) = std::fs::File::open(folder.join(DAMAGED)) else { return 0 };
    BufReader::new(file).split(b'\n').map_while(io::Result::ok).count() as u64
}

pub(super) fn says_damaged(folder: &Path) -> String {
    let count = damaged(folder);
    format!("{count} lines of the spool are damaged and were not sent; they are kept in `{}`", folder.join(DAMAGED).display())
}
