"""Losses and metrics. Integer targets are made by a formula on both sides."""

import numpy as np
import torch
import torch.nn.functional as F
from make import Case, opened, values

# (iota(6) * 7) % 5 - 1: -1, 1, 3, 0, 2, -1
TARGET = torch.tensor([-1, 1, 3, 0, 2, -1])
TARGET_DL = "target = (iota(6) * 7) % 5 - 1"
MODES = ["mean", "sum", "none"]


def each(name, args):
    """The call with every `reduce:`."""
    return {mode: f'{name}({args}, reduce: "{mode}")' for mode in MODES}


def reductions(loss):
    """`loss` in PyTorch with every reduction."""
    return {mode: loss(reduction=mode) for mode in MODES}


def pair(name, args, loss):
    """A loss of two tensors."""
    return Case(
        name,
        {"default": f"{name}({args})", **each(name, args)},
        lambda w: {"default": loss(w["a"], w["b"], reduction="mean"), **reductions(lambda reduction: loss(w["a"], w["b"], reduction=reduction))},
        {"a": np.append(values(name, "a", [14]), 0.0).reshape(3, 5), "b": [3, 5]},
    )


def probabilities(w):
    """Distributions over the last axis with a 0 in each."""
    q = F.softmax(w["b"], -1) * (torch.arange(5) != 2)
    return q / q.sum(-1, keepdim=True)


def kl_div(logp, q, reduction):
    """Summed over the last axis; the mean is over rows (`batchmean` in PyTorch)."""
    rows = torch.where(q > 0, q * (torch.where(q > 0, q, 1.0).log() - logp), 0.0).sum(-1)
    return rows.mean() if reduction == "mean" else rows.sum() if reduction == "sum" else rows


def accuracy(logits, k):
    """Of equal logits the lower index counts first."""
    order = np.argsort(-logits.detach().numpy(), axis=-1, kind="stable")[:, :k]
    return torch.tensor((order == np.array([0, 3, 2, 1, 0, 3, 2, 1])[:, None]).any(-1).mean())


LOGITS = np.round(values("metrics", "x", [8, 4]) * 2) / 2  # with ties

CASES = [
    Case(
        "cross_entropy",
        {
            "default": "cross_entropy(x, target)",
            **each("cross_entropy", "x, target"),
            "ignore": "cross_entropy(x, target + 1, ignore: 2)",
            "smooth": "cross_entropy(x, target, smoothing: 0.1)",
            "smooth_rows": 'cross_entropy(x, target, smoothing: 0.1, reduce: "none")',
            "ranks": "cross_entropy(reshape(x, [2, 3, 5]), reshape(target, [2, 3]))",
            "nothing": "cross_entropy(x, full([6], -1))",
        },
        lambda w: {
            "default": F.cross_entropy(w["x"], TARGET, ignore_index=-1),
            **reductions(lambda reduction: F.cross_entropy(w["x"], TARGET, ignore_index=-1, reduction=reduction)),
            "ignore": F.cross_entropy(w["x"], TARGET + 1, ignore_index=2),
            "smooth": F.cross_entropy(w["x"], TARGET, ignore_index=-1, label_smoothing=0.1),
            "smooth_rows": F.cross_entropy(w["x"], TARGET, ignore_index=-1, label_smoothing=0.1, reduction="none"),
            "ranks": F.cross_entropy(w["x"], TARGET, ignore_index=-1),
            "nothing": 0 * w["x"].sum(),
        },
        {"x": [6, 5]},
        lets=[TARGET_DL],
    ),
    Case(
        "nll",
        {
            "default": "nll(logp, target)",
            **each("nll", "logp, target"),
            "ignore": "nll(logp, target + 1, ignore: 2)",
        },
        lambda w: {
            "default": F.nll_loss(w["x"], TARGET, ignore_index=-1),
            **reductions(lambda reduction: F.nll_loss(w["x"], TARGET, ignore_index=-1, reduction=reduction)),
            "ignore": F.nll_loss(w["x"], TARGET + 1, ignore_index=2),
        },
        {"x": [6, 5]},
        lets=[TARGET_DL, "logp = x"],
    ),
    Case(
        "bce_logits",
        {
            **each("bce_logits", "a, sigmoid(b)"),
            "ones": "bce_logits(a, 1)",
            "zeros": "bce_logits(a, 0)",
        },
        lambda w: {
            **reductions(lambda reduction: F.binary_cross_entropy_with_logits(w["a"], w["b"].sigmoid(), reduction=reduction)),
            "ones": F.binary_cross_entropy_with_logits(w["a"], torch.ones_like(w["a"])),
            "zeros": F.binary_cross_entropy_with_logits(w["a"], torch.zeros_like(w["a"])),
        },
        {"a": np.array([-30.0, -2.0, 0.0, 0.5, 30.0]), "b": [5]},
    ),
    pair("mse", "a, b", F.mse_loss),
    pair("mae", "a, b", F.l1_loss),
    pair("huber", "a, b, delta: 0.75", lambda a, b, reduction: F.huber_loss(a, b, delta=0.75, reduction=reduction)),
    Case(
        "kl_div",
        {"default": "kl_div(logp, q)", **each("kl_div", "logp, q")},
        lambda w: {
            mode: kl_div(F.log_softmax(w["a"], -1), probabilities(w), "mean" if mode == "default" else mode)
            for mode in ["default", *MODES]
        },
        {"a": [3, 5], "b": [3, 5]},
        lets=["logp = log_softmax(a)", "p = softmax(b) * cast(iota(5) != 2, f32)", "q = p / sum(p, axis: -1, keep: true)"],
    ),
    Case(
        "accuracy",
        {"y": "cast(accuracy(x, (iota(8) * 3) % 4), f32)"},
        lambda w: {"y": accuracy(w["x"], 1)},
        {"x": LOGITS},
        flat=("y",),
    ),
    Case(
        "top_k_accuracy",
        {f"k{k}": f"cast(top_k_accuracy(x, target, k: {k}), f32)" for k in [1, 2, 3, 4]},
        lambda w: {f"k{k}": accuracy(w["x"], k) for k in [1, 2, 3, 4]},
        {"x": LOGITS},
        lets=["target = (iota(8) * 3) % 4"],
        flat=("k1", "k2", "k3", "k4"),
    ),
]

BY_NAME = {case.name: case for case in CASES}
CASES += [
    opened(
        BY_NAME["cross_entropy"],
        {"x": "[N, 5]"},
        ["target = (iota(N) * 7) % 5 - 1"],
        ["default", *MODES, "ignore", "smooth", "smooth_rows"],
    ),
    opened(BY_NAME["huber"], {"a": "[N, C]", "b": "[N, C]"}),
    opened(BY_NAME["kl_div"], {"a": "[N, 5]", "b": "[N, 5]"}),
    opened(BY_NAME["top_k_accuracy"], {"x": "[N, C]"}, ["target = (iota(N) * 3) % 4"]),
]
