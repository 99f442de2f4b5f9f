//! Tables whose columns are not the fields of their rows.

use std::fs;

use insta::assert_snapshot;
use serde::{Deserialize, de::DeserializeOwned};
use stormfire::data::Shards;

use crate::told::told;

/// What the reading of a CSV file reports, several times.
fn reported<T: DeserializeOwned>(content: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("houses.csv");
    fs::write(&path, content).unwrap();
    let read = || drop(Shards::<T>::csv([&path, &path]).read().unwrap());
    let lines = told(|| (0..2).for_each(|_| read()));
    lines.join("\n").replace(&path.display().to_string(), "houses.csv")
}

macro_rules! row {
    ($name:ident { $($(#[$attr:meta])* $field:ident: $ty:ty),* }) => {
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only the columns matter")]
        struct $name {
            $($(#[$attr])* $field: $ty,)*
        }
    };
}

row!(House { #[serde(alias = "size")] area: Option<f32>, room: Option<f32>, year: Option<f32>, price: f32 });
row!(OneMisspelt { rooms: Option<f32>, areas: Option<f32> });
row!(Separated { a: Option<f32>, b: Option<f32> });
row!(Complete { #[serde(alias = "rooms")] number: Option<f32>, #[serde(default)] floor: u8 });
row!(Flat { number: Option<f32>, #[serde(flatten)] rest: std::collections::HashMap<String, f32> });

#[test]
fn a_column_that_a_file_lacks_is_reported_once() {
    let texts = [
        reported::<House>("size,rooms,price\n50,3,1\n"),
        reported::<OneMisspelt>("rooms,area\n3,50\n"),
        reported::<Separated>("a;b\n1;2\n"),
    ];
    assert_snapshot!(texts.join("\n"), @r"
    WARN the data file `houses.csv` has no columns `room`, `year`, so these fields of `House` are missing in all rows; did you mean `rooms`?
    WARN the data file `houses.csv` has no column `areas`, so this field of `OneMisspelt` is missing in all rows; did you mean `area`?
    WARN the data file `houses.csv` has no columns `a`, `b`, so these fields of `Separated` are missing in all rows; the file seems to have another delimiter: call `.delimiter(b';')`
    ");
}

#[test]
fn a_file_with_all_columns_and_one_of_unknown_fields_are_not_reported() {
    assert_eq!(reported::<Complete>("rooms\n3\n"), "");
    assert_eq!(reported::<Flat>("rooms\n3\n"), "");
    assert_eq!(reported::<(f32,)>("rooms\n3\n"), "");
}
