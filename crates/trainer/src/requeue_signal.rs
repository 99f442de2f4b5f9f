//! The signal on which a SLURM job is saved and queued again.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stormfire_values::{
    reads_text,
    text::{TextError, one_of},
};

use crate::signals::Signal;

/// The signal on which a run is saved and its SLURM job queued again, as with `#SBATCH --signal=USR1@90`.
///
/// A fit then finishes its batch, saves itself as `requeue-<job>.ckpt` in `default_root_dir`, ends as
/// [`Stop::Interrupted`](crate::Stop::Interrupted), and calls `scontrol requeue`. The next fit of that job below the same
/// folder continues from the file, whatever its `ckpt_path`, and removes it once it ends by itself. Outside of a job it
/// is saved as `requeue.ckpt`, and nobody is called.
///
/// In a configuration it is a text: `"auto"`, `"off"`, `"usr1"`, `"usr2"`, `"hup"`, `"term"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum RequeueSignal {
    /// SIGUSR1 inside a SLURM job that is no interactive shell, else none. The default.
    #[default]
    Auto,
    /// None: such a job is not continued either.
    Off,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGHUP.
    Hup,
    /// SIGTERM, which then no longer ends a run for good.
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
    /// The signal that was asked for by name.
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
