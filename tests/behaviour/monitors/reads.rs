//! Monitors do not make the training thread wait for the device.

use std::sync::{Arc, Mutex};

use stormfire::{prelude::*, values::read::device_reads};
use stormfire_values::read::DistantCpu;

use super::{Descent, MemoryLogger, line_data, with};
use crate::support::Batch;

/// Records the device reads of this thread at the end of each batch.
struct Reads(Arc<Mutex<Vec<u64>>>);

impl Callback<Descent> for Reads {
    fn on_train_batch_end(&mut self, _: &mut Context<'_>, _: &mut Descent, _: &StepOutput, _: usize) -> Result<()> {
        self.0.lock().unwrap().push(device_reads());
        Ok(())
    }
}

#[test]
fn a_training_step_never_reads() {
    let _distant = DistantCpu::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let before = device_reads();
    let trainer = with(GradientNormMonitor::new(), &MemoryLogger::new())
        .callback(HistogramMonitor::new().every(Every::Steps(1)))
        .callback(ThroughputMonitor::new().length_fn(|(x, _): &Batch| x.dims()[0]))
        .callback(DeviceStatsMonitor::new())
        .callback(MemoryMonitor::new())
        .callback(OptimizerMonitor::new())
        .callback(Reads(Arc::clone(&seen)));
    drop(trainer.max_epochs(1).fit(Descent::new(), line_data(20, 1)).unwrap());
    assert_eq!(*seen.lock().unwrap(), vec![before; 20]);
}
