//! Folders of a training: `last.safetensors`, `best.safetensors`, and `step-N/` with weights,
//! optimizer, states of the session and position. A `step-N` is made under another name and renamed, so it is complete or absent.

use crate::data::vocabulary::Vocabulary;
use crate::error::{Failure, OUTPUT, Result, WEIGHTS};
use crate::files::{self, Pending, reason, sync_folder};
use crate::instance::Instance;
use crate::json::Value;
use crate::meta::Train;
use crate::order;
use crate::train::Session;
use crate::train::plan::Folder;
use crate::train::position::Position;
use crate::train::sessions;
use crate::weights::{self, Part};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const WEIGHTS_FILE: &str = "weights.safetensors";
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const SESSIONS_FILE: &str = "sessions.safetensors";
const POSITION_FILE: &str = "position.json";

/// One `save`: the last weights, the best ones if they are, and a checkpoint.
pub fn save(session: &Session<'_>, to: &Folder, is_best: bool) -> Result<()> {
    let folder = &to.path;
    weights::save(&session.instance, Part::Weights, Pending::create(&folder.join("last.safetensors"))?)?;
    if is_best {
        weights::save(&session.instance, Part::Weights, Pending::create(&folder.join("best.safetensors"))?)?;
    }
    write_step(session, folder).map_err(|e| e.or_at(&folder.display().to_string()))?;
    prune(folder, session.position.step, to.keep);
    Ok(())
}

/// The last weights of a training, unless the last `save` wrote them already.
pub fn save_last(session: &Session<'_>) -> Result<()> {
    let mut done: Vec<&Path> = Vec::new();
    for folder in &session.plan.folders {
        if done.contains(&folder.path.as_path()) {
            continue;
        }
        done.push(&folder.path);
        if !saved(&folder.path, session) {
            save(session, folder, false)?;
        }
    }
    Ok(())
}

/// Is the newest checkpoint of the folder this very position?
fn saved(folder: &Path, session: &Session<'_>) -> bool {
    let newest = steps(folder).into_iter().max();
    newest == Some(session.position.step)
        && folder.join("last.safetensors").is_file()
        && read_position(&step_folder(folder, session.position.step), session.train)
            .is_some_and(|p| p.to_json(session.train) == session.position.to_json(session.train))
}

fn step_folder(folder: &Path, step: i64) -> PathBuf {
    folder.join(format!("step-{step}"))
}

fn write_step(session: &Session<'_>, folder: &Path) -> Result<()> {
    let step = session.position.step;
    let temporary = folder.join(format!(".step-{step}.{}.tmp", std::process::id()));
    let wrong = |e: io::Error| {
        Failure::data(OUTPUT, format!("the checkpoint in `{}` can't be written: {}", folder.display(), reason(&e)))
    };
    remove(&temporary).map_err(wrong)?;
    fs::create_dir(&temporary).map_err(wrong)?;
    let written = fill(session, &temporary).and_then(|()| {
        let target = step_folder(folder, step);
        remove(&target).and_then(|()| fs::rename(&temporary, &target)).map_err(wrong)?;
        sync_folder(&target);
        Ok(())
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

fn fill(session: &Session<'_>, folder: &Path) -> Result<()> {
    weights::save(&session.instance, Part::Weights, Pending::create(&folder.join(WEIGHTS_FILE))?)?;
    weights::save(&session.instance, Part::Optimizer, Pending::create(&folder.join(OPTIMIZER_FILE))?)?;
    sessions::save(&session.instance, &folder.join(SESSIONS_FILE))?;
    let text = format!("{}\n", session.position.to_json(session.train).line());
    Pending::create(&folder.join(POSITION_FILE))?.commit(&[text.as_bytes()])
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Steps of the complete checkpoints in a folder.
fn steps(folder: &Path) -> Vec<i64> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let number = |name: &str| -> Option<i64> {
        let digits = name.strip_prefix("step-")?;
        digits.parse().ok().filter(|n: &i64| *n >= 0 && n.to_string() == digits)
    };
    let complete = |n: &i64| step_folder(folder, *n).join(POSITION_FILE).is_file();
    entries.flatten().filter_map(|e| number(e.file_name().to_str()?)).filter(complete).collect()
}

/// Removes old checkpoints, and those of an earlier training that had gone further than this one.
fn prune(folder: &Path, step: i64, keep: Option<i64>) {
    let mut steps = steps(folder);
    order::sort_by(&mut steps, |a, b| b.cmp(a));
    let mut left = keep.unwrap_or(i64::MAX).max(1);
    for n in steps {
        if n <= step && left > 0 {
            left -= 1;
        } else {
            // One that can't be removed does no harm.
            let _ = fs::remove_dir_all(step_folder(folder, n));
        }
    }
}

fn read_position(folder: &Path, train: &Train) -> Option<Position> {
    let bytes = fs::read(folder.join(POSITION_FILE)).ok()?;
    Position::from_json(&Value::parse(&bytes).ok()?, train)
}

/// The newest complete checkpoint in `folder`, or `folder` itself if it is one.
pub fn newest(folder: &Path, train: &Train) -> Result<(PathBuf, Position)> {
    if !folder.is_dir() {
        return Err(Failure::data(WEIGHTS, format!("`{}` is no folder with checkpoints", folder.display())));
    }
    let newest = match steps(folder).into_iter().max() {
        Some(step) => step_folder(folder, step),
        None if folder.join(POSITION_FILE).is_file() => folder.to_owned(),
        None => {
            return Err(Failure::data(WEIGHTS, format!("there is no complete checkpoint in `{}`", folder.display()))
                .help("a training writes them as `step-N` into its folder"));
        }
    };
    let position = read_position(&newest, train).ok_or_else(|| {
        Failure::data(WEIGHTS, format!("`{}` isn't a checkpoint of train block `{}`", newest.display(), train.name))
            .note("it is damaged, or the block has changed since")
    })?;
    Ok((newest, position))
}

/// The vocabulary of a checkpoint's weights.
pub fn vocabulary(folder: &Path) -> Result<Option<Vocabulary>> {
    weights::vocabulary(&folder.join(WEIGHTS_FILE))
}

/// Fills weights, optimizer and states of the session from a checkpoint.
pub fn load(instance: &mut Instance<'_>, folder: &Path) -> Result<()> {
    weights::load_file(instance, Part::Weights, &folder.join(WEIGHTS_FILE))?;
    weights::load_file(instance, Part::Optimizer, &folder.join(OPTIMIZER_FILE))?;
    sessions::load(instance, &folder.join(SESSIONS_FILE))?;
    files::read(&folder.join(POSITION_FILE), WEIGHTS).map(drop)
}
