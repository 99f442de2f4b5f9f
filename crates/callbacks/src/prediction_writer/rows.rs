//! Predictions as lines of text.

use serde::Serialize;
use serde_json::Value;
use stormfire_loggers::json;
use stormfire_module::{Error, Result, prediction_sink::Predicted};

/// The format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Csv,
    JsonLines,
    /// JSON lines that become a table.
    Parquet,
}

/// The names of the fields of a row, if it has names, and the text of each row.
#[derive(Default)]
struct Rendered {
    names: Vec<String>,
    rows: Vec<String>,
}

type Render<P> = Box<dyn Fn(&P) -> Result<Rendered>>;

/// Turns predictions into lines.
pub(super) struct Rows<P> {
    text: Text,
    render: Render<P>,
}

/// The columns that a writer adds to those of the rows, and the header of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    index: bool,
    dataloader_idx: bool,
    names: Vec<String>,
    header: Option<String>,
}

impl Columns {
    pub(super) fn new(index: bool, dataloader_idx: bool) -> Self {
        Self { index, dataloader_idx, ..Self::default() }
    }

    /// The columns of a file that has this header.
    pub(super) fn continued(self, header: Option<String>) -> Self {
        Self { header, ..self }
    }

    /// The first line, with its line break, once a row is known. JSON has none.
    pub(super) fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// Compares the header with those of other ranks.
    pub(super) fn agree(&mut self, others: Vec<String>) -> Result<()> {
        others.into_iter().try_for_each(|other| self.set_header(other))
    }

    fn set_header(&mut self, header: String) -> Result<()> {
        match &self.header {
            Some(known) if *known != header => Err(Error::config(
                "PredictionWriter",
                format!("the columns were `{}`, and are now `{}`", known.trim_end(), header.trim_end()),
                "give the same fields for every row, or use `PredictionWriter::json_lines`",
            )),
            _ => {
                self.header = Some(header);
                Ok(())
            }
        }
    }

    fn own(&self) -> impl Iterator<Item = &'static str> {
        [("dataloader_idx", self.dataloader_idx), ("index", self.index)].into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name)
    }

    /// Notes the names of the fields of a row. `text` decides whether they become a header.
    fn note(&mut self, text: Text, names: Vec<String>) -> Result<()> {
        if names.is_empty() || names == self.names {
            return Ok(());
        }
        if let Some(name) = self.own().find(|own| names.iter().any(|name| name == own)) {
            let hint = if name == "index" { "rename the field, or use `.indices(false)`" } else { "rename the field" };
            return Err(Error::config("PredictionWriter", format!("a row has a field `{name}`, which the writer adds itself"), hint));
        }
        if text == Text::Csv {
            let all: Vec<String> = self.own().map(str::to_owned).chain(names.iter().cloned()).collect();
            self.set_header(csv_line(&all)?)?;
        }
        self.names = names;
        Ok(())
    }
}

impl<P> Rows<P> {
    pub(super) fn new<I: IntoIterator<Item: Serialize>>(text: Text, rows: impl Fn(&P) -> Result<I> + 'static) -> Self {
        let render = move |prediction: &P| {
            let rows = rows(prediction)?.into_iter();
            match text {
                Text::Csv => csv_rows(rows),
                Text::JsonLines | Text::Parquet => json_rows(rows),
            }
        };
        Self { text, render: Box::new(render) }
    }

    pub(super) fn text(&self) -> Text {
        self.text
    }

    /// The lines of a batch.
    pub(super) fn render(&self, predicted: &Predicted<P>, columns: &mut Columns) -> Result<Vec<u8>> {
        let Rendered { names, rows } = (self.render)(&predicted.prediction)?;
        let indices = predicted.indices.as_deref().filter(|_| columns.index);
        if let Some(indices) = indices
            && indices.len() != rows.len()
        {
            return Err(Error::config(
                "PredictionWriter",
                format!("batch {} has {} items and {} rows", predicted.batch_idx, indices.len(), rows.len()),
                "give one row for each item, or use `.indices(false)`",
            ));
        }
        columns.note(self.text, names)?;
        let mut lines = String::new();
        for (number, row) in rows.iter().enumerate() {
            let index = indices.and_then(|indices| indices.get(number)).map(ToString::to_string);
            let loader = columns.dataloader_idx.then(|| predicted.dataloader_idx.to_string());
            match self.text {
                Text::Csv => {
                    let index = columns.index.then(|| index.unwrap_or_default());
                    for field in loader.iter().chain(&index) {
                        lines.push_str(field);
                        lines.push(',');
                    }
                    lines.push_str(row);
                }
                Text::JsonLines | Text::Parquet => {
                    let own = loader.map(|loader| format!("\"dataloader_idx\":{loader}")).into_iter();
                    let own: Vec<String> = own.chain(index.map(|index| format!("\"index\":{index}"))).chain(fields_of(row)).collect();
                    lines.push('{');
                    lines.push_str(&own.join(","));
                    lines.push_str("}\n");
                }
            }
        }
        Ok(lines.into_bytes())
    }
}

/// The fields of an object of JSON, or the field `prediction` for another value. `None` for an object without fields.
fn fields_of(json: &str) -> Option<String> {
    match json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some("") => None,
        Some(fields) => Some(fields.to_owned()),
        None => Some(format!("\"prediction\":{json}")),
    }
}

fn csv_line<T: AsRef<[u8]>>(fields: &[T]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields).map_err(Error::other)?;
    let bytes = writer.into_inner().map_err(|error| Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(Error::other)
}

fn csv_rows<R: Serialize>(rows: impl Iterator<Item = R>) -> Result<Rendered> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).flexible(true).from_writer(Vec::new());
    let mut rendered = Rendered::default();
    let mut known: Option<Shape> = None;
    let mut end = 0;
    for row in rows {
        writer.serialize(&row).map_err(not_flat)?;
        writer.flush()?;
        let line = writer.get_ref().get(end..).unwrap_or_default().to_vec();
        end += line.len();
        let shape = Shape::of(&row, &line)?;
        match &known {
            Some(known) if *known == shape => {}
            Some(_) => {
                let (before, now) = (rendered.names.join(","), shape.names()?.join(","));
                let reason = format!("the columns were `{before}`, and are now `{now}`");
                return Err(Error::config(
                    "PredictionWriter",
                    reason,
                    "give the same fields for every row, or use `PredictionWriter::json_lines`",
                ));
            }
            None => {
                rendered.names = shape.names()?;
                known = Some(shape);
            }
        }
        rendered.rows.push(String::from_utf8(line).map_err(Error::other)?);
    }
    Ok(rendered)
}

/// What the columns of a row are named after.
#[derive(PartialEq, Eq)]
enum Shape {
    /// The line with the names of its fields.
    Header(Vec<u8>),
    /// The number of its fields, which have no names.
    Fields(usize),
}

impl Shape {
    /// `line` is the row as CSV. Every row is compared with the first one, so this parses nothing.
    fn of<R: Serialize>(row: &R, line: &[u8]) -> Result<Self> {
        let mut writer = csv::WriterBuilder::new().flexible(true).buffer_capacity(1 << 10).from_writer(Vec::new());
        writer.serialize(row).map_err(not_flat)?;
        let mut header = writer.into_inner().map_err(|error| Error::other(error.to_string()))?;
        header.truncate(header.len().saturating_sub(line.len()));
        Ok(if header.is_empty() { Self::Fields(count_fields(line)) } else { Self::Header(header) })
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(match self {
            Self::Header(header) => {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(header.as_slice());
                let mut names = csv::StringRecord::new();
                reader.read_record(&mut names).map_err(Error::other)?;
                names.iter().map(str::to_owned).collect()
            }
            Self::Fields(1) => vec!["prediction".into()],
            Self::Fields(count) => (0..*count).map(|number| format!("prediction_{number}")).collect(),
        })
    }
}

fn count_fields(line: &[u8]) -> usize {
    let mut is_quoted = false;
    let mut commas = 0;
    for byte in line {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => commas += 1,
            _ => {}
        }
    }
    commas + 1
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn not_flat(error: csv::Error) -> Error {
    let hint = "give rows whose fields are numbers, texts or options of them, or use `PredictionWriter::json_lines`";
    Error::config("PredictionWriter", format!("a row cannot be written as CSV: {error}"), hint)
}

fn json_rows<R: Serialize>(rows: impl Iterator<Item = R>) -> Result<Rendered> {
    let mut rendered = Rendered::default();
    for row in rows {
        let mut text = serde_json::to_string(&row).map_err(Error::other)?;
        // A `null` may be a float that is not finite.
        if text.contains("null") {
            // A value made of the row would have all digits of a single float.
            let (mut plain, encoded) = (serde_json::from_str(&text).map_err(Error::other)?, json::to_value(&row).map_err(Error::other)?);
            name_floats(&mut plain, &encoded);
            text = plain.to_string();
        }
        if rendered.rows.is_empty()
            && let Ok(Value::Object(fields)) = serde_json::from_str(&text)
        {
            rendered.names = fields.into_iter().map(|(name, _)| name).collect();
        }
        rendered.rows.push(text);
    }
    Ok(rendered)
}

/// Replaces each `null` in place of a float by the name of the float, which `encoded` has at the same place.
fn name_floats(plain: &mut Value, encoded: &Value) {
    match (plain, encoded) {
        (plain @ Value::Null, Value::String(name)) => *plain = Value::String(name.clone()),
        (Value::Array(items), Value::Array(encoded)) => {
            items.iter_mut().zip(encoded).for_each(|(item, encoded)| name_floats(item, encoded));
        }
        (Value::Object(fields), Value::Object(encoded)) => {
            fields.iter_mut().for_each(|(name, field)| encoded.get(name).into_iter().for_each(|encoded| name_floats(field, encoded)));
        }
        _ => {}
    }
}
