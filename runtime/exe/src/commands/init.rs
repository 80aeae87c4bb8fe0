//! `init`: initial weights.

use crate::args::Args;
use crate::cx::Cx;
use crate::error::{Failure, Result};
use crate::files::Pending;
use crate::meta::Train;
use crate::weights::{self, Part};

/// Writes the weights that training would start with.
pub fn init(cx: &Cx<'_>, args: &Args) -> Result<()> {
    let path = args.path("-o")?.ok_or_else(|| Failure::usage("`init` needs `-o W.safetensors`"))?;
    let chosen = chosen(cx, args)?;
    let to = Pending::create(&path)?;
    let seed = cx.seed(args, chosen.or(cx.meta.trains.first()))?;
    let own = chosen.map(Train::entries).unwrap_or_default();
    let entries: Vec<usize> = cx.init_entry().into_iter().chain(own).collect();
    let mut instance = cx.instance(&entries, args)?;
    cx.init(&mut instance, seed)?;
    let loading = cx.meta.trains.iter().filter(|train| chosen.is_none_or(|chosen| chosen.name == train.name));
    for train in loading {
        cx.load_pretrained(&mut instance, train)?;
    }
    weights::save(&instance, Part::Weights, to)
}

/// The training whose weights are meant: the one that is named, and where two have weights of one name, one must be.
fn chosen<'a>(cx: &'a Cx<'_>, args: &Args) -> Result<Option<&'a Train>> {
    match args.words.first() {
        Some(name) => cx.train(Some(name)).map(Some),
        None if cx.meta.shares_names() => cx.train(None).map(Some),
        None => Ok(None),
    }
}
