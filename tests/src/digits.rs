//! Images and labels for tests: a small made-up set in the IDX format, and folders with the real
//! digits.

use crate::repository;
use std::fs;
use std::path::Path;

/// Copies the digits to `folder/data/digits`, where `cnn.dl` looks for them.
pub fn copy_real(folder: &Path) {
    let (from, to) = (repository("dsl-examples/data/digits"), folder.join("data/digits"));
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Writes made-up digits to `folder/data/digits`: `rows` for training, `rows` for testing, each
/// class a bright bar at another height, so that a few steps learn something.
pub fn write_made_up(folder: &Path, rows: usize) {
    let to = folder.join("data/digits");
    fs::create_dir_all(&to).unwrap();
    for set in ["train", "test"] {
        fs::write(to.join(format!("{set}-images-idx3-ubyte")), images(rows)).unwrap();
        fs::write(to.join(format!("{set}-labels-idx1-ubyte")), labels(rows)).unwrap();
    }
}

/// An IDX file of `rows` images.
pub fn images(rows: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    bytes.extend([rows as u32, 28, 28].iter().flat_map(|size| size.to_be_bytes()));
    for row in 0..rows {
        bytes.extend(image(row).iter().map(|&x| x as u8));
    }
    bytes
}

/// An IDX file of `rows` labels.
pub fn labels(rows: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((rows as u32).to_be_bytes());
    bytes.extend((0..rows).map(|row| (row % 10) as u8));
    bytes
}

/// The image of a row, 28 by 28.
pub fn image(row: usize) -> Vec<f32> {
    let class = row % 10;
    let mut pixels = vec![0.0; 28 * 28];
    for (index, pixel) in pixels.iter_mut().enumerate() {
        let (y, x) = (index / 28, index % 28);
        let noise = (index * 7919 + row * 104_729) % 61;
        *pixel = if y / 2 == class + 2 && (4..24).contains(&x) { 250.0 } else { noise as f32 };
    }
    pixels
}
