//! What takes instances of layers.

use super::{Arity, Builtin, named};

pub(super) const ALL: &[Builtin] = &[
    named("infer", &["m"], "an instance run with `training` false, for one call", crate::views::infer),
    named("copy", &["m"], "another instance with the same first values", crate::twins::copy),
    named("ema", &["target", "from", "decay"], "moves an instance towards another", crate::twins::ema),
    raw("params", &["m", "only", "skip", "rank"], "some parameters of an instance, for `over`", crate::chosen::params),
    raw("load", &["m", "path", "skip"], "an instance whose first weights come from a file", crate::loads::load),
];

const fn raw(
    name: &'static str,
    params: &'static [&'static str],
    doc: &'static str,
    run: for<'a> fn(&mut crate::cx::Cx<'a>, super::Args<'a>) -> crate::value::R<crate::value::Value<'a>>,
) -> Builtin {
    Builtin { name, params, more: "", arity: Arity::Raw, initialiser: false, doc, run }
}
