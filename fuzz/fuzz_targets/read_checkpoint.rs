//! No bytes make the reader of checkpoints panic or allocate much more memory than their size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stormfire_checkpoint::Checkpoint;
use xxhash_rust::xxh3::xxh3_128;

fuzz_target!(|bytes: &[u8]| {
    let _ = Checkpoint::from_bytes("fuzz.ckpt", bytes);
    // A fuzzer does not guess a checksum; with the right one the code behind it is reached.
    let mut sealed = bytes.to_vec();
    sealed.extend_from_slice(&xxh3_128(bytes).to_be_bytes());
    let _ = Checkpoint::from_bytes("fuzz.ckpt", &sealed);
});
