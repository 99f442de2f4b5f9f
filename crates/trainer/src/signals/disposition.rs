//! What a signal does to this process, as far as that can be found out without `unsafe`: Linux tells it in a file.

/// What happens when a signal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Its default action, or nobody knows.
    Default,
    /// Nothing: `nohup`, a job in the background of a script.
    Ignored,
    /// Somebody's handler is called.
    Caught,
}

/// What this signal does now.
pub(super) fn of(number: i32) -> Disposition {
    in_status(&fs_err::read_to_string("/proc/self/status").unwrap_or_default(), number)
}

/// The file holds masks, in which signal 1 is the lowest bit.
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
        // SIGINT (2) is ignored, SIGTERM (15) caught.
        let status = "Name:\tx\nSigBlk:\t0000000000004002\nSigIgn:\t0000000000000002\nSigCgt:\t0000000000004000\n";
        assert_eq!(in_status(status, 2), Disposition::Ignored);
        assert_eq!(in_status(status, 15), Disposition::Caught);
        assert_eq!(in_status(status, 10), Disposition::Default);
        assert_eq!(in_status("", 2), Disposition::Default);
    }
}
