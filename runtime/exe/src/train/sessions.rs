//! States with sizes of a session in a checkpoint: they are no weights, and a resumed training goes on with them.

use crate::error::{Failure, Result, WEIGHTS};
use crate::files::{self, Pending};
use crate::instance::Instance;
use crate::json;
use crate::order;
use crate::weights::{Item, write};
use mlc_rt_core::safetensors::{SafeTensors, Tensor};
use std::path::Path;

/// Writes the states that are made, each with the values of the program's symbols in its shape; nothing where there
/// are none.
pub fn save(instance: &Instance<'_>, path: &Path) -> Result<()> {
    let meta = instance.meta;
    let made = meta.sessions.iter().enumerate().filter_map(|(number, state)| {
        let sizes = instance.session(number)?;
        Some((state, sizes, instance.session_shape(number, sizes)?, instance.global(state.global)?))
    });
    let made: Vec<_> = made.collect();
    if made.is_empty() {
        return Ok(());
    }
    let path_of = |global: usize| meta.globals[global].path.as_str();
    let texts: Vec<(&str, String)> = made
        .iter()
        .map(|(state, sizes, ..)| {
            let numbers: Vec<String> = sizes.iter().map(i64::to_string).collect();
            (path_of(state.global), numbers.join(" "))
        })
        .collect();
    let metadata: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let mut items: Vec<Item<'_>> = made
        .iter()
        .map(|(state, _, shape, data)| Item {
            name: path_of(state.global),
            dtype: meta.globals[state.global].dtype.safetensors(),
            shape,
            data,
        })
        .collect();
    let element = |item: &Item<'_>| item.data.len() / item.shape.iter().product::<usize>().max(1);
    order::sort_by(&mut items, |a, b| element(b).cmp(&element(a)));
    write(&items, &metadata, Pending::create(path)?)
}

/// Makes the states of a file, all or none. Without a file there were none.
pub fn load(instance: &mut Instance<'_>, path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let bytes = files::read(path, WEIGHTS)?;
    let damaged = || Failure::data(WEIGHTS, "these aren't states of this program").at(path.display().to_string());
    let file = SafeTensors::parse(&bytes).map_err(|_| damaged())?;
    let meta = instance.meta;
    let mut found: Vec<(usize, Vec<i64>, Tensor<'_>)> = Vec::new();
    for tensor in file.tensors() {
        let name = json::owned(tensor.name);
        let number = meta.sessions.iter().position(|state| meta.globals[state.global].path == name);
        let number = number.filter(|number| !found.iter().any(|(other, ..)| other == number)).ok_or_else(damaged)?;
        let text = file.metadata(&name).map(json::owned).ok_or_else(damaged)?;
        let sizes: Option<Vec<i64>> = text.split(' ').map(|size| size.parse().ok().filter(|size| *size >= 1)).collect();
        let sizes = sizes.filter(|sizes| sizes.len() == meta.symbols.len()).ok_or_else(damaged)?;
        let shape = instance.session_shape(number, &sizes).ok_or_else(damaged)?;
        let same = tensor.shape.dims().iter().copied().eq(shape.iter().map(|size| *size as u64));
        let dtype = meta.globals[meta.sessions[number].global].dtype;
        if !same || !tensor.dtype.is(dtype.safetensors()) {
            return Err(damaged());
        }
        found.push((number, sizes, tensor));
    }
    for (number, sizes, tensor) in found {
        let memory = instance.make_session(number, sizes)?;
        if memory.len() != tensor.data.len() {
            return Err(damaged());
        }
        memory.copy_from_slice(tensor.data);
    }
    Ok(())
}
