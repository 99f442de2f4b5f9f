//! The operations of Neptune's client, in the format of its queue on the disk.

use serde::{Deserialize, Serialize};

/// A change of one attribute of a run. Operations that the logger does not write are only read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Operation {
    AssignString {
        path: Vec<String>,
        value: String,
    },
    AssignFloat {
        path: Vec<String>,
        value: f64,
    },
    AssignInt {
        path: Vec<String>,
        value: i64,
    },
    AssignBool {
        path: Vec<String>,
        value: bool,
    },
    AssignDatetime {
        path: Vec<String>,
        value: i64,
    },
    AddStrings {
        path: Vec<String>,
        values: Vec<String>,
    },
    RemoveStrings {
        path: Vec<String>,
        values: Vec<String>,
    },
    ClearStringSet {
        path: Vec<String>,
    },
    LogFloats {
        path: Vec<String>,
        values: Vec<Entry<f64>>,
    },
    LogStrings {
        path: Vec<String>,
        values: Vec<Entry<String>>,
    },
    LogImages {
        path: Vec<String>,
        values: Vec<Entry<Picture>>,
    },
    ClearFloatLog {
        path: Vec<String>,
    },
    ClearStringLog {
        path: Vec<String>,
    },
    ClearImageLog {
        path: Vec<String>,
    },
    UploadFile {
        path: Vec<String>,
        ext: String,
        file_path: Option<String>,
        tmp_file_name: Option<String>,
        clean_after_upload: bool,
    },
    UploadFileSet {
        path: Vec<String>,
        file_globs: Vec<String>,
        reset: String,
    },
    DeleteAttribute {
        path: Vec<String>,
    },
    #[serde(other)]
    Unknown,
}

/// A point of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    pub(super) step: Option<f64>,
    /// Seconds since 1970.
    pub(super) ts: f64,
}

/// An image of a series. `data` is base64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) data: String,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
}

/// A line of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Element {
    pub(super) obj: Operation,
    pub(super) version: u64,
    pub(super) at: Option<f64>,
}
