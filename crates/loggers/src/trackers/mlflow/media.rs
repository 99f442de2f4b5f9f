//! Media as files, with the names that MLflow's pages expect.

use serde_json::{Map, Value, json};

use super::keys;
use crate::{Histogram, Image, Result, Table};

/// Larger images get a smaller copy for the overview. Its longer side has this number of pixels.
const SMALL: u32 = 256;

/// The tag that lists tables.
pub(super) const TABLES_TAG: &str = "mlflow.loggedArtifacts";
/// The tag of a run with images.
pub(super) const IMAGES_TAG: &str = "mlflow.loggedImages";

/// The artifact names of an image and its small copy. MLflow's run page parses them.
pub(super) fn image_names(tag: &str, step: u64, time: u64, unique: &str) -> [String; 2] {
    let path = format!("images/{}+step+{step}+timestamp+{time}+{unique}", keys::image_key(tag));
    [format!("{path}.png"), format!("{path}+compressed.png")]
}

/// The time in the name of an image.
pub(super) fn image_time(name: &str) -> Option<u64> {
    name.rsplit_once("+timestamp+")?.1.split('+').next()?.parse().ok()
}

/// The path `kind/tag/step_N.extension`. `folder` is the folder of the tag. Without a step, all values share one file.
pub(super) fn file_name(kind: &str, folder: &str, step: Option<u64>, extension: &str) -> String {
    step.map_or_else(|| format!("{kind}/{folder}.{extension}"), |step| format!("{kind}/{folder}/step_{step}.{extension}"))
}

/// A small copy, where each pixel is the mean of the original pixels in its area. `None` if the image is small.
pub(super) fn small(image: &Image) -> Result<Option<Image>> {
    let (width, height) = (image.width(), image.height());
    let longer = width.max(height);
    if longer <= SMALL {
        return Ok(None);
    }
    let scaled = |size: u32| (u64::from(size) * u64::from(SMALL) / u64::from(longer)).max(1) as u32;
    let (small_width, small_height) = (scaled(width), scaled(height));
    let channels = usize::from(image.channels());
    let mut pixels = Vec::with_capacity(small_width as usize * small_height as usize * channels);
    for row in 0..small_height {
        let rows = span(row, small_height, height);
        for column in 0..small_width {
            let columns = span(column, small_width, width);
            let count = (rows.len() * columns.len()) as u64;
            for channel in 0..channels {
                let at = |y: usize, x: usize| u64::from(image.pixels()[(y * width as usize + x) * channels + channel]);
                let sum: u64 = rows.clone().map(|y| columns.clone().map(|x| at(y, x)).sum::<u64>()).sum();
                pixels.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    Image::new(small_width, small_height, image.channels(), pixels).map(Some)
}

/// The range of original pixels for pixel `at` of `count`, out of `size`.
fn span(at: u32, count: u32, size: u32) -> std::ops::Range<usize> {
    let bound = |at: u32| (u64::from(at) * u64::from(size) / u64::from(count)) as usize;
    bound(at)..bound(at + 1).max(bound(at) + 1)
}

/// A table in the format of `pandas.read_json(orient="split")`.
pub(super) fn table(table: &Table) -> Vec<u8> {
    json!({"columns": table.columns(), "data": table.rows()}).to_string().into_bytes()
}

pub(super) fn histogram(histogram: &Histogram) -> Vec<u8> {
    let stats = histogram.stats();
    json!({
        "limits": histogram.limits(),
        "counts": histogram.counts(),
        "num": histogram.num(),
        "min": stats.min,
        "max": stats.max,
        "sum": stats.sum,
        "sum_squares": stats.sum_squares,
    })
    .to_string()
    .into_bytes()
}

/// The content of the tag that lists the tables.
pub(super) fn tables_tag(paths: &[String]) -> String {
    let all: Vec<Value> = paths.iter().map(|path| json!({"path": path, "type": "table"})).collect();
    list_tag(&all)
}

/// A list as the value of a tag. The oldest entries are removed if it is too long, because MLflow would truncate it
/// within an entry.
pub(super) fn list_tag(all: &[Value]) -> String {
    let mut first = 0;
    loop {
        let text = Value::from(&all[first..]).to_string();
        if text.chars().count() <= keys::TAG || first + 1 >= all.len() {
            return text;
        }
        first += 1;
    }
}

/// A list in Python's notation, as Lightning writes it.
pub(super) fn aliases(aliases: &[String]) -> String {
    let quoted = |alias: &String| format!("'{}'", alias.replace('\\', "\\\\").replace('\'', "\\'"));
    format!("[{}]", aliases.iter().map(quoted).collect::<Vec<_>>().join(", "))
}

pub(super) fn metadata(known: &Map<String, Value>, file: &str) -> Result<String> {
    let mut all = crate::Hyperparams::new();
    for (key, value) in known {
        all.insert(key, value)?;
    }
    if all.get("original_filename").is_none() {
        all.insert("original_filename", file)?;
    }
    all.to_yaml()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_images_get_a_small_copy_of_means() {
        let pixels: Vec<u8> = (0..600 * 300).map(|pixel| if pixel % 2 == 0 { 0 } else { 100 }).collect();
        let copy = small(&Image::new(600, 300, 1, pixels).unwrap()).unwrap().unwrap();
        assert_eq!((copy.width(), copy.height()), (256, 128));
        assert!(copy.pixels().iter().all(|pixel| (30..=70).contains(pixel)));
        assert_eq!(small(&Image::new(256, 1, 1, vec![0; 256]).unwrap()).unwrap(), None);
        let line = small(&Image::new(1000, 1, 1, vec![7; 1000]).unwrap()).unwrap().unwrap();
        assert_eq!((line.width(), line.height(), line.pixels()[0]), (256, 1, 7));
    }

    #[test]
    fn names_are_those_that_mlflow_parses() {
        let [name, small] = image_names("val/dogs 1", 3, 17, "1-2");
        assert_eq!(
            (name.as_str(), small.as_str()),
            ("images/val~dogs 1+step+3+timestamp+17+1-2.png", "images/val~dogs 1+step+3+timestamp+17+1-2+compressed.png",)
        );
        assert_eq!(image_time(&small), Some(17));
        assert_eq!(file_name("texts", "a/b", Some(3), "md"), "texts/a/b/step_3.md");
        assert_eq!(file_name("texts", "a", None, "md"), "texts/a.md");
    }

    #[test]
    fn texts_of_a_checkpoint_are_those_of_lightning() {
        assert_eq!(aliases(&["latest".to_owned(), "it's".to_owned()]), r"['latest', 'it\'s']");
        let known = Map::from_iter([("score".to_owned(), json!(0.5))]);
        assert_eq!(metadata(&known, "a.ckpt").unwrap(), "score: 0.5\noriginal_filename: a.ckpt\n");
    }

    #[test]
    fn the_list_of_tables_stays_json_within_the_limit() {
        let paths: Vec<String> = (0..300).map(|number| format!("tables/t/step_{number}.json")).collect();
        let text = tables_tag(&paths);
        assert!(text.len() <= keys::TAG);
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(list.last().unwrap()["path"], "tables/t/step_299.json");
    }
}
