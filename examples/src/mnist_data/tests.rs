use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder with two digits that have these labels.
fn folder(labels: [u8; 2]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28][..], &[7; 2 * SIDE * SIDE]].concat();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 2][..], &labels].concat();
    fs_err::write(folder.path().join("train-images-idx3-ubyte.gz"), zipped(&images)).unwrap();
    fs_err::write(folder.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    folder
}

fn error(folder: &Path) -> String {
    read_digits(folder, "train").unwrap_err().to_string()
}

#[test]
fn digits_are_read() {
    let folder = folder([0, 9]);
    let digits = read_digits(folder.path(), "train").unwrap();
    assert_eq!(digits.iter().map(|digit| (digit.label, digit.pixels.len())).collect::<Vec<_>>(), [(0, 784), (9, 784)]);
}

#[test]
fn errors_name_the_file() {
    let digits = folder([3, 200]);
    let (images, labels) = (digits.path().join("train-images-idx3-ubyte.gz"), digits.path().join("train-labels-idx1-ubyte"));
    assert_eq!(error(digits.path()), format!("`{}`: label 1 is 200, and a digit is 0 to 9", labels.display()));

    let text = error(&labels);
    assert!(text.starts_with(&format!("`{}` is a file: name the folder with `train-images", labels.display())), "{text}");
    assert!(error(&digits.path().join("none")).contains("` does not exist: name the folder"));

    for bytes in [b"no archive".to_vec(), zipped(&[0; 100])[..15].to_vec(), zipped(b"no idx file")] {
        fs_err::write(&images, bytes).unwrap();
        let text = error(digits.path());
        assert!(text.starts_with(&format!("`{}`: ", images.display())), "{text}");
    }
    // A few hundred kilobytes that unpack to more than is allowed.
    let mut bomb = GzEncoder::new(fs_err::File::create(&images).unwrap(), Compression::fast());
    io::copy(&mut io::repeat(0).take(MOST + 100), &mut bomb).unwrap();
    bomb.finish().unwrap();
    assert!(error(digits.path()).contains("it contains more than 268435456 bytes"));
}
