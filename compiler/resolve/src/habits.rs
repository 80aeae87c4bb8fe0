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
        "GELU" | "Gelu" => "write `gelu(x)`: activations are functions",
        "SiLU" | "Swish" | "swish" => "write `silu(x)`: activations are functions",
        "LeakyReLU" => "write `leaky_relu(x, slope: 0.2)`: activations are functions",
        "ELU" => "write `elu(x)`: activations are functions",
        "Softplus" => "write `softplus(x)`: activations are functions",
        "LogSoftmax" => "write `log_softmax(x)`: activations are functions",
        "Identity" => "write `identity`: it is a function",
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
        "square" => "write `x * x`",
        "rsqrt" => "write `1 / sqrt(x)`",
        "log2" => "write `log(x) / log(2.0)`",
        "expm1" => "write `exp(x) - 1`",
        "mod" | "fmod" | "remainder" => "the rest of a division is written `a % b`",
        "flip" => "write `reverse(x, axis: 0)`",
        "stack" => "write `concat([a[new], b[new]], axis: 0)`",
        "repeat" | "tile" | "expand" | "broadcast_to" => "write `broadcast(x, [B, T, D])`",
        "unsqueeze" | "expand_dims" => "write `x[:, new]`",
        "squeeze" => "write `x[:, 0]`",
        "gather" => "write `take_along(x, ids, axis: -1)`, or `x[ids]` for rows",
        "masked_fill" => "write `where(mask, value, x)`",
        "zeros_like" => "write `zeros([B, D])`",
        "ones_like" => "write `ones([B, D])`",
        "isnan" => "write `x != x`",
        "logical_and" => "write `a and b`",
        "logical_or" => "write `a or b`",
        "logical_not" => "write `not a`",
        "no_grad" => "write `stop_gradient(x)`; exported functions and evaluations take no gradients",
        "manual_seed" => "a train block has a seed: `seed = 1`",
        "Parameter" => "write `param w: f32[D] = zeros()` in the layer",
        "register_buffer" => "write `state m: f32[D] = zeros()` in the layer",
        "ModuleList" => "write a list: `convs = [Conv2d(c) for c in [8, 16]]`",
        "GlobalAveragePooling2D" | "AdaptiveAvgPool2d" => "write `global_avg_pool(x)`: it is a function, not a layer",
        "Bidirectional" => "make two layers, give one of them `reverse(x, over: T)`, and reverse what comes out",
        "SimpleRNN" => "write `RNN(64)`",
        "Input" | "InputLayer" => "inputs are the arguments of `forward`: `x: f32[B, 28, 28, 1]`",
        "DataLoader" => "a train block has `data = csv(\"file.csv\") |> shuffle(1_000) |> batch(32)`",
        "xavier_uniform_" | "xavier_uniform" => "write `init: glorot_uniform` where the layer is made",
        "kaiming_normal_" | "kaiming_normal" => "write `init: he_normal` where the layer is made",
        "clip_grad_norm_" | "clip_grad_norm" => "an optimizer has it: `adam(clip_norm: 1.0)`",
        "chunk" => "write `split(x, 2, axis: -1)`",
        "multinomial" => "write `sample(p)`",
        "Sequential" => "call one after the other: `x |> fc1 |> relu |> fc2`",
        "BatchNormalization" | "BatchNorm1d" | "BatchNorm2d" => "write `BatchNorm()`",
        "LayerNormalization" => "write `LayerNorm()`",
        "Conv2DTranspose" => "write `ConvTranspose2d(16, kernel: 2, stride: 2)`",
        "NLLLoss" => "write `nll(logp, label)`",
        "BCELoss" => "write `bce_logits(x, y)`, with the values before the sigmoid",
        "L1Loss" => "write `mae(a, b)`",
        "HuberLoss" | "SmoothL1Loss" => "write `huber(a, b)`",
        "LSTMCell" | "GRUCell" | "RNNCell" | "SimpleRNNCell" => {
            "a layer takes the whole sequence, `hs, h, c = lstm(x)`; a step of your own is a `layer` that a `scan` calls"
        }
        "interpolate" | "Upsample" | "UpSampling2D" | "UpsamplingNearest2d" => {
            "write `ConvTranspose2d(16, kernel: 2, stride: 2)`, or repeat the pixels: \
             `reshape(broadcast(x[:, :, new, :, new], [B, H, 2, W, 2, C]), [B, 2 * H, 2 * W, C])`"
        }
        "KLDivLoss" | "kl_divergence" | "KLDivergence" => "write `kl_div(logp, q)`: `logp` comes from `log_softmax`",
        "backward" | "GradientTape" | "autograd" | "grad" => "write `minimize LOSS over NET with OPT` in a `step`",
        "optimizer" | "optim" => {
            "a train block has one under a name, `opt = adam(lr: 1e-3)`, for `minimize LOSS over NET with opt`"
        }
        "model" => "a train block makes one under a name: `net = Net()`",
        "detach" => "write `stop_gradient(x)`",
        "super" | "__init__" => "parts of a layer are bound beside its functions: `fc = Linear(H)`",
        "map" | "filter" | "apply" | "transform" | "Normalize" | "ToTensor" | "Compose" => {
            "data is prepared in the `step` or the model; the stages of data are \
             `resize augment shuffle take skip split rest rename batch`"
        }
        "prefetch" | "cache" => "leave it out: data is read before the first step",
        "normalize" => "write `l2_normalize(x)`, `(x - mean) / std` or a layer, `LayerNorm()`",
        "device" | "cuda" => "leave it out: there are no devices",
        "tensor" | "Tensor" | "as_tensor" | "from_numpy" => {
            "numbers that are known are declared: `a: f32[3] = [0.1, 0.2, 0.7]`; others are arguments"
        }
        _ if name.starts_with("val_") => {
            "a metric has one name: in `every` it is the value of the last `evaluate` there"
        }
        _ => return None,
    })
}

/// What is written for a size that is asked of a tensor.
const SIZES: &str = "its sizes have names in the signature, or annotate: `x: f32[B, P] = …`";

/// A library of Python that stands before a dot.
pub(crate) fn is_library(name: &str) -> bool {
    matches!(name, "nn" | "torch" | "tf" | "keras" | "layers" | "np" | "F" | "jnp" | "jax" | "optim" | "math")
}

/// What to write instead of a method or field of a layer.
pub(crate) fn instead_of_member(name: &str) -> Option<&'static str> {
    match name {
        "fit" | "compile" | "eval" | "train" | "parameters" | "backward" => instead_of_method(name),
        "cuda" | "cpu" | "to" | "half" | "double" | "float" => {
            Some("leave it out: there are no devices, and a layer has the dtype of its `param`s")
        }
        "add" => Some("call one after the other: `x |> fc1 |> relu |> fc2`"),
        "predict" | "call" | "__call__" => Some("call the layer itself: `net(x)`"),
        "state_dict" | "save" | "save_weights" => Some("`save(\"runs/x\")` in `every` writes the weights"),
        "load_state_dict" | "load_weights" => {
            Some("a train block loads them: `net = load(Net(), \"pretrained.safetensors\")`")
        }
        "requires_grad_" | "requires_grad" | "freeze" | "trainable" => Some("what `over` leaves out stays as it is"),
        _ => None,
    }
}

/// What to write instead of a method or field of a tensor, where it is not a function of that name.
pub(crate) fn instead_of_method(name: &str) -> Option<&'static str> {
    Some(match name {
        "shape" | "size" | "ndim" | "dim" => SIZES,
        "T" | "t" => "write `transpose(x)`: it swaps the last two axes",
        "backward" => "write `minimize LOSS over NET with OPT` in a `step`",
        "view" => "write `reshape(x, …)`",
        "permute" => "write `rearrange(x, \"b c t -> b t c\")`",
        "item" => "a scalar is used as it is",
        "detach" => "write `stop_gradient(x)`",
        "float" => "write `cast(x, f32)`",
        "long" | "int" => "write `cast(x, i32)`",
        "to" => "leave a device out: there are none; another dtype is `cast(x, f32)`",
        "astype" | "type" => "write `cast(x, f32)`",
        "matmul" | "mm" | "dot" => "write `a @ b`",
        "minimize" => "write `minimize LOSS over NET with OPT` in a `step`",
        "fit" | "compile" => "training is written as a `train` block",
        "train" => "training is written as a `train` block, whose `step` has `training` true by itself",
        "step" => "`minimize LOSS over NET with OPT` does the whole step",
        "zero_grad" => "gradients are not kept: `minimize LOSS over NET with OPT` does a whole step",
        "parameters" => "name the layer itself: `over net`",
        "eval" => "evaluation is the step without updates: `evaluate(valid)` in `every`",
        "cuda" | "cpu" | "numpy" | "contiguous" | "clone" | "requires_grad_" | "copy" => {
            "leave it out: tensors are values, and live where the program runs"
        }
        _ => return instead_of(name),
    })
}
