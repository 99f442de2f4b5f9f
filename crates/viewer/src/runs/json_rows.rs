//! Lines of JSON, as `CsvLogger` and other programs write them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::row_lines::{ends, lines};
use super::series::Series;

/// Names of the step in other programs.
const STEPS: [&str; 4] = ["step", "_step", "global_step", "iteration"];

/// Reads one object per line. Strings, lists and lines without numbers are skipped.
#[derive(Debug, Default)]
pub(super) struct JsonRows {
    rows: u64,
    needs_step: bool,
    /// Lines that are not JSON.
    pub(super) damaged: u64,
    numbers: Numbers,
}

#[derive(Debug, Default)]
struct Numbers {
    step: Option<f64>,
    cells: Vec<(usize, f64)>,
}

impl JsonRows {
    /// A reader of any lines. It skips those without a step, because it cannot count them.
    pub(super) fn of_samples() -> Self {
        Self { needs_step: true, ..Self::default() }
    }

    /// As for the table.
    pub(super) fn feed(&mut self, bytes: &[u8], is_open: bool, series: &mut Series) -> usize {
        let (end, open) = ends(bytes, is_open);
        for line in lines(&bytes[..open]) {
            if let Some(step) = self.row(line, series) {
                self.numbers.cells.drain(..).for_each(|(place, value)| series.push(place, step, value));
            }
        }
        series.clear_tails();
        if open < end {
            let (rows, damaged) = (self.rows, self.damaged);
            for line in lines(&bytes[open..end]) {
                if let Some(step) = self.row(line, series) {
                    self.numbers.cells.drain(..).for_each(|(place, value)| series.set_tail(place, step, value));
                }
            }
            (self.rows, self.damaged) = (rows, damaged);
        }
        open
    }

    /// Whether the line is JSON.
    fn read(&mut self, line: &[u8], series: &mut Series) -> bool {
        self.numbers.step = None;
        self.numbers.cells.clear();
        let mut json = serde_json::Deserializer::from_slice(line);
        let fields = Fields { numbers: &mut self.numbers, series, prefix: None };
        fields.deserialize(&mut json).and_then(|()| json.end()).is_ok()
    }

    fn row(&mut self, line: &[u8], series: &mut Series) -> Option<f64> {
        if !self.read(line, series) && !quoted_words(line).is_some_and(|line| self.read(&line, series)) {
            self.damaged += 1;
            return None;
        }
        if self.numbers.cells.is_empty() || self.needs_step && self.numbers.step.is_none() {
            return None;
        }
        self.rows += 1;
        Some(self.numbers.step.unwrap_or((self.rows - 1) as f64))
    }
}

/// The line with the words `NaN`, `Infinity` and `-Infinity` in quotation marks. JSON does not have them, but Python
/// writes them. `None` if there is none.
fn quoted_words(line: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let (mut out, mut at, mut is_text, mut has_word) = (Vec::with_capacity(line.len() + 8), 0, false, false);
    while at < line.len() {
        let rest = &line[at..];
        if !is_text && let Some(word) = WORDS.iter().find(|word| rest.starts_with(word)) {
            out.extend([b"\"".as_slice(), word, b"\""].concat());
            at += word.len();
            has_word = true;
            continue;
        }
        let escapes = is_text && rest[0] == b'\\';
        is_text ^= rest[0] == b'"';
        let count = if escapes { 2.min(rest.len()) } else { 1 };
        out.extend_from_slice(&rest[..count]);
        at += count;
    }
    has_word.then_some(out)
}

/// The numbers of an object. Those of inner objects get the names of the outer fields as prefix, except `metrics`.
struct Fields<'a> {
    numbers: &'a mut Numbers,
    series: &'a mut Series,
    prefix: Option<&'a str>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(key)) = map.next_key::<Name<'_>>()? {
            let name = match self.prefix {
                Some(prefix) => Cow::Owned(format!("{prefix}/{key}")),
                None => key,
            };
            map.next_value_seed(Cell { numbers: self.numbers, series: self.series, name: &name, is_top: self.prefix.is_none() })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// A key that is borrowed if it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// One value with its name.
struct Cell<'a> {
    numbers: &'a mut Numbers,
    series: &'a mut Series,
    name: &'a str,
    is_top: bool,
}

impl Cell<'_> {
    fn take(self, value: f64) {
        if self.is_top && STEPS.contains(&self.name) {
            self.numbers.step = Some(value);
        } else if let Some(place) = self.series.place(self.name) {
            self.numbers.cells.push((place, value));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.take(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.take(value as f64);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.take(value as f64);
        Ok(())
    }

    /// JSON has no number for these.
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        match text {
            "NaN" | "nan" => self.take(f64::NAN),
            "Infinity" | "inf" => self.take(f64::INFINITY),
            "-Infinity" | "-inf" => self.take(f64::NEG_INFINITY),
            _ => {}
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let prefix = (!(self.is_top && self.name == "metrics")).then_some(self.name);
        Fields { numbers: self.numbers, series: self.series, prefix }.visit_map(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
