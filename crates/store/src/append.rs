//! Files that grow by whole pieces and stay readable after a crash or a full disk.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::at;
use crate::folder::{of, recreate};
use crate::replacement::Replacement;

/// Whether only the owner can access a file. The lower six bits of the mode are the permissions of the group and of
/// others.
fn is_private(file: &std::fs::File) -> io::Result<bool> {
    #[cfg(unix)]
    let private = std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions()).trailing_zeros() >= 6;
    #[cfg(not(unix))]
    let private = file.metadata().map(|_| false)?;
    Ok(private)
}

/// The file below an [`Append`].
pub trait Target: Write + Seek {
    /// Truncates the file, or extends it with zeros.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Waits until the content is on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Restores the file with its content if its name was removed.
    fn put_back(&mut self, path: &Path) -> io::Result<()>;
}

impl Target for std::fs::File {
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        std::fs::File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    /// A removed file keeps its content while it is open. The file must also be open for reading.
    fn put_back(&mut self, path: &Path) -> io::Result<()> {
        if !std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        recreate(of(path))?;
        // A spool stays private when it is restored.
        let mut whole = if is_private(self)? { Replacement::private(path)? } else { Replacement::new(path)? };
        self.seek(SeekFrom::Start(0))?;
        io::copy(self, &mut whole)?;
        *self = whole.commit()?;
        Ok(())
    }
}

/// The size in bytes at which the buffer is written.
const BUFFER: usize = 1 << 16;
/// The maximum number of bytes that are kept for another attempt after a failed write.
const RETRY: usize = 1 << 20;

/// A file that grows by whole pieces.
///
/// A piece that could not be written completely (a full disk) is cut off again. So the file stays readable, and a later
/// attempt continues at its end. A tail can follow the pieces. The next write replaces the tail.
pub struct Append<T = std::fs::File> {
    target: T,
    path: PathBuf,
    /// The absolute path. It stays the same when the current directory changes.
    place: PathBuf,
    /// The position of the next piece: the length without the tail.
    end: u64,
    /// The length with the tail.
    len: u64,
    buffer: Vec<u8>,
    tail: Vec<u8>,
}

impl<T: Target> Append<T> {
    /// Wraps a file of `len` bytes, which are whole pieces.
    pub fn new(target: T, path: PathBuf, len: u64) -> Self {
        let place = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        Self { target, path, place, end: len, len, buffer: Vec::with_capacity(BUFFER + BUFFER / 4), tail: Vec::new() }
    }

    /// The path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length on disk, without the tail.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The buffer, to which the caller appends a whole piece. Call [`Append::pushed`] afterwards.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether the buffer should be written.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Writes the buffer if it is full.
    pub fn pushed(&mut self) -> io::Result<()> {
        if self.is_full() { self.flush(b"") } else { Ok(()) }
    }

    /// Drops the buffer if it is too large to keep for another attempt.
    pub fn shed(&mut self) {
        if self.buffer.len() > RETRY {
            self.buffer.clear();
        }
    }

    /// Writes all pieces, then `tail` in place of the former tail, with one system call.
    pub fn flush(&mut self, tail: &[u8]) -> io::Result<()> {
        self.target.put_back(&self.place).map_err(|error| at(&self.path, "put back", &error))?;
        if self.buffer.is_empty() && self.tail == tail {
            return Ok(());
        }
        let pieces = self.buffer.len();
        self.buffer.extend_from_slice(tail);
        let length = self.end + self.buffer.len() as u64;
        // The rest of a longer tail becomes empty lines until it is cut off. So a kill in between leaves no partial
        // line.
        let surplus = self.len.saturating_sub(length) as usize;
        self.buffer.resize(self.buffer.len() + surplus, b'\n');
        let outcome = write_at(&mut self.target, self.end, &self.buffer);
        self.buffer.truncate(pieces);
        match outcome.and_then(|()| if surplus > 0 { self.target.set_len(length) } else { Ok(()) }) {
            Ok(()) => {
                self.end += pieces as u64;
                self.len = length;
                self.buffer.clear();
                self.tail.clear();
                self.tail.extend_from_slice(tail);
                Ok(())
            }
            Err(error) => {
                let restored = self.target.set_len(self.end).and_then(|()| {
                    self.len = self.end;
                    write_at(&mut self.target, self.end, &self.tail)
                });
                match restored {
                    Ok(()) => self.len = self.end + self.tail.len() as u64,
                    // The tail on disk is lost. The next call must treat its tail as new.
                    Err(_) => self.tail.clear(),
                }
                self.shed();
                Err(at(&self.path, "write", &error))
            }
        }
    }

    /// Overwrites bytes that are already on disk.
    pub fn overwrite(&mut self, at_byte: u64, bytes: &[u8]) -> io::Result<()> {
        write_at(&mut self.target, at_byte, bytes).map_err(|error| at(&self.path, "write", &error))
    }

    /// Waits until the written bytes would survive a power failure.
    pub fn sync(&self) -> io::Result<()> {
        self.target.sync().map_err(|error| at(&self.path, "write", &error))?;
        // The entry of a new file is part of its folder. If the folder cannot be synced, nothing more can be done.
        let _ = std::fs::File::open(of(&self.path)).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Cuts off the tail and the pieces after `end`. The buffer must be empty.
    pub fn cut(&mut self, end: u64) -> io::Result<()> {
        self.target.set_len(end).map_err(|error| at(&self.path, "cut", &error))?;
        self.end = end;
        self.len = end;
        self.tail.clear();
        Ok(())
    }

    /// Continues with another file, which contains everything written so far, including the buffer: whole pieces up to
    /// `end`, then `tail`.
    pub fn replace(&mut self, target: T, end: u64, tail: Vec<u8>) {
        self.buffer.clear();
        self.target = target;
        self.end = end;
        self.len = end + tail.len() as u64;
        self.tail = tail;
    }
}

fn write_at(target: &mut impl Target, at_byte: u64, bytes: &[u8]) -> io::Result<()> {
    target.seek(SeekFrom::Start(at_byte))?;
    target.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_disk::SmallDisk;

    fn text(disk: &SmallDisk) -> String {
        String::from_utf8(disk.bytes.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_tail_is_replaced_longer_or_shorter() {
        let disk = SmallDisk::default();
        *disk.capacity.lock().unwrap() = 100;
        let mut file = Append::new(disk.clone(), "x".into(), 0);
        file.buffer().extend(b"one\n");
        file.flush(b"open\n").unwrap();
        assert_eq!(text(&disk), "one\nopen\n");
        file.flush(b"longer\n").unwrap();
        assert_eq!(text(&disk), "one\nlonger\n");
        file.flush(b"x\n").unwrap();
        assert_eq!(text(&disk), "one\nx\n");
        file.buffer().extend(b"two\n");
        file.flush(b"").unwrap();
        assert_eq!((text(&disk).as_str(), file.end()), ("one\ntwo\n", 8));
    }

    #[test]
    #[cfg(unix)]
    fn a_removed_file_is_recreated_with_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/rows");
        let open = || {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::options().create_new(true).read(true).write(true).open(&path).unwrap()
        };
        let mut file = Append::new(open(), path.clone(), 0);
        file.buffer().extend(b"one\n");
        file.flush(b"tail\n").unwrap();
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
        file.flush(b"tail\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntail\n", "also without anything new");
        std::fs::remove_file(&path).unwrap();
        file.buffer().extend(b"two\n");
        file.flush(b"").unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), file.end()), ("one\ntwo\n", 8));
        let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.flush(b"").unwrap();
        assert_eq!(mode(&path), 0o600, "what was private stays so");
        let mut beside = Replacement::new(&folder.path().join("gone/hparams.yaml")).unwrap();
        beside.write_all(b"lr: 1").unwrap();
        drop(beside.commit().unwrap());
        assert!(folder.path().join("gone/hparams.yaml").exists());
    }

    #[test]
    fn a_full_disk_leaves_whole_pieces_and_the_rest_follows_when_there_is_room() {
        let disk = SmallDisk::default();
        *disk.capacity.lock().unwrap() = 10;
        let mut file = Append::new(disk.clone(), "some/file".into(), 0);
        file.buffer().extend(b"1234567\n");
        file.flush(b"t\n").unwrap();
        file.buffer().extend(b"abcdefg\n");
        let error = file.flush(b"u\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        insta::assert_snapshot!(error, @"failed to write `some/file`: no storage space");
        assert_eq!(text(&disk), "1234567\nt\n");
        *disk.capacity.lock().unwrap() = 100;
        file.flush(b"u\n").unwrap();
        assert_eq!(text(&disk), "1234567\nabcdefg\nu\n");
    }

    #[test]
    fn the_buffer_for_a_full_disk_is_bounded() {
        let disk = SmallDisk::default();
        let mut file = Append::new(disk, "x".into(), 0);
        for _ in 0..64 {
            file.buffer().extend(vec![b'x'; BUFFER]);
            file.pushed().unwrap_err();
            assert!(file.buffer().len() <= RETRY);
        }
    }
}
