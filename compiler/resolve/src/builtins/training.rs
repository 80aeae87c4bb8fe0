//! What only training blocks know: counters, and the actions of `every`.

use super::{Args, Arity, Builtin, named};
use crate::cx::Cx;
use crate::entry::Mode;
use crate::value::{R, Tensor, Value};
use mlc_ir::graph::Input;
use mlc_ir::ty::{DType, Type};
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

pub(super) const ALL: &[Builtin] = &[
    named("step_index", &[], "number of training steps done before this one, i32", counter),
    named("epoch_index", &[], "number of epochs done before this one, i32", counter),
    named("total_steps", &[], "number of training steps in all, i32", counter),
    action("evaluate", &["data"], "net: average, …", "run the step on a pipeline without updates"),
    action("save", SAVE, "", "write a checkpoint"),
    action("early_stop", EARLY_STOP, "", "end training when a value has not risen for a while"),
    action("save_images", SAVE_IMAGES, "", "write images in a grid, as a PNG"),
    action("report", &[], "name: value, …", "report values beside the metrics"),
    action("stop", &[], "", "end training"),
];

/// Arguments of the actions, which `every` evaluates.
pub(crate) const SAVE: &[&str] = &["dir", "keep", "best"];
pub(crate) const EARLY_STOP: &[&str] = &["x", "patience"];
pub(crate) const SAVE_IMAGES: &[&str] = &["dir", "x", "range"];

const fn action(name: &'static str, params: &'static [&'static str], more: &'static str, doc: &'static str) -> Builtin {
    Builtin { name, params, more, arity: Arity::Raw, initialiser: false, doc, run: misplaced }
}

fn counter<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let name = args.builtin.name;
    if !cx.entry.mode.is_step() && cx.entry.mode != Mode::Every {
        let error = Diagnostic::error(
            Code::E0121,
            args.site.span,
            format!("`{name}()` has a meaning in a `step`, in `every` and in optimizer arguments only"),
        );
        return Err(cx.tell(error));
    }
    let mut input = |input: Input| {
        let value = cx.entry.input(input, Type::scalar(DType::I64));
        Tensor { value, dtype: DType::I64, axes: Vec::new() }
    };
    let wide = match name {
        "step_index" => cx.step_number(),
        "epoch_index" => input(Input::Epoch),
        _ => input(Input::TotalSteps),
    };
    cx.cast(&wide, DType::I32, args.site.span).map(Value::Tensor)
}

/// The actions of `every` are statements there; anywhere else they are out of place.
fn misplaced<'a>(cx: &mut Cx<'a>, args: Args<'a>) -> R<Value<'a>> {
    let name = args.builtin.name;
    let error = Diagnostic::error(Code::E0121, args.site.span, format!("`{name}` is a statement of an `every` block"))
        .help(format!("write `every 1 epoch {{ {name}(…) }}` in the train block"));
    Err(cx.tell(error))
}
