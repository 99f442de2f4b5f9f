//! Files that grow by whole pieces, and stay readable whatever happens.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::at;
use crate::folder::{make_anew, of};
use crate::replacement::Replacement;

/// Whether only its owner may do anything with a file: the lower six bits of its mode are those of everybody else.
fn is_private(file: &std::fs::File) -> io::Result<bool> {
    #[cfg(unix)]
    let private = std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions()).trailing_zeros() >= 6;
    #[cfg(not(unix))]
    let private = file.metadata().map(|_| false)?;
    Ok(private)
}

/// What [`Append`] writes to.
pub trait Target: Write + Seek {
    /// Cuts the file off or fills it up with zeros.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Waits until the content is on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Puts the content there again, if somebody has removed the file of this name.
    fn put_back(&mut self, path: &Path) -> io::Result<()>;
}

impl Target for std::fs::File {
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        std::fs::File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    /// A removed file has its content as long as it is open. It must be open for reading, too.
    fn put_back(&mut self, path: &Path) -> io::Result<()> {
        if !std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        make_anew(of(path))?;
        // A spool is its owner's alone, also the second time.
        let mut whole = if is_private(self)? { Replacement::private(path)? } else { Replacement::new(path)? };
        self.seek(SeekFrom::Start(0))?;
        io::copy(self, &mut whole)?;
        *self = whole.commit()?;
        Ok(())
    }
}

/// So much is kept in memory before it is written.
const BUFFER: usize = 1 << 16;
/// So much is kept for another attempt while the disk is full.
const RETRY: usize = 1 << 20;

/// A file that grows by whole pieces.
///
/// A piece that could not be written whole (a full disk) is cut off again, so that what is there stays readable and a
/// later attempt continues behind it. Behind the pieces there may be a tail that the next write replaces.
pub struct Append<T = std::fs::File> {
    target: T,
    path: PathBuf,
    /// The same, wherever the current folder is.
    place: PathBuf,
    /// Where the next piece goes: the length without the tail.
    end: u64,
    /// The length with the tail.
    len: u64,
    buffer: Vec<u8>,
    tail: Vec<u8>,
}

impl<T: Target> Append<T> {
    /// A file of `len` bytes, which are whole pieces.
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

    /// Where a whole piece is to be appended. Call [`Append::pushed`] afterwards.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether the buffer is to be written.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Writes the buffer if it is full.
    pub fn pushed(&mut self) -> io::Result<()> {
        if self.is_full() { self.flush(b"") } else { Ok(()) }
    }

    /// Forgets what could not be written if it is too much to be kept.
    pub fn shed(&mut self) {
        if self.buffer.len() > RETRY {
            self.buffer.clear();
        }
    }

    /// Writes all pieces, then `tail` in the place of the former tail, with one system call.
    pub fn flush(&mut self, tail: &[u8]) -> io::Result<()> {
        self.target.put_back(&self.place).map_err(|error| at(&self.path, "put back", &error))?;
        if self.buffer.is_empty() && self.tail == tail {
            return Ok(());
        }
        let pieces = self.buffer.len();
        self.buffer.extend_from_slice(tail);
        let length = self.end + self.buffer.len() as u64;
        // What remains of a longer tail turns into empty lines until it is cut off: a kill in between leaves no half line.
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
                    // The tail is lost on disk, so it has to be seen as new next time.
                    Err(_) => self.tail.clear(),
                }
                self.shed();
                Err(at(&self.path, "write", &error))
            }
        }
    }

    /// Overwrites bytes that are on disk already.
    pub fn overwrite(&mut self, at_byte: u64, bytes: &[u8]) -> io::Result<()> {
        write_at(&mut self.target, at_byte, bytes).map_err(|error| at(&self.path, "write", &error))
    }

    /// Waits until what was written outlives a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.target.sync().map_err(|error| at(&self.path, "write", &error))?;
        // The name of a new file is in its folder. Where a folder cannot be synchronised, there is nothing more to do.
        let _ = std::fs::File::open(of(&self.path)).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Cuts off the tail and the pieces behind `end`. Nothing may wait in the buffer.
    pub fn cut(&mut self, end: u64) -> io::Result<()> {
        self.target.set_len(end).map_err(|error| at(&self.path, "cut", &error))?;
        self.end = end;
        self.len = end;
        self.tail.clear();
        Ok(())
    }

    /// Goes on with another file that holds everything up to now, the buffer included: whole pieces up to `end`, then
    /// `tail`.
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
    fn a_file_that_is_removed_is_there_again_with_all_that_was_in_it() {
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
        assert!(error.to_string().starts_with("failed to write `some/file`: "), "{error}");
        assert_eq!(text(&disk), "1234567\nt\n");
        *disk.capacity.lock().unwrap() = 100;
        file.flush(b"u\n").unwrap();
        assert_eq!(text(&disk), "1234567\nabcdefg\nu\n");
    }

    #[test]
    fn what_a_full_disk_refuses_is_kept_only_so_long() {
        let disk = SmallDisk::default();
        let mut file = Append::new(disk, "x".into(), 0);
        for _ in 0..64 {
            file.buffer().extend(vec![b'x'; BUFFER]);
            file.pushed().unwrap_err();
            assert!(file.buffer().len() <= RETRY);
        }
    }
}
