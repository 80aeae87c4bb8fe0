"""Attention."""

import torch
import torch.nn.functional as F
from make import Case, opened

# (iota(6) * 5) % 7 < 4, as [2, 3]: true, false, true / true, false, false... and a row without any key
MASK = (torch.arange(8) * 5 % 7 < 4).reshape(2, 4) & (torch.arange(2) == 0)[:, None]
MASK_DL = "mask = reshape((iota(8) * 5) % 7 < 4, [2, 4]) and iota(2)[:, new] == 0"


def dense(w, path, x):
    """The dense layer at `path`."""
    y = x @ w[f"{path}.weight"]
    return y + w[f"{path}.bias"] if f"{path}.bias" in w else y


def multi_head(w, name, q, kv, mask=None, causal=False):
    """Two heads; a query that sees no key gets 0 from each (NaN in PyTorch)."""

    def heads(x):
        return x.unflatten(-1, (2, -1)).transpose(1, 2)

    q, k, v = (heads(dense(w, f"{name}.{part}", x)) for part, x in [("query", q), ("key", kv), ("value", kv)])
    seen = torch.ones(q.shape[0], 1, q.shape[2], k.shape[2], dtype=torch.bool)
    if mask is not None:
        seen = seen & mask[:, None, None, :]
    if causal:
        seen = seen & torch.ones(seen.shape[-2:], dtype=torch.bool).tril()
    some = seen.any(-1, keepdim=True)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen | ~some) * some
    return dense(w, f"{name}.out", y.transpose(1, 2).flatten(2))


def weights(inputs, keys, bias=True):
    """Shapes of the weights of a MultiHeadAttention(4, 2)."""
    shapes = {"query.weight": [inputs, 4], "key.weight": [keys, 4], "value.weight": [keys, 4], "out.weight": [4, 4]}
    return shapes | ({f"{part}.bias": [4] for part in ["query", "key", "value", "out"]} if bias else {})


def bahdanau(w, name, mask):
    """Additive attention; a row without keys gives 0."""
    fit = torch.tanh((w["query"] @ w[f"{name}.wq"])[:, None] + w["keys"] @ w[f"{name}.wk"]) @ w[f"{name}.v"]
    seen = torch.ones(2, 4, dtype=torch.bool) if mask is None else mask
    some = seen.any(-1, keepdim=True)
    p = F.softmax(torch.where(seen | ~some, fit, -torch.inf), -1) * some
    return torch.einsum("bs,bsk->bk", p, w["keys"]), p


def bahdanau_case(w):
    """Both forms."""
    context, p = bahdanau(w, "plain", None)
    masked_context, masked_p = bahdanau(w, "masked", MASK)
    return {"context": context, "weights": p, "masked_context": masked_context, "masked_weights": masked_p}


CASES = [
    Case(
        "MultiHeadAttention",
        {
            "y_own": "own(x)",
            "y_causal": "causal(x)",
            "y_cross": "cross(x, keys)",
            "y_masked": "masked(x, keys, mask: mask)",
            "y_both": "both(x, kv: keys, mask: mask)",
        },
        lambda w: {
            "y_own": multi_head(w, "own", w["x"], w["x"]),
            "y_causal": multi_head(w, "causal", w["x"], w["x"], causal=True),
            "y_cross": multi_head(w, "cross", w["x"], w["keys"]),
            "y_masked": multi_head(w, "masked", w["x"], w["keys"], MASK),
            "y_both": multi_head(w, "both", w["x"], w["keys"], MASK, True),
        },
        {"x": [2, 3, 5], "keys": [2, 4, 6]},
        {
            "own": ("MultiHeadAttention(4, 2)", weights(5, 5)),
            "causal": ("MultiHeadAttention(4, 2, causal: true, bias: false)", weights(5, 5, False)),
            "cross": ("MultiHeadAttention(4, 2)", weights(5, 6)),
            "masked": ("MultiHeadAttention(4, 2)", weights(5, 6)),
            "both": ("MultiHeadAttention(4, 2, causal: true)", weights(5, 6)),
        },
        lets=[MASK_DL],
    ),
    Case(
        "BahdanauAttention",
        {name: name for name in ["context", "weights", "masked_context", "masked_weights"]},
        bahdanau_case,
        {"query": [2, 3], "keys": [2, 4, 5]},
        {
            "plain": ("BahdanauAttention(6)", {"wq": [3, 6], "wk": [5, 6], "v": [6]}),
            "masked": ("BahdanauAttention(6)", {"wq": [3, 6], "wk": [5, 6], "v": [6]}),
        },
        lets=[MASK_DL, "context, weights = plain(query, keys)", "masked_context, masked_weights = masked(query, keys, mask)"],
    ),
]

BY_NAME = {case.name: case for case in CASES}
CASES += [
    opened(
        BY_NAME["MultiHeadAttention"],
        {"x": "[B, T, 5]", "keys": "[B, S, 6]"},
        ["mask = (iota(B)[:, new] * 20 + iota(S)[new, :] * 5) % 7 < 4 and iota(B)[:, new] == 0"],
    ),
    opened(
        BY_NAME["BahdanauAttention"],
        {"query": "[B, 3]", "keys": "[B, S, 5]"},
        [
            "mask = (iota(B)[:, new] * 20 + iota(S)[new, :] * 5) % 7 < 4 and iota(B)[:, new] == 0",
            *BY_NAME["BahdanauAttention"].lets[1:],
        ],
    ),
]
