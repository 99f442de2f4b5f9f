//! The disposition of a signal in this process, as far as it is known without `unsafe`. Linux reports it in a file.

/// The effect of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Its default action, or unknown.
    Default,
    /// No effect, as under `nohup` or in a background job of a script.
    Ignored,
    /// A handler is called.
    Caught,
}

/// The current disposition of this signal.
pub(super) fn of(number: i32) -> Disposition {
    in_status(&fs_err::read_to_string("/proc/self/status").unwrap_or_default(), number)
}

/// The file contains bit masks. Signal 1 is the lowest bit.
fn in_status(status: &str, number: i32) -> Disposition {
    let is_in = |mask: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(mask));
        let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default();
        bits >> (number - 1) & 1 == 1
    };
    match (is_in("SigIgn:"), is_in("SigCgt:")) {
        (true, _) => Disposition::Ignored,
        (_, true) => Disposition::Caught,
        _ => Disposition::Default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_of_linux_are_understood() {
        // SIGINT (2) is ignored, SIGTERM (15) is caught.
        let status = "Name:\tx\nSigBlk:\t0000000000004002\nSigIgn:\t0000000000000002\nSigCgt:\t0000000000004000\n";
        assert_eq!(in_status(status, 2), Disposition::Ignored);
        assert_eq!(in_status(status, 15), Disposition::Caught);
        assert_eq!(in_status(status, 10), Disposition::Default);
        assert_eq!(in_status("", 2), Disposition::Default);
    }
}
