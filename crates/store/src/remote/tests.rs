//! Tests of stores that fail or misbehave.

use std::{
    fmt,
    io::Read,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    UploadPart,
};

use super::*;
use crate::Place;

fn object(path: &Path) -> Object {
    let Place::Store(object) = Place::of(path).unwrap() else { panic!("{} is on a disk", path.display()) };
    object
}

fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    object(path).write(bytes.len() as u64, |out| out.write_all(bytes))
}

/// A store in memory with failing part uploads.
#[derive(Debug)]
struct Broken {
    store: InMemory,
    /// The part that fails. A number after the last part makes the end of the upload fail.
    at: usize,
    aborted: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct BrokenUpload {
    upload: Box<dyn MultipartUpload>,
    left: usize,
    aborted: Arc<AtomicUsize>,
}

fn failure() -> StoreError {
    StoreError::Generic { store: "test", source: "the cable is cut".into() }
}

#[async_trait]
impl MultipartUpload for BrokenUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        if self.left == 0 {
            return Box::pin(async { Err(failure()) });
        }
        self.left -= 1;
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        Err(failure())
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.aborted.fetch_add(1, Ordering::Relaxed);
        self.upload.abort().await
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

#[async_trait]
impl ObjectStore for Broken {
    async fn put_opts(&self, key: &Key, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.store.put_opts(key, payload, options).await
    }

    async fn put_multipart_opts(&self, key: &Key, options: PutMultipartOptions) -> object_store::Result<Box<dyn MultipartUpload>> {
        let upload = self.store.put_multipart_opts(key, options).await?;
        Ok(Box::new(BrokenUpload { upload, left: self.at, aborted: Arc::clone(&self.aborted) }))
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> object_store::Result<GetResult> {
        self.store.get_opts(key, options).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, object_store::Result<Key>>) -> BoxStream<'static, object_store::Result<Key>> {
        self.store.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> object_store::Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> object_store::Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// The length of three parts.
const LEN: usize = 20 << 20;

#[test]
fn an_upload_that_fails_leaves_the_old_object_and_no_parts() {
    for at in 0..=3 {
        let aborted = Arc::default();
        let bucket = format!("memory://broken-at-{at}");
        register(&bucket, Broken { store: InMemory::new(), at, aborted: Arc::clone(&aborted) });
        let path = PathBuf::from(bucket).join("run/last.ckpt");
        write_bytes(&path, b"the old one").unwrap();
        let error = write_bytes(&path, &vec![1; LEN]).unwrap_err();
        let expected = "Generic test error: the cable is cut";
        assert_eq!((error.to_string().as_str(), aborted.load(Ordering::Relaxed)), (expected, 1), "{at}");
        let (mut old, len) = object(&path).open().unwrap();
        let mut text = String::new();
        old.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), len), ("the old one", 11));
    }
}

#[test]
fn a_writer_that_fails_takes_its_parts_back() {
    let aborted = Arc::default();
    register("memory://writer", Broken { store: InMemory::new(), at: usize::MAX, aborted: Arc::clone(&aborted) });
    let path = Path::new("memory://writer/a.ckpt");
    let failed = object(path).write(LEN as u64, |out| {
        out.write_all(&vec![1; LEN / 2])?;
        Err(io::Error::other("the device is unreachable"))
    });
    insta::assert_snapshot!(failed.unwrap_err(), @"the device is unreachable");
    assert_eq!((aborted.load(Ordering::Relaxed), object(path).exists().unwrap()), (1, false));
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_not_mixed_with_the_new_one() {
    let path = Path::new("memory://replaced/a.ckpt");
    write_bytes(path, &vec![1; LEN]).unwrap();
    let (mut reader, _) = object(path).open().unwrap();
    let mut start = [0; 10];
    reader.read_exact(&mut start).unwrap();
    write_bytes(path, &vec![2; LEN]).unwrap();
    assert!(reader.read_to_end(&mut Vec::new()).unwrap_err().to_string().contains("precondition"));
}

/// A program may have its own async runtime, which must not be affected.
#[test]
fn it_works_inside_an_async_program() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        write_bytes(Path::new("memory://async/a.ckpt"), &vec![1; LEN]).unwrap();
        assert!(object(Path::new("memory://async/a.ckpt")).exists().unwrap());
    });
}

#[test]
fn a_key_that_is_none_is_refused() {
    for key in ["a//b", "a/../b", "a/\u{7}"] {
        let error = Place::of(&Path::new("memory://keys").join(key)).unwrap_err();
        assert!(error.url.ends_with(key), "{error}");
    }
}

#[test]
fn errors_of_servers_are_short_and_hold_no_secrets() {
    let cases = [
        (
            "Generic S3 error: Error performing PUT https://h/b/k?X-Amz-Signature=abc in 1ms - Server returned non-2xx status code: 403 Forbidden: \
             <?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The signature is wrong.</Message>\
             <CanonicalRequest>x-amz-security-token:TOKEN</CanonicalRequest></Error>",
            "Generic S3 error: Error performing PUT https://h/b/k in 1ms - Server returned non-2xx status code: 403 Forbidden: \
             SignatureDoesNotMatch: The signature is wrong",
        ),
        ("Account must be specified", "Account must be specified"),
        ("GET https://a/c?sv=1&sig=TOKEN\nfailed", "GET https://a/c failed"),
    ];
    for (text, expected) in cases {
        assert_eq!(without_secrets(text), expected);
    }
}
