//! Limits of the attempts for a refused record, and of the delivered records that are kept.

use super::super::sender::TURNED_AWAY;
use super::*;

/// Rejects the first few addresses as expired.
struct Store(u32);

impl Carrier<Number> for Store {
    fn deliver(&mut self, _records: &[Number]) -> Result<usize, Failure> {
        let Some(left) = self.0.checked_sub(1) else { return Ok(1) };
        self.0 = left;
        Err(Failure::Refused { status: Some(403), code: None, count: 1, reason: "the address has expired".to_owned() })
    }
}

#[test]
fn an_address_that_a_store_turns_away_is_tried_again_a_few_times() {
    for (failures, refused) in [(TURNED_AWAY, 0), (TURNED_AWAY + 1, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(folder.path().join("spool"), Store(failures), sending()).unwrap();
        push(&mut outbox, 0..2);
        let delivery = outbox.settle().unwrap();
        assert_eq!((delivery.delivered, delivery.refused), (2 - refused, refused));
    }
}

#[test]
fn records_delivered_since_the_last_checkpoint_have_a_limit() {
    const RECORD: usize = 1 << 20;
    const LIMIT: u64 = 4 << 20;
    #[derive(Serialize, Deserialize)]
    struct Long(String);
    impl Record for Long {}
    struct Takes;
    impl Carrier<Long> for Takes {
        fn deliver(&mut self, records: &[Long]) -> Result<usize, Failure> {
            Ok(records.len())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(folder.path().join("spool"), Takes, Sending { limit: LIMIT, ..sending() }).unwrap();
    outbox.position().unwrap();
    for _ in 0..40 {
        outbox.push(&Long("x".repeat(RECORD))).unwrap();
        outbox.settle().unwrap();
    }
    let spool = outbox.folder().to_owned();
    let kept: u64 = fs_err::read_dir(&spool).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(kept < LIMIT + (17 << 20), "{kept} bytes of 40 MiB are kept");
    assert_eq!(outbox.delivery().delivered, 40);
    // A run resumed from the checkpoint gets the remaining records.
    drop(outbox);
    let mut continued = Outbox::open(&spool, Takes, sending()).unwrap();
    assert!(continued.rewind(0).unwrap().len() < 40);
}
