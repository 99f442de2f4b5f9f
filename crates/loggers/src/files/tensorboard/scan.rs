//! Reads event files, also those of other writers and of running trainings.
//!
//! Scalars and the bytes of media are borrowed from the file, so a scan allocates nothing for them.
//!
//! ```
//! use stormfire_loggers::{Logger, TensorBoardLogger, tensorboard::scan::{self, Data, Found}};
//! # let folder = tempfile::tempdir()?;
//! let mut logger = TensorBoardLogger::new(folder.path());
//! logger.log_metrics(&[("loss", 0.5)].into(), Some(49))?;
//! logger.save()?;
//! let bytes = std::fs::read(logger.path().unwrap())?;
//! let mut seen = Vec::new();
//! let scanned = scan::records(&bytes, &mut |found| {
//!     if let Found::Value { step, tag, data: Data::Scalar(value) } = found {
//!         seen.push((step, tag.to_owned(), value));
//!     }
//! });
//! assert_eq!((scanned.bytes, seen), (bytes.len(), vec![(49, "loss".to_owned(), 0.5)]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use prost::Message;

use super::event::{Histogram, Metadata, SessionLog, Tensor};
use super::hparams::{Content, EndStatus, Kind, PluginData};
use super::record::{HEADER, masked_crc};
use super::wire::{Field, fields};

/// Maximum size of a record in bytes. A larger length is damage.
pub const LARGEST_RECORD: usize = 1 << 30;

/// One finding of a scan.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'a> {
    /// A value with its tag.
    Value {
        /// The step.
        step: i64,
        /// The tag.
        tag: &'a str,
        /// The value.
        data: Data<'a>,
    },
    /// The run continues here from a checkpoint: values of this step and later ones before it are void.
    Restart {
        /// The first void step.
        step: i64,
    },
    /// The hyperparameters, each as text.
    Params(Vec<(String, String)>),
    /// The end of the run, and whether it was successful.
    End {
        /// `false` for a failed or interrupted run.
        success: bool,
    },
}

/// A value of an event file.
#[derive(Debug, Clone, PartialEq)]
pub enum Data<'a> {
    /// A number.
    Scalar(f32),
    /// An encoded image, usually PNG.
    Image {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// The file.
        bytes: &'a [u8],
    },
    /// An encoded sound, usually WAV.
    Audio {
        /// Its MIME type.
        content_type: &'a str,
        /// The file.
        bytes: &'a [u8],
    },
    /// Counts between limits.
    Histogram {
        /// The upper bounds of the buckets.
        limits: Vec<f64>,
        /// The counts.
        counts: Vec<f64>,
    },
    /// A text in Markdown.
    Text(String),
    /// A precision-recall curve, by rising threshold.
    PrCurve {
        /// The precisions.
        precision: Vec<f32>,
        /// The recalls.
        recall: Vec<f32>,
    },
    /// Any other value.
    Other,
}

/// The result of [`records`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scanned {
    /// The number of bytes of the complete records.
    pub bytes: usize,
    /// Number of records that were skipped because their checksum is wrong.
    pub damaged: usize,
    /// The next bytes are not the start of a record. [`next_record`] finds the next one.
    pub is_lost: bool,
    /// The size of the incomplete record after them, if its length is known.
    pub needs: Option<usize>,
}

/// Reports the content of the complete records at the start of `file`.
pub fn records(file: &[u8], found: &mut dyn FnMut(Found<'_>)) -> Scanned {
    let mut scanned = Scanned::default();
    while let Some(header) = file.get(scanned.bytes..scanned.bytes + HEADER) {
        let Some(length) = length(header) else {
            scanned.is_lost = true;
            break;
        };
        let whole = HEADER + length + 4;
        let Some(record) = file.get(scanned.bytes..scanned.bytes + whole) else {
            scanned.needs = Some(whole);
            break;
        };
        let (data, checksum) = record[HEADER..].split_at(length);
        if masked_crc(data).to_le_bytes() == checksum && event(data, found).is_some() {
            scanned.bytes += whole;
        } else {
            scanned.bytes += whole;
            scanned.damaged += 1;
        }
    }
    scanned
}

/// The position of the first record in `file`, which may start in the middle of one. `None` without a start of a
/// record.
pub fn next_record(file: &[u8]) -> Option<usize> {
    (0..(file.len() + 1).saturating_sub(HEADER)).find(|at| length(&file[*at..*at + HEADER]).is_some())
}

/// The length in the header of a record. `None` if this is not a header.
fn length(header: &[u8]) -> Option<usize> {
    let (length, checksum) = header.split_at(8);
    let length: [u8; 8] = length.try_into().ok()?;
    let number = usize::try_from(u64::from_le_bytes(length)).ok().filter(|length| *length <= LARGEST_RECORD)?;
    (masked_crc(&length).to_le_bytes() == checksum).then_some(number)
}

/// `None` if the data is not an event.
fn event(data: &[u8], found: &mut dyn FnMut(Found<'_>)) -> Option<()> {
    let (mut step, mut summary, mut session) = (0, None, None);
    for field in fields(data) {
        match field? {
            (2, Field::Number(number)) => step = number.cast_signed(),
            (5, Field::Bytes(bytes)) => summary = Some(bytes),
            (7, Field::Bytes(bytes)) => session = Some(bytes),
            _ => {}
        }
    }
    if let Some(session) = session {
        // 1 is START.
        if SessionLog::decode(session).ok()?.status == 1 {
            found(Found::Restart { step });
        }
    }
    for field in fields(summary.unwrap_or_default()) {
        if let (1, Field::Bytes(bytes)) = field? {
            value(bytes, step, found)?;
        }
    }
    Some(())
}

fn value(bytes: &[u8], step: i64, found: &mut dyn FnMut(Found<'_>)) -> Option<()> {
    let (mut tag, mut data, mut metadata) = ("", None, None);
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(name)) => tag = std::str::from_utf8(name).ok()?,
            (2, Field::Fixed32(bits)) => data = Some(Data::Scalar(f32::from_bits(bits))),
            (4, Field::Bytes(image)) => data = Some(self::image(image)?),
            (5, Field::Bytes(histogram)) => {
                let Histogram { limits, counts, .. } = Histogram::decode(histogram).ok()?;
                data = Some(Data::Histogram { limits, counts });
            }
            (6, Field::Bytes(audio)) => data = Some(self::audio(audio)?),
            (8, Field::Bytes(tensor)) => data = Some(self::tensor(Tensor::decode(tensor).ok()?)),
            (9, Field::Bytes(bytes)) => metadata = Some(bytes),
            _ => {}
        }
    }
    if tag.starts_with("_hparams_/") {
        let plugin = Metadata::decode(metadata?).ok()?.plugin?;
        match PluginData::decode(&plugin.content[..]).ok()?.content {
            Some(Content::Start(start)) => {
                let text = |kind: Option<Kind>| match kind {
                    Some(Kind::Number(number)) => number.to_string(),
                    Some(Kind::Text(text)) => text,
                    Some(Kind::Bool(on)) => on.to_string(),
                    None => String::new(),
                };
                found(Found::Params(start.params.into_iter().map(|(name, value)| (name, text(value.kind))).collect()));
            }
            Some(Content::End(end)) => found(Found::End { success: end.status == EndStatus::Success as i32 }),
            _ => {}
        }
    } else {
        found(Found::Value { step, tag, data: data.unwrap_or(Data::Other) });
    }
    Some(())
}

fn image(bytes: &[u8]) -> Option<Data<'_>> {
    let (mut width, mut height, mut file) = (0, 0, &[][..]);
    for field in fields(bytes) {
        match field? {
            (1, Field::Number(number)) => height = number as u32,
            (2, Field::Number(number)) => width = number as u32,
            (4, Field::Bytes(bytes)) => file = bytes,
            _ => {}
        }
    }
    Some(Data::Image { width, height, bytes: file })
}

fn audio(bytes: &[u8]) -> Option<Data<'_>> {
    let (mut content_type, mut file) = ("audio/wav", &[][..]);
    for field in fields(bytes) {
        match field? {
            (4, Field::Bytes(bytes)) => file = bytes,
            (5, Field::Bytes(bytes)) => content_type = std::str::from_utf8(bytes).ok()?,
            _ => {}
        }
    }
    Some(Data::Audio { content_type, bytes: file })
}

/// A later value of a tag does not repeat the name of its plugin. Its type and shape identify the kind.
fn tensor(tensor: Tensor) -> Data<'static> {
    let Tensor { shape, floats, mut strings, .. } = tensor;
    let dims: Vec<i64> = shape.map(|shape| shape.dims.iter().map(|dim| dim.size).collect()).unwrap_or_default();
    match (dims[..].as_ref(), strings.pop()) {
        (_, Some(text)) => Data::Text(String::from_utf8_lossy(&text).into_owned()),
        ([6, thresholds], None) if usize::try_from(*thresholds).is_ok_and(|count| count > 0 && floats.len() == 6 * count) => {
            let count = floats.len() / 6;
            Data::PrCurve { precision: floats[4 * count..5 * count].to_vec(), recall: floats[5 * count..].to_vec() }
        }
        ([], None) if floats.len() == 1 => Data::Scalar(floats[0]),
        _ => Data::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Audio, Hyperparams, Image, Logger, Status, TensorBoardLogger, Text};

    fn everything() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let mut logger = TensorBoardLogger::new(folder.path());
        let mut params = Hyperparams::new();
        params.insert("lr", 0.5).unwrap();
        logger.log_hyperparams(&params, &[("val/loss", f64::NAN)].into()).unwrap();
        logger.log_metrics(&[("loss", 0.25), ("ü/acc", f64::INFINITY)].into(), Some(7)).unwrap();
        logger.log_image("digit", &Image::new(2, 1, 1, vec![0, 255]).unwrap(), Some(8)).unwrap();
        logger.log_audio("tone", &Audio::new(8000, 1, vec![0.0, 0.5]).unwrap(), Some(8)).unwrap();
        logger.log_text("note", &Text::new("**bold**"), Some(9)).unwrap();
        logger.log_text("note", &Text::new("again"), Some(10)).unwrap();
        logger.log_pr_curve("pr", &[true, false], &[0.9, 0.1], 3, Some(9)).unwrap();
        logger.finalize(Status::Success).unwrap();
        fs_err::read(logger.path().unwrap()).unwrap()
    }

    fn scanned(bytes: &[u8]) -> (Vec<String>, Scanned) {
        let mut all = Vec::new();
        let scanned = records(bytes, &mut |found| {
            all.push(match found {
                Found::Value { step, tag, data: Data::Image { width, height, bytes } } => {
                    format!("{step} {tag} image {width}x{height} png {}", bytes.starts_with(b"\x89PNG"))
                }
                Found::Value { step, tag, data: Data::Audio { content_type, bytes } } => {
                    format!("{step} {tag} {content_type} {}", bytes.starts_with(b"RIFF"))
                }
                other => format!("{other:?}"),
            });
        });
        (all, scanned)
    }

    #[test]
    fn every_kind_of_value_reads_back() {
        let bytes = everything();
        let (all, scanned) = scanned(&bytes);
        assert_eq!(scanned, Scanned { bytes: bytes.len(), ..Scanned::default() });
        insta::assert_snapshot!(all.join("\n"), @r#"
        Value { step: 0, tag: "val/loss", data: Scalar(NaN) }
        Params([("lr", "0.5")])
        Value { step: 7, tag: "loss", data: Scalar(0.25) }
        Value { step: 7, tag: "ü/acc", data: Scalar(inf) }
        8 digit image 2x1 png true
        8 tone audio/wav true
        Value { step: 9, tag: "note/text_summary", data: Text("**bold**") }
        Value { step: 10, tag: "note/text_summary", data: Text("again") }
        Value { step: 9, tag: "pr", data: PrCurve { precision: [0.5, 1.0, 0.0], recall: [1.0, 1.0, 0.0] } }
        End { success: true }
        "#);
    }

    #[test]
    fn an_incomplete_record_waits_and_a_damaged_one_is_skipped() {
        let bytes = everything();
        let (whole, _) = scanned(&bytes);
        for cut in [bytes.len() - 1, bytes.len() - 20, 30, 5] {
            let (part, state) = scanned(&bytes[..cut]);
            assert!(whole.starts_with(&part) && part.len() < whole.len() && !state.is_lost, "{cut}");
            assert_eq!(scanned(&bytes[state.bytes..]).0, whole[part.len()..], "the rest follows");
        }
        let (_, state) = scanned(&bytes[..bytes.len() - 1]);
        assert_eq!(state.needs, Some(bytes.len() - state.bytes));
        // A flipped bit in a value, then one in a length.
        let position = bytes.windows(4).position(|window| window == 0.25_f32.to_le_bytes()).unwrap();
        let mut damaged = bytes.clone();
        damaged[position] ^= 1;
        let (part, state) = scanned(&damaged);
        assert_eq!((part.len(), state.damaged, state.is_lost), (whole.len() - 2, 1, false));
        damaged[0] ^= 1;
        let (part, state) = scanned(&damaged);
        assert!(part.is_empty() && state.is_lost);
        let next = next_record(&damaged).unwrap();
        assert_eq!(scanned(&damaged[next..]).0.len(), whole.len() - 2);
    }

    #[test]
    fn a_record_is_found_from_any_byte() {
        let bytes = everything();
        let (whole, _) = scanned(&bytes);
        for from in 0..bytes.len() {
            let Some(next) = next_record(&bytes[from..]) else { continue };
            let (part, state) = scanned(&bytes[from + next..]);
            assert!(whole.ends_with(&part) && !state.is_lost && state.damaged == 0, "{from}");
        }
    }

    #[test]
    fn a_restart_names_its_first_void_step() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = TensorBoardLogger::new(folder.path()).version("run");
        first.log_metrics(&[("a", 1.0)].into(), Some(3)).unwrap();
        let position = first.position().unwrap();
        drop(first);
        let mut second = TensorBoardLogger::new(folder.path()).version("run");
        second.resume(position).unwrap();
        second.save().unwrap();
        let (all, _) = scanned(&fs_err::read(second.path().unwrap()).unwrap());
        assert_eq!(all[0], "Restart { step: 4 }");
    }
}
