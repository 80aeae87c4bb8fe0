"""Basic layers and normalisation."""

import numpy as np
import torch
import torch.nn.functional as F
from make import Case, opened


def feed_forward(w, activation):
    """Two dense layers."""
    return activation(w["x"] @ w["ff.up.weight"] + w["ff.up.bias"]) @ w["ff.down"] + w["ff.bias"]


def batch_norm(w, training):
    """In training the batch's own statistics, divisor n, also for the running ones (n - 1 in PyTorch)."""
    x = w["x"].movedim(-1, 1)
    mean, var = (None, None) if training else (w["bn.running_mean"].detach(), w["bn.running_var"].detach())
    return {"y": F.batch_norm(x, mean, var, w["bn.weight"], w["bn.bias"], training, eps=1e-5).movedim(1, -1)}


def running(w, keep):
    """What one step makes of the running statistics."""
    mean, var = w["x"].mean((0, 1)), w["x"].var((0, 1), correction=0)
    new = {"bn.running_mean": mean, "bn.running_var": var}
    return {path: keep * w[path] + (1 - keep) * value for path, value in new.items()}


FEED = {"up.weight": [4, 6], "up.bias": [6], "down": [6, 4], "bias": [4]}

CASES = [
    Case(
        "Linear",
        {"y": "fc(x)", "plain": "bare(x)"},
        lambda w: {"y": F.linear(w["x"], w["fc.weight"].T, w["fc.bias"]), "plain": F.linear(w["x"], w["bare.weight"].T)},
        {"x": [2, 3, 4]},
        {
            "fc": ("Linear(5)", {"weight": [4, 5], "bias": [5]}),
            "bare": ("Linear(5, bias: false, init: he_normal)", {"weight": [4, 5]}),
        },
    ),
    Case(
        "FeedForward",
        {"y": "ff(x)"},
        lambda w: {"y": feed_forward(w, F.gelu)},
        {"x": [2, 3, 4]},
        {"ff": ("FeedForward(6)", FEED)},
    ),
    Case(
        "FeedForward_relu",
        {"y": "ff(x)"},
        lambda w: {"y": feed_forward(w, F.relu)},
        {"x": [2, 3, 4]},
        {"ff": ('FeedForward(6, activation: "relu")', FEED)},
    ),
    Case(
        "Embedding",
        {"y": "cast(table((iota(6) * 5) % 7), f32)", "ranks": "cast(table(reshape(iota(6) % 2, [2, 3])), f32)"},
        lambda w: {
            "y": F.embedding(torch.arange(6) * 5 % 7, w["table.weight"]),
            "ranks": F.embedding((torch.arange(6) % 2).reshape(2, 3), w["table.weight"]),
        },
        members={"table": ("Embedding(7, 3)", {"weight": [7, 3]})},
    ),
    Case(
        "LayerNorm",
        {"y": "norm(x)", "wide": "rough(x)"},
        lambda w: {
            "y": F.layer_norm(w["x"], [5], w["norm.weight"], w["norm.bias"]),
            "wide": F.layer_norm(w["x"], [5], w["rough.weight"], w["rough.bias"], eps=0.5),
        },
        {"x": [2, 3, 5]},
        {
            "norm": ("LayerNorm()", {"weight": [5], "bias": [5]}),
            "rough": ("LayerNorm(eps: 0.5)", {"weight": [5], "bias": [5]}),
        },
    ),
    Case(
        "RMSNorm",
        {"y": "norm(x)"},
        lambda w: {"y": F.rms_norm(w["x"], [5], w["norm.weight"], eps=1e-6)},
        {"x": [2, 3, 5]},
        {"norm": ("RMSNorm()", {"weight": [5]})},
    ),
    Case(
        "GroupNorm",
        {"image": "norm(x)", "flat": "flat_norm(x[:, 0, 0])"},
        lambda w: {
            "image": F.group_norm(w["x"].movedim(-1, 1), 2, w["norm.weight"], w["norm.bias"]).movedim(1, -1),
            "flat": F.group_norm(w["x"][:, 0, 0], 3, w["flat_norm.weight"], w["flat_norm.bias"]),
        },
        {"x": [2, 2, 3, 6]},
        {
            "norm": ("GroupNorm(2)", {"weight": [6], "bias": [6]}),
            "flat_norm": ("GroupNorm(3)", {"weight": [6], "bias": [6]}),
        },
    ),
    Case(
        "BatchNorm",
        {"y": "bn(x)"},
        lambda w: batch_norm(w, False),
        {"x": [4, 3, 5]},
        {
            "bn": (
                "BatchNorm(keep: 0.75)",
                {"weight": [5], "bias": [5], "running_mean": [5], "running_var": np.arange(1, 6) / 4},
            )
        },
        training=lambda w: batch_norm(w, True),
        states=("bn.running_mean", "bn.running_var"),
        after=lambda w: running(w, 0.75),
    ),
]

BY_NAME = {case.name: case for case in CASES}
CASES += [opened(BY_NAME[name], {"x": "[B, T, 4]"}) for name in ["Linear", "FeedForward"]]
CASES += [opened(BY_NAME[name], {"x": "[B, T, 5]"}) for name in ["LayerNorm", "RMSNorm", "BatchNorm"]]
CASES += [opened(BY_NAME["GroupNorm"], {"x": "[B, H, W, 6]"})]
