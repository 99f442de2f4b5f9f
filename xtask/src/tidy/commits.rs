//! A rule for commits: a subject must fit on a line of `git log`.

use anyhow::Result;

use super::Finding;
use crate::system::{self, Workspace};

/// The limit in characters.
const SUBJECT: usize = 72;
/// Seconds since 1970: 2026-11-29, 06:30 UTC, the last commit with a longer subject. Earlier commits are exempt. A date
/// also works in a shallow clone, which may lack the commit that introduced the rule.
const SINCE: u64 = 1_795_933_800;

pub(super) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    // git writes the subjects of merges.
    let log = system::output(workspace.command("git").args(["log", "--no-merges", "--format=%ct %h %s"]))?;
    Ok(log.lines().filter_map(too_long).collect())
}

/// Checks a line of the log: the time of the commit, its hash and its subject.
fn too_long(line: &str) -> Option<Finding> {
    let mut words = line.splitn(3, ' ');
    let time: u64 = words.next()?.parse().ok()?;
    let (hash, subject) = (words.next()?, words.next()?);
    let length = subject.chars().count();
    let message = || format!("the subject has {length} characters, {SUBJECT} are allowed: {subject}");
    (time >= SINCE && length > SUBJECT).then(|| Finding::on(&format!("commit {hash}"), message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_subject_has_72_characters_at_most() {
        let line = |time: u64, subject: &str| format!("{time} abc1234 {subject}");
        let (fits, long) = ("é".repeat(SUBJECT), "é".repeat(SUBJECT + 1));
        assert_eq!(too_long(&line(SINCE, &fits)), None);
        assert_eq!(too_long(&line(SINCE - 1, &long)), None);
        let finding = too_long(&line(SINCE, &long)).unwrap().to_string();
        assert_eq!(finding, format!("commit abc1234: the subject has 73 characters, 72 are allowed: {long}"));
        assert_eq!(too_long(&line(SINCE, "two words")), None);
    }
}
