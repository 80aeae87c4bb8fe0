//! safetensors and NumPy files as f64, whatever dtype they hold.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// As safetensors writes it: `F64`.
    pub dtype: String,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub data: Vec<f64>,
}

/// The tensors of a safetensors file, by name.
pub fn read(path: &Path) -> BTreeMap<String, Array> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let body = &bytes[8 + length..];
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
    tensors.map(|(name, about)| (name.clone(), tensor(about, body))).collect()
}

fn tensor(about: &Value, body: &[u8]) -> Array {
    let numbers = |key: &str| -> Vec<usize> {
        about[key].as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
    };
    let offsets = numbers("data_offsets");
    let dtype = about["dtype"].as_str().unwrap().to_string();
    let data = decode(&dtype, &body[offsets[0]..offsets[1]]);
    Array { dtype, shape: numbers("shape"), data }
}

fn decode(dtype: &str, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        "F64" => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        "F32" => bytes.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
        "I32" => bytes.as_chunks().0.iter().map(|bytes| f64::from(i32::from_le_bytes(*bytes))).collect(),
        "BF16" => bytes.as_chunks().0.iter().map(|&[low, high]| f32::from_le_bytes([0, 0, low, high]).into()).collect(),
        "I8" => bytes.iter().map(|&byte| f64::from(byte as i8)).collect(),
        "BOOL" | "U8" => bytes.iter().map(|&byte| f64::from(byte)).collect(),
        other => panic!("tensors of {other}"),
    }
}

/// Writes tensors of F32, F64 and I8, each in its dtype.
pub fn write(path: &Path, tensors: &BTreeMap<String, Array>) {
    let (mut header, mut body) = (Map::new(), Vec::new());
    for (name, tensor) in tensors {
        let start = body.len();
        match tensor.dtype.as_str() {
            "F32" => body.extend(tensor.data.iter().flat_map(|&x| (x as f32).to_le_bytes())),
            "F64" => body.extend(tensor.data.iter().flat_map(|x| x.to_le_bytes())),
            "I8" => body.extend(tensor.data.iter().map(|&x| x as i8 as u8)),
            other => panic!("tensors of {other}"),
        }
        let about =
            serde_json::json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, body.len()]});
        header.insert(name.clone(), about);
    }
    crate::weights::write_raw(path, &Value::Object(header).to_string(), &body);
}

/// The elements of a NumPy file in C order.
pub fn read_npy(path: &Path) -> Vec<f64> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let length = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    let known = [("<f8", "F64"), ("<f4", "F32"), ("<i4", "I32"), ("|b1", "BOOL"), ("|u1", "U8"), ("|i1", "I8")];
    let found = known.iter().find(|(descr, _)| header.contains(&format!("'descr': '{descr}'")));
    let (_, dtype) = found.unwrap_or_else(|| panic!("{header}"));
    decode(dtype, &bytes[10 + length..])
}

/// How far `actual` is from `expected`, relative to the largest magnitude there, or to 1.
///
/// # Errors
/// The lengths differ, or an element is infinite or NaN on one side alone.
pub fn difference(actual: &[f64], expected: &[f64]) -> Result<f64, String> {
    if actual.len() != expected.len() {
        return Err(format!("{} elements, and {} are expected", actual.len(), expected.len()));
    }
    let mut largest: f64 = 0.0;
    for (at, (a, b)) in actual.iter().zip(expected).enumerate() {
        match (a.is_finite(), b.is_finite()) {
            (true, true) => largest = largest.max((a - b).abs()),
            _ if a == b => {}
            _ => return Err(format!("element {at} is {a}, and {b} is expected")),
        }
    }
    let scale = expected.iter().filter(|x| x.is_finite()).fold(1.0f64, |scale, x| scale.max(x.abs()));
    Ok(largest / scale)
}
