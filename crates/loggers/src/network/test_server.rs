//! A loopback server for tests, with the faults of real servers.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// Includes the query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// A fault instead of an answer. The request counts as not received, except for [`Fault::CutAnswer`].
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Waits before it answers properly.
    Slow(Duration),
    /// A status, optionally with `Retry-After`.
    Status(u16, Option<&'static str>),
    /// A redirect with this status.
    Redirect(u16, String),
    /// A status of success with a body that is not the service's.
    Page(&'static str, &'static str),
    /// Closes the connection before reading the request.
    HangUp,
    /// Handles the request, but closes the connection in the middle of the answer's body.
    CutAnswer,
}

type Answering = dyn Fn(&Received) -> (u16, Value) + Send + Sync;

/// A server that answers with a closure until it is dropped. [`TestServer::down`] and [`TestServer::up`] turn it off
/// and on. Its address stays the same.
pub(crate) struct TestServer {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    answering: Box<Answering>,
    received: Mutex<Vec<Received>>,
    faults: Mutex<VecDeque<Fault>>,
    down: Mutex<bool>,
    turned_away: AtomicUsize,
}

impl TestServer {
    /// Answers every request with a status and a JSON body. `Null` is an empty answer without a content type.
    pub(crate) fn start(answering: impl Fn(&Received) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            answering: Box::new(answering),
            received: Mutex::default(),
            faults: Mutex::default(),
            down: Mutex::default(),
            turned_away: AtomicUsize::new(0),
        });
        let inner = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), Some(shared)) = (stream, inner.upgrade()) else { return };
                if *shared.down.lock().unwrap() {
                    shared.turned_away.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                // Ignores clients that close the connection.
                std::thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { address, shared }
    }

    /// Each of the next requests gets one of these faults.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.lock().unwrap().extend(faults);
    }

    /// Number of unused faults.
    pub(crate) fn faults_left(&self) -> usize {
        self.shared.faults.lock().unwrap().len()
    }

    /// Number of connections that were closed without an answer.
    pub(crate) fn turned_away(&self) -> usize {
        self.shared.turned_away.load(Ordering::SeqCst)
    }

    /// From now on every connection is closed without an answer.
    pub(crate) fn down(&self) {
        *self.shared.down.lock().unwrap() = true;
    }

    pub(crate) fn up(&self) {
        *self.shared.down.lock().unwrap() = false;
    }

    /// All answered requests.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        // An answer is sent in several pieces, which would otherwise wait for each other.
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            if *self.down.lock().unwrap() || matches!(self.faults.lock().unwrap().front(), Some(Fault::HangUp)) {
                self.faults.lock().unwrap().pop_front();
                return Ok(());
            }
            let Some(request) = read_request(&mut reader)? else { return Ok(()) };
            if *self.down.lock().unwrap() {
                self.turned_away.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            let fault = self.faults.lock().unwrap().pop_front();
            match fault {
                Some(Fault::Status(status, after)) => {
                    let after = after.map_or(String::new(), |after| format!("Retry-After: {after}\r\n"));
                    write!(reader.get_mut(), "HTTP/1.1 {status} X\r\n{after}Content-Length: 4\r\n\r\nbusy")?;
                    continue;
                }
                Some(Fault::Redirect(status, to)) => {
                    write!(reader.get_mut(), "HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")?;
                    continue;
                }
                Some(Fault::Page(kind, body)) => {
                    write!(reader.get_mut(), "HTTP/1.1 200 X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
                    continue;
                }
                Some(Fault::HangUp) => return Ok(()),
                Some(Fault::Slow(wait)) => sleep(wait),
                Some(Fault::CutAnswer) | None => {}
            }
            let (status, body) = (self.answering)(&request);
            self.received.lock().unwrap().push(request);
            if body.is_null() {
                write!(reader.get_mut(), "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            let body = body.to_string();
            write!(reader.get_mut(), "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len())?;
            if matches!(fault, Some(Fault::CutAnswer)) {
                return reader.get_mut().write_all(&body.as_bytes()[..body.len() / 2]);
            }
            reader.get_mut().write_all(body.as_bytes())?;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Received>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let mut request = Received { method, path, headers, body: Vec::new() };
    if request.header("expect").is_some() {
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if request.header("transfer-encoding").is_some_and(|encoding| encoding.contains("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
            reader.by_ref().take(size).read_to_end(&mut request.body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        reader.by_ref().take(length).read_to_end(&mut request.body)?;
    }
    Ok(Some(request))
}
