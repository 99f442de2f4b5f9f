//! The launcher that started this process, according to its environment.

use std::{env, fmt};

/// A program that starts the same program several times, as the ranks of one training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Launcher {
    /// `mpirun` of Open MPI. Kubeflow's `MPIJob` uses it.
    OpenMpi,
    /// `mpiexec` of MPICH, Intel MPI, or another MPI of that family.
    Mpich,
    /// `srun` of SLURM.
    Slurm,
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Launcher::OpenMpi => "mpirun",
            Launcher::Mpich => "mpiexec",
            Launcher::Slurm => "srun",
        })
    }
}

/// The place of this process among those that the launcher started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The launcher.
    pub by: Launcher,
    /// The number of this process, from 0.
    pub rank: usize,
    /// The number of processes.
    pub world: usize,
    /// The number of this process among those of the same machine, from 0.
    pub local_rank: usize,
    /// The number of processes on this machine, if the launcher says so.
    pub local_world: Option<usize>,
}

/// The place of this process, if a launcher started it: `mpirun`, `mpiexec`, or `srun`.
///
/// A batch script of SLURM is not a rank, even if the job has several tasks: only `srun` starts them. The shell of an
/// interactive job is not a rank either.
pub fn launched() -> Option<Launched> {
    in_environment(|name| env::var(name).ok())
}

/// Steps of a SLURM job that are not an `srun`: its batch script, its interactive shell, and what SLURM itself runs.
const OWN_STEPS: std::ops::RangeInclusive<u32> = 0xffff_fffa..=u32::MAX;

fn in_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Launched> {
    let number = |name: &str| variable(name)?.parse::<usize>().ok();
    let place = |by, [rank, world, local_rank, local_world]: [&str; 4]| {
        let (rank, world) = (number(rank)?, number(world)?);
        // One process on a machine is the most common case without these variables.
        Some(Launched { by, rank, world, local_rank: number(local_rank).unwrap_or(0), local_world: number(local_world) })
    };
    let names = ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"];
    if let Some(launched) = place(Launcher::OpenMpi, names) {
        return Some(launched);
    }
    let step = variable("SLURM_STEP_ID").and_then(|id| id.parse::<u32>().ok());
    let in_a_step = step.is_some_and(|id| !OWN_STEPS.contains(&id));
    // `srun --pty bash`. Commands that are typed there run once.
    let in_a_shell = variable("SLURM_JOB_NAME").is_some_and(|name| name == "bash") && variable("SLURM_PTY_PORT").is_some();
    if in_a_step && !in_a_shell {
        let tasks = if number("SLURM_STEP_NUM_TASKS").is_some() { "SLURM_STEP_NUM_TASKS" } else { "SLURM_NTASKS" };
        let mut launched = place(Launcher::Slurm, ["SLURM_PROCID", tasks, "SLURM_LOCALID", ""])?;
        let per_node = variable("SLURM_STEP_TASKS_PER_NODE").zip(number("SLURM_NODEID"));
        launched.local_world = per_node.and_then(|(text, node)| tasks_of_node(&text, node));
        return Some(launched);
    }
    place(Launcher::Mpich, ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"])
}

/// The tasks of a node in SLURM's short form: `4(x2),3` are nodes with 4, 4 and 3 tasks.
fn tasks_of_node(text: &str, node: usize) -> Option<usize> {
    let mut before = 0;
    for part in text.split(',') {
        let (tasks, times) = match part.split_once("(x") {
            Some((tasks, times)) => (tasks, times.strip_suffix(')')?.parse().ok()?),
            None => (part, 1),
        };
        before += times;
        if node < before {
            return tasks.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<Launched> {
        in_environment(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn place(by: Launcher, rank: usize, world: usize, local_rank: usize, local_world: Option<usize>) -> Launched {
        Launched { by, rank, world, local_rank, local_world }
    }

    const OMPI: [(&str, &str); 4] = [
        ("OMPI_COMM_WORLD_RANK", "5"),
        ("OMPI_COMM_WORLD_SIZE", "8"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", "4"),
    ];
    const STEP: [(&str, &str); 8] = [
        ("SLURM_JOB_ID", "77"),
        ("SLURM_STEP_ID", "0"),
        ("SLURM_PROCID", "6"),
        ("SLURM_STEP_NUM_TASKS", "7"),
        ("SLURM_NTASKS", "12"),
        ("SLURM_LOCALID", "2"),
        ("SLURM_NODEID", "1"),
        ("SLURM_STEP_TASKS_PER_NODE", "4,3"),
    ];

    #[test]
    fn each_launcher_is_known_by_its_variables() {
        assert_eq!(with(&[]), None);
        assert_eq!(with(&OMPI), Some(place(Launcher::OpenMpi, 5, 8, 1, Some(4))));
        let mpich = [("PMI_RANK", "1"), ("PMI_SIZE", "2"), ("MPI_LOCALRANKID", "1"), ("MPI_LOCALNRANKS", "2")];
        assert_eq!(with(&mpich), Some(place(Launcher::Mpich, 1, 2, 1, Some(2))));
        assert_eq!(with(&mpich[..2]), Some(place(Launcher::Mpich, 1, 2, 0, None)));
        assert_eq!(with(&STEP), Some(place(Launcher::Slurm, 6, 7, 2, Some(3))));
        assert_eq!(with(&STEP[..6]), Some(place(Launcher::Slurm, 6, 7, 2, None)));
    }

    #[test]
    fn mpirun_inside_of_a_slurm_job_is_mpirun() {
        assert_eq!(with(&[&STEP[..], &OMPI].concat()), Some(place(Launcher::OpenMpi, 5, 8, 1, Some(4))));
    }

    #[test]
    fn a_batch_script_and_a_shell_are_not_ranks() {
        let batch = [("SLURM_JOB_ID", "77"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "12"), ("SLURM_LOCALID", "0")];
        assert_eq!(with(&batch), None);
        for own in ["4294967291", "4294967290", "4294967292", "batch"] {
            assert_eq!(with(&[&batch[..], &[("SLURM_STEP_ID", own)]].concat()), None, "{own}");
        }
        assert_eq!(with(&[&STEP[..], &[("SLURM_JOB_NAME", "bash"), ("SLURM_PTY_PORT", "4444")]].concat()), None);
        assert!(with(&[&STEP[..], &[("SLURM_JOB_NAME", "interactive")]].concat()).is_some(), "`srun` in the shell of `salloc`");
    }

    #[test]
    fn tasks_per_node_are_read_in_the_short_form() {
        let of = |text, nodes: usize| (0..nodes).map(|node| tasks_of_node(text, node)).collect::<Vec<_>>();
        assert_eq!(of("4(x2),3", 4), [Some(4), Some(4), Some(3), None]);
        assert_eq!(of("2", 1), [Some(2)]);
        assert_eq!(of("many", 1), [None]);
    }
}
