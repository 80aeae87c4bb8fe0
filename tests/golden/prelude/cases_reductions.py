"""Reductions made of builtins."""

import numpy as np
import torch
import torch.nn.functional as F
from make import Case, opened


def reduced(name, reference):
    """A reduction in its forms."""
    return Case(
        name,
        {
            "all": f"{name}(x)",
            "last": f"{name}(x, axis: -1)",
            "kept": f"{name}(x, axis: (0, 2), keep: true)",
            "named": f"{name}(z, over: P)",
        },
        lambda w: {
            "all": reference(w["x"], (0, 1, 2), False),
            "last": reference(w["x"], (2,), False),
            "kept": reference(w["x"], (0, 2), True),
            "named": reference(w["x"], (1,), False),
        },
        {"x": [2, 3, 4]},
        lets=["z: f32[N, P, C] = x"],
    )


CASES = [
    reduced("var", lambda x, dim, keep: x.var(dim, correction=0, keepdim=keep)),
    reduced("std", lambda x, dim, keep: x.std(dim, correction=0, keepdim=keep)),
    reduced("norm", lambda x, dim, keep: x.square().sum(dim, keepdim=keep).sqrt()),
    # at 0 the gradient is 0
    Case(
        "norm_of_zeros",
        {"y": "norm(0 * x, axis: -1) + std(0 * x, axis: -1) + sum(x)", "n": "l2_normalize(0 * x)"},
        lambda w: {"y": w["x"].sum() * torch.ones(2, dtype=torch.float64), "n": 0 * w["x"]},
        {"x": [2, 3]},
    ),
    Case(
        "one_hot",
        {"y": "cast(one_hot(iota(6) - 1, 4), f32)"},
        lambda w: {"y": torch.tensor(np.eye(6, 4, -1))},
        flat=("y",),
    ),
]

BY_NAME = {case.name: case for case in CASES}
CASES += [opened(BY_NAME[name], {"x": "[N, P, C]"}, ["z = x"]) for name in ["var", "std", "norm"]]
