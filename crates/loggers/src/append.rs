//! Files that stay readable whatever happens: replaced as a whole, or grown by whole pieces.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

/// A file that takes another's place in one instant when it is complete.
pub(crate) struct Replacement {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl Replacement {
    /// One that is as readable as any file that the user makes.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o666)
    }

    /// One that only its owner may read.
    pub(crate) fn private(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o600)
    }

    #[cfg_attr(not(unix), expect(unused_variables, reason = "there are no modes"))]
    fn with_mode(path: &Path, mode: u32) -> io::Result<Self> {
        let (folder, prefix) = place(path);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        let file = builder.tempfile_in(folder).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            make_anew(folder)?;
            builder.tempfile_in(folder)
        });
        let file = file.map_err(|error| at(path, "create a file beside", &error))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), path: path.to_owned() })
    }

    /// So many bytes were written.
    pub(crate) fn len(&mut self) -> io::Result<u64> {
        self.file.stream_position()
    }

    /// Makes the content durable and puts it in place. The open file is returned.
    pub(crate) fn commit(self) -> io::Result<std::fs::File> {
        let Self { file, path } = self;
        let file = file.into_inner().map_err(|error| at(&path, "write", error.error()))?;
        file.as_file().sync_all().map_err(|error| at(&path, "write", &error))?;
        file.persist(&path).map_err(|error| at(&path, "replace", &error.error))
    }
}

/// Puts a value as JSON into the place of a file.
pub(crate) fn replace_json(path: &Path, value: &impl serde::Serialize) -> crate::Result<()> {
    let mut file = Replacement::new(path)?;
    serde_json::to_writer(&mut file, value).map_err(crate::Error::other)?;
    file.commit()?;
    Ok(())
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| at(&self.path, "write", &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| at(&self.path, "write", &error))
    }
}

impl Seek for Replacement {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to).map_err(|error| at(&self.path, "write", &error))
    }
}

/// Removes what a kill left of a replacement. Only for a file that nobody else writes.
pub(crate) fn clear_replacements(path: &Path) {
    let (folder, prefix) = place(path);
    clear(folder, |name| name.starts_with(&prefix));
}

/// As [`clear_replacements`] for all files of a folder that nobody else writes to.
pub(crate) fn clear_all_replacements(folder: &Path) {
    clear(folder, |name| name.starts_with('.') && name.contains(REPLACEMENT));
}

fn clear(folder: &Path, is_left: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_left(&entry.file_name().to_string_lossy()) {
            // It does no harm where it is.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// In the names of files that are to take the place of others.
const REPLACEMENT: &str = ".new-";

/// The folder of a file, and how the names of its replacements begin.
fn place(path: &Path) -> (&Path, String) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // There has to be room for what is added to a name that is as long as a name may be.
    let name = crate::names::fit(&name, crate::names::FILE, |_| true);
    (folder, format!(".{name}{REPLACEMENT}"))
}

/// Whether only its owner may do anything with a file: the lower six bits of its mode are those of everybody else.
fn is_private(file: &std::fs::File) -> io::Result<bool> {
    #[cfg(unix)]
    let private = std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions()).trailing_zeros() >= 6;
    #[cfg(not(unix))]
    let private = file.metadata().map(|_| false)?;
    Ok(private)
}

/// Makes a folder again that somebody has removed under the run. Says so, once for each.
pub(crate) fn make_anew(folder: &Path) -> io::Result<()> {
    static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    std::fs::create_dir_all(folder)?;
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        tracing::warn!(
            "somebody has removed `{}` under the run, or files in it: what the loggers had open is written there again, the rest is lost",
            folder.display()
        );
    }
    Ok(())
}

/// An error that names the file, as those of `fs_err` do.
pub(crate) fn at(path: &Path, action: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to {action} `{}`: {error}", path.display()))
}

/// What [`Append`] writes to.
pub(crate) trait Target: Write + Seek {
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
        make_anew(place(path).0)?;
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
pub(crate) struct Append<T = std::fs::File> {
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
    pub(crate) fn new(target: T, path: PathBuf, len: u64) -> Self {
        let place = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        Self { target, path, place, end: len, len, buffer: Vec::with_capacity(BUFFER + BUFFER / 4), tail: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The length on disk, without the tail.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Where a whole piece is to be appended. Call [`Append::pushed`] afterwards.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether the buffer is to be written.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER
    }

    /// Writes the buffer if it is full.
    pub(crate) fn pushed(&mut self) -> io::Result<()> {
        if self.is_full() { self.flush(b"") } else { Ok(()) }
    }

    /// Forgets what could not be written if it is too much to be kept.
    pub(crate) fn shed(&mut self) {
        if self.buffer.len() > RETRY {
            self.buffer.clear();
        }
    }

    /// Writes all pieces, then `tail` in the place of the former tail, with one system call.
    pub(crate) fn flush(&mut self, tail: &[u8]) -> io::Result<()> {
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
    pub(crate) fn overwrite(&mut self, at_byte: u64, bytes: &[u8]) -> io::Result<()> {
        write_at(&mut self.target, at_byte, bytes).map_err(|error| at(&self.path, "write", &error))
    }

    /// Waits until what was written outlives a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.target.sync().map_err(|error| at(&self.path, "write", &error))?;
        // The name of a new file is in its folder. Where a folder cannot be synchronised, there is nothing more to do.
        let _ = std::fs::File::open(place(&self.path).0).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// Cuts off the tail and the pieces behind `end`. Nothing may wait in the buffer.
    pub(crate) fn cut(&mut self, end: u64) -> io::Result<()> {
        self.target.set_len(end).map_err(|error| at(&self.path, "cut", &error))?;
        self.end = end;
        self.len = end;
        self.tail.clear();
        Ok(())
    }

    /// Goes on with another file that holds everything up to now, the buffer included: whole pieces up to `end`, then
    /// `tail`.
    pub(crate) fn replace(&mut self, target: T, end: u64, tail: Vec<u8>) {
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
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A disk of so many bytes.
    #[derive(Clone, Default)]
    pub(crate) struct SmallDisk {
        pub(crate) bytes: Arc<Mutex<Vec<u8>>>,
        pub(crate) capacity: Arc<Mutex<usize>>,
        at: usize,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (mut disk, capacity) = (self.bytes.lock().unwrap(), *self.capacity.lock().unwrap());
            let taken = bytes.len().min(capacity.saturating_sub(self.at));
            if taken == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let end = self.at + taken;
            if disk.len() < end {
                disk.resize(end, 0);
            }
            disk[self.at..end].copy_from_slice(&bytes[..taken]);
            self.at = end;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for SmallDisk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            let SeekFrom::Start(at) = to else { return Err(io::ErrorKind::Unsupported.into()) };
            self.at = at as usize;
            Ok(at)
        }
    }

    impl Target for SmallDisk {
        fn set_len(&mut self, len: u64) -> io::Result<()> {
            self.bytes.lock().unwrap().resize(len as usize, 0);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn put_back(&mut self, _path: &Path) -> io::Result<()> {
            Ok(())
        }
    }

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
