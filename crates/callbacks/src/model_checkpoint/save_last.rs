//! The option `save_last`.

/// Whether a [`ModelCheckpoint`](super::ModelCheckpoint) also keeps `last.ckpt`. A plain `true` or `false` is `On` or
/// `Off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveLast {
    /// No.
    #[default]
    Off,
    /// As a separate file, which stays when the checkpoint is removed under its other name.
    On,
    /// As a relative symbolic link to the newest checkpoint. As a file if that checkpoint is not kept under another
    /// name.
    Link,
}

impl From<bool> for SaveLast {
    fn from(on: bool) -> Self {
        if on { SaveLast::On } else { SaveLast::Off }
    }
}
