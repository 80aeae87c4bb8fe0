//! Arguments that people bring along from Keras and PyTorch, and what they are called here.

use crate::calls::CallSite;
use crate::cx::Cx;
use crate::types::Form;
use crate::value::{R, Value};
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// Names of arguments, and what to write instead.
const HABITS: &[(&[&str], &str)] = &[
    (
        &["in_features", "in_channels", "input_shape", "input_dim", "input_size", "num_features", "normalized_shape"],
        "the input size is found by itself",
    ),
    (
        &["out_features", "units", "filters", "out_channels", "hidden_size", "num_embeddings", "embedding_dim"],
        "sizes come first, without a name: `Linear(10)`, `Conv2d(32, kernel: 3)`",
    ),
    (&["embed_dim", "num_heads", "key_dim"], "sizes come first, without a name: `MultiHeadAttention(64, 4)`"),
    (&["num_groups"], "sizes come first, without a name: `GroupNorm(8)`"),
    (&["kernel_size"], "write `kernel: 3`"),
    (&["strides"], "write `stride: 2`"),
    (&["dilation_rate"], "write `dilation: 2`"),
    (&["depth_multiplier"], "write `multiplier: 2`"),
    (&["epsilon"], "write `eps: 1e-5`"),
    (&["use_bias"], "write `bias: false`"),
    (&["kernel_initializer", "weight_init"], "write `init: he_normal`"),
    (
        &["bidirectional", "go_backwards"],
        "make two layers, give one of them `reverse(x, over: T)`, and reverse what comes out",
    ),
    (&["num_layers"], "make a list, `[LSTM(64) for i in 0..2]`, and call one after the other"),
    (
        &["batch_first", "return_sequences", "return_state"],
        "the batch comes first, and both come out: `hs, h = rnn(x)`",
    ),
    (&["attn_mask", "attention_mask", "key_padding_mask"], "write `mask: keep`, true where a key may be seen"),
    (&["is_causal", "use_causal_mask"], "write `causal: true` where the layer is made"),
    (&["label_smoothing"], "write `smoothing: 0.1`"),
    (&["ignore_index"], "write `ignore: 0`"),
    (&["reduction"], "write `reduce: \"sum\"`"),
    (&["from_logits"], "it always takes logits"),
    (&["learning_rate"], "the learning rate is called `lr`"),
    (&["betas"], "write `beta1: 0.9, beta2: 0.999`"),
    (&["clipnorm", "global_clipnorm", "max_norm"], "write `clip_norm: 1.0`"),
    (&["clipvalue"], "write `clip_value: 1.0`"),
    (&["negative_slope"], "write `slope: 0.01`"),
    (&["inplace"], "leave it out: values never change in place"),
    (&["activation"], "apply the activation to the result: `relu(conv(x))`"),
    (&["dim", "keepdim", "keepdims"], "write `axis: -1`, and `keep: true` to keep the axis"),
];

/// What to write instead of the argument `name` of `callee`.
pub(crate) fn instead_of(callee: &str, name: &str) -> Option<&'static str> {
    match (callee, name) {
        ("BatchNorm", "momentum") => Some(
            "`keep` is the share of the running statistics that a step keeps: Keras's momentum, 1 - momentum of PyTorch",
        ),
        ("Dropout" | "dropout", "p") => Some("write `rate: 0.5`"),
        ("adam", "weight_decay") => Some("write `adamw(lr: 1e-3, weight_decay: 0.01)`"),
        ("rmsprop", "alpha" | "rho") => Some("write `decay: 0.99`"),
        _ => HABITS.iter().find(|(names, _)| names.contains(&name)).map(|(_, help)| *help),
    }
}

impl<'a> Cx<'a> {
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
