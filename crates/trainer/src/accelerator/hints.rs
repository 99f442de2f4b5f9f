//! Hints about the hardware from the operating system, without loading a driver.

use std::path::Path;

/// Which drivers should be queried. `true` does not guarantee a device. `false` is final for
/// [`Auto`](super::Accelerator::Auto).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) cuda: bool,
    pub(super) graphics: bool,
}

impl Hints {
    pub(super) fn of_this_machine() -> Self {
        if cfg!(target_os = "linux") {
            Self::read(Path::new("/dev"))
        } else {
            // On other systems the graphics driver is a part of the system, and burn queries CUDA's only if it is
            // installed.
            Self { cuda: !cfg!(target_vendor = "apple"), graphics: true }
        }
    }

    /// Reads the device nodes of a Linux kernel: `nvidia0`, Jetson's `nvhost-…` and `nvmap`, the DRM cards, Mali,
    /// Adreno, and `dxg`, through which WSL accesses the GPU of Windows.
    fn read(dev: &Path) -> Self {
        let holds = |folder: &Path, prefixes: &[&str]| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).any(|name| {
                let name = name.to_string_lossy();
                prefixes.iter().any(|prefix| name.starts_with(prefix))
            })
        };
        let cuda = holds(dev, &["nvidia", "nvhost", "nvmap", "nvgpu", "dxg"]);
        let graphics = cuda || holds(&dev.join("dri"), &["card", "renderD"]) || holds(dev, &["mali", "kgsl"]);
        Self { cuda, graphics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_kernel_decide_which_drivers_are_asked() {
        let none = Hints { cuda: false, graphics: false };
        let graphics = Hints { cuda: false, graphics: true };
        let both = Hints { cuda: true, graphics: true };
        let cases: [(&[&str], Hints); 7] = [
            (&["null", "shm/x", "dri/by-path"], none),
            (&["dri/renderD128"], graphics),
            (&["dri/card0"], graphics),
            (&["kgsl-3d0"], graphics),
            (&["nvidia0", "nvidiactl"], both),
            (&["nvmap"], both),
            (&["dxg"], both),
        ];
        for (nodes, expected) in cases {
            let dev = tempfile::tempdir().unwrap();
            for node in nodes {
                let path = dev.path().join(node);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            assert_eq!(Hints::read(dev.path()), expected, "{nodes:?}");
        }
        assert_eq!(Hints::read(Path::new("does-not-exist")), none);
    }
}
