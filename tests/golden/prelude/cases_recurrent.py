"""Recurrence, against PyTorch's layers with its cells' weights put together from ours."""

import torch
from make import Case, opened
from torch.func import functional_call

DEPTH = {"RNN": 1, "GRU": 3, "LSTM": 4}
INPUT, HIDDEN = 3, 4
# (iota(10) * 3) % 4 != 1, as [2, 5]: with false steps at the end, in the middle, and one after another
MASK = ((torch.arange(10) * 3) % 4 != 1).reshape(2, 5)
MASK_DL = "mask = reshape((iota(10) * 3) % 4 != 1, [2, 5])"


def shapes(kind, inputs=INPUT):
    """Shapes of the weights of a layer."""
    rows = DEPTH[kind] * HIDDEN
    return {"wx": [inputs, rows], "wh": [HIDDEN, rows], "b": [rows]} | ({"c": [HIDDEN]} if kind == "GRU" else {})


def parts(w, path, kind):
    """PyTorch's four: input weights, hidden weights, and a bias for each."""
    hidden = torch.zeros_like(w[f"{path}.b"])
    if kind == "GRU":
        hidden = torch.cat([hidden[: 2 * HIDDEN], w[f"{path}.c"]])
    return {"weight_ih": w[f"{path}.wx"].T, "weight_hh": w[f"{path}.wh"].T, "bias_ih": w[f"{path}.b"], "bias_hh": hidden}


def layer(w, paths, kind, x, bidirectional=False, **options):
    """torch.nn.KIND; one path for each level, or two."""
    make = {"RNN": torch.nn.RNN, "GRU": torch.nn.GRU, "LSTM": torch.nn.LSTM}[kind]
    ways = 2 if bidirectional else 1
    module = make(x.shape[-1], HIDDEN, len(paths) // ways, batch_first=True, bidirectional=bidirectional, dtype=torch.float64, **options)
    weights = {}
    for at, path in enumerate(paths):
        suffix = f"_l{at // ways}" + ("_reverse" if at % ways else "")
        weights |= {name + suffix: value for name, value in parts(w, path, kind).items()}
    return functional_call(module, weights, (x,))


def masked(w, path, kind, x, mask, **options):
    """torch.nn.KINDCell step by step, which keeps its states where the mask is false."""
    make = {"RNN": torch.nn.RNNCell, "GRU": torch.nn.GRUCell, "LSTM": torch.nn.LSTMCell}[kind]
    cell = make(x.shape[-1], HIDDEN, dtype=torch.float64, **options)
    states = [torch.zeros(x.shape[0], HIDDEN, dtype=torch.float64) for _ in range(2 if kind == "LSTM" else 1)]
    outputs = []
    for t in range(x.shape[1]):
        given = tuple(states) if kind == "LSTM" else states[0]
        new = functional_call(cell, parts(w, path, kind), (x[:, t], given))
        new = new if kind == "LSTM" else (new,)
        states = [torch.where(mask[:, t, None], a, b) for a, b in zip(new, states)]
        outputs.append(states[0])
    return torch.stack(outputs, 1), *states


def plain_and_masked(kind, made=None, **options):
    """One layer without a mask, one with."""
    made = made or f"{kind}({HIDDEN})"
    last = ["h", "c"] if kind == "LSTM" else ["h"]

    def reference(w):
        hs, ends = layer(w, ["plain"], kind, w["x"], **options)
        ends = [end[0] for end in ends] if kind == "LSTM" else [ends[0]]
        kept = masked(w, "kept", kind, w["x"], MASK, **options)
        return dict(zip(results, [hs, *ends, *kept]))

    plain, kept = ["hs", *last], [f"kept_{name}" for name in ["hs", *last]]
    results = {name: name for name in plain + kept}
    return Case(
        kind if not options else f"{kind}_relu",
        results,
        reference,
        {"x": [2, 5, INPUT]},
        {"plain": (made, shapes(kind)), "kept": (made, shapes(kind))},
        lets=[
            MASK_DL,
            f"{', '.join(plain)} = plain(x)",
            f"{', '.join(kept)} = kept(x, mask: mask)",
        ],
    )


BIDIRECTIONAL = """
# both ways, side by side
layer BiLSTM(H: dim) {
    ahead = LSTM(H)
    back  = LSTM(H)
    fn forward(x: f32[B, T, In], mask: bool[B, T] = true) -> f32[B, T, 2 * H] {
        a, _, _ = ahead(x, mask: mask)
        b, _, _ = back(reverse(x, over: T), mask: reverse(mask, over: T))
        return concat([a, reverse(b, over: T)], axis: -1)
    }
}
"""


def bidirectional(w):
    """Two levels, both ways; then the same on rows of lengths 5 and 3."""
    paths = [f"levels.{level}.{way}" for level in range(2) for way in ["ahead", "back"]]
    hs, _ = layer(w, paths, "LSTM", w["x"], bidirectional=True)
    short, _ = layer(w, paths[:2], "LSTM", w["x"][1:, :3], bidirectional=True)
    return {"hs": hs, "short": short[0]}


def stacked(w):
    """Two levels of GRU."""
    hs, ends = layer(w, ["levels.0", "levels.1"], "GRU", w["x"])
    return {"hs": hs, "h": ends[1]}


def plain_only(w, kind):
    """Without a mask."""
    hs, ends = layer(w, ["plain"], kind, w["x"])
    return {"hs": hs, "h": ends[0][0] if kind == "LSTM" else ends[0]}


def levels(inner, kind):
    """Weights of a list of two layers of this kind."""
    return {
        f"{level}.{path}{name}": shape
        for level, inputs in enumerate([INPUT, HIDDEN * len(inner)])
        for path in inner
        for name, shape in shapes(kind, inputs).items()
    }


CASES = [
    plain_and_masked("RNN"),
    plain_and_masked("RNN", f"RNN({HIDDEN}, activation: relu)", nonlinearity="relu"),
    plain_and_masked("GRU"),
    plain_and_masked("LSTM"),
    Case(
        "BiLSTM",
        {"hs": "levels[1](levels[0](x))", "short": "levels[0](x, mask: iota(5)[new, :] < 5 - 2 * iota(2)[:, new])[1, :3]"},
        bidirectional,
        {"x": [2, 5, INPUT]},
        {"levels": ("[BiLSTM(4) for i in 0..2]", levels(["ahead.", "back."], "LSTM"))},
        extra=BIDIRECTIONAL,
    ),
    Case(
        "GRU_stacked",
        {"hs": "hs", "h": "h"},
        stacked,
        {"x": [2, 5, INPUT]},
        {"levels": ("[GRU(4) for i in 0..2]", levels([""], "GRU"))},
        lets=["a, _ = levels[0](x)", "hs, h = levels[1](a)"],
    ),
    *(
        opened(
            Case(
                kind,
                {"hs": "hs", "h": "h"},
                lambda w, kind=kind: plain_only(w, kind),
                {"x": [2, 5, INPUT]},
                {"plain": (f"{kind}({HIDDEN})", shapes(kind))},
                lets=["hs, h, _ = plain(x)" if kind == "LSTM" else "hs, h = plain(x)"],
            ),
            {"x": "[B, T, 3]"},
        )
        for kind in DEPTH
    ),
]
