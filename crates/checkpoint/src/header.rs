//! The header of a safetensors file: JSON with the position of each tensor. The manifest is a string in its metadata.

use std::{collections::HashSet, fmt};

use burn::tensor::DType;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
};

use crate::dtype;

/// The name of the last tensor: the checksum of all bytes before it.
pub(crate) const CHECKSUM: &str = "stormfire/checksum";
/// Size of an XXH3-128 checksum in bytes.
pub(crate) const CHECKSUM_LEN: usize = 16;
/// Maximum size of a header in bytes. Other readers reject larger headers.
pub(crate) const MAX_LEN: usize = 100_000_000;
/// The key of the metadata in a safetensors header.
pub(crate) const METADATA: &str = "__metadata__";

/// The metadata of a safetensors file that this crate uses.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stormfire: Option<String>,
    /// The producer. burn writes its name here.
    #[serde(skip_serializing)]
    pub(crate) producer: Option<String>,
}

/// The header's description of a tensor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) data_offsets: (u64, u64),
}

/// A tensor with a checked description.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    /// Size in the file, in bytes.
    pub(crate) len: u64,
}

impl Slot {
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A parsed header.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) metadata: Metadata,
    entries: Vec<(String, Entry)>,
}

impl Header {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("its header is not valid: {error}"))
    }

    /// The tensors in the order of the file, without the checksum. The checksum must exist and be last.
    pub(crate) fn into_slots(self) -> Result<Vec<Slot>, String> {
        let mut slots = slots(self.entries)?;
        match slots.pop() {
            Some(last) if last.name == CHECKSUM && last.dtype == DType::U8 && last.shape == [CHECKSUM_LEN] => Ok(slots),
            _ => Err("it has no checksum at its end".to_owned()),
        }
    }

    /// The tensors of a file of another program, in the order of the file. Its header may have another order.
    pub(crate) fn into_foreign_slots(mut self) -> Result<Vec<Slot>, String> {
        self.entries.sort_by_key(|(_, entry)| entry.data_offsets);
        slots(self.entries)
    }

    /// The name and dtype of the first tensor with a dtype that burn does not have.
    pub(crate) fn unknown_dtype(&self) -> Option<(&str, &str)> {
        let unknown = self.entries.iter().find(|(_, entry)| dtype::from_name(&entry.dtype).is_none())?;
        Some((&unknown.0, &unknown.1.dtype))
    }
}

fn slots(entries: Vec<(String, Entry)>) -> Result<Vec<Slot>, String> {
    let mut slots = Vec::with_capacity(entries.len());
    let mut end = 0;
    for (name, entry) in entries {
        let slot = slot(name, entry, end)?;
        end += slot.len;
        slots.push(slot);
    }
    Ok(slots)
}

fn slot(name: String, Entry { dtype, shape, data_offsets: (begin, end) }: Entry, expected: u64) -> Result<Slot, String> {
    if begin != expected {
        return Err(format!("the bytes of `{name}` begin at {begin} instead of {expected}"));
    }
    let Some(known) = dtype::from_name(&dtype) else {
        return Err(format!("`{name}` has the unknown dtype `{dtype}`"));
    };
    let len = byte_len(&shape, dtype::stored_size(known)).ok_or_else(|| format!("the shape of `{name}` is too large: {shape:?}"))?;
    if begin.checked_add(len) != Some(end) {
        return Err(format!("the bytes of `{name}` end at {end}, which does not fit the shape {shape:?} of {dtype}"));
    }
    Ok(Slot { name, dtype: known, shape, len })
}

/// Returns `None` if the product of the dimensions overflows in any order.
fn byte_len(shape: &[usize], size: usize) -> Option<u64> {
    let of_the_rest = shape.iter().filter(|dim| **dim != 0).try_fold(size, |len, dim| len.checked_mul(*dim))?;
    let len = if shape.contains(&0) { 0 } else { of_the_rest };
    u64::try_from(len).ok()
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors by name")
    }

    /// A map of serde would silently keep the last of two tensors with one name.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("`{name}` appears twice")));
            }
            if name == METADATA {
                header.metadata = map.next_value()?;
            } else {
                header.entries.push((name, map.next_value()?));
            }
        }
        Ok(header)
    }
}
