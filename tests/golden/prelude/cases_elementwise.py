"""Activations and the softmax family."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from make import Case, opened

# Both sides of every kink, 0 itself, and the far ends.
POINTS = np.array([-40.0, -3.5, -2.0, -1.0, -0.25, 0.0, 0.25, 1.0, 2.0, 3.5, 40.0])


def one(name, reference, x=POINTS):
    """A function of one element with its defaults."""
    return Case(name, {"y": f"{name}(x)"}, lambda w: {"y": reference(w["x"])}, {"x": x})


def relu(x):
    """Slope 0 at 0, as PyTorch."""
    return F.relu(x)


def with_inf(x):
    """As `lets` of the softmax cases: every third column of row 0, and all of row 1, are -inf."""
    row, column = torch.arange(4)[:, None], torch.arange(6)[None, :]
    return torch.where((row == 1) | ((row == 0) & (column % 3 == 0)), -math.inf, x)


def softmax(x):
    """A row that is all -inf gives 0; PyTorch gives NaN."""
    return torch.cat([F.softmax(x[:1], -1), torch.zeros(1, 6, dtype=x.dtype), F.softmax(x[2:], -1)])


CASES = [
    one("relu", relu),
    Case(
        "gelu",
        {"y": "gelu(x)", "approximate": "gelu(x, approximate: true)"},
        lambda w: {"y": F.gelu(w["x"]), "approximate": F.gelu(w["x"], approximate="tanh")},
        {"x": POINTS},
    ),
    one("sigmoid", torch.sigmoid),
    one("silu", F.silu),
    # PyTorch's is linear above 20; this is the formula
    one("softplus", lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    Case(
        "leaky_relu",
        {"y": "leaky_relu(x)", "slope": "leaky_relu(x, 0.2)"},
        lambda w: {"y": F.leaky_relu(w["x"]), "slope": F.leaky_relu(w["x"], 0.2)},
        {"x": POINTS[POINTS != 0]},
    ),
    Case(
        "elu",
        {"y": "elu(x)", "alpha": "elu(x, alpha: 0.5)"},
        lambda w: {"y": F.elu(w["x"]), "alpha": F.elu(w["x"], 0.5)},
        {"x": POINTS[POINTS != 0]},
    ),
    one("mish", F.mish),
    # PyTorch's gradient has only the precision of f32
    one("hard_sigmoid", lambda x: (x / 6 + 0.5).clamp(0, 1)),
    one("hard_swish", F.hardswish),
    one("identity", lambda x: x * 1),
    Case(
        "clamp",
        {"y": "clamp(x, -1.5, 1.25)"},
        lambda w: {"y": w["x"].clamp(-1.5, 1.25)},
        {"x": POINTS},
    ),
    Case(
        "softmax",
        {"last": "softmax(x)", "first": "softmax(x, axis: 0)", "named": "softmax(z, over: C)", "masked": "softmax(m)"},
        lambda w: {
            "last": F.softmax(w["x"], -1),
            "first": F.softmax(w["x"], 0),
            "named": F.softmax(w["x"], 1),
            "masked": softmax(with_inf(w["x"])),
        },
        {"x": [4, 6]},
        lets=[
            "z: f32[R, C] = x",
            "m = where(iota(4)[:, new] == 1 or (iota(4)[:, new] == 0 and iota(6)[new, :] % 3 == 0), -inf, x)",
        ],
    ),
    Case(
        "log_softmax",
        {"last": "log_softmax(x)", "first": "log_softmax(x, axis: 0)", "far": "log_softmax(1000 * x)"},
        lambda w: {
            "last": F.log_softmax(w["x"], -1),
            "first": F.log_softmax(w["x"], 0),
            "far": F.log_softmax(1000 * w["x"], -1),
        },
        {"x": [4, 6]},
    ),
    Case(
        "logsumexp",
        {"all": "logsumexp(x)", "last": "logsumexp(x, axis: -1)", "kept": "logsumexp(x, axis: 0, keep: true)"},
        lambda w: {
            "all": w["x"].logsumexp((0, 1)),
            "last": w["x"].logsumexp(-1),
            "kept": w["x"].logsumexp(0, keepdim=True),
        },
        {"x": [4, 6]},
    ),
    Case(
        "l2_normalize",
        {"last": "l2_normalize(x)", "first": "l2_normalize(x, axis: 0)"},
        lambda w: {"last": F.normalize(w["x"], dim=-1), "first": F.normalize(w["x"], dim=0)},
        {"x": [4, 6]},
    ),
    Case(
        "straight_through",
        {"y": "straight_through(round(x), x)"},
        lambda w: {"y": w["x"] + (w["x"].round() - w["x"]).detach()},
        {"x": POINTS + 0.125},
        honest=False,
    ),
]

BY_NAME = {case.name: case for case in CASES}
CASES += [
    opened(BY_NAME["gelu"], {"x": "[N]"}),
    opened(BY_NAME["softmax"], {"x": "[R, C]"}, ["z = x"], ["last", "first", "named"]),
    opened(BY_NAME["log_softmax"], {"x": "[R, C]"}),
    opened(BY_NAME["logsumexp"], {"x": "[R, C]"}),
    opened(BY_NAME["l2_normalize"], {"x": "[R, C]"}),
]
