//! Folders of pictures: one folder for each label, in alphabetical order.

use crate::data::table::Table;
use crate::data::{Wanted, resize};
use crate::dtype::Dtype;
use crate::error::{DATA, Failure, Result};
use crate::files::{self, reason};
use crate::image::{Picture, decode};
use crate::mem::Aligned;
use crate::order;
use crate::tensor::Tensor;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Channels of a row's image.
const CHANNELS: usize = 3;

/// What [`read`] is.
pub type Read = fn(&Path, usize, usize, &[Wanted]) -> Result<Table>;

/// Columns `image: u8[height, width, 3]` and `label: i32`.
pub fn read(dir: &Path, height: usize, width: usize, wanted: &[Wanted]) -> Result<Table> {
    let files = list(dir, wanted.iter().any(|w| w.name == "label"))?;
    let mut labels = Tensor::zeros(Dtype::I32, &[files.len()])?;
    let (slots, _) = labels.data.as_chunks_mut::<4>();
    slots.iter_mut().zip(&files).for_each(|(slot, (label, _))| *slot = label.to_le_bytes());
    let mut columns = vec![("label".to_owned(), labels)];
    if wanted.iter().any(|w| w.name == "image") {
        let mut images = Tensor::zeros(Dtype::U8, &[files.len(), height, width, CHANNELS])?;
        fill(&mut images.data, &files, height, width)?;
        columns.push(("image".to_owned(), images));
    }
    Table::of(columns)
}

/// Decodes all files, each thread a part of them; the first file that is wrong is told.
fn fill(images: &mut [u8], files: &[(i32, PathBuf)], height: usize, width: usize) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = files.len().div_ceil(threads).max(1);
    let size = height * width * CHANNELS;
    let part = |slots: &mut [u8], files: &[(i32, PathBuf)]| {
        slots.chunks_exact_mut(size).zip(files).try_for_each(|(slot, (_, path))| picture(path, height, width, slot))
    };
    std::thread::scope(|scope| {
        let parts = images.chunks_mut(share * size).zip(files.chunks(share));
        let jobs: Vec<_> = parts.map(|(slots, files)| scope.spawn(move || part(slots, files))).collect();
        let ends =
            jobs.into_iter().map(|job| job.join().unwrap_or_else(|_| Err(Failure::internal("a decoder stopped"))));
        ends.collect::<Vec<Result<()>>>().into_iter().collect()
    })
}

/// Decodes a file and brings it to the size.
fn picture(path: &Path, height: usize, width: usize, slot: &mut [u8]) -> Result<()> {
    let bytes = files::read(path, DATA)?;
    let wrong = |why: String| Failure::data(DATA, format!("`{}` can't be used: {why}", path.display()));
    let picture = decode(&bytes).map_err(wrong)?;
    let tensor = Tensor {
        dtype: Dtype::U8,
        shape: vec![1, picture.height, picture.width, CHANNELS],
        data: Aligned::copy_of(&colours(&picture))?,
    };
    slot.copy_from_slice(&resize::resize(tensor, height, width)?.data);
    Ok(())
}

/// Red, green and blue; transparency is left out.
fn colours(picture: &Picture) -> Vec<u8> {
    let pixels = picture.data.chunks_exact(picture.channels);
    match picture.channels {
        1 | 2 => pixels.flat_map(|p| [p[0]; CHANNELS]).collect(),
        _ => pixels.flat_map(|p| [p[0], p[1], p[2]]).collect(),
    }
}

/// All files with the numbers of their labels.
fn list(dir: &Path, labels: bool) -> Result<Vec<(i32, PathBuf)>> {
    let (folders, here) = entries(dir)?;
    let pictures: Vec<PathBuf> = here.into_iter().filter(|path| is_picture(path)).collect();
    let shown = dir.display();
    match (folders.is_empty(), pictures.is_empty()) {
        (true, true) => Err(Failure::data(DATA, format!("there are no pictures in `{shown}`"))
            .note("it has one folder of PNG and JPEG files for each label")),
        (false, false) => {
            let first = pictures.first().map_or(String::new(), |p| p.display().to_string());
            Err(Failure::data(DATA, format!("`{first}` stands beside folders of pictures, so it has no label")))
        }
        (true, false) if labels => Err(Failure::data(DATA, format!("there are no folders in `{shown}`"))
            .note("each label is a folder; a step without `label` takes pictures without folders")),
        (true, false) => Ok(pictures.into_iter().map(|path| (0, path)).collect()),
        (false, true) => {
            let mut all = Vec::new();
            for (label, folder) in folders.iter().enumerate() {
                let label = i32::try_from(label).map_err(|_| Failure::data(DATA, "too many folders"))?;
                all.extend(in_folder(folder)?.into_iter().map(|path| (label, path)));
            }
            Ok(all)
        }
    }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let (folders, files) = entries(folder)?;
    if let Some(strange) = files.iter().find(|path| !is_picture(path)).or(folders.first()) {
        return Err(Failure::data(DATA, format!("`{}` is neither PNG nor JPEG", strange.display()))
            .note("all files in a label's folder are pictures; hidden files are left out"));
    }
    if files.is_empty() {
        return Err(Failure::data(DATA, format!("there are no pictures in `{}`", folder.display())));
    }
    Ok(files)
}

/// Folders and files in a folder, without hidden ones, in alphabetical order.
fn entries(dir: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let wrong = |e| Failure::data(DATA, format!("the folder `{}` can't be read: {}", dir.display(), reason(&e)));
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            all.push(path);
        }
    }
    order::sort(&mut all);
    Ok(all.into_iter().partition(|path| path.is_dir()))
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
}
