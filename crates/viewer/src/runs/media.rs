//! Images, sounds, texts and other values of event files that are not numbers.

use std::collections::BTreeMap;

use stormfire_loggers::tensorboard::scan::Data;

/// How much of the media is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaLimits {
    /// Number of values of each tag. The newest ones are kept. 0 keeps the tags only.
    pub per_tag: usize,
    /// Bytes of all values together. Later values are dropped.
    pub bytes: usize,
}

impl MediaLimits {
    /// Keeps the tags only.
    pub const TAGS: Self = Self { per_tag: 0, bytes: 0 };
}

/// The kind of the values of a [`Tag`]. A page has them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MediaKind {
    /// Precision over recall.
    PrCurve,
    /// A histogram.
    Histogram,
    /// An image.
    Image,
    /// A sound.
    Sound,
    /// A text in Markdown.
    Text,
}

impl MediaKind {
    fn of(data: &Data<'_>) -> Option<Self> {
        match data {
            Data::Image { .. } => Some(Self::Image),
            Data::Audio { .. } => Some(Self::Sound),
            Data::Text(_) => Some(Self::Text),
            Data::Histogram { .. } => Some(Self::Histogram),
            Data::PrCurve { .. } => Some(Self::PrCurve),
            Data::Scalar(_) | Data::Other => None,
        }
    }

    /// The name, in the singular.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrCurve => "PR curve",
            Self::Histogram => "histogram",
            Self::Image => "image",
            Self::Sound => "sound",
            Self::Text => "text",
        }
    }
}

/// A kept value.
#[derive(Debug, Clone, PartialEq)]
pub struct Medium {
    /// The step.
    pub step: i64,
    /// The value.
    pub content: Content,
}

/// The value of a [`Medium`].
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An encoded image with its width and height.
    Image(Vec<u8>, u32, u32),
    /// An encoded sound with its MIME type.
    Audio(Vec<u8>, String),
    /// A text in Markdown.
    Text(String),
    /// The limits and counts of a histogram.
    Histogram(Vec<f64>, Vec<f64>),
    /// The precisions and recalls of a curve.
    PrCurve(Vec<f32>, Vec<f32>),
}

impl Content {
    fn new(data: Data<'_>) -> Option<Self> {
        Some(match data {
            Data::Image { width, height, bytes } => Self::Image(bytes.to_vec(), width, height),
            Data::Audio { content_type, bytes } => Self::Audio(bytes.to_vec(), content_type.to_owned()),
            Data::Text(text) => Self::Text(text),
            Data::Histogram { limits, counts } => Self::Histogram(limits, counts),
            Data::PrCurve { precision, recall } => Self::PrCurve(precision, recall),
            Data::Scalar(_) | Data::Other => return None,
        })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Image(bytes, ..) | Self::Audio(bytes, _) => bytes.len(),
            Self::Text(text) => text.len(),
            Self::Histogram(limits, counts) => (limits.len() + counts.len()) * 8,
            Self::PrCurve(precision, recall) => (precision.len() + recall.len()) * 4,
        }
    }
}

/// The values of one tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// The kind of the values.
    pub kind: MediaKind,
    /// Number of values.
    pub count: u64,
    /// The step of the newest one.
    pub last_step: i64,
    /// The newest values that were kept, oldest first.
    pub kept: Vec<Medium>,
}

/// Media by tag.
#[derive(Debug, Clone)]
pub(super) struct Media {
    limits: MediaLimits,
    tags: BTreeMap<String, Tag>,
    bytes: usize,
    left_out: u64,
}

/// Maximum number of tags.
const MOST_TAGS: usize = 1000;

impl Media {
    pub(super) fn new(limits: MediaLimits) -> Self {
        Self { limits, tags: BTreeMap::new(), bytes: 0, left_out: 0 }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    pub(super) fn add(&mut self, tag: &str, step: i64, data: Data<'_>) {
        let Some(kind) = MediaKind::of(&data) else { return };
        // Our logger and PyTorch's add this part to the name of a text.
        let name = tag.strip_suffix("/text_summary").filter(|_| kind == MediaKind::Text).unwrap_or(tag);
        if !self.tags.contains_key(name) {
            if self.tags.len() >= MOST_TAGS {
                self.left_out += 1;
                return;
            }
            self.tags.insert(name.to_owned(), Tag { kind, count: 0, last_step: step, kept: Vec::new() });
        }
        let Some(tag) = self.tags.get_mut(name) else { return };
        (tag.count, tag.last_step) = (tag.count + 1, step);
        if self.limits.per_tag == 0 {
            return;
        }
        if tag.kept.len() == self.limits.per_tag {
            let oldest = tag.kept.remove(0);
            self.bytes = self.bytes.saturating_sub(oldest.content.bytes());
        }
        let Some(content) = Content::new(data) else { return };
        if self.bytes + content.bytes() > self.limits.bytes {
            self.left_out += 1;
            return;
        }
        self.bytes += content.bytes();
        tag.kept.push(Medium { step, content });
    }

    /// The tags by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Tag)> {
        self.tags.iter().map(|(name, tag)| (name.as_str(), tag))
    }

    /// Number of values that were dropped because of the limits of memory and tags, not counting older values of a tag.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}
