//! Warnings about calls that run and mean something else than was meant.

use crate::calls::Given;
use crate::cx::Cx;
use crate::value::Value;
use mlc_syntax::ast;
use mlc_syntax::codes::Code;
use mlc_syntax::diag::Diagnostic;

/// A loss that takes something else than the result of `maker` as its first argument.
struct Mixup {
    loss: &'static str,
    maker: &'static str,
    takes: &'static str,
    help: &'static str,
}

const MIXUPS: [Mixup; 5] = [
    Mixup {
        loss: "cross_entropy",
        maker: "softmax",
        takes: "logits",
        help: "leave `softmax` out: `cross_entropy(logits, label)` applies it itself",
    },
    Mixup {
        loss: "cross_entropy",
        maker: "sigmoid",
        takes: "logits",
        help: "leave `sigmoid` out: `cross_entropy(logits, label)` applies a softmax itself",
    },
    Mixup {
        loss: "bce_logits",
        maker: "sigmoid",
        takes: "logits",
        help: "leave `sigmoid` out: `bce_logits(logits, y)` applies it itself",
    },
    Mixup {
        loss: "nll",
        maker: "softmax",
        takes: "logarithms of probabilities",
        help: "write `log_softmax`, or `cross_entropy(logits, label)`, which applies it itself",
    },
    Mixup { loss: "kl_div", maker: "softmax", takes: "logarithms of probabilities", help: "write `log_softmax`" },
];

impl<'a> Cx<'a> {
    /// W0002: `cross_entropy(softmax(z), y)` and its like run and are wrong. `decl` is of the prelude.
    pub fn warn_of_probabilities(&mut self, decl: &'a ast::Fn, given: &[Option<Given<'a>>]) {
        let Some(Some((Value::Tensor(first), span))) = given.first() else { return };
        let Some(maker) = self.entry.probabilities.get(&first.value) else { return };
        let fits = |mixup: &&Mixup| mixup.loss == &*decl.name.text && mixup.maker == *maker;
        let Some(mixup) = MIXUPS.iter().find(fits) else { return };
        let title = format!("`{}` takes {}, and these are probabilities", mixup.loss, mixup.takes);
        let warning =
            Diagnostic::warning(Code::W0002, *span, title).label(format!("this comes from `{maker}`")).help(mixup.help);
        self.tell(warning);
    }

    /// Remembers what a function of the prelude made, if it makes probabilities.
    pub fn note_probabilities(&mut self, decl: &'a ast::Fn, result: &Value<'a>) {
        let Value::Tensor(tensor) = result else { return };
        if let Some(mixup) = MIXUPS.iter().find(|mixup| mixup.maker == &*decl.name.text) {
            self.entry.probabilities.insert(tensor.value, mixup.maker);
        }
    }
}
