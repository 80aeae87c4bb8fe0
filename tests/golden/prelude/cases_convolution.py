"""Convolutions. Weights are [kernel, input / groups, output] here, [output, input / groups, kernel] in PyTorch."""

import dataclasses

import torch
import torch.nn.functional as F
from cases_pooling import around, first, last
from make import Case, opened

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def kernel(weight):
    """To PyTorch's order of axes."""
    n = weight.dim()
    return weight.permute(n - 1, n - 2, *range(n - 2))


def conv(w, name, pads=None, stride=1, dilation=1, groups=1, x="x"):
    """The layer `name` of `x`; `pads` is one pair for each axis."""
    x, weight, bias = first(w[x]), w[f"{name}.weight"], w.get(f"{name}.bias")
    if pads is not None:
        x = F.pad(x, [side for pad in reversed(pads) for side in pad])
    return last(CONV[weight.dim() - 2](x, kernel(weight), bias, stride=stride, dilation=dilation, groups=groups))


def same(w, name, stride, dilation, groups=1, x="x"):
    """The layer `name` with padding "same"."""
    sizes, places = w[x].shape[1:-1], w[f"{name}.weight"].shape[:-2]
    pads = [around(n, s, (k - 1) * d + 1) for n, s, k, d in zip(sizes, stride, places, dilation)]
    return conv(w, name, pads, stride, dilation, groups, x)


def transposed(w, name, stride=(1, 1), cut=((0, 0), (0, 0))):
    """The layer `name`; `cut` off before and behind each axis, negative where zeros are put on."""
    y = F.conv_transpose2d(first(w["x"]), w[f"{name}.weight"].permute(2, 3, 0, 1), stride=stride)
    y = last(F.pad(y, [-side for pair in reversed(cut) for side in pair]))
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def case(name, shape, layers, reference):
    """Layers by the name of their result: constructor, shape of the weight, with bias or not."""
    members = {}
    for layer, (made, weight, bias) in layers.items():
        members[layer] = (made, {"weight": weight} | ({"bias": [weight[-1]]} if bias else {}))
    return Case(name, {f"y_{layer}": f"{layer}(x)" for layer in layers}, reference, {"x": shape}, members)


CASES = [
    case(
        "Conv1d",
        [2, 9, 4],
        {
            "plain": ("Conv1d(3, kernel: 3)", [3, 4, 3], True),
            "strided": ("Conv1d(3, kernel: 4, stride: 2, pad: 1, bias: false)", [4, 4, 3], False),
            "dilated": ("Conv1d(2, kernel: 3, dilation: 2)", [3, 4, 2], True),
            "grouped": ("Conv1d(6, kernel: 2, groups: 2)", [2, 2, 6], True),
            "same": ('Conv1d(3, kernel: 4, padding: "same")', [4, 4, 3], True),
            "same_strided": ('Conv1d(3, kernel: 3, stride: 2, padding: "same")', [3, 4, 3], True),
            "causal": ('Conv1d(3, kernel: 2, dilation: 4, padding: "causal")', [2, 4, 3], True),
        },
        lambda w: {
            "y_plain": conv(w, "plain"),
            "y_strided": conv(w, "strided", [(1, 1)], 2),
            "y_dilated": conv(w, "dilated", dilation=2),
            "y_grouped": conv(w, "grouped", groups=2),
            "y_same": same(w, "same", [1], [1]),
            "y_same_strided": same(w, "same_strided", [2], [1]),
            "y_causal": conv(w, "causal", [(4, 0)], dilation=4),
        },
    ),
    case(
        "Conv2d",
        [2, 5, 6, 4],
        {
            "plain": ("Conv2d(3, kernel: 3)", [3, 3, 4, 3], True),
            "strided": ("Conv2d(3, kernel: (2, 3), stride: (2, 1), pad: (1, 0), bias: false)", [2, 3, 4, 3], False),
            "dilated": ("Conv2d(2, kernel: 2, dilation: (2, 3))", [2, 2, 4, 2], True),
            "grouped": ("Conv2d(6, kernel: 2, groups: 2)", [2, 2, 2, 6], True),
            "same": ('Conv2d(3, kernel: 3, padding: "same")', [3, 3, 4, 3], True),
            "same_strided": ('Conv2d(3, kernel: (3, 2), stride: 2, padding: "same", init: he_uniform)', [3, 2, 4, 3], True),
        },
        lambda w: {
            "y_plain": conv(w, "plain"),
            "y_strided": conv(w, "strided", [(1, 1), (0, 0)], (2, 1)),
            "y_dilated": conv(w, "dilated", dilation=(2, 3)),
            "y_grouped": conv(w, "grouped", groups=2),
            "y_same": same(w, "same", [1, 1], [1, 1]),
            "y_same_strided": same(w, "same_strided", [2, 2], [1, 1]),
        },
    ),
    case(
        "Conv3d",
        [1, 4, 3, 4, 2],
        {
            "plain": ("Conv3d(3, kernel: 2)", [2, 2, 2, 2, 3], True),
            "strided": ("Conv3d(2, kernel: (3, 1, 2), stride: (1, 2, 2), pad: (1, 0, 1))", [3, 1, 2, 2, 2], True),
            "same": ('Conv3d(2, kernel: 2, padding: "same", groups: 2)', [2, 2, 2, 1, 2], True),
        },
        lambda w: {
            "y_plain": conv(w, "plain"),
            "y_strided": conv(w, "strided", [(1, 1), (0, 0), (1, 1)], (1, 2, 2)),
            "y_same": same(w, "same", [1, 1, 1], [1, 1, 1], 2),
        },
    ),
    case(
        "DepthwiseConv2d",
        [2, 5, 6, 3],
        {
            "plain": ("DepthwiseConv2d(3)", [3, 3, 1, 3], True),
            "strided": ("DepthwiseConv2d((2, 3), stride: (2, 1), bias: false)", [2, 3, 1, 3], False),
            "wide": ('DepthwiseConv2d(3, multiplier: 2, padding: "same")', [3, 3, 1, 6], True),
        },
        lambda w: {
            "y_plain": conv(w, "plain", groups=3),
            "y_strided": conv(w, "strided", stride=(2, 1), groups=3),
            "y_wide": same(w, "wide", [1, 1], [1, 1], 3),
        },
    ),
    case(
        "ConvTranspose2d",
        [2, 3, 4, 3],
        {
            "plain": ("ConvTranspose2d(2, kernel: 3)", [3, 3, 3, 2], True),
            "strided": ("ConvTranspose2d(2, kernel: (3, 2), stride: (2, 3), bias: false)", [3, 2, 3, 2], False),
            "padded": ("ConvTranspose2d(2, kernel: 4, stride: 2, pad: (1, 0))", [4, 4, 3, 2], True),
            "same": ('ConvTranspose2d(2, kernel: 5, stride: 2, padding: "same")', [5, 5, 3, 2], True),
            "same_small": ('ConvTranspose2d(2, kernel: (2, 1), stride: (2, 3), padding: "same")', [2, 1, 3, 2], True),
        },
        lambda w: {
            "y_plain": transposed(w, "plain"),
            "y_strided": transposed(w, "strided", (2, 3)),
            "y_padded": transposed(w, "padded", (2, 2), ((1, 1), (0, 0))),
            "y_same": transposed(w, "same", (2, 2), ((1, 2), (1, 2))),
            "y_same_small": transposed(w, "same_small", (2, 3), ((0, 0), (0, -2))),
        },
    ),
]

BY_NAME = {case.name: case for case in CASES}


def only(case, names):
    """The case with these layers alone."""
    members = {name: case.members[name] for name in names}
    results = [f"y_{name}" for name in names]

    def reference(w):
        others = {f"{name}.{part}": torch.zeros(shape, dtype=torch.float64) for name, (_, shapes) in case.members.items() if name not in names for part, shape in shapes.items()}
        return {name: y for name, y in case.reference(others | w).items() if name in results}

    return dataclasses.replace(case, members=members, results={name: case.results[name] for name in results}, reference=reference)


# "same" with a stride needs sizes known when compiling
CASES += [
    opened(only(BY_NAME["Conv1d"], ["plain", "strided", "dilated", "grouped", "same", "causal"]), {"x": "[B, T, 4]"}),
    opened(only(BY_NAME["Conv2d"], ["plain", "strided", "dilated", "grouped", "same"]), {"x": "[B, H, W, 4]"}),
    opened(BY_NAME["Conv3d"], {"x": "[B, L, H, W, 2]"}),
    opened(BY_NAME["DepthwiseConv2d"], {"x": "[B, H, W, 3]"}),
    opened(BY_NAME["ConvTranspose2d"], {"x": "[B, H, W, 3]"}),
]
