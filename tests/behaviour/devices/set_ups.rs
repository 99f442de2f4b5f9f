//! Several devices in set-ups that other tests have for one: a signal in a validation, `"last"`, tied weights, and a
//! server that lies.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use burn::{
    nn::{Embedding, EmbeddingConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{
    loggers::{MemoryLogger, MlflowLogger},
    prelude::*,
};

use super::{
    largest_difference,
    net::{Digits, Net, digits},
    values,
};
use crate::{
    child::{folder, part, play},
    files::{names, read_csv},
    logging::away::spooled,
    rig::run_of,
    support::{quiet, recording},
};

/// A net whose validation raises a signal, once, in one of the threads.
#[derive(Module, Debug)]
struct Interrupted {
    net: Net,
    /// The validated batch, and the optimizer steps before it.
    #[module(skip)]
    signal_at: Option<(usize, u64)>,
    #[module(skip)]
    raised: Arc<AtomicBool>,
}

impl LightningModule for Interrupted {
    type Batch = Digits;

    fn training_step(&self, batch: Digits, batch_idx: usize) -> Result<StepOutput> {
        self.net.training_step(batch, batch_idx)
    }

    fn validation_step(&self, batch: Digits, batch_idx: usize) -> Result<StepOutput> {
        if self.signal_at == Some((batch_idx, self.global_step())) && !self.raised.swap(true, Ordering::Relaxed) {
            signal_hook::low_level::raise(signal_hook::consts::SIGTERM)?;
        }
        self.net.validation_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.net.configure_optimizers()
    }
}

fn saving<M: LightningModule>(folder: &Path) -> Trainer<M> {
    let trainer = Trainer::new().default_root_dir(folder).seed(7).max_epochs(2).log_every_n_steps(1).enable_progress_bar(false);
    trainer.enable_model_summary(false).callback(ModelCheckpoint::new().save_on_exception(true)).ckpt_path("last")
}

/// Helper test for a child process, because it raises signals.
#[test]
#[ignore = "a part of `a_validation_continues_after_a_signal`"]
fn is_interrupted_in_validations() {
    if folder().is_none() {
        return;
    }
    // With dropout, a validation must also continue with the random numbers of the run.
    let net = Net::new().with_dropout();
    let [whole, broken] = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let fit = |folder: &Path, signal_at| {
        // A new process would start without the interrupt.
        stormfire::forget_interrupt();
        let module = Interrupted { net: net.clone(), signal_at, raised: Arc::default() };
        saving(folder).devices(2).fit(module, (digits(19, 7), digits(70, 7))).unwrap()
    };
    let uninterrupted = fit(whole.path(), None);
    // At the end of a validation, and in the middle of the next one.
    for (at, steps) in [((9, 3), 3), ((4, 6), 6)] {
        let first = fit(broken.path(), Some(at));
        assert!(first.stop.is_interrupted(), "{at:?}: {}", first.stop);
        assert_eq!(first.progress.global_step, steps, "{at:?}");
    }
    let continued = fit(broken.path(), None);
    assert_eq!((&continued.stop, &continued.progress), (&uninterrupted.stop, &uninterrupted.progress));
    assert_eq!(values(&continued.module), values(&uninterrupted.module));
    assert_eq!(names(&broken.path().join("lightning_logs")), ["version_0"]);
    assert_eq!(read_csv(&run_of(broken.path())), read_csv(&run_of(whole.path())));
}

#[test]
fn a_validation_continues_after_a_signal() {
    play(part("devices::set_ups::is_interrupted_in_validations", tempfile::tempdir().unwrap().path()));
}

#[test]
fn the_last_checkpoint_is_validated() {
    let folder = tempfile::tempdir().unwrap();
    let fit = saving(folder.path()).devices(2).fit(Net::new(), (digits(19, 7), digits(10, 7))).unwrap();
    let expected = quiet().validate(&fit.module, digits(19, 7)).unwrap();
    let trained = Trainer::new().default_root_dir(folder.path()).no_logger().enable_progress_bar(false).ckpt_path("last");
    let metrics = trained.devices(2).validate(&Net::new(), digits(19, 7)).unwrap();
    let numbers =
        |metrics: &[stormfire::loggers::Metrics]| -> Vec<f64> { metrics.iter().flat_map(|all| all.iter().map(|(_, v)| v)).collect() };
    let (expected, found) = (numbers(&expected), numbers(&metrics));
    assert!(expected.len() >= 4 && expected.len() == found.len());
    assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-6), "{expected:?} {found:?}");
}

/// Predicts the next of five symbols. The embedding is also the output layer.
#[derive(Module, Debug)]
pub(crate) struct Tied {
    symbols: Embedding,
    twice: Option<Embedding>,
}

impl LightningModule for Tied {
    type Batch = (Tensor<2, Int>, Tensor<2, Int>);

    fn training_step(&self, (from, to): Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        let hidden: Tensor<2> = self.symbols.forward(from).flatten(0, 1);
        let logits = hidden.matmul(self.symbols.weight.val().transpose());
        let targets: Tensor<1, Int> = to.flatten(0, 1);
        Ok(CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-2).into())
    }
}

pub(crate) fn tied() -> Tied {
    let device = Device::flex();
    let mut symbols = EmbeddingConfig::new(5, 3).init(&device);
    let numbers = Tensor::<1>::ones([15], &device).cumsum(0);
    symbols.weight = burn::module::Param::from_tensor((numbers * 0.7).sin().reshape([5, 3]));
    Tied { symbols, twice: None }
}

pub(crate) fn symbols() -> Loader<(Tensor<2, Int>, Tensor<2, Int>)> {
    let symbols = |shift: i64, items: i64| {
        let all = Tensor::<1, Int>::arange(shift..items * 2 + shift, &Device::flex());
        all.remainder_scalar(5).reshape([items as usize, 2])
    };
    Loader::from_batches(vec![(symbols(0, 7), symbols(1, 7)), (symbols(3, 4), symbols(4, 4))])
}

#[test]
fn a_tied_weight_gets_both_gradients() {
    let weights = |devices: usize| values(&quiet().devices(devices).max_epochs(3).fit(tied(), symbols()).unwrap().module);
    let one = weights(1);
    assert!(largest_difference(&one, &values(&tied())) > 1e-2, "it is trained");
    for devices in [2, 3] {
        assert!(largest_difference(&one, &weights(devices)) < 1e-6, "{devices} devices");
    }
}

#[test]
fn a_copied_parameter_is_refused() {
    let mut copied = tied();
    copied.twice = Some(copied.symbols.clone());
    let error = quiet().devices(2).max_epochs(1).fit(copied, symbols()).map(drop).unwrap_err();
    assert_snapshot!(error, @"`module`: `symbols.weight` and `twice.weight` are one parameter to burn: an optimizer would update only the first one, for both, and leave the second one unchanged");
}

/// Reads one request, and answers that all is well with a web page, as a login page does.
fn lie(stream: &mut TcpStream) -> std::io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
        let is_whole = text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length.unwrap_or(0));
        if read == 0 || is_whole {
            break;
        }
    }
    let page = "<!DOCTYPE html><title>Login</title>";
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}", page.len())
}

/// A logger of a server that lies. It keeps what it could not deliver in the folder.
pub(crate) fn lied_to(folder: &Path) -> MlflowLogger {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.local_addr().unwrap());
    thread::spawn(move || server.incoming().flatten().for_each(|mut stream| drop(lie(&mut stream))));
    MlflowLogger::new().tracking_uri(address).save_dir(folder).patience(Duration::from_millis(100))
}

/// All that another logger has got still waits in the folder for the server.
#[track_caller]
pub(crate) fn assert_kept(folder: &Path, memory: &MemoryLogger) {
    let mut waiting: Vec<(String, u64, f64)> = Vec::new();
    for metrics in spooled(&folder.join(".stormfire")).iter().filter_map(|record| record.get("metrics")) {
        let step = metrics["step"].as_u64().unwrap();
        let value = |pair: &serde_json::Value| (pair[0].as_str().unwrap().to_owned(), step, pair[1].as_f64().unwrap());
        waiting.extend(metrics["values"].as_array().unwrap().iter().map(value));
    }
    let logged: Vec<_> = memory.rows().into_iter().map(|(name, value, step)| (name, step.unwrap(), value)).collect();
    assert!(logged.len() > 20);
    assert_eq!(waiting, logged);
}

#[test]
fn nothing_is_lost_at_a_server_that_lies() {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryLogger::new();
    let trainer = recording(&memory).devices(2).max_epochs(2).log_every_n_steps(1).logger(lied_to(folder.path()));
    let _ = { trainer }.fit(Net::new(), (digits(19, 7), digits(10, 7))).unwrap();
    assert_kept(folder.path(), &memory);
}
