//! A run inside another run: the state of the outer run is set aside until the inner one ends.

use stormfire_values::read;

use crate::{record, scope};

/// Sets the outer run aside until it is dropped. Then it restores the outer run, also when unwinding: its hook and
/// moment, its loggers, its logged values and misuses, and its permission to read. Without an outer run it has no
/// effect.
#[derive(Debug)]
#[must_use = "dropping this restores the outer run"]
pub struct OuterRun {
    repeats_random_numbers: bool,
    scope: scope::SetAside,
    _records: record::SetAside,
    _reads: read::SetAside,
}

impl OuterRun {
    /// Sets the outer run of this thread aside.
    pub fn set_aside() -> Self {
        Self { repeats_random_numbers: false, scope: scope::set_aside(), _records: record::set_aside(), _reads: read::SetAside::new() }
    }

    /// Allows the inner run to draw random numbers, although there is only one generator. Afterwards the outer run
    /// draws from its last seed again. These are exactly the numbers that it would have drawn. Only if it had already
    /// drawn numbers for the current batch, these are repeated.
    pub fn with_its_random_numbers(mut self) -> Self {
        self.repeats_random_numbers = true;
        self
    }
}

impl Drop for OuterRun {
    fn drop(&mut self) {
        if self.repeats_random_numbers {
            self.scope.seed_again();
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use stormfire_values::{
        Scalar,
        read::{DistantCpu, ForbidReads, read},
    };

    use crate::{hook::Hook, log::log, moment::Moment, record::take_records};

    fn names() -> Result<Vec<String>, crate::log_error::LogError> {
        let mut records = Vec::new();
        take_records(&mut records)?;
        Ok(records.into_iter().map(|record| record.name.into_owned()).collect())
    }

    fn inner(panics: bool) {
        let _outer = OuterRun::set_aside();
        assert_eq!((scope::hook(), scope::moment().epoch, scope::take_not_implemented()), (None, 0, None));
        let _entered = scope::enter(Hook::ValidationStep, Moment::default());
        scope::mark_not_implemented(Hook::TestStep);
        log("of the inner run", 1.0);
        log("a mistake", 1.0).on_step(false).on_epoch(false);
        assert!(read(&[Scalar::from(Tensor::<1>::ones([1], &Device::flex()))]).is_ok());
        assert!(!panics, "the inner run panics");
    }

    #[test]
    fn the_outer_run_continues_as_without_an_inner_one() {
        let _distant = DistantCpu::new();
        for panics in [false, true] {
            let _entered = scope::enter(Hook::TrainBatchEnd, Moment { epoch: 7, ..Moment::default() });
            scope::mark_not_implemented(Hook::TrainingStep);
            log("before", 1.0);
            {
                let _forbidden = ForbidReads::new();
                assert_eq!(std::panic::catch_unwind(|| inner(panics)).is_err(), panics);
                assert_eq!(read(&[Scalar::from(Tensor::<1>::ones([1], &Device::flex()))]).is_err(), cfg!(debug_assertions));
            }
            log("after", 1.0);
            assert_eq!((scope::hook(), scope::moment().epoch), (Some(Hook::TrainBatchEnd), 7));
            assert_eq!((scope::take_not_implemented(), scope::take_panicked_hook()), (Some(Hook::TrainingStep), None));
            assert_eq!(names().unwrap(), ["before", "after"]);
        }
    }

    #[test]
    fn a_mistake_of_the_outer_run_stays_its_own() {
        let _entered = scope::enter(Hook::TrainBatchEnd, Moment::default());
        log("a mistake", 1.0).on_step(false).on_epoch(false);
        {
            let _outer = OuterRun::set_aside();
            let _entered = scope::enter(Hook::ValidationStep, Moment::default());
            log("of the inner run", 1.0);
            assert_eq!(names().unwrap(), ["of the inner run"]);
        }
        assert!(names().is_err());
    }
}
