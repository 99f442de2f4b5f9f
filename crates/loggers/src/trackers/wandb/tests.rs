mod faults;
mod offline;
mod online;
pub(crate) mod server;

use std::path::Path;
use std::time::Duration;

use super::WandbLogger;
use super::settings::Settings;

/// A logger that ignores the environment.
fn logger(folder: &Path) -> WandbLogger {
    let mut settings = Settings::from_env(|_| None);
    settings.linger = Duration::ZERO;
    settings.patience = Duration::from_mins(1).into();
    WandbLogger::from_settings(settings).save_dir(folder).project("a project").id("run1")
}

const KEY: &str = "0123456789abcdef0123456789abcdef-secret!";
