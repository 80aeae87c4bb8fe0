//! Words that people bring along from Keras and PyTorch, and what they are called here.

/// What to write instead of a name that does not exist here.
pub(crate) fn instead_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "Dense" => "write `Linear(10)`; apply `relu(…)` to its result; the input size is found by itself",
        "Conv2D" => "write `Conv2d(32, kernel: 3)`; apply `relu(…)` to its result; the input size is found by itself",
        "MaxPool2d" | "MaxPooling2D" | "MaxPool2D" => "write `max_pool(x, 2)`: pooling is a function, not a layer",
        "AvgPool2d" | "AveragePooling2D" => "write `avg_pool(x, 2)`: pooling is a function, not a layer",
        "Flatten" => "write `flatten(x)`: it is a function, not a layer",
        "Dropout2d" | "SpatialDropout2D" => "write `dropout(x, 0.5)`",
        "ReLU" => "write `relu(x)`: activations are functions",
        "Sigmoid" => "write `sigmoid(x)`: activations are functions",
        "Tanh" => "write `tanh(x)`: activations are functions",
        "Softmax" => "write `softmax(x)`: activations are functions",
        "nn" | "torch" | "tf" | "keras" | "np" | "F" | "jnp" | "jax" => {
            "layers and functions are called by their own names: `Linear(10)`, `relu(x)`"
        }
        "self" => "members are called by their own names: `fc` instead of `self.fc`",
        "True" => "it is written `true`",
        "False" => "it is written `false`",
        "None" | "null" | "nil" => "there are no optional values; give the argument a default",
        "lambda" => "there are no nameless functions; declare a `fn` and pass its name",
        "range" => "a range is written `0..n`",
        "print" => "`print` belongs in `every` and `test` blocks",
        "max_pool2d" | "maxpool" => "write `max_pool(x, 2)`",
        "avg_pool2d" => "write `avg_pool(x, 2)`",
        "batch_matmul" | "matmul" | "dot" | "bmm" => "a matrix product is written `a @ b`",
        "Adam" => "write `adam(lr: 1e-3)`",
        "AdamW" => "write `adamw(lr: 1e-3)`",
        "SGD" => "write `sgd(lr: 0.01)`",
        "CrossEntropyLoss" | "SparseCategoricalCrossentropy" | "CategoricalCrossentropy" => {
            "write `cross_entropy(logits, label)`"
        }
        "MSELoss" => "write `mse(a, b)`",
        "BCEWithLogitsLoss" => "write `bce_logits(x, y)`",
        "zero_grad" => "gradients are not kept; `minimize LOSS over NET with OPT` does a whole step",
        "shape" | "size" => "sizes have names in the signature, or annotate: `x: f32[B, P] = …`",
        "cat" | "concatenate" => "write `concat([a, b], axis: -1)`",
        "permute" => "write `rearrange(x, \"b c t -> b t c\")`",
        "view" | "reshape_as" => "write `reshape(x, [B, 10])`",
        "randn" => "write `normal([2, 3])`",
        "rand" => "write `uniform([2, 3])`",
        "enumerate" => "run over both: `for i, x in zip([i for i in 0..len(xs)], xs)`",
        "arange" => "write `iota(n)`",
        "power" | "pow" => "a power is written `a ** b`",
        _ if name.starts_with("val_") => {
            "a metric has one name: in `every` it is the value of the last `evaluate` there"
        }
        _ => return None,
    })
}

/// What to write instead of a method or field of a tensor.
pub(crate) fn instead_of_method(name: &str) -> String {
    match name {
        "shape" | "size" | "ndim" | "dim" => {
            "its sizes have names in the signature, or annotate: `x: f32[B, P] = …`".to_string()
        }
        "T" | "t" => "write `transpose(x)`: it swaps the last two axes".to_string(),
        "backward" => "write `minimize LOSS over NET with OPT` in a `step`".to_string(),
        "view" => "write `reshape(x, …)`".to_string(),
        "permute" => "write `rearrange(x, \"b c t -> b t c\")`".to_string(),
        "item" => "a scalar is used as it is".to_string(),
        "detach" => "write `stop_gradient(x)`".to_string(),
        "float" => "write `cast(x, f32)`".to_string(),
        "long" | "int" => "write `cast(x, i32)`".to_string(),
        "to" | "astype" | "type" => "write `cast(x, f32)`".to_string(),
        "unsqueeze" => "write `x[:, new]`".to_string(),
        "squeeze" => "write `x[:, 0]`".to_string(),
        "matmul" | "mm" | "dot" => "write `a @ b`".to_string(),
        "minimize" => "write `minimize LOSS over NET with OPT` in a `step`".to_string(),
        "fit" | "compile" => "training is written as a `train` block".to_string(),
        "train" => "training is written as a `train` block, whose `step` has `training` true by itself".to_string(),
        "step" => "`minimize LOSS over NET with OPT` does the whole step".to_string(),
        "zero_grad" => "gradients are not kept: `minimize LOSS over NET with OPT` does a whole step".to_string(),
        "parameters" => "name the layer itself: `over net`".to_string(),
        "eval" => "evaluation is the step without updates: `evaluate(valid)` in `every`".to_string(),
        _ => format!("write `{name}(x, …)` or `x |> {name}(…)`"),
    }
}
