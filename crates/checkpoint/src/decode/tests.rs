//! Tests that a read checkpoint equals the written one, or is refused.

use std::{fs, path::PathBuf};

use burn::tensor::{BoolStore, Bytes, bf16, f16};
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    Encoder,
    samples::{bytes_of, every_dtype, forged, small},
};

fn read(bytes: &[u8]) -> Result<Checkpoint> {
    Checkpoint::from_bytes("a.ckpt", bytes)
}

/// The message of an error, and below it the hint.
fn with_hint(error: &Error) -> String {
    format!("{error}\n  hint: {}", error.hint().unwrap())
}

fn manifest() -> Manifest {
    Manifest { progress: json!({"epoch": 1, "global_step": 12}), hparams: json!({"lr": 0.1}), seed: Some(u64::MAX), ..Manifest::default() }
}

/// The tensor as it is read: all kinds of bool become one.
fn with_plain_bools((name, data): (String, TensorData)) -> (String, TensorData) {
    let plain = match data.dtype() {
        DType::Bool(_) => TensorData::from([true, false, true]),
        _ => data,
    };
    (name, plain)
}

#[test]
fn every_dtype_comes_back() {
    let tensors = every_dtype();
    let checkpoint = read(&bytes_of(&manifest(), &tensors)).unwrap();
    assert_eq!(checkpoint.manifest(), &manifest());
    let expected: BTreeMap<_, _> = tensors.into_iter().map(with_plain_bools).collect();
    assert_eq!(checkpoint.tensors(), &expected);
}

#[test]
fn no_tensors_and_many_small_ones_come_back() {
    assert!(read(&bytes_of(&manifest(), &[])).unwrap().tensors().is_empty());
    let many: Vec<_> = (0..3000_i64).map(|i| (format!("t{i}"), TensorData::from([i]))).collect();
    assert_eq!(read(&bytes_of(&manifest(), &many)).unwrap().into_parts().1, many.into_iter().collect());
}

#[test]
fn a_bool_that_is_neither_0_nor_1_is_written_as_true() {
    let odd = TensorData::from_bytes(Bytes::from_bytes_vec(vec![0, 2, 255]), [3], DType::Bool(BoolStore::U8));
    let mut checkpoint = read(&bytes_of(&manifest(), &[("a".into(), odd)])).unwrap();
    assert_eq!(checkpoint.take("a"), Some(TensorData::from([false, true, true])));
}

/// burn takes memory over only if it is aligned for the type.
#[test]
fn tensors_become_vectors_without_a_copy() {
    let mut checkpoint = read(&bytes_of(&manifest(), &every_dtype())).unwrap();
    let mut bytes = |name: &str| checkpoint.take(name).unwrap().into_bytes();
    assert!(bytes("f64").try_into_vec::<f64>().is_ok());
    assert!(bytes("f32").try_into_vec::<f32>().is_ok());
    assert!(bytes("f16").try_into_vec::<f16>().is_ok());
    assert!(bytes("bf16").try_into_vec::<bf16>().is_ok());
    assert!(bytes("i64").try_into_vec::<i64>().is_ok());
    assert!(bytes("u8").try_into_vec::<u8>().is_ok());
    assert_eq!(bytes("bool").try_into_vec::<bool>().unwrap(), [true, false, true]);
}

#[test]
fn each_tensor_starts_at_a_multiple_of_its_elements() {
    let bytes = bytes_of(&manifest(), &every_dtype());
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), every_dtype().len() + 1);
    for (name, view) in file.iter() {
        let at = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(view.data().is_empty() || at.is_multiple_of(view.dtype().bitsize() / 8), "{name} at {at}");
    }
}

#[test]
fn the_official_reader_finds_the_same() {
    let bytes = bytes_of(&manifest(), &small());
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    assert_eq!(metadata["format"], "stormfire");
    assert_eq!(serde_json::from_str::<Manifest>(&metadata["stormfire"]).unwrap(), manifest());
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, data) in small() {
        let view = file.tensor(&name).unwrap();
        assert_eq!((view.shape(), view.data()), (&data.shape()[..], data.as_bytes()), "{name}");
    }
    let end = bytes.len() - CHECKSUM_LEN;
    assert_eq!(file.tensor("stormfire/checksum").unwrap().data(), xxhash_rust::xxh3::xxh3_128(&bytes[..end]).to_be_bytes());
}

#[test]
fn tensors_are_taken_by_name_and_by_folder() {
    let names = ["a.b", "c", "optimizer/Adam/c/time", "optimizer/Sgd/c/time", "optimizers/x"];
    let tensors: Vec<_> = names.iter().map(|name| ((*name).to_owned(), TensorData::from([1_u8]))).collect();
    let mut checkpoint = read(&bytes_of(&manifest(), &tensors)).unwrap();
    assert_eq!(checkpoint.take_weights().into_keys().collect::<Vec<_>>(), ["a.b", "c"]);
    assert_eq!(checkpoint.take_under("optimizer").into_keys().collect::<Vec<_>>(), ["Adam/c/time", "Sgd/c/time"]);
    assert_eq!(checkpoint.take("optimizer/Adam/c/time"), None);
    assert_eq!(checkpoint.into_parts().1.into_keys().collect::<Vec<_>>(), ["optimizers/x"]);
}

#[test]
fn a_tensor_that_cannot_be_written_is_refused_by_name() {
    let message = |tensors: &[(String, TensorData)]| Encoder::new(&manifest(), tensors).err().map(|error| error.to_string());
    let one = TensorData::from([1_u8]);
    let twice = [("a".to_owned(), one.clone()), ("a".to_owned(), one.clone())];
    assert_eq!(message(&twice).unwrap(), "the checkpoint cannot be written: the name `a` is taken");
    let [checksum, metadata] =
        ["stormfire/checksum", "__metadata__"].map(|reserved| message(&[(reserved.to_owned(), one.clone())]).unwrap());
    let quantized = TensorData::quantized(vec![1_i8; 4], [4], burn::tensor::quantization::QuantScheme::default(), &[0.5], None);
    let quantized = message(&[("q".to_owned(), quantized)]).unwrap();
    assert_snapshot!([checksum, metadata, quantized].join("\n"), @r"
    the checkpoint cannot be written: the name `stormfire/checksum` is taken
    the checkpoint cannot be written: the name `__metadata__` is taken
    `q` has the dtype `qfloat`, which a checkpoint cannot contain
    ");
}

#[test]
fn every_file_that_is_cut_off_is_refused() {
    let bytes = bytes_of(&manifest(), &small());
    for len in 0..bytes.len() {
        let error = read(&bytes[..len]).unwrap_err();
        let as_it_is =
            matches!(&error, Error::Truncated { found, expected, .. } if *found == len as u64 && *expected <= bytes.len() as u64);
        assert!(as_it_is || len == 0 && matches!(error, Error::Empty { .. }), "{len}: {error:?}");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut bytes = bytes_of(&manifest(), &small());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&bytes).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(read(&bytes).is_ok());
}

#[test]
fn damage_in_a_tensor_is_distinguished_from_other_faults() {
    let mut bytes = bytes_of(&manifest(), &small());
    let end = bytes.len();
    bytes[end - 20] ^= 1;
    assert!(matches!(read(&bytes), Err(Error::Checksum { .. })));
    bytes[end - 20] ^= 1;
    bytes.push(0);
    assert_eq!(read(&bytes).unwrap_err().to_string(), "`a.ckpt` is damaged: 1 bytes follow its end");
}

/// A header with these entries, our metadata before them and the checksum's entry after `end` bytes.
fn header(version: u32, entries: &str, end: usize) -> String {
    let checksum = format!(r#""stormfire/checksum":{{"dtype":"U8","shape":[16],"data_offsets":[{end},{}]}}"#, end + 16);
    format!(r#"{{"__metadata__":{{"stormfire":"{{\"format_version\":{version},\"weights_only\":true}}"}},{entries}{checksum}}}"#)
}

#[test]
fn a_header_that_lies_is_refused_by_what_is_wrong() {
    let max = u64::MAX;
    let entry = |name: &str, dtype: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{offsets}]}},"#)
    };
    let a = entry("a", "U8", "4", "0,4");
    assert!(read(&forged(&header(1, &a, 4), &[0; 4])).is_ok(), "the forger's files are good where the header is");
    let cases = [
        (entry("a", "U8", "5", "0,4"), 4),
        (entry("a", "F32", "4", "0,4"), 4),
        (entry("a", "U8", "4", "4,0"), 4),
        (entry("a", "U8", "4", "-4,0"), 4),
        (entry("a", "U8", "-4", "0,4"), 4),
        (entry("a", "U8", "4.0", "0,4"), 4),
        (entry("a", "U8", &format!("{max}"), &format!("0,{max}")), 4),
        (entry("a", "F64", &format!("{max},{max}"), "0,8"), 8),
        (entry("a", "U8", &format!("0,{max},{max}"), "0,0"), 0),
        (entry("a", "U8", "4", "0,4") + &entry("b", "U8", "2", "3,5"), 5),
        (entry("a", "U8", "4", "0,4") + &entry("b", "U8", "2", "6,8"), 8),
        (entry("b", "U8", "4", "4,8") + &entry("a", "U8", "4", "0,4"), 8),
        (entry("a", "U8", "4", "0,4") + &entry("a", "U8", "4", "4,8"), 8),
        (entry("a", "F4", "8", "0,4"), 4),
        (r#""__metadata__":{},"#.to_owned(), 0),
        (r#""a":{"dtype":"U8","shape":[4]},"#.to_owned(), 4),
        (r#""a":[1,2,3],"#.to_owned(), 4),
        (format!(r#""a":{}{},"#, "[".repeat(100_000), "]".repeat(100_000)), 4),
        (entry("stormfire/checksum", "U8", "16", "0,16"), 16),
    ];
    let errors = cases.map(|(entries, end)| {
        let bytes = forged(&header(1, &entries, end), &vec![0; end.min(100)]);
        let error = read(&bytes).unwrap_err();
        let short: String = entries.chars().take(60).collect();
        assert!(matches!(&error, Error::Malformed { .. }), "{short}: {error}");
        format!("{short}: {error}")
    });
    assert_snapshot!(errors.join("\n"), @r#"
    "a":{"dtype":"U8","shape":[5],"data_offsets":[0,4]},: `a.ckpt` is damaged: the bytes of `a` end at 4, which does not fit the shape [5] of U8
    "a":{"dtype":"F32","shape":[4],"data_offsets":[0,4]},: `a.ckpt` is damaged: the bytes of `a` end at 4, which does not fit the shape [4] of F32
    "a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]},: `a.ckpt` is damaged: the bytes of `a` begin at 4 instead of 0
    "a":{"dtype":"U8","shape":[4],"data_offsets":[-4,0]},: `a.ckpt` is damaged: its header is not valid: invalid value: integer `-4`, expected u64 at line 1 column 125
    "a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]},: `a.ckpt` is damaged: its header is not valid: invalid value: integer `-4`, expected usize at line 1 column 106
    "a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]},: `a.ckpt` is damaged: its header is not valid: invalid type: floating point `4.0`, expected usize at line 1 column 107
    "a":{"dtype":"U8","shape":[18446744073709551615],"data_offse: `a.ckpt` is damaged: the bytes of `stormfire/checksum` begin at 4 instead of 18446744073709551615
    "a":{"dtype":"F64","shape":[18446744073709551615,18446744073: `a.ckpt` is damaged: the shape of `a` is too large: [18446744073709551615, 18446744073709551615]
    "a":{"dtype":"U8","shape":[0,18446744073709551615,1844674407: `a.ckpt` is damaged: the shape of `a` is too large: [0, 18446744073709551615, 18446744073709551615]
    "a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dt: `a.ckpt` is damaged: the bytes of `b` begin at 3 instead of 4
    "a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dt: `a.ckpt` is damaged: the bytes of `b` begin at 6 instead of 4
    "b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},"a":{"dt: `a.ckpt` is damaged: the bytes of `b` begin at 4 instead of 0
    "a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dt: `a.ckpt` is damaged: its header is not valid: `a` appears twice at line 1 column 132
    "a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]},: `a.ckpt` is damaged: `a` has the unknown dtype `F4`
    "__metadata__":{},: `a.ckpt` is damaged: its header is not valid: `__metadata__` appears twice at line 1 column 91
    "a":{"dtype":"U8","shape":[4]},: `a.ckpt` is damaged: its header is not valid: missing field `data_offsets` at line 1 column 107
    "a":[1,2,3],: `a.ckpt` is damaged: its header is not valid: invalid type: integer `1`, expected a string at line 1 column 83
    "a":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[: `a.ckpt` is damaged: its header is not valid: invalid type: sequence, expected a string at line 1 column 82
    "stormfire/checksum":{"dtype":"U8","shape":[16],"data_offset: `a.ckpt` is damaged: its header is not valid: `stormfire/checksum` appears twice at line 1 column 168
    "#);
}

#[test]
fn sizes_beyond_the_file_are_refused_before_memory_is_allocated() {
    let huge = 1_u64 << 50;
    let entries = format!(r#""a":{{"dtype":"U8","shape":[{huge}],"data_offsets":[0,{huge}]}},"#);
    let error = read(&forged(&header(1, &entries, huge as usize), &[0; 4])).unwrap_err();
    assert!(matches!(error, Error::Truncated { expected, .. } if expected > huge), "{error}");
    for length in [MAX_LEN as u64 + 1, u64::MAX - 7, u64::MAX] {
        let mut bytes = bytes_of(&manifest(), &small());
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(read(&bytes), Err(Error::NotACheckpoint { kind: FileKind::Unknown, .. })), "{length}");
    }
    let mut bytes = bytes_of(&manifest(), &small());
    bytes[..8].copy_from_slice(&(MAX_LEN as u64).to_le_bytes());
    assert!(matches!(read(&bytes), Err(Error::Truncated { .. })));
}

#[test]
fn other_faults_of_a_forged_file() {
    let not_utf8 = [&b"{\"\xff\":1"[..], b"}"].concat();
    let mut bytes = (not_utf8.len() as u64).to_le_bytes().to_vec();
    bytes.extend(not_utf8);
    assert_snapshot!(read(&bytes).unwrap_err(), @"`a.ckpt` is damaged: its header is not valid: invalid unicode code point at line 1 column 3");
    let bools = r#""a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]},"#;
    assert!(read(&forged(&header(1, bools, 3), &[0, 1, 1])).is_ok());
    assert_snapshot!(read(&forged(&header(1, bools, 3), &[0, 1, 2])).unwrap_err(), @"`a.ckpt` is damaged: `a` contains a bool that is neither 0 nor 1");
    let versions = [0, 2].map(|version| with_hint(&read(&forged(&header(version, "", 0), &[])).unwrap_err()));
    assert_snapshot!(versions.join("\n"), @r"
    `a.ckpt` has the format version 0, and this Stormfire reads version 1
      hint: read it with the version of Stormfire that wrote it
    `a.ckpt` has the format version 2, and this Stormfire reads version 1
      hint: update Stormfire to the version that wrote it
    ");
    let without_checksum = r#"{"__metadata__":{"stormfire":"{\"format_version\":1,\"weights_only\":true}"},"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}}"#;
    assert_snapshot!(read(&forged(without_checksum, &[])).unwrap_err(), @"`a.ckpt` is damaged: it has no checksum at its end");
    let foreign = ["", r#""__metadata__":{"format":"pt"},"#].map(|metadata| {
        let header = format!(r#"{{{metadata}"w":{{"dtype":"U8","shape":[16],"data_offsets":[0,16]}}}}"#);
        let error = read(&forged(&header, &[])).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        with_hint(&error)
    });
    assert_snapshot!(foreign.join("\n"), @r"
    `a.ckpt` contains only tensors: it was not written by Stormfire
      hint: load its weights into a module with `load_weights`; there is no run in it to resume
    `a.ckpt` contains only tensors: it was not written by Stormfire
      hint: load its weights into a module with `load_weights`; there is no run in it to resume
    ");
}

/// A manifest with these fields changed, or removed where they are `null`.
fn changed(fields: &serde_json::Value) -> Vec<u8> {
    let mut json = serde_json::to_value(Manifest { optimizers: json!([]), place: json!({}), log: json!({}), ..manifest() }).unwrap();
    let object = json.as_object_mut().unwrap();
    for (name, value) in fields.as_object().unwrap() {
        object.insert(name.clone(), value.clone());
        object.retain(|_, kept| *kept != json!("gone"));
    }
    let text = serde_json::to_string(&json.to_string()).unwrap();
    let checksum = r#""stormfire/checksum":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}"#;
    forged(&format!(r#"{{"__metadata__":{{"stormfire":{text}}},{checksum}}}"#), &[])
}

#[test]
fn a_manifest_that_cannot_be_is_refused_by_name() {
    let most = 1_u64 << 53;
    let scheduler = json!([{ "schedule": { "scheduler": { "before_last_step": { "0.current_iter": u64::MAX }, "looks": 0 } } }]);
    let allowed = [
        json!({}),
        json!({ "progress": { "global_step": most } }),
        json!({ "seed": u64::MAX, "extra": { "hash": u64::MAX } }),
        json!({ "optimizers": scheduler }),
    ];
    for fields in allowed {
        assert!(read(&changed(&fields)).is_ok(), "{fields}");
    }
    let refused = [
        json!({ "progress": { "global_step": most + 1 } }),
        json!({ "progress": { "batches": u64::MAX - 1 } }),
        json!({ "place": { "evaluated": [3, u64::MAX] } }),
        json!({ "optimizers": [{ "steps": u64::MAX }] }),
        json!({ "unfinished_epoch": { "progress": { "epoch": u64::MAX } } }),
        json!({ "progress": "gone", "callbacks": "gone" }),
        json!({ "log": "gone" }),
    ];
    let errors = refused.map(|fields| {
        let error = read(&changed(&fields)).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        error.to_string()
    });
    assert_snapshot!(errors.join("\n"), @r"
    `a.ckpt` is damaged: its manifest is not valid: `progress.global_step` is 9007199254740993, which no run can reach
    `a.ckpt` is damaged: its manifest is not valid: `progress.batches` is 18446744073709551614, which no run can reach
    `a.ckpt` is damaged: its manifest is not valid: `place.evaluated[1]` is 18446744073709551615, which no run can reach
    `a.ckpt` is damaged: its manifest is not valid: `optimizers[0].steps` is 18446744073709551615, which no run can reach
    `a.ckpt` is damaged: its manifest is not valid: `unfinished_epoch.progress.epoch` is 18446744073709551615, which no run can reach
    `a.ckpt` is damaged: its manifest is incomplete: it lacks `progress`, `callbacks`
    `a.ckpt` is damaged: its manifest is incomplete: it lacks `log`
    ");
    assert!(read(&changed(&json!({ "weights_only": true, "log": "gone", "callbacks": "gone" }))).is_ok());
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.ckpt");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let errors = [Checkpoint::read(&path).err(), verify(&path).err(), crate::WeightsFile::read(&path).err()];
    for error in errors {
        assert!(matches!(error, Some(Error::NotACheckpoint { kind: FileKind::Special, .. })), "{error:?}");
    }
}

#[test]
fn files_of_other_programs_are_named() {
    let page = read(b"<!DOCTYPE html><html><body>404</body></html>").unwrap_err();
    assert_eq!(page.to_string(), "`a.ckpt` is not a checkpoint: it is a web page");
    let zip = read(b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl").unwrap_err();
    assert!(matches!(zip, Error::NotACheckpoint { kind: FileKind::Zip, .. }));
    assert_snapshot!(with_hint(&zip), @r"
    `a.ckpt` is not a checkpoint: it is a zip archive, as PyTorch writes
      hint: load the weights of a PyTorch or PyTorch Lightning file on a disk with `load_weights` (cargo feature `pytorch`)
    ");
    assert!(matches!(read(&[0; 4096]), Err(Error::NotACheckpoint { kind: FileKind::Zeros, .. })));
    // The length of a header may start with the same bytes as the magic number of another format.
    let long = Manifest { module: "x".repeat(0x80), ..manifest() };
    let lengths: Vec<_> = (0..64).map(|more| bytes_of(&Manifest { module: "x".repeat(more * 8), ..long.clone() }, &small())).collect();
    assert!(lengths.iter().any(|bytes| bytes[..2] == [0x80, 3]), "none of the headers has the length that is meant");
    assert!(lengths.iter().all(|bytes| read(bytes).is_ok()));
}

#[test]
fn files_are_read_verified_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let bytes = bytes_of(&manifest(), &every_dtype());
    fs::write(&path, &bytes).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap().into_parts(), read(&bytes).unwrap().into_parts());
    verify(&path).unwrap();
    let mut damaged = bytes.clone();
    let last = bytes.len() - 17;
    damaged[last] ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert_eq!(Checkpoint::read_manifest(&path).unwrap(), manifest());
    assert!(matches!(verify(&path), Err(Error::Checksum { .. })));
    assert!(matches!(Checkpoint::read(&path), Err(Error::Checksum { .. })));
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(Checkpoint::read_manifest(&path), Err(Error::Truncated { .. })));
    let missing: PathBuf = folder.path().join("none.ckpt");
    assert!(matches!(Checkpoint::read(&missing), Err(Error::NotFound { path }) if path == missing));
    assert!(matches!(verify(folder.path()), Err(Error::NotACheckpoint { kind: FileKind::Folder, .. })));
    let bools = r#""a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]},"#;
    fs::write(&path, forged(&header(1, bools, 3), &[0, 1, 2])).unwrap();
    let odd = [verify(&path).err(), crate::inspect(&path).err(), Checkpoint::read(&path).err()];
    let odd = odd.map(|error| error.unwrap().to_string().replace(&folder.path().display().to_string(), "[folder]"));
    assert_snapshot!(odd.join("\n"), @r"
    `[folder]/a.ckpt` is damaged: `a` contains a bool that is neither 0 nor 1
    `[folder]/a.ckpt` is damaged: `a` contains a bool that is neither 0 nor 1
    `[folder]/a.ckpt` is damaged: `a` contains a bool that is neither 0 nor 1
    ");
}

/// Larger than one piece, with an odd size.
#[test]
fn large_tensors_come_back() {
    let large = TensorData::new((0..700_001_u32).collect(), [700_001]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    crate::write(&path, &manifest(), &[("a".into(), TensorData::from([1_u8])), ("large".into(), large.clone())]).unwrap();
    verify(&path).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap().take("large"), Some(large));
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn a_random_header_is_refused(header in r#"\{["a-z_:{}\[\],0-9.\\-]{0,60}\}"#, rest in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert!(read(&forged(&header, &rest)).is_err());
    }

    /// The checksum is corrected, so that the code after its check also runs.
    #[test]
    fn mutations_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in 0..40_usize) {
        let mut bytes = bytes_of(&manifest(), &every_dtype());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut);
        let _ = read(&bytes);
        bytes.truncate(bytes.len() - CHECKSUM_LEN);
        let checksum = xxhash_rust::xxh3::xxh3_128(&bytes).to_be_bytes();
        bytes.extend_from_slice(&checksum);
        let _ = read(&bytes);
    }
}
