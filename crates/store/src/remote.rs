//! Objects in S3, Google Cloud Storage, Azure and memory, through `object_store`.
//!
//! Options and credentials of a store come from the environment, with the variables of each provider's tools. They are
//! read once per bucket and process. Requests run on a separate thread. A program with its own async runtime can
//! therefore call these functions, and connections stay open between calls.

mod download;
mod upload;

use std::{
    collections::HashMap,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    time::SystemTime,
};

use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt as _, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, memory::InMemory, path::Path as Key,
};
use tokio::runtime::{Builder, Runtime};

use self::{download::Download, upload::Upload};
use crate::entry::{Entry, Reader};
use crate::url::BadUrl;

type Store = Arc<dyn ObjectStore>;

/// The size of one request. A request must finish within 30 seconds.
const PART: u64 = 8 << 20;
/// The maximum number of parts in flight.
const AT_ONCE: usize = 4;
/// The maximum number of parts that a store accepts.
const MAX_PARTS: u64 = 10_000;
/// The maximum size of an object that S3 copies itself.
const MAX_COPY: u64 = 5 << 30;

/// The stores by scheme and bucket.
static STORES: LazyLock<Mutex<HashMap<String, Store>>> = LazyLock::new(Mutex::default);

static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).thread_name("remote files").enable_all().build());

/// An object in a store, which need not exist.
#[derive(Debug)]
pub struct Object {
    store: Store,
    /// `s3://bucket`.
    bucket: String,
    key: Key,
}

impl Object {
    pub(crate) fn new(scheme: &str, bucket: &str, key: &str) -> Result<Self, BadUrl> {
        // `Path::join` writes these on Windows.
        let key = if cfg!(windows) { key.replace('\\', "/") } else { key.to_owned() };
        let bucket = format!("{scheme}://{bucket}");
        let error = |error: &dyn std::fmt::Display, hint: &str| BadUrl {
            url: format!("{bucket}/{key}"),
            reason: without_secrets(&error.to_string()),
            hint: hint.into(),
        };
        let parsed = Key::parse(&key).map_err(|e| error(&e, "write it without empty parts, `.` and `..`"))?;
        let store = store(scheme, &bucket).map_err(|e| error(&e, "see `docs/remote-folders.md` for the variables of the environment"))?;
        Ok(Self { store, bucket, key: parsed })
    }

    /// The URL.
    pub fn path(&self) -> PathBuf {
        self.path_of(&self.key)
    }

    fn path_of(&self, key: &Key) -> PathBuf {
        if key.as_ref().is_empty() { PathBuf::from(&self.bucket) } else { PathBuf::from(format!("{}/{key}", self.bucket)) }
    }

    /// Whether it exists.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn exists(&self) -> io::Result<bool> {
        match self.size() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn size(&self) -> io::Result<u64> {
        let (store, key) = self.parts();
        wait(async move { store.head(&key).await.map(|meta| meta.size) })
    }

    /// Lists the entries below its name.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let (store, key) = self.parts();
        let listed = wait(async move { store.list_with_delimiter(Some(&key)).await })?;
        let folder = |key| Entry { path: self.path_of(&key), is_folder: true, modified: None };
        let file = |meta: object_store::ObjectMeta| Entry {
            path: self.path_of(&meta.location),
            is_folder: false,
            modified: Some(SystemTime::from(meta.last_modified)),
        };
        Ok(listed.common_prefixes.into_iter().map(folder).chain(listed.objects.into_iter().map(file)).collect())
    }

    /// Removes the object.
    ///
    /// # Errors
    /// `NotFound` if the store reports it, and other errors of the store.
    pub fn remove(&self) -> io::Result<()> {
        let (store, key) = self.parts();
        wait(async move { store.delete(&key).await })
    }

    /// Writes `len` bytes. A small object is one request. A large one is sent in parts, which become an object when all
    /// have arrived. Until then, readers see the old object.
    ///
    /// # Errors
    /// Errors of the store or of `write`.
    pub fn write(&self, len: u64, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let (store, key) = self.parts();
        if len <= PART {
            let mut bytes = Vec::with_capacity(len as usize);
            write(&mut bytes)?;
            return wait(async move { store.put(&key, bytes.into()).await.map(drop) });
        }
        let parts = wait(async move { store.put_multipart(&key).await })?;
        let mut upload = Upload::new(parts, PART.max(len.div_ceil(MAX_PARTS)) as usize);
        match write(&mut upload) {
            Ok(()) => upload.finish(),
            Err(error) => {
                upload.abort();
                Err(error)
            }
        }
    }

    /// Returns a reader and the length.
    ///
    /// # Errors
    /// `NotFound`, and other errors of the store.
    pub fn open(&self) -> io::Result<(Reader, u64)> {
        let (store, key) = self.parts();
        let meta = wait(async move { store.head(&key).await })?;
        let size = meta.size;
        Ok((Box::new(Download::new(Arc::clone(&self.store), meta)), size))
    }

    /// Copies inside the store, not through this machine. Returns false if the store cannot do that.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn copy_within(&self, to: &Self) -> io::Result<bool> {
        if !Arc::ptr_eq(&self.store, &to.store) || self.size()? > MAX_COPY {
            return Ok(false);
        }
        if self.key != to.key {
            let (store, from, to) = (Arc::clone(&self.store), self.key.clone(), to.key.clone());
            wait(async move { store.copy(&from, &to).await })?;
        }
        Ok(true)
    }

    fn parts(&self) -> (Store, Key) {
        (Arc::clone(&self.store), self.key.clone())
    }
}

fn store(scheme: &str, bucket: &str) -> object_store::Result<Store> {
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = stores.get(bucket) {
        return Ok(Arc::clone(store));
    }
    let name = &bucket[scheme.len() + "://".len()..];
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails only if another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let store: Store = match scheme {
        "s3" => Arc::new(AmazonS3Builder::from_env().with_bucket_name(name).build()?),
        "gs" => Arc::new(GoogleCloudStorageBuilder::from_env().with_bucket_name(name).build()?),
        "az" => Arc::new(MicrosoftAzureBuilder::from_env().with_container_name(name).build()?),
        _ => Arc::new(InMemory::new()),
    };
    stores.insert(bucket.to_owned(), Arc::clone(&store));
    Ok(store)
}

/// Replaces the store of a bucket with a custom one.
#[cfg(test)]
fn register(bucket: &str, store: impl ObjectStore) {
    STORES.lock().unwrap().insert(bucket.to_owned(), Arc::new(store));
}

type Answer<T> = Receiver<object_store::Result<T>>;

/// Starts a request on the runtime's thread.
fn start<T: Send + 'static>(request: impl Future<Output = object_store::Result<T>> + Send + 'static) -> io::Result<Answer<T>> {
    let runtime = RUNTIME.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (sender, answer) = sync_channel(1);
    runtime.spawn(async move {
        // A reader that was dropped no longer waits.
        let _ = sender.send(request.await);
    });
    Ok(answer)
}

fn answer<T>(answer: &Answer<T>) -> io::Result<T> {
    answer.recv().map_err(|_| io::Error::other("the request was interrupted"))?.map_err(|error| io_error(&error))
}

fn wait<T: Send + 'static>(request: impl Future<Output = object_store::Result<T>> + Send + 'static) -> io::Result<T> {
    answer(&start(request)?)
}

fn io_error(error: &StoreError) -> io::Error {
    let kind = match error {
        StoreError::NotFound { .. } => io::ErrorKind::NotFound,
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, without_secrets(&error.to_string()))
}

/// The text of an error on one line, without secrets. Removes the queries of URLs, which contain Azure's signature.
/// Keeps only code and message of a server's answer, because S3 repeats the whole request with the session token.
fn without_secrets(text: &str) -> String {
    let said = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once("</").map(|(said, _)| said)
    };
    let before = text.split_once('<').map_or(text, |(before, _)| before).trim_end_matches([':', ' ', '\n']);
    let words = before.split_whitespace().map(|word| word.split_once('?').map_or(word, |(url, _)| url));
    let mut out = words.collect::<Vec<_>>().join(" ");
    for said in ["Code", "Message"].into_iter().filter_map(said) {
        out.push_str(": ");
        out.push_str(said);
    }
    out.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
