//! The option that says what the ranks of a training are.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use stormfire_values::{
    ConfigError, reads_text,
    text::{TextError, one_of},
};

use crate::launched::Launched;

/// How a training is divided.
///
/// In a configuration it is a string: `"auto"`, `"single"`, `"threads"`, `"mpi"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Strategy {
    /// `mpi` if a launcher started this process, else `threads` with more than one device, else `single`. The default.
    #[default]
    Auto,
    /// One process that uses one device.
    Single,
    /// Threads of one process share each batch, one for each device. Under a launcher, each rank does so.
    Threads,
    /// Each process that the launcher started is a rank, and uses one device.
    Mpi,
}

impl FromStr for Strategy {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        use Strategy::{Auto, Mpi, Single, Threads};
        let words = [("auto", Auto), ("single", Single), ("threads", Threads), ("mpi", Mpi)];
        one_of(text, "a strategy", &words, "`auto`, `single`, `threads` or `mpi`")
    }
}

reads_text!(Strategy);

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::Auto => "auto",
            Strategy::Single => "single",
            Strategy::Threads => "threads",
            Strategy::Mpi => "mpi",
        })
    }
}

/// The options that must fit the processes that were started. `None` is an option that was not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// How the training is divided.
    pub strategy: Strategy,
    /// The number of devices on each machine. With `threads`, that of each process.
    pub devices: Option<usize>,
    /// The number of machines.
    pub num_nodes: Option<usize>,
}

impl Division {
    /// Checks the options against the processes that were started. Returns the number of threads in each of them, or
    /// `None` if the caller decides.
    ///
    /// # Errors
    /// Names the option that does not fit.
    pub fn check(&self, launched: Option<&Launched>) -> Result<Option<usize>, ConfigError> {
        if let Some((option, _)) = [("devices", self.devices), ("num_nodes", self.num_nodes)].iter().find(|(_, n)| *n == Some(0)) {
            return Err(ConfigError::new(*option, "it cannot be 0", format!("`{option}` must be at least 1")));
        }
        match launched.filter(|launched| launched.world > 1) {
            Some(launched) => self.check_ranks(launched),
            None => self.check_single(),
        }
    }

    /// One process.
    fn check_single(&self) -> Result<Option<usize>, ConfigError> {
        let start = "start it with `mpirun -n 2 …`, or with `srun` in a job of SLURM";
        if self.strategy == Strategy::Mpi {
            return Err(ConfigError::new("strategy", "`mpi` needs several processes, and no launcher has started this one", start));
        }
        if let Some(nodes) = self.num_nodes.filter(|nodes| *nodes > 1) {
            return Err(ConfigError::new("num_nodes", format!("{nodes} machines are set, and there is one process"), start));
        }
        match (self.strategy, self.devices) {
            (Strategy::Single, Some(devices)) if devices > 1 => {
                let hint = "set `devices(1)`, or `strategy(\"threads\")`";
                Err(ConfigError::new("devices", format!("`strategy(\"single\")` uses one device, and {devices} are set"), hint))
            }
            (Strategy::Single, _) => Ok(Some(1)),
            (_, devices) => Ok(devices),
        }
    }

    /// One of several processes.
    fn check_ranks(&self, launched: &Launched) -> Result<Option<usize>, ConfigError> {
        let Launched { by, world, local_world, .. } = *launched;
        if self.strategy == Strategy::Single {
            let hint = "start one process, or set `strategy(\"auto\")`";
            return Err(ConfigError::new("strategy", format!("`single` is one process, and {by} has started {world}"), hint));
        }
        let nodes = local_world.filter(|local| *local > 0 && world.is_multiple_of(*local)).map(|local| world / local);
        if let (Some(set), Some(nodes)) = (self.num_nodes, nodes)
            && set != nodes
        {
            let reason = format!("{set} are set, and {by} has started processes on {nodes}");
            return Err(ConfigError::new("num_nodes", reason, "remove `num_nodes`, or change the command of the launcher"));
        }
        if self.strategy == Strategy::Threads {
            return Ok(self.devices);
        }
        let expected = self.devices.and_then(|devices| Some(devices * self.num_nodes.or(nodes)?));
        if let (Some(devices), Some(expected)) = (self.devices, expected)
            && expected != world
        {
            let here = local_world.map_or_else(|| format!("{world} in all"), |local| format!("{local} on this machine, {world} in all"));
            let hint = "set `devices` to the number of processes on each machine, or remove it; for threads in each process set \
                        `strategy(\"threads\")`";
            return Err(ConfigError::new("devices", format!("{devices} are set, and {by} has started {here}"), hint));
        }
        Ok(Some(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launched::Launcher;

    fn division(strategy: &str, devices: Option<usize>, num_nodes: Option<usize>) -> Division {
        Division { strategy: strategy.parse().unwrap(), devices, num_nodes }
    }

    fn ranks(world: usize, local_world: Option<usize>) -> Launched {
        Launched { by: Launcher::OpenMpi, rank: 1, world, local_rank: 1, local_world }
    }

    #[test]
    fn a_strategy_is_a_word() {
        for word in ["auto", "single", "threads", "mpi"] {
            let strategy: Strategy = word.parse().unwrap();
            assert_eq!(strategy.to_string(), word);
            assert_eq!(serde_json::from_str::<Strategy>(&serde_json::to_string(&strategy).unwrap()).unwrap(), strategy);
        }
        insta::assert_snapshot!("ddp".parse::<Strategy>().unwrap_err(), @"cannot read `ddp` as a strategy: it is not a known value; write `auto`, `single`, `threads` or `mpi`");
    }

    #[test]
    fn options_that_fit_give_the_threads_of_each_process() {
        let (two, four) = (ranks(2, Some(2)), ranks(4, Some(2)));
        for (options, launched, threads) in [
            (division("auto", None, None), None, None),
            (division("auto", Some(3), Some(1)), None, Some(3)),
            (division("single", None, None), None, Some(1)),
            (division("threads", Some(3), None), None, Some(3)),
            (division("auto", None, None), Some(&two), Some(1)),
            (division("auto", Some(2), Some(2)), Some(&four), Some(1)),
            (division("mpi", Some(2), None), Some(&four), Some(1)),
            (division("threads", Some(3), None), Some(&two), Some(3)),
            (division("threads", None, None), Some(&two), None),
            (division("auto", Some(9), None), Some(&ranks(4, None)), Some(1)),
            (division("auto", Some(4), None), Some(&ranks(1, Some(1))), Some(4)),
        ] {
            assert_eq!(options.check(launched), Ok(threads), "{options:?} {launched:?}");
        }
    }

    #[test]
    fn an_option_that_does_not_fit_is_named() {
        let two = ranks(2, Some(2));
        for (options, launched, told) in [
            (division("mpi", None, None), None, "`strategy`: `mpi` needs several processes, and no launcher has started this one"),
            (division("auto", None, Some(2)), None, "`num_nodes`: 2 machines are set, and there is one process"),
            (division("single", Some(2), None), None, "`devices`: `strategy(\"single\")` uses one device, and 2 are set"),
            (division("auto", Some(0), None), None, "`devices`: it cannot be 0"),
            (division("single", None, None), Some(&two), "`strategy`: `single` is one process, and mpirun has started 2"),
            (division("auto", None, Some(2)), Some(&two), "`num_nodes`: 2 are set, and mpirun has started processes on 1"),
            (division("auto", Some(4), None), Some(&two), "`devices`: 4 are set, and mpirun has started 2 on this machine, 2 in all"),
            (division("auto", Some(4), Some(2)), Some(&ranks(2, None)), "`devices`: 4 are set, and mpirun has started 2 in all"),
        ] {
            assert_eq!(options.check(launched).unwrap_err().to_string(), told);
        }
    }
}
