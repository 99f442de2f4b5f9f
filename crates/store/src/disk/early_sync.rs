//! Writing a large file while the disk already works on its beginning.

use std::{
    fs::File,
    io::{self, Write},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, Scope, ScopedJoinHandle},
};

/// After so many bytes the disk is told to begin.
const EVERY: usize = 32 << 20;

/// Writes a file and syncs it. What is longer than 32 MiB is synced by another thread while the rest is still being written,
/// so that the wait at the end is short.
pub(super) fn write_and_sync(file: &File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    thread::scope(|scope| {
        let mut writer = EarlySync { file, scope, unsynced: 0, syncing: None };
        let written = write(&mut writer);
        // Its error has to be asked for: a file tells of one failed write once.
        let synced = writer.syncing.map_or(Ok(()), |(wake, thread)| {
            drop(wake);
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs panicked")))
        });
        written.and(synced)?;
        file.sync_all()
    })
}

struct EarlySync<'scope, 'file> {
    file: &'file File,
    scope: &'scope Scope<'scope, 'file>,
    unsynced: usize,
    syncing: Option<(SyncSender<()>, ScopedJoinHandle<'scope, io::Result<()>>)>,
}

impl EarlySync<'_, '_> {
    fn sync_soon(&mut self) {
        let (scope, file) = (self.scope, self.file);
        let (wake, _) = self.syncing.get_or_insert_with(|| {
            let (wake, woken) = sync_channel(1);
            (wake, scope.spawn(move || woken.into_iter().try_for_each(|()| file.sync_data())))
        });
        // One that is at it, or has failed, needs no second call.
        let _ = wake.try_send(());
    }
}

impl Write for EarlySync<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced += written;
        if self.unsynced >= EVERY {
            self.unsynced = 0;
            self.sync_soon();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
