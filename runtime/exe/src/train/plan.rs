//! What a training will do: its limits, seed and folders.

use crate::args::Args;
use crate::cx::Cx;
use crate::error::{Failure, Result};
use crate::files;
use crate::meta::{Action, Train};
use crate::train::position::Position;
use std::path::PathBuf;

/// Limits and folders.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seed of weights, draws and shuffles.
    pub seed: i64,
    /// Epochs, if limited.
    pub epochs: Option<i64>,
    /// Steps, if limited.
    pub steps: Option<i64>,
    /// Steps in all.
    pub total_steps: i64,
    /// Where each `save_images` writes, in the order of the blocks.
    pub images: Vec<Images>,
    /// Folder of each `save`, in the order of the blocks; one if there is no `save`.
    pub folders: Vec<Folder>,
}

/// Where a `save` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// How many checkpoints stay.
    pub keep: Option<i64>,
}

/// Where a `save_images` writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    folder: PathBuf,
    /// Others before it that write into the same folder.
    before: usize,
}

impl Images {
    /// Its file after so many steps.
    pub fn file(&self, step: i64) -> PathBuf {
        let number = if self.before == 0 { String::new() } else { format!("-{}", self.before + 1) };
        self.folder.join(format!("step-{step}{number}.png"))
    }
}

impl Plan {
    /// From command line and block; `batches` is that of an epoch. Makes the folders.
    pub fn new(cx: &Cx<'_>, args: &Args, train: &Train, batches: usize, saved_seed: Option<i64>) -> Result<Self> {
        let (mut epochs, mut steps) = (args.int("--epochs", 0)?, args.int("--steps", 0)?);
        if epochs.is_none() && steps.is_none() {
            (epochs, steps) = (train.epochs, train.steps);
        }
        if epochs.is_none() && steps.is_none() {
            return Err(Failure::usage(format!("train block `{}` says neither `epochs` nor `steps`", train.name))
                .help("give `--epochs N` or `--steps N`"));
        }
        let seed = match (saved_seed, args.int("--seed", i64::MIN)?) {
            (Some(saved), Some(asked)) if saved != asked => {
                return Err(Failure::usage(format!("the checkpoint's seed is {saved}, `--seed` says {asked}")));
            }
            (saved, asked) => saved.or(asked).unwrap_or(train.seed),
        };
        let per_epoch = i64::try_from(batches).unwrap_or(i64::MAX) / train.batches;
        let by_epochs = epochs.map(|e| e.saturating_mul(per_epoch));
        let total_steps = [by_epochs, steps].into_iter().flatten().min().unwrap_or(0);
        let folders = folders(cx, args, train)?;
        let images = images(cx, args, train)?;
        for folder in folders.iter().map(|f| &f.path).chain(images.iter().map(|i| &i.folder)) {
            files::make_folder(folder)?;
        }
        Ok(Self { seed, epochs, steps, total_steps, images, folders })
    }

    /// Has the training come to its end?
    pub fn reached(&self, position: &Position) -> bool {
        self.epochs.is_some_and(|e| position.epoch >= e) || self.steps.is_some_and(|s| position.step >= s)
    }
}

/// Where each `save_images` writes.
fn images(cx: &Cx<'_>, args: &Args, train: &Train) -> Result<Vec<Images>> {
    let out = args.path("--out")?;
    let mut all: Vec<Images> = Vec::new();
    for action in train.every.iter().flat_map(|e| &e.actions) {
        if let Action::SaveImages { dir, .. } = action {
            let folder = out.clone().unwrap_or_else(|| cx.host.root.join(dir));
            let before = all.iter().filter(|other| other.folder == folder).count();
            all.push(Images { folder, before });
        }
    }
    Ok(all)
}

/// The folder of each `save`: what is resumed goes on where it was.
fn folders(cx: &Cx<'_>, args: &Args, train: &Train) -> Result<Vec<Folder>> {
    let out = args.path("--out")?.or(args.path("--resume")?);
    let saves = train.every.iter().flat_map(|e| &e.actions).filter_map(|action| match action {
        Action::Save { dir, keep, .. } => {
            Some(Folder { path: out.clone().unwrap_or_else(|| cx.host.root.join(dir)), keep: *keep })
        }
        _ => None,
    });
    let folders: Vec<Folder> = saves.collect();
    if !folders.is_empty() {
        return Ok(folders);
    }
    let default = || cx.host.root.join("runs").join(&train.name);
    Ok(vec![Folder { path: out.unwrap_or_else(default), keep: None }])
}
