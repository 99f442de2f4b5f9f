//! Writes a large object in parts.

use std::io::{self, Write};

use object_store::{MultipartUpload, WriteMultipart};

use super::{AT_ONCE, io_error, wait};

/// Sends the written bytes in parts of one size. Nothing is visible before [`finish`](Self::finish).
pub(super) struct Upload(Option<WriteMultipart>);

impl Upload {
    pub(super) fn new(parts: Box<dyn MultipartUpload>, size: usize) -> Self {
        Self(Some(WriteMultipart::new_with_chunk_size(parts, size)))
    }

    fn take(&mut self) -> io::Result<WriteMultipart> {
        self.0.take().ok_or_else(|| io::Error::other("the upload has already ended"))
    }

    /// Completes the object from its parts. Removes the parts if that fails.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let parts = self.take()?;
        wait(async move { parts.finish().await.map(drop) })
    }

    /// Removes the parts that were sent.
    pub(super) fn abort(mut self) {
        let aborted = self.take().and_then(|parts| wait(parts.abort()));
        if let Err(error) = aborted {
            tracing::warn!("failed to remove the parts of a failed upload: {error}");
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut parts = self.take()?;
        let (len, bytes) = (bytes.len(), bytes.to_vec());
        let (parts, sent) = wait(async move {
            let sent = parts.wait_for_capacity(AT_ONCE).await;
            if sent.is_ok() {
                parts.write(&bytes);
            }
            Ok((parts, sent))
        })?;
        self.0 = Some(parts);
        sent.map(|()| len).map_err(|error| io_error(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
