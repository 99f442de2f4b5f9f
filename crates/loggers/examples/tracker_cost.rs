//! Measures the CPU time of the tracker loggers during a training:
//! `cargo run --release -p stormfire-loggers --features all-loggers --example tracker_cost`.
//!
//! Ten values at each step are sent to a server in this program that accepts everything. The CPU time of the server is
//! not counted. Arguments: the number of steps, and the microseconds from one step to the next (0: no pause).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stormfire_loggers::{Background, CometLogger, Error, Logger, Metrics, MlflowLogger, Result, Status, TrackioLogger, WandbLogger};

const KEY: &str = "0123456789012345678901234567890123456789";

/// Creates a logger for the server at an address. Waiting records are stored in a folder.
type Make = fn(&str, &Path) -> Box<dyn Logger>;

const TRACKERS: [(&str, Make); 4] = [
    ("mlflow", |server, folder| Box::new(MlflowLogger::new().tracking_uri(server).save_dir(folder).strict(true))),
    ("wandb", |server, folder| Box::new(WandbLogger::new().offline(false).base_url(server).api_key(KEY).save_dir(folder).strict(true))),
    ("comet", |server, folder| Box::new(CometLogger::new().offline(false).server(server).api_key(KEY).save_dir(folder).strict(true))),
    ("trackio", |server, folder| Box::new(TrackioLogger::new().server_url(server).save_dir(folder).strict(true))),
];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().map_err(Error::other));
    let steps = arguments.next().transpose()?.unwrap_or(20_000);
    let pause = Duration::from_micros(arguments.next().transpose()?.unwrap_or(0));
    let server = Server::start()?;
    for (name, make) in TRACKERS {
        let folder = tempfile::tempdir()?;
        let before = cpu_ns() - server.used();
        let logger = Background::spawn(make(&server.address, folder.path()))?;
        for step in 0..steps {
            let value = 1.0 / (step + 1) as f64;
            let names = ["train_loss", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
            logger.log_metrics(names.map(|name| (name, value)).into_iter().collect::<Metrics>(), Some(step))?;
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
        logger.finalize(Status::Success)?;
        let each = (cpu_ns() - server.used() - before) as f64 / 1e3 / steps as f64;
        report(&format!("{name}: {each:.1} microseconds of the processor for each step of ten values"));
    }
    Ok(())
}

/// A server that accepts every request.
struct Server {
    address: String,
    /// CPU time in nanoseconds.
    used: Arc<AtomicU64>,
}

impl Server {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let used = Arc::new(AtomicU64::new(0));
        let (own, counted) = (address.clone(), Arc::clone(&used));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, counted) = (own.clone(), Arc::clone(&counted));
                // Ignores clients that close the connection.
                std::thread::spawn(move || drop(serve(stream, &own, &counted)));
            }
        });
        Ok(Self { address, used })
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, own: &str, used: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let file = |name: &str| format!(r#"{{"name": "{name}", "uploadUrl": "{own}/store"}}"#);
    let files = ["wandb-summary.json", "config.yaml", "wandb-metadata.json"].map(file).join(",");
    // An answer that every tracker accepts.
    let body = format!(
        r#"{{"experiment": {{"experiment_id": "1"}}, "run": {{"info": {{"run_id": "r", "experiment_id": "1"}}}}, "run_info": {{}}, "runId": "r",
        "data": {{"upsertBucket": {{"bucket": {{"id": "b", "project": {{"name": "p", "entity": {{"name": "e"}}}}}}}},
        "createRunFiles": {{"files": [{files}]}}}}}}"#
    );
    let mut reader = BufReader::new(stream);
    let mut content = Vec::new();
    let mut counted = 0;
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        while !line.trim_end().is_empty() {
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap_or(0);
            }
            line.clear();
            reader.read_line(&mut line)?;
        }
        content.clear();
        reader.by_ref().take(length).read_to_end(&mut content)?;
        let now = thread_ns();
        used.fetch_add(now - counted, Ordering::SeqCst);
        counted = now;
        write!(reader.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    }
}

/// CPU time of this thread in nanoseconds. 0 without Linux's `/proc`.
fn thread_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|used| used.parse().ok()).unwrap_or(0)
}

/// CPU time of all threads of this process in nanoseconds, with a resolution of 10 ms.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10_000_000
}

#[expect(clippy::print_stdout, reason = "an example's output")]
fn report(line: &str) {
    println!("{line}");
}
