"""Pooling. Positions stand before the channels here, behind them in PyTorch."""

import torch
import torch.nn.functional as F
from make import Case, opened

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def first(x):
    """Channels from the end to the place that PyTorch wants."""
    return x.movedim(-1, 1)


def last(x):
    """And back."""
    return x.movedim(1, -1)


def around(size, stride, place):
    """Padding of "same": ceil(size / stride) places, an odd rest behind."""
    total = max(0, (-(-size // stride) - 1) * stride + place - size)
    return [total // 2, total - total // 2]


def same(x, size, stride, pool):
    """`pool` of x, padded as "same" says; x has its channels first."""
    pads = [around(n, s, k) for n, s, k in zip(x.shape[2:], stride, size)]
    return pool(x, [side for pad in reversed(pads) for side in pad])


def max_same(x, size, stride):
    """Padding is never the largest."""
    n = x.dim() - 2
    return last(same(first(x), size, stride, lambda x, pads: MAX[n](F.pad(x, pads, value=-torch.inf), size, stride)))


def avg_same(x, size, stride):
    """Padding does not count."""
    n = x.dim() - 2
    total = same(first(x), size, stride, lambda x, pads: AVG[n](F.pad(x, pads), size, stride))
    count = same(torch.ones_like(first(x)), size, stride, lambda x, pads: AVG[n](F.pad(x, pads), size, stride))
    return last(total / count)


def pooling(name, table, padded):
    """A pooling in all its forms."""

    def reference(w):
        x, s, v = w["x"], w["series"], w["volume"]
        return {
            "plain": last(table[2](first(x), 2)),
            "overlap": last(table[2](first(x), (3, 2), (2, 1))),
            "same": padded(x, (2, 2), (2, 2)),
            "same_overlap": padded(x, (3, 2), (2, 1)),
            "one": last(table[1](first(s), 3, 2)),
            "one_same": padded(s, (3,), (1,)),
            "three": last(table[3](first(v), 2)),
        }

    return Case(
        name,
        {
            "plain": f"{name}(x, 2)",
            "overlap": f"{name}(x, (3, 2), stride: (2, 1))",
            "same": f'{name}(x, 2, padding: "same")',
            "same_overlap": f'{name}(x, (3, 2), stride: (2, 1), padding: "same")',
            "one": f"{name}(series, 3, stride: 2)",
            "one_same": f'{name}(series, 3, stride: 1, padding: "same")',
            "three": f"{name}(volume, 2)",
        },
        reference,
        {"x": [2, 5, 7, 3], "series": [2, 8, 3], "volume": [1, 4, 2, 5, 2]},
    )


CASES = [
    pooling("max_pool", MAX, max_same),
    pooling("avg_pool", AVG, avg_same),
    Case(
        "global_avg_pool",
        {"image": "global_avg_pool(x)", "series": "global_avg_pool(x[0])"},
        lambda w: {"image": w["x"].mean((1, 2)), "series": w["x"][0].mean(1)},
        {"x": [2, 3, 4, 2]},
    ),
    Case(
        "flatten",
        {"y": "flatten(x)"},
        lambda w: {"y": w["x"].flatten(1)},
        {"x": [2, 3, 4]},
    ),
]

BY_NAME = {case.name: case for case in CASES}
OPEN = {"x": "[B, H, W, C]", "series": "[N, T, C]", "volume": "[M, D, E, F, G]"}
VALID = ["plain", "overlap", "one", "one_same", "three"]  # "same" with a stride needs sizes known when compiling
CASES += [opened(BY_NAME[name], OPEN, only=VALID) for name in ["max_pool", "avg_pool"]]
CASES += [
    opened(BY_NAME["global_avg_pool"], {"x": "[B, H, W, C]"}, only=["image"]),
    opened(BY_NAME["flatten"], {"x": "[B, T, C]"}),
]
