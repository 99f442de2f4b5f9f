//! What the names of metrics say: the learning rates, the metrics of the machine, and the order of the charts.

/// The start of the name of a learning rate.
const RATE: &str = "lr-";
/// The start of the names of `DeviceStatsMonitor`.
const DEVICES: &str = "DeviceStatsMonitor";
/// The start of the names of `MemoryMonitor`.
const MEMORY: &str = "MemoryMonitor";
/// The start of the names of `ThroughputMonitor`.
const STAGES: [&str; 4] = ["train/", "validate/", "test/", "predict/"];

/// Whether a metric is a learning rate.
pub(crate) fn is_rate(name: &str) -> bool {
    name.starts_with(RATE)
}

/// The metric of a value that `DeviceStatsMonitor` logs during the training.
pub(crate) fn device_stat(value: &str) -> String {
    format!("{DEVICES}.on_train_batch_start/{value}")
}

/// The metric of a value that `MemoryMonitor` logs during the training.
pub(crate) fn memory_stat(value: &str) -> String {
    format!("{MEMORY}/{value}")
}

/// Whether a metric describes the optimization or the machine: learning rates, speeds, times, devices.
pub(crate) fn is_of_machine(name: &str) -> bool {
    let times = ["time", "batches", "samples", "lengths", "time_to_end", "data_wait_time"];
    is_rate(name)
        || name.starts_with(DEVICES)
        || name.starts_with(MEMORY)
        || STAGES.iter().any(|stage| name.strip_prefix(stage).is_some_and(|rest| times.contains(&rest) || rest.starts_with("device/")))
}

/// The order of charts: losses, then scores, of the training first. Then come the tests, which are single values, and
/// the details of gradients and weights.
pub(crate) fn rank(name: &str) -> (u8, u8, String) {
    let lower = name.to_lowercase();
    let is_detail = ["grad_", "weight_", "update_", "gradients/", "parameters/"].iter().any(|start| lower.starts_with(start));
    let machine = [RATE, "train/device/"].into_iter().chain(STAGES).position(|start| lower.starts_with(start));
    let rank = if is_of_machine(name) {
        machine.map_or(9, |at| at as u8)
    } else if is_detail {
        if lower.contains("total") { 8 } else { 9 }
    } else if lower.starts_with("test") {
        2
    } else {
        u8::from(!lower.contains("loss"))
    };
    let stage = ["train", "val"].iter().position(|start| lower.starts_with(start)).map_or(1, |at| 2 * at as u8);
    (rank, stage, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_of_the_training_come_first_and_tests_last() {
        let mut names = ["total_norm", "test_acc", "test_loss", "val_acc", "val_loss", "critic_loss", "train_loss", "grad_2.0_norm_total"];
        names.sort_by_key(|name| rank(name));
        let expected = ["train_loss", "critic_loss", "val_loss", "total_norm", "val_acc", "test_acc", "test_loss", "grad_2.0_norm_total"];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_memory_of_process_and_device_is_of_the_machine() {
        assert!(is_of_machine(&memory_stat("device_in_use_bytes")) && is_of_machine("MemoryMonitor.on_test_end/process_rss_bytes"));
        assert!(!is_of_machine("memory"));
    }
}
