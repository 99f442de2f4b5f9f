use std::{collections::HashMap, fs};

use super::*;
use crate::Position;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image_folder/fixtures")
}

/// The pixels that Pillow 13 reads, as RGB and as L.
#[test]
fn images_have_the_pixels_that_pillow_reads() {
    let expected: HashMap<String, [Vec<u8>; 2]> = serde_json::from_slice(&fs::read(fixtures().join("pillow.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 7);
    for (name, pixels) in expected {
        // The inverse transforms of JPEG decoders are rounded differently.
        let within = if name.ends_with("jpg") { 2 } else { 0 };
        for (channels, expected) in [3, 1].into_iter().zip(pixels) {
            let (size, pixels) = decode(&fixtures().join(&name), channels).unwrap();
            assert_eq!(size, if name.ends_with("jpg") { [16, 24] } else { [3, 4] });
            assert_eq!(pixels.len(), expected.len(), "{name}");
            let difference = pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(difference <= within, "{name} with {channels} channels: {difference}");
        }
    }
    let read = |name: &str| decode(&fixtures().join(name), 1).unwrap();
    assert_eq!(read("deep.png"), read("gray.png"), "16 bits");
}

/// Two classes, a hidden folder, a folder without images, and a file that is not an image.
fn pets(folder: &Path) {
    for (name, image) in [
        ("dog/2.png", "rgba.png"),
        ("dog/10.png", "gray.png"),
        ("cat/a.PNG", "rgb.png"),
        (".cache/x.png", "rgb.png"),
        ("cat/notes.txt", "pillow.json"),
        ("empty/notes.txt", "pillow.json"),
    ] {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(fixtures().join(image), path).unwrap();
    }
}

#[test]
fn folders_are_classes_and_a_loader_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    pets(&folder.path().join("training"));
    let images = ImageFolder::open(folder.path(), "train").unwrap();
    assert_eq!(images.classes(), ["cat", "dog"]);
    assert_eq!(images.labels(), [0, 1, 1]);
    let loader = images.clone().grayscale().loader().batch_size(3).workers(1);
    let batch = loader.batches(Position::default(), &Device::flex()).unwrap().next().unwrap().unwrap();
    let (values, labels) = batch.value;
    assert_eq!((values.dims(), batch.items), ([3, 1, 3, 4], Some(3)));
    assert_eq!(labels.into_data().iter::<i64>().collect::<Vec<_>>(), [0, 1, 1]);
    let gray = decode(&fixtures().join("gray.png"), 1).unwrap().1;
    let second: Vec<f32> = values.narrow(0, 1, 1).into_data().try_to_vec().unwrap();
    assert_eq!(second, gray.iter().map(|&value| f32::from(value) / 255.0).collect::<Vec<_>>(), "10.png comes before 2.png");
    let [values] = [images.loader().batches(Position::default(), &Device::flex()).unwrap().next().unwrap().unwrap().value.0];
    let rgb = decode(&fixtures().join("rgb.png"), 3).unwrap().1;
    let planes: Vec<f32> = (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3)).map(|&value| f32::from(value) / 255.0).collect();
    assert_eq!(values.into_data().try_to_vec::<f32>().unwrap(), planes, "channels first");
}

#[test]
fn errors_name_the_folder_or_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let text = |error: Error| error.to_string().replace(&folder.path().display().to_string(), "DIR");
    let missing = text(ImageFolder::open(folder.path(), "test").unwrap_err());
    fs::create_dir(folder.path().join("test")).unwrap();
    let empty = text(ImageFolder::open(folder.path(), "test").unwrap_err());
    pets(&folder.path().join("test"));
    fs::copy(fixtures().join("smooth.jpg"), folder.path().join("test/cat/b.jpg")).unwrap();
    let images = ImageFolder::open(folder.path(), "test").unwrap();
    let first = |images: ImageFolder, batch_size| {
        let loader = images.loader().batch_size(batch_size);
        loader.batches(Position::default(), &Device::flex()).unwrap().next().unwrap().unwrap_err()
    };
    let uneven = text(first(images.clone(), 2));
    let path = folder.path().join("test/cat/a.PNG");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
    let damaged = text(first(images.clone(), 1));
    fs::remove_file(&path).unwrap();
    let removed = text(first(images, 1));
    insta::assert_snapshot!([missing, empty, uneven, damaged, removed].join("\n"), @r"
    the loader is empty: there is no folder of the split `test` in `DIR`
    the loader is empty: there are no folders with PNG or JPEG files in `DIR/test`
    loading batch 0 failed: `DIR/test/cat/a.PNG` has 3 x 4 pixels, and `DIR/test/cat/b.jpg` has 16 x 24: images of a batch must have one size
    the dataset failed at item 0 of batch 0: the data file `DIR/test/cat/a.PNG`: unexpected end of file
    the dataset failed at item 0 of batch 0: the data file `DIR/test/cat/a.PNG`: there is no file `DIR/test/cat/a.PNG`
    ");
}

/// As Hugging Face does: otherwise the labels of two splits would mean different classes.
#[test]
fn a_class_has_one_index_in_all_splits() {
    let folder = tempfile::tempdir().unwrap();
    let image = |path: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(fixtures().join("rgb.png"), path).unwrap();
    };
    ["train/cat/1.png", "train/horse/1.png", "val/horse/1.png", "test/ant/1.png", "test/cat/1.png"].into_iter().for_each(image);
    let of = |split: &str| {
        let images = ImageFolder::open(folder.path(), split).unwrap();
        (images.classes().join(" "), images.labels())
    };
    assert_eq!(of("train"), ("ant cat horse".into(), vec![1, 2]));
    assert_eq!(of("validation"), ("ant cat horse".into(), vec![2]));
    assert_eq!(of("test"), ("ant cat horse".into(), vec![0, 1]));
    assert_eq!(ImageFolder::new(folder.path().join("val")).unwrap().classes(), ["horse"]);
}

/// The decoder fills the rest of a truncated image with grey.
#[test]
fn a_jpeg_file_that_ends_anywhere_before_its_end_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.jpg");
    let bytes = fs::read(fixtures().join("smooth.jpg")).unwrap();
    for end in 0..bytes.len() {
        fs::write(&path, &bytes[..end]).unwrap();
        assert!(decode(&path, 3).is_err(), "{end} of {} bytes", bytes.len());
    }
    // Bytes after the end are not part of the image.
    fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
    assert_eq!(decode(&path, 3).unwrap(), decode(&fixtures().join("smooth.jpg"), 3).unwrap());
}

#[test]
fn a_class_has_any_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["größe/a.png", "猫/ä ö.png", "a b/{0..1}.png", "Z/1.png"] {
        let path = folder.path().join("train").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(fixtures().join("rgb.png"), path).unwrap();
    }
    let images = ImageFolder::open(folder.path(), "train").unwrap();
    // As Python sorts.
    assert_eq!(images.classes(), ["Z", "a b", "größe", "猫"]);
    assert_eq!(images.loader().batches(Position::default(), &Device::flex()).unwrap().filter_map(Result::ok).count(), 4);
}
