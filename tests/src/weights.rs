//! safetensors files, read as f32 whatever they hold, written as f32.

use serde_json::{Map, Value};
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
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let body = &bytes[8 + length..];
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
    tensors.map(|(name, about)| (name.clone(), tensor(about, body))).collect()
}

fn tensor(about: &Value, body: &[u8]) -> Tensor {
    let numbers = |key: &str| -> Vec<usize> {
        about[key].as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
    };
    let offsets = numbers("data_offsets");
    let bytes = &body[offsets[0]..offsets[1]];
    let data = match about["dtype"].as_str().unwrap() {
        "F32" => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        "BF16" => bytes.as_chunks().0.iter().map(|&[low, high]| f32::from_le_bytes([0, 0, low, high])).collect(),
        "I32" => bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes) as f32).collect(),
        "F64" => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        "U8" => bytes.iter().map(|&byte| f32::from(byte)).collect(),
        dtype => panic!("tensors of {dtype}"),
    };
    Tensor { shape: numbers("shape"), data }
}

/// Writes f32 tensors.
pub fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let (mut header, mut body) = (Map::new(), Vec::new());
    for (name, tensor) in tensors {
        let start = body.len();
        body.extend(tensor.data.iter().flat_map(|x| x.to_le_bytes()));
        let about = serde_json::json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, body.len()]});
        header.insert(name.clone(), about);
    }
    write_raw(path, &Value::Object(header).to_string(), &body);
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
