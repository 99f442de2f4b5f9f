//! A tracking server on the loopback interface, healthy or broken.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use Health::{Angry, Cut, Down, Slow, Well};

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Immediately.
    Well,
    /// After half a second.
    Slow,
    /// Not at all: no process listens on the port.
    Down,
    /// With status 429 and 500 alternately.
    Angry,
    /// With a truncated body.
    Cut,
}

impl Health {
    pub const ALL: [Self; 5] = [Well, Slow, Down, Angry, Cut];
}

/// A server. Its address stays valid for the life of the process.
pub struct Server {
    pub address: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(health: Health) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let requests = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (answer(&address), Arc::clone(&requests));
        if health != Down {
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (answer, count) = (answer.clone(), Arc::clone(&count));
                    // A client that disconnects early is not an error of the server.
                    thread::spawn(move || drop(serve(stream, health, &answer, &count)));
                }
            });
        }
        Ok(Self { address, requests })
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// An answer that the clients of all four trackers accept.
fn answer(address: &str) -> String {
    let upload = format!(r#"{{"uploadUrl":"{address}/put"}}"#);
    format!(
        r#"{{
            "experiment":{{"experiment_id":"1"}},
            "run":{{"info":{{"run_id":"r","experiment_id":"1","artifact_uri":"mlflow-artifacts:/1/r"}}}},
            "runId":"r","project_id":"p",
            "data":{{
                "model":{{"bucket":null}},
                "upsertBucket":{{"bucket":{{"id":"b","name":"n","project":{{"name":"p","entity":{{"name":"e"}}}}}}}},
                "createRunFiles":{{"uploadHeaders":[],"files":[{upload},{upload},{upload}]}}
            }}
        }}"#
    )
}

fn serve(stream: TcpStream, health: Health, answer: &str, count: &AtomicUsize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while pass_request(&mut reader)? {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let (status, body) = match health {
            Angry if number % 2 == 0 => (429, "busy"),
            Angry => (500, "broken"),
            Slow => {
                thread::sleep(Duration::from_millis(500));
                (200, answer)
            }
            _ => (200, answer),
        };
        let sent = if health == Cut { &body[..body.len() / 2] } else { body };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        reader.get_mut().write_all((head + sent).as_bytes())?;
        if health == Cut {
            break;
        }
    }
    Ok(())
}

/// Reads one request completely. Returns false at the end of the connection.
fn pass_request(reader: &mut BufReader<TcpStream>) -> io::Result<bool> {
    let (mut line, mut length) = (String::new(), 0);
    if reader.read_line(&mut line)? == 0 {
        return Ok(false);
    }
    while !line.trim_end().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(true)
}
