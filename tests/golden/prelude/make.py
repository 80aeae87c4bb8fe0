#!/usr/bin/env python3
"""Makes the programs and golden files of this folder; `harness/prelude` compares with them.

    python tests/golden/prelude/make.py [NAME …]

Needs numpy, torch, safetensors. The tests need neither them nor these scripts.

The tables are `cases_*.py`: one `Case` for each entry of the prelude. A case becomes

    NAME.dl       a program: inputs and weights are parameters of `Case`, `forward` gives the
                  results, the step minimizes the sum of the results along a fixed direction
    NAME.golden   f64, safetensors: `weight.PATH` (multiples of 1/32, so exact in f32 too),
                  `value.RESULT`, and `gradient.PATH` of that sum; `input.NAME` for what is an
                  argument of `forward` instead of a parameter (NAME_open: sizes known only at
                  run time); for states `after.PATH`, their
                  values after one training step

`cases_optimizers.py` makes one training, `optimizers.dl`, and the weights after it,
`optimizers.trained`. `initialisers.dl` and `dropout.dl` are written by hand: random draws are
checked by their statistics.

Formulas are PyTorch's where it has the function; where this language differs on purpose, the
stated formula is written out and the case says so.
"""

import dataclasses
import importlib
import math
import pathlib
import sys
import zlib
from typing import Callable

import numpy as np
import torch
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
TABLES = ["elementwise", "reductions", "losses", "pooling", "layers", "convolution", "attention", "recurrent"]


@dataclasses.dataclass
class Case:
    """One entry of the prelude, or a group that share their inputs."""

    name: str
    # Results by name: the expression in the language.
    results: dict[str, str]
    # The results in PyTorch, by name, from the parameters by path.
    reference: Callable[[dict], dict]
    # Parameters of the model: their shape, or their values.
    inputs: dict = dataclasses.field(default_factory=dict)
    # Members of the model: constructor, and shapes of the weights by path.
    members: dict = dataclasses.field(default_factory=dict)
    # Statements before the results.
    lets: list[str] = dataclasses.field(default_factory=list)
    # Results that have no gradient; all others are differentiated.
    flat: tuple = ()
    # The results while training, if they differ: gradients are theirs.
    training: Callable[[dict], dict] | None = None
    # Paths of states, and their values after one training step.
    states: tuple = ()
    after: Callable[[dict], dict] = lambda w: {}
    # Inputs that are arguments of `forward`, with sizes known only at run time: `[B, H, W, 3]`.
    open: dict = dataclasses.field(default_factory=dict)
    # Declarations that the program needs besides.
    extra: str = ""
    # Whether the gradient is what finite differences say.
    honest: bool = True


def opened(case, types, lets=None, only=None):
    """The case once more, as NAME_open, with sizes known only at run time; `only` so many results."""
    results = {name: text for name, text in case.results.items() if only is None or name in only}
    pick = lambda reference: reference and (lambda w: {name: y for name, y in reference(w).items() if name in results})
    return dataclasses.replace(
        case,
        name=f"{case.name}_open",
        results=results,
        reference=pick(case.reference),
        training=pick(case.training),
        open=types,
        lets=case.lets if lets is None else lets,
    )


def values(case, path, shape):
    """Fixed multiples of 1/32 between -2 and 2, different for each case and path."""
    seed = zlib.crc32(f"{case}/{path}".encode())
    return np.random.default_rng(seed).integers(-64, 65, size=shape) / 32


def weights_of(case):
    """All parameters by path, in f64."""
    given = dict(case.inputs)
    for member, (_, shapes) in case.members.items():
        given |= {f"{member}.{path}": shape for path, shape in shapes.items()}
    made = {}
    for path, what in given.items():
        made[path] = what if isinstance(what, np.ndarray) else values(case.name, path, what)
    return made


def projected(y):
    """The sum of all elements, each times the cosine of its place, counted from 1."""
    place = torch.arange(1, y.numel() + 1, dtype=y.dtype)
    return (y.reshape(-1) * torch.cos(place)).sum()


def golden(case):
    """What the golden file of a case holds, and the shapes of its results."""
    made = weights_of(case)
    w = {path: torch.tensor(value, dtype=torch.float64, requires_grad=True) for path, value in made.items()}
    results = case.reference(w)
    assert list(results) == list(case.results), case.name
    smooth = [name for name in results if name not in case.flat]
    kind = lambda path: "input" if path in case.open else "weight"
    out = {f"{kind(path)}.{path}": value.astype(np.float64) for path, value in made.items()}
    out |= {f"value.{name}": y.detach().double().numpy() for name, y in results.items()}
    if smooth:
        trained = case.training(w) if case.training else results
        sum(projected(y) for name, y in trained.items() if name not in case.flat).backward()
        out |= {f"gradient.{path}": x.grad.numpy() for path, x in w.items() if path not in (*case.states, *case.open)}
        out |= {f"after.{path}": x.detach().numpy() for path, x in case.after(w).items()}
    shapes = {name: list(y.shape) for name, y in results.items()}
    return {name: np.array(array, order="C") for name, array in out.items()}, shapes


def typed(shape):
    """`f32[3, 5]`, `f32`"""
    return f"f32[{', '.join(map(str, shape))}]" if shape else "f32"


def program(case, shapes):
    """The text of the program."""
    made = weights_of(case)
    inputs = [f"    param {name}: {typed(made[name].shape)} = normal()" for name in case.inputs if name not in case.open]
    members = [f"    {name} = {made}" for name, (made, _) in case.members.items()]
    names = list(case.results)
    of = (lambda shape: typed("_" * len(shape))) if case.open else typed
    result = ", ".join(f"{name}: {of(shapes[name])}" for name in names)
    given = ", ".join(f"{name}: f32{sizes}" for name, sizes in case.open.items())
    body = [f"        {line}" for line in case.lets] + [f"        {name} = {text}" for name, text in case.results.items() if name != text]
    lines = [f"# {case.name}: made by make.py", *(["", *case.extra.strip().split("\n"), ""] if case.extra else []), "model Case {", *members, *inputs, ""]
    lines += ["    @export", f"    fn forward({given}) -> ({result}) {{", *body]
    lines += [f"        return {', '.join(names)}", "    }", "}"]
    if any(name not in case.flat for name in names):
        lines += step(case, given) if set(made) > set(case.open) else []
        if case.honest:
            args = ["Case()", *(f"{name}: normal({list(made[name].shape)})" for name in case.open)]
            lines += ["", f'test "gradients" {{ check_grad({", ".join(args)}) }}']
    return "\n".join(lines) + "\n"


def step(case, given):
    """The training block: the smooth results along a fixed direction."""
    names = list(case.results)
    smooth = [name for name in names if name not in case.flat]
    taken = ", ".join(name if name in smooth else "_" for name in names)
    loss = " + ".join(f"project({name})" for name in smooth)
    return [
        "",
        "fn project(y: f32[*S]) -> f32 { return sum(y * reshape(cos(cast(1 + iota(prod(S)), f32)), [*S])) }",
        "",
        "train check {",
        "    net = Case()",
        "    opt = sgd(lr: 1.0)",
        f"    step({given}) {{",
        f"        {taken} = net({', '.join(case.open)})",
        f"        minimize {loss} over net with opt",
        "    }",
        "}",
    ]


def main():
    torch.manual_seed(0)
    sys.path.insert(0, str(HERE))
    wanted = sys.argv[1:]
    for table in TABLES:
        for case in importlib.import_module(f"cases_{table}").CASES:
            if wanted and case.name not in wanted:
                continue
            arrays, shapes = golden(case)
            (HERE / f"{case.name}.dl").write_text(program(case, shapes))
            save_file(arrays, HERE / f"{case.name}.golden")
            if not all(math.isfinite(x) for array in arrays.values() for x in array.reshape(-1)):
                print(f"{case.name}: not all is finite")
    if not wanted or "optimizers" in wanted:
        importlib.import_module("cases_optimizers").write(HERE)


if __name__ == "__main__":
    sys.modules["make"] = sys.modules["__main__"]
    main()
