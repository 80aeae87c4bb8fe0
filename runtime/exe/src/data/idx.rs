//! Images and labels in the IDX format of MNIST, packed by gzip or not.

use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result};
use crate::inflate::gunzip;
use crate::mem::Aligned;
use crate::tensor::Tensor;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Type code of unsigned bytes.
const U8: u8 = 8;

/// `image: u8[N, H, W, 1]` from `PREFIX-images-idx3-ubyte` or the same with `.gz`.
pub fn images(root: &Path, prefix: &str) -> Result<Tensor> {
    let mut tensor = read(root, prefix, "images-idx3-ubyte", 3)?;
    tensor.shape.push(1);
    Ok(tensor)
}

/// `label: u8[N]` from `PREFIX-labels-idx1-ubyte` or the same with `.gz`.
pub fn labels(root: &Path, prefix: &str) -> Result<Tensor> {
    read(root, prefix, "labels-idx1-ubyte", 1)
}

fn read(root: &Path, prefix: &str, kind: &str, axes: usize) -> Result<Tensor> {
    let plain = root.join(format!("{prefix}-{kind}"));
    let (path, bytes) = open(root, &plain)?;
    let wrong = |why: &str| Failure::data(DATA, format!("`{}` can't be used: {why}", path.display()));
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) || path != plain { gunzip(&bytes).map_err(wrong)? } else { bytes };
    parse(&bytes, axes).map_err(|why| wrong(&why))
}

/// The file, or if there is none the packed one.
fn open(root: &Path, plain: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let mut packed = plain.as_os_str().to_owned();
    packed.push(".gz");
    for path in [plain.to_owned(), PathBuf::from(packed)] {
        match crate::files::bytes(&path) {
            Ok(bytes) => return Ok((path, bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => {
                let reason = crate::files::reason(&e);
                return Err(Failure::data(DATA, format!("`{}` can't be read: {reason}", path.display())));
            }
        }
    }
    let failure = Failure::data(DATA, format!("there is neither `{}` nor the same with `.gz`", plain.display()));
    Err(if root.as_os_str().is_empty() || root == Path::new(".") {
        failure.help("relative paths start at the working folder; `--data COLUMN=FILE.npy` gives other data")
    } else {
        failure.help(format!("relative paths start at `{}`; `--data COLUMN=FILE.npy` gives other data", root.display()))
    })
}

/// Reads the contents of a file with so many axes. The error is a phrase.
pub fn parse(bytes: &[u8], axes: usize) -> std::result::Result<Tensor, String> {
    let (&[a, b, kind, rank], mut rest) = bytes.split_first_chunk::<4>().ok_or("it is cut off")?;
    if (a, b) != (0, 0) {
        return Err("it isn't an IDX file".to_owned());
    }
    if kind != U8 {
        return Err(format!("its elements are of type {kind:#04x}, unsigned bytes (0x08) are wanted"));
    }
    if usize::from(rank) != axes {
        return Err(format!("it has {rank} axes instead of {axes}"));
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        let (size, after) = rest.split_first_chunk::<4>().ok_or("it is cut off")?;
        shape.push(u32::from_be_bytes(*size) as usize);
        rest = after;
    }
    let needed = crate::tensor::bytes_of(Dtype::U8, &shape).ok_or("its sizes are absurd")?;
    if rest.len() != needed {
        let what = if rest.len() < needed { "it is cut off" } else { "it is too long" };
        return Err(format!("{what}: its header says {needed} bytes, it has {}", rest.len()));
    }
    let data = Aligned::copy_of(rest).map_err(|e| e.message().to_owned())?;
    Ok(Tensor { dtype: Dtype::U8, shape, data })
}
