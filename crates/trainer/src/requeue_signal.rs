//! The signal on which a SLURM job is saved and requeued.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stormfire_values::{
    reads_text,
    text::{TextError, one_of},
};

use crate::signals::Signal;

/// The signal on which a run is saved and its SLURM job requeued, as with `#SBATCH --signal=USR1@90`.
///
/// A fit then finishes its batch, saves `requeue-<job>.ckpt` in `default_root_dir`, ends with
/// [`Stop::Interrupted`](crate::Stop::Interrupted), and calls `scontrol requeue`. The next fit of that job with the
/// same folder resumes from the file, even if its `ckpt_path` names another one. The file is removed when the fit
/// completes. Outside of a job the file is `requeue.ckpt`, and `scontrol` is not called.
///
/// In a configuration it is a string: `"auto"`, `"off"`, `"usr1"`, `"usr2"`, `"hup"`, `"term"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum RequeueSignal {
    /// SIGUSR1 inside a SLURM job that is not an interactive shell, otherwise none. The default.
    #[default]
    Auto,
    /// No signal. A requeued job does not resume automatically either.
    Off,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGHUP.
    Hup,
    /// SIGTERM. It then requeues the job.
    Term,
}

impl FromStr for RequeueSignal {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        use RequeueSignal::{Auto, Hup, Off, Term, Usr1, Usr2};
        let words = [("auto", Auto), ("off", Off), ("usr1", Usr1), ("usr2", Usr2), ("hup", Hup), ("term", Term)];
        one_of(text, "a signal", &words, "`auto`, `off`, `usr1`, `usr2`, `hup` or `term`")
    }
}

reads_text!(RequeueSignal);

impl RequeueSignal {
    /// The signal that was given explicitly.
    pub(crate) fn given(self) -> Option<Signal> {
        match self {
            RequeueSignal::Auto | RequeueSignal::Off => None,
            RequeueSignal::Usr1 => Some(Signal::User1),
            RequeueSignal::Usr2 => Some(Signal::User2),
            RequeueSignal::Hup => Some(Signal::Hangup),
            RequeueSignal::Term => Some(Signal::Terminate),
        }
    }
}
