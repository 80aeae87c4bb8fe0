//! `init`: initial weights.

use crate::args::Args;
use crate::cx::Cx;
use crate::error::{Failure, Result};
use crate::files::Pending;
use crate::weights::{self, Part};

/// Writes the weights that training would start with.
pub fn init(cx: &Cx<'_>, args: &Args) -> Result<()> {
    let path = args.path("-o")?.ok_or_else(|| Failure::usage("`init` needs `-o W.safetensors`"))?;
    let to = Pending::create(&path)?;
    let seed = cx.seed(args, cx.meta.trains.first())?;
    let entries: Vec<usize> = cx.init_entry().into_iter().collect();
    let mut instance = cx.instance(&entries, args)?;
    cx.init(&mut instance, seed)?;
    cx.meta.trains.iter().try_for_each(|train| cx.load_pretrained(&mut instance, train))?;
    weights::save(&instance, Part::Weights, to)
}
