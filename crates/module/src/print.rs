//! The lines that hooks and steps print.

use std::{
    cell::Cell,
    fmt::Display,
    io::{self, Write as _},
    sync::OnceLock,
};

use crate::live_run;

/// Prints a line on stdout, above what is live on the terminal.
type PrintLine = fn(&str) -> io::Result<()>;

/// How lines are printed once a progress bar was on the terminal.
static ABOVE_BARS: OnceLock<PrintLine> = OnceLock::new();

thread_local! {
    static IS_MUTE: Cell<bool> = const { Cell::new(false) };
}

/// From now on, lines are printed with this function. A progress bar calls this before it is drawn.
pub fn print_above_bars(print: PrintLine) {
    ABOVE_BARS.get_or_init(|| print);
}

/// Whether this thread drops its lines, because it works on a part of a batch that is not the first.
pub(crate) fn mute(on: bool) {
    IS_MUTE.set(on);
}

/// Prints a line of the run on this thread, if `rank` is 0. With other runs in the process, it starts with the name of
/// the run.
pub(crate) fn line(rank: usize, line: &dyn Display) {
    if rank > 0 || IS_MUTE.get() {
        return;
    }
    let line = live_run::shown_name().map_or_else(|| line.to_string(), |run| format!("{run}: {line}"));
    let printed = match ABOVE_BARS.get() {
        Some(print) => print(&line),
        None => writeln!(io::stdout().lock(), "{line}"),
    };
    // A closed pipe (`| head`) must not end a training run.
    if let Err(error) = printed {
        tracing::debug!("cannot print to the terminal: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use burn::{
        module::Module,
        nn::{Linear, LinearConfig},
        tensor::{Device, Tensor},
    };

    use super::*;
    use crate::{Hook, LightningModule, Moment, scope};

    #[derive(Module, Debug)]
    struct Net {
        layer: Linear,
    }

    impl LightningModule for Net {
        type Batch = Tensor<2>;
    }

    #[test]
    fn rank_0_prints_with_the_name_of_its_run_among_others() {
        static PRINTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
        print_above_bars(|line| {
            PRINTED.lock().unwrap().push(line.to_owned());
            Ok(())
        });
        let net = Net { layer: LinearConfig::new(1, 1).init(&Device::flex()) };
        net.print("outside of a run");
        for rank in [0, 1] {
            let _step = scope::enter(Hook::TrainingStep, Moment { rank, world: 2, ..Moment::default() });
            net.print(format_args!("a step of rank {rank}"));
        }
        mute(true);
        net.print("the second part of a batch");
        mute(false);
        let _outer = live_run::begin(Some("printing".into()));
        let _inner = live_run::begin(Some("printing inside".into()));
        net.print(0.5);
        assert_eq!(*PRINTED.lock().unwrap(), ["outside of a run", "a step of rank 0", "printing inside: 0.5"]);
    }
}
