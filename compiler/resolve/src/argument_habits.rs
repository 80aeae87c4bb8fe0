//! Arguments that people bring along from Keras and PyTorch, and what they are called here.

use crate::calls::{CallSite, Given};
use crate::cx::Cx;
use crate::scope::Origin;
use crate::types::Form;
use crate::value::{R, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// What is written instead of an argument.
enum Instead {
    /// An argument under another name; its value stays.
    Called(&'static str),
    /// In these words.
    Words(&'static str),
}

use Instead::{Called, Words};

/// Names of arguments, and what to write instead.
const HABITS: &[(&[&str], Instead)] = &[
    (
        &["in_features", "in_channels", "input_shape", "input_dim", "input_size", "num_features", "normalized_shape"],
        Words("the input size is found by itself"),
    ),
    (
        &["out_features", "units", "filters", "out_channels", "hidden_size", "num_embeddings", "embedding_dim"],
        Words("sizes come first, without a name: `Linear(10)`, `Conv2d(32, kernel: 3)`"),
    ),
    (&["embed_dim", "num_heads", "key_dim"], Words("sizes come first, without a name: `MultiHeadAttention(64, 4)`")),
    (&["num_groups"], Words("sizes come first, without a name: `GroupNorm(8)`")),
    (&["kernel_size"], Called("kernel")),
    (&["kernel_size", "pool_size", "kernel"], Called("size")),
    (&["strides"], Called("stride")),
    (&["dilation_rate"], Called("dilation")),
    (&["depth_multiplier"], Called("multiplier")),
    (&["epsilon"], Called("eps")),
    (&["use_bias"], Called("bias")),
    (&["kernel_initializer", "weight_init"], Words("write `init: he_normal`")),
    (
        &["bidirectional", "go_backwards"],
        Words("make two layers, give one of them `reverse(x, over: T)`, and reverse what comes out"),
    ),
    (
        &["dropout", "recurrent_dropout", "dropout_rate"],
        Words("no layer drops anything by itself: apply `dropout(x, 0.2)` to what comes out"),
    ),
    (&["num_layers"], Words("make a list, `[LSTM(64) for i in 0..2]`, and call one after the other")),
    (
        &["batch_first", "return_sequences", "return_state"],
        Words("the batch comes first, and both come out: `hs, h = rnn(x)`"),
    ),
    (&["attn_mask", "attention_mask", "key_padding_mask"], Words("write `mask: keep`, true where a key may be seen")),
    (&["query"], Called("q")),
    (&["is_causal", "use_causal_mask"], Words("write `causal: true` where the layer is made")),
    (&["label_smoothing"], Called("smoothing")),
    (&["ignore_index"], Called("ignore")),
    (&["reduction"], Called("reduce")),
    (&["from_logits"], Words("it always takes logits")),
    (&["learning_rate"], Called("lr")),
    (&["clipnorm", "global_clipnorm", "max_norm"], Called("clip_norm")),
    (&["clipvalue"], Called("clip_value")),
    (&["negative_slope"], Called("slope")),
    (&["alpha", "rho"], Called("decay")),
    (&["p"], Called("rate")),
    (&["batch_size"], Words("batches are made behind the source: `|> batch(32)`")),
    (&["shuffle"], Words("rows are shuffled behind the source: `|> shuffle(2_000) |> batch(32)`")),
    (&["inplace"], Words("leave it out: values never change in place")),
    (&["activation"], Words("apply the activation to the result: `relu(conv(x))`")),
    (&["dim", "axes", "dims"], Called("axis")),
    (&["keepdim", "keepdims"], Called("keep")),
];

/// What to write instead of the argument `name` of `callee`, which takes `takes`; `value` is what was written
/// for it. An argument that it does not take is no help.
pub(crate) fn instead_of(callee: &str, name: &str, takes: &[&str], value: &str) -> Option<String> {
    match (callee, name) {
        ("BatchNorm", "momentum") => Some(
            "`keep` is the share of the running statistics that a step keeps: Keras's momentum, 1 - momentum of PyTorch"
                .to_string(),
        ),
        ("adam", "weight_decay") => Some(format!("write `adamw(lr: 1e-3, weight_decay: {value})`")),
        ("transpose", _) => Some(OTHER_ORDERS.to_string()),
        (_, "key" | "keys" | "value" | "values") if takes.contains(&"kv") => {
            Some(format!("keys and values are made of one tensor: `kv: {value}`"))
        }
        (_, "betas") if takes.contains(&"beta1") => {
            let values = value.trim_matches(['(', ')', '[', ']']).split_once(',');
            let (first, second) = values.unwrap_or(("0.9", "0.999"));
            Some(format!("write `beta1: {}, beta2: {}`", first.trim(), second.trim()))
        }
        _ => HABITS.iter().filter(|(names, _)| names.contains(&name)).find_map(|(_, instead)| match instead {
            Called(other) => takes.contains(other).then(|| format!("write `{other}: {value}`")),
            Words(words) => Some(words.to_string()),
        }),
    }
}

/// What `transpose` does not do.
pub(crate) const OTHER_ORDERS: &str =
    "`transpose(x)` swaps the last two axes; any other order is `rearrange(x, \"b h w c -> b w h c\")`";

impl<'a> Cx<'a> {
    /// Refuses `att(q, k, v)`: where keys and values are one argument of the prelude's function, a tensor
    /// of floats in the mask's place is meant as the values.
    pub fn refuse_values_beside_keys(
        &mut self,
        params: &'a [ast::Param],
        given: &[Option<Given<'a>>],
        site: &CallSite,
    ) -> R<()> {
        let at = |name: &str| params.iter().position(|param| &*param.name.text == name);
        let (Some(keys), Some(mask)) = (at("kv"), at("mask")) else { return Ok(()) };
        let (Some(Some((_, keys))), Some(Some((value, span)))) = (given.get(keys), given.get(mask)) else {
            return Ok(());
        };
        let Value::Tensor(tensor) = value else { return Ok(()) };
        if !tensor.dtype.is_float() || self.files.origin(self.top().file) == Origin::User {
            return Ok(());
        }
        let title = format!("`{}` takes keys and values as one argument, `kv`", site.name);
        let error = Diagnostic::error(Code::E0103, *span, title)
            .label(format!("{}, given for `mask`", self.show(tensor)))
            .note("the layer makes its keys and its values of one tensor, each with weights of its own");
        let (queries, kv) = (given.first().and_then(Option::as_ref), self.excerpt(*keys));
        let queries = queries.map_or_else(|| "q".to_string(), |(_, span)| self.excerpt(*span));
        let call = match queries == kv {
            true => format!("{}({queries})", site.name),
            false => format!("{}({queries}, {kv})", site.name),
        };
        Err(self.tell(error.help(format!("write `{call}`; `mask: keep` is true where a key may be seen"))))
    }

    /// Refuses a size where a layer of the prelude takes a float by position: `LayerNorm(512)` would
    /// set `eps`. `positions` is how many arguments have no name.
    pub fn refuse_size_as_float(
        &mut self,
        layer: &'a ast::Layer,
        given: &[Option<Value<'a>>],
        positions: usize,
        site: &CallSite,
    ) -> R<()> {
        for (param, value) in layer.params.iter().zip(given).take(positions) {
            let Some(Value::Number(number)) = value else { continue };
            let is_size = number.as_int().is_some_and(|value| value > 1);
            if !is_size || !matches!(self.form(&param.ty)?, Form::Tensor { .. }) {
                continue;
            }
            // What the layer requires of it says more: `rate <= 1`.
            if layer.requires.iter().any(|condition| self.sources.text(condition.span).contains(&*param.name.text)) {
                continue;
            }
            let shown = self.show_value(&Value::Number(number.clone()));
            let (name, float) = (&layer.name.text, &param.name.text);
            let error = Diagnostic::error(
                Code::E0103,
                site.span,
                format!("`{name}` takes no such size: {shown} would be `{float}`"),
            )
            .also(param.span, "declared here")
            .help("the input size is not given: it is found by the first use");
            return Err(self.tell(error));
        }
        Ok(())
    }
}
