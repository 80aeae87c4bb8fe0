//! safetensors files, read as f32 whatever they hold, written as f32.

use crate::arrays::{self, Array};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub data: Vec<f32>,
}

/// The tensors of a file, by name.
pub fn read(path: &Path) -> BTreeMap<String, Tensor> {
    let narrow = |array: Array| Tensor { shape: array.shape, data: array.data.iter().map(|&x| x as f32).collect() };
    arrays::read(path).into_iter().map(|(name, array)| (name, narrow(array))).collect()
}

/// Writes f32 tensors.
pub fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let wide = |tensor: &Tensor| Array {
        dtype: "F32".to_string(),
        shape: tensor.shape.clone(),
        data: tensor.data.iter().map(|&x| x.into()).collect(),
    };
    arrays::write(path, &tensors.iter().map(|(name, tensor)| (name.clone(), wide(tensor))).collect());
}

/// Writes a file of any header.
pub fn write_raw(path: &Path, header: &str, body: &[u8]) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(body);
    fs::write(path, bytes).unwrap();
}

/// The largest difference of two equally long lists, all finite.
#[track_caller]
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|x| x.is_finite()));
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}
