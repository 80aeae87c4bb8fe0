#!/usr/bin/env python3
"""Makes the golden tensors beside this script with PyTorch; `harness/golden.rs` compares with them.

    cargo run --release -- build dsl-examples/cnn.dl -o /tmp/cnn
    python tests/golden/make.py /tmp/cnn dsl-examples/data/digits

Needs numpy, torch, safetensors. The tests need neither them nor this script.

Files:
    batch.safetensors    image U8 [32, 28, 28, 1] (real digits, each pixel three times, a border of
                         two), label I32 [32]
    trained.safetensors  BF16: the weights after two epochs, rounded, so that the file is small;
                         both sides compute with exactly these
    initial.golden, trained.golden   at the weights of `init --seed 1` and at the ones above:
                         logits, probability, label, loss, accuracy; for each parameter P
                         `grad.P`, every stride-th element of the gradient, and `max.P`, its largest
                         magnitude; in initial.golden also `weight.P`, sampled in the same way, to tell a
                         changed initialiser from a wrong gradient.

What differs between the two sides, and where it is mapped:
    - convolution weights are HWIO here, OIHW in PyTorch;
    - dense weights are [in, out] here, [out, in] in PyTorch;
    - images are NHWC, so `flatten` gives (height, width, channel) order: the PyTorch model flattens
      after going back to NHWC.
"""

import gzip
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).parent
SAMPLES = 1024
ROWS = 32


def digits(folder, name, header):
    """The bytes of an IDX file after its header."""
    return np.frombuffer(gzip.open(folder / name).read(), np.uint8, offset=header)


def batch(folder):
    """The first test images, 8x8, as 28x28: each pixel three times, a border of two."""
    small = digits(folder, "test-images-idx3-ubyte.gz", 16).reshape(-1, 8, 8)[:ROWS]
    large = small.repeat(3, axis=1).repeat(3, axis=2)
    image = np.pad(large, ((0, 0), (2, 2), (2, 2)))[..., None]
    label = digits(folder, "test-labels-idx1-ubyte.gz", 8)[:ROWS].astype(np.int32)
    return {"image": np.ascontiguousarray(image), "label": label}


def forward(w, image):
    """The model of cnn.dl; `w` has the names and layouts of cnn.dl, `image` is NHWC."""

    def conv(x, name):
        return F.conv2d(x, w[name + ".weight"].permute(3, 2, 0, 1), w[name + ".bias"])

    x = (image / 255).permute(0, 3, 1, 2)
    x = F.max_pool2d(F.relu(conv(x, "conv1")), 2)
    x = F.max_pool2d(F.relu(conv(x, "conv2")), 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = F.relu(x @ w["fc1.weight"] + w["fc1.bias"])
    return x @ w["fc2.weight"] + w["fc2.bias"]


def sample(array):
    """Every stride-th element, at most SAMPLES."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return np.ascontiguousarray(flat[:: max(1, -(-flat.size // SAMPLES))])


def golden(weights, data, with_weights):
    """Everything that one golden file holds."""
    w = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    label = torch.tensor(data["label"], dtype=torch.int64)
    logits = forward(w, torch.tensor(data["image"], dtype=torch.float32))
    loss = F.cross_entropy(logits, label)
    loss.backward()
    out = {
        "logits": logits.detach().numpy(),
        "probability": logits.softmax(-1).detach().numpy(),
        "label": logits.argmax(-1).numpy().astype(np.int32),
        "loss": loss.detach().numpy().reshape(1),
        "accuracy": (logits.argmax(-1) == label).float().mean().numpy().reshape(1),
    }
    for name, value in w.items():
        out["grad." + name] = sample(value.grad.numpy())
        out["max." + name] = np.abs(value.grad.numpy()).max().reshape(1)
        if with_weights:
            out["weight." + name] = sample(weights[name])
    return out


def round_to_bf16(array):
    """The nearest bf16, as its 16 bits and as f32."""
    rounded = torch.tensor(array).to(torch.bfloat16)
    return rounded, rounded.float().numpy()


def main():
    program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    torch.manual_seed(0)
    data = batch(folder)
    save_file(data, HERE / "batch.safetensors")
    with tempfile.TemporaryDirectory() as temp:
        temp = pathlib.Path(temp)
        subprocess.run([program, "init", "--seed", "1", "-o", temp / "w.safetensors"], check=True)
        initial = load_file(temp / "w.safetensors")
        where = folder.parent.parent  # `data/digits` is relative to it
        command = [program, "train", "--epochs", "2", "--seed", "1", "--out", temp / "run", "--quiet"]
        subprocess.run(command, check=True, cwd=where)
        trained = load_file(temp / "run" / "last.safetensors")

    from safetensors.torch import save_file as save_torch

    rounded = {name: round_to_bf16(value) for name, value in trained.items()}
    save_torch({name: bits for name, (bits, _) in rounded.items()}, HERE / "trained.safetensors")
    save_file(golden(initial, data, True), HERE / "initial.golden")
    save_file(golden({name: value for name, (_, value) in rounded.items()}, data, False), HERE / "trained.golden")


if __name__ == "__main__":
    main()
