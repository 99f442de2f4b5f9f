//! Writes a large file while the disk already stores its beginning.

use std::{
    fs::File,
    io::{self, Write},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, Scope, ScopedJoinHandle},
};

/// The number of bytes after which a sync starts.
const EVERY: usize = 32 << 20;

/// Writes a file and syncs it. From 32 MiB on, another thread syncs while the rest is being written, which shortens the
/// wait at the end.
pub(super) fn write_and_sync(file: &File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    thread::scope(|scope| {
        let mut writer = EarlySync { file, scope, unsynced: 0, syncing: None };
        let written = write(&mut writer);
        // The thread's error must be collected, because the system reports a failed write of a file only once.
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
        // A thread that is already syncing, or has failed, needs no second request.
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
