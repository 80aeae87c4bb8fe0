//! NumPy files, of f32 and i32 in C order.

use std::fs;
use std::path::Path;

/// Writes f32.
pub fn write_f32(path: &Path, shape: &[usize], data: &[f32]) {
    write(path, "<f4", shape, &data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
}

/// Writes i32.
pub fn write_i32(path: &Path, shape: &[usize], data: &[i32]) {
    write(path, "<i4", shape, &data.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
}

/// Writes elements of any dtype.
pub fn write(path: &Path, descr: &str, shape: &[usize], data: &[u8]) {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(format!("{header:<width$}\n", width = padded - 1).as_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

/// Reads f32 of any shape.
pub fn read_f32(path: &Path) -> Vec<f32> {
    body(&fs::read(path).unwrap(), "<f4").as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Reads i32 of any shape.
pub fn read_i32(path: &Path) -> Vec<i32> {
    body(&fs::read(path).unwrap(), "<i4").as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
}

fn body<'a>(bytes: &'a [u8], descr: &str) -> &'a [u8] {
    let length = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    assert!(header.contains(&format!("'descr': '{descr}'")), "{header}");
    &bytes[10 + length..]
}
