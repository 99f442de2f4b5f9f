//! Custom charts: the custom-scalars dashboard.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LayoutMessage {
    #[prost(int32, tag = "1")]
    pub(crate) version: i32,
    #[prost(message, repeated, tag = "2")]
    pub(crate) categories: Vec<CategoryMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CategoryMessage {
    #[prost(string, tag = "1")]
    pub(crate) title: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) charts: Vec<ChartMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChartMessage {
    #[prost(string, tag = "1")]
    pub(crate) title: String,
    #[prost(oneof = "Content", tags = "2, 3")]
    pub(crate) content: Option<Content>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Content {
    #[prost(message, tag = "2")]
    Lines(Lines),
    #[prost(message, tag = "3")]
    Margins(Margins),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Lines {
    #[prost(string, repeated, tag = "1")]
    pub(crate) tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Margins {
    #[prost(message, repeated, tag = "1")]
    pub(crate) series: Vec<Margin>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Margin {
    #[prost(string, tag = "1")]
    pub(crate) value: String,
    #[prost(string, tag = "2")]
    pub(crate) lower: String,
    #[prost(string, tag = "3")]
    pub(crate) upper: String,
}

/// A chart of a [`Layout`].
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    message: ChartMessage,
}

impl Chart {
    /// A chart with one line for each tag. A tag is a regular expression, such as `loss/.*`.
    pub fn lines(title: impl Into<String>, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let tags = tags.into_iter().map(Into::into).collect();
        Self { message: ChartMessage { title: title.into(), content: Some(Content::Lines(Lines { tags })) } }
    }

    /// A chart of the tag `value`, with the area between the tags `lower` and `upper`.
    pub fn margin(title: impl Into<String>, value: impl Into<String>, lower: impl Into<String>, upper: impl Into<String>) -> Self {
        let series = vec![Margin { value: value.into(), lower: lower.into(), upper: upper.into() }];
        Self { message: ChartMessage { title: title.into(), content: Some(Content::Margins(Margins { series })) } }
    }
}

/// The content of the custom-scalars dashboard: categories of charts. A chart may contain several scalars.
///
/// ```
/// use stormfire_loggers::tensorboard::{Chart, Layout};
/// let layout = Layout::new()
///     .category("losses", [Chart::lines("both", ["train_loss", "val_loss"])])
///     .category("quality", [Chart::margin("accuracy", "acc/mean", "acc/min", "acc/max")]);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    message: LayoutMessage,
}

impl Layout {
    /// Creates a layout without charts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a collapsible category with its charts.
    pub fn category(mut self, title: impl Into<String>, charts: impl IntoIterator<Item = Chart>) -> Self {
        let charts = charts.into_iter().map(|chart| chart.message).collect();
        self.message.categories.push(CategoryMessage { title: title.into(), charts });
        self
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }
}
