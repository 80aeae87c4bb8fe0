//! Arrays by name: `.npz`, `.safetensors`, or a folder of `.npy`.

use crate::data::{Wanted, zip};
use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result, did_you_mean, list};
use crate::files;
use crate::npy;
use crate::order;
use crate::tensor::{Tensor, bytes_of};
use mlc_rt_core::safetensors::SafeTensors;
use std::path::Path;

/// The wanted arrays; the others aren't read.
pub fn read(path: &Path, wanted: &[Wanted]) -> Result<Vec<(String, Tensor)>> {
    if path.is_dir() {
        return wanted.iter().map(|w| Ok((w.name.clone(), from_folder(path, &w.name)?))).collect();
    }
    let bytes = files::read(path, DATA)?;
    parse(&bytes, &path.display().to_string(), wanted)
}

/// The wanted arrays of a `.npz` or `.safetensors` file called `path` in messages.
pub fn parse(bytes: &[u8], path: &str, wanted: &[Wanted]) -> Result<Vec<(String, Tensor)>> {
    let wrong = |why: &str| Failure::data(DATA, format!("`{path}` can't be used: {why}"));
    if bytes.starts_with(b"PK") {
        let entries = zip::entries(bytes).map_err(|e| wrong(&e))?;
        let names: Vec<&str> = entries.iter().map(|e| e.name.strip_suffix(".npy").unwrap_or(&e.name)).collect();
        let array = |w: &Wanted| {
            let at = names.iter().position(|name| *name == w.name).ok_or_else(|| lacking(path, &w.name, &names))?;
            let wrong = |why: &str| Failure::data(DATA, format!("`{}` in `{path}` {why}", entries[at].name));
            let bytes = zip::read(bytes, &entries[at]).map_err(|e| wrong(&format!("can't be used: {e}")))?;
            Ok((w.name.clone(), npy::parse(&bytes).map_err(|e| wrong(&e))?))
        };
        return wanted.iter().map(array).collect();
    }
    if bytes.starts_with(b"\x93NUMPY") {
        return Err(wrong("it is a single array; `arrays` takes a .npz, a .safetensors or a folder of .npy")
            .help("`--data COLUMN=FILE.npy` takes single arrays"));
    }
    let file =
        SafeTensors::parse(bytes).map_err(|e| wrong(&format!("it is neither .npz nor .safetensors ({})", e.text())))?;
    let names: Vec<String> = file.tensors().map(|t| crate::json::owned(t.name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let array = |w: &Wanted| {
        let found = file.find(&w.name).map_err(|e| wrong(e.text()))?.ok_or_else(|| lacking(path, &w.name, &names))?;
        let dtype = Dtype::from_safetensors(|name| found.dtype.is(name))
            .ok_or_else(|| wrong(&format!("`{}` has elements of type {}", w.name, crate::json::owned(found.dtype))))?;
        let shape: Option<Vec<usize>> = found.shape.dims().iter().map(|&d| usize::try_from(d).ok()).collect();
        let shape = shape
            .filter(|s| bytes_of(dtype, s) == Some(found.data.len()))
            .ok_or_else(|| wrong("its sizes are absurd"))?;
        let mut tensor = Tensor::zeros(dtype, &shape)?;
        tensor.data.copy_from_slice(found.data);
        if dtype == Dtype::Bool && found.data.iter().any(|&b| b > 1) {
            return Err(wrong(&format!("`{}` has a bool that is neither 0 nor 1", w.name)));
        }
        Ok((w.name.clone(), tensor))
    };
    wanted.iter().map(array).collect()
}

fn from_folder(folder: &Path, name: &str) -> Result<Tensor> {
    let path = folder.join(format!("{name}.npy"));
    if !path.is_file() {
        let mut names: Vec<String> = match std::fs::read_dir(folder) {
            Ok(entries) => entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect(),
            Err(_) => Vec::new(),
        };
        order::sort(&mut names);
        let names: Vec<&str> = names.iter().filter_map(|n| n.strip_suffix(".npy")).collect();
        return Err(lacking(&folder.display().to_string(), name, &names));
    }
    read_npy(&path)
}

/// Reads an `.npy` file as a column.
pub fn read_npy(path: &Path) -> Result<Tensor> {
    let bytes = files::read(path, DATA)?;
    npy::parse(&bytes).map_err(|e| Failure::data(DATA, format!("`{}` {e}", path.display())))
}

fn lacking(path: &str, name: &str, names: &[&str]) -> Failure {
    Failure::data(DATA, format!("`{path}` has no array `{name}`"))
        .note(format!("its arrays are {}", list(names.iter().copied())))
        .help_opt(did_you_mean(name, names.iter().copied()))
}
