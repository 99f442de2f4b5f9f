//! A run that begins inside another one: what belongs to the outer run is set aside until the inner one is over.

use stormfire_values::read;

use crate::{log, scope};

/// The outer run is set aside as long as this lives, and comes back as it was, also when unwinding: its hook and moment, its
/// loggers, what it has logged, its mistakes, what it may read. Without an outer run it changes nothing.
#[derive(Debug)]
#[must_use = "the outer run comes back when this is dropped"]
pub struct OuterRun {
    repeats_random_numbers: bool,
    scope: scope::SetAside,
    _records: log::SetAside,
    _reads: read::SetAside,
}

impl OuterRun {
    /// Sets the outer run of this thread aside.
    pub fn set_aside() -> Self {
        Self { repeats_random_numbers: false, scope: scope::set_aside(), _records: log::set_aside(), _reads: read::SetAside::new() }
    }

    /// What follows may draw random numbers, and there is one generator. The outer run then draws on from where it was seeded
    /// last: exactly the numbers it would have drawn, unless it had drawn some for this very batch already, which then come
    /// again.
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
        read::{ForbidReads, read},
    };

    use crate::{
        hook::Hook,
        log::{log, take_records},
        moment::Moment,
    };

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
    fn the_outer_run_goes_on_as_if_there_had_been_no_inner_one() {
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
