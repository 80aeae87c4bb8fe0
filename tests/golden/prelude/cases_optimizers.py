"""Optimizers and schedules: one training whose final weights are compared.

Each optimizer moves a point of its own for STEPS steps. Each schedule moves a vector by plain SGD,
with gradient 1 at the place of the step's number: the vector ends as the rates, negated.
"""

import math

import numpy as np
import torch
from safetensors.numpy import save_file

SIZE, ROWS, EPOCHS = 5, 4, 3
STEPS = ROWS * EPOCHS


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, as published."""

    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                m = self.state[w].setdefault("m", torch.zeros_like(w))
                (b1, b2), lr = group["betas"], group["lr"]
                w.mul_(1 - lr * group["weight_decay"])
                w.sub_(lr * (b1 * m + (1 - b1) * w.grad).sign())
                m.mul_(b2).add_((1 - b2) * w.grad)


# name: constructor here, constructor in PyTorch, largest norm, largest element
OPTIMIZERS = {
    "sgd_plain": ("sgd(lr: 0.05)", lambda w: torch.optim.SGD(w, 0.05)),
    "sgd_momentum": ("sgd(lr: 0.05, momentum: 0.9)", lambda w: torch.optim.SGD(w, 0.05, momentum=0.9)),
    "sgd_nesterov": (
        "sgd(lr: 0.02, momentum: 0.8, nesterov: true, weight_decay: 0.1)",
        lambda w: torch.optim.SGD(w, 0.02, momentum=0.8, nesterov=True, weight_decay=0.1),
    ),
    "sgd_norm": ("sgd(lr: 0.05, weight_decay: 0.3, clip_norm: 0.7)", lambda w: torch.optim.SGD(w, 0.05, weight_decay=0.3), 0.7),
    "sgd_value": ("sgd(lr: 0.05, clip_value: 0.4)", lambda w: torch.optim.SGD(w, 0.05), None, 0.4),
    "sgd_both": ("sgd(lr: 0.05, clip_norm: 0.7, clip_value: 0.4)", lambda w: torch.optim.SGD(w, 0.05), 0.7, 0.4),
    "adam_default": ("adam()", lambda w: torch.optim.Adam(w)),
    "adam_tuned": (
        "adam(lr: 0.03, beta1: 0.5, beta2: 0.9, eps: 1e-3, clip_norm: 1.0)",
        lambda w: torch.optim.Adam(w, 0.03, (0.5, 0.9), 1e-3),
        1.0,
    ),
    "adamw_default": ("adamw()", lambda w: torch.optim.AdamW(w)),
    "adamw_tuned": (
        "adamw(lr: 0.03, weight_decay: 0.2, clip_value: 1.5)",
        lambda w: torch.optim.AdamW(w, 0.03, weight_decay=0.2),
        None,
        1.5,
    ),
    "rmsprop_default": ("rmsprop()", lambda w: torch.optim.RMSprop(w)),
    "rmsprop_tuned": (
        "rmsprop(lr: 0.01, decay: 0.9, momentum: 0.5, weight_decay: 0.1, clip_norm: 2.0)",
        lambda w: torch.optim.RMSprop(w, 0.01, 0.9, weight_decay=0.1, momentum=0.5),
        2.0,
    ),
    "adagrad_default": ("adagrad()", lambda w: torch.optim.Adagrad(w)),
    "adagrad_tuned": (
        "adagrad(lr: 0.1, eps: 1e-3, weight_decay: 0.1)",
        lambda w: torch.optim.Adagrad(w, 0.1, eps=1e-3, weight_decay=0.1),
    ),
    "lion_default": ("lion()", lambda w: Lion(w, 1e-4)),
    "lion_tuned": (
        "lion(lr: 0.02, beta1: 0.8, beta2: 0.9, weight_decay: 0.1, clip_norm: 1.0)",
        lambda w: Lion(w, 0.02, (0.8, 0.9), 0.1),
        1.0,
    ),
}


def ramp(step, warmup):
    """From 1 / warmup to 1."""
    return 1.0 if warmup == 0 else min(1.0, (step + 1) / warmup)


def part(step, warmup):
    """The share that is done."""
    return min(1.0, max(0.0, (step - warmup) / max(1, STEPS - warmup)))


def cosine(step, lr, warmup=0, end=0.0):
    """Half a cosine."""
    return ramp(step, warmup) * (end + (lr - end) * 0.5 * (1 + math.cos(math.pi * part(step, warmup))))


def one_cycle(step, lr, rise=0.3, start=0.04, end=1e-4):
    """Up and down, both cosines."""
    p = part(step, 0)
    if p < rise:
        return lr * (start + (1 - start) * 0.5 * (1 - math.cos(math.pi * min(p / rise, 1))))
    return lr * (end + (1 - end) * 0.5 * (1 + math.cos(math.pi * min(max((p - rise) / (1 - rise), 0), 1))))


SCHEDULES = {
    "constant_plain": ("constant(0.5)", lambda s: 0.5),
    "constant_warm": ("constant(0.5, warmup: 4)", lambda s: 0.5 * ramp(s, 4)),
    "cosine_plain": ("cosine(0.5)", lambda s: cosine(s, 0.5)),
    "cosine_warm": ("cosine(0.5, warmup: 3, end: 0.1)", lambda s: cosine(s, 0.5, 3, 0.1)),
    "linear_plain": ("linear(0.5)", lambda s: 0.5 * (1 - part(s, 0))),
    "linear_warm": ("linear(0.5, warmup: 3, end: 0.1)", lambda s: ramp(s, 3) * (0.5 - 0.4 * part(s, 3))),
    "decay_plain": ("step_decay(0.5, every: 1)", lambda s: 0.5 * 0.1 ** (s // ROWS)),
    "decay_slow": ("step_decay(0.5, every: 2, factor: 0.3)", lambda s: 0.5 * 0.3 ** (s // ROWS // 2)),
    "inverse_sqrt_warm": ("inverse_sqrt(0.5, warmup: 4)", lambda s: 0.5 * min((s + 1) / 4, math.sqrt(4 / (s + 1)))),
    "one_cycle_plain": ("one_cycle(0.5)", lambda s: one_cycle(s, 0.5)),
    "one_cycle_early": (
        "one_cycle(0.5, rise: 0.5, start: 0.1, end: 0.01)",
        lambda s: one_cycle(s, 0.5, 0.5, 0.1, 0.01),
    ),
}


def trained(make, clip_norm=None, clip_value=None):
    """The point after all steps."""
    w = torch.linspace(-1, 1.5, SIZE, dtype=torch.float64, requires_grad=True)
    optimizer = make([w])
    for _ in range(STEPS):
        optimizer.zero_grad()
        (torch.sin(2 * w) + 0.5 * w * w * torch.arange(1, SIZE + 1)).sum().backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([w], clip_norm)
        if clip_value is not None:
            torch.nn.utils.clip_grad_value_([w], clip_value)
        optimizer.step()
    return w.detach().numpy()


def program():
    """The text of the training."""
    lines = [
        "# Optimizers and schedules: made by make.py",
        "layer Point {",
        f"    param w: f32[{SIZE}] = linspace(-1.0, 1.5, {SIZE})",
        f"    fn forward() -> f32 {{ return sum(sin(2 * w) + 0.5 * w * w * cast(1 + iota({SIZE}), f32)) }}",
        "}",
        "",
        "# gradient 1 at the place of the step's number",
        "layer Rates {",
        f"    param w: f32[{STEPS}] = 0",
        f"    fn forward() -> f32 {{ return sum(where(iota({STEPS}) == step_index(), w, 0)) }}",
        "}",
        "",
        "train check {",
        f"    epochs = {EPOCHS}",
        '    data = idx("rows") |> batch(1)',
    ]
    table = [(name, "Point", row[0]) for name, row in OPTIMIZERS.items()]
    table += [(name, "Rates", f"sgd(lr: {row[0]})") for name, row in SCHEDULES.items()]
    for name, layer, made in table:
        lines += [f"    {name} = {layer}()", f"    {name}_opt = {made}"]
    lines += ["    step(label: i32[B]) {"]
    lines += [f"        minimize {name}() over {name} with {name}_opt" for name, _, _ in table]
    return "\n".join([*lines, "    }", "}"]) + "\n"


def write(folder):
    """Both files."""
    out = {f"trained.{name}.w": trained(*row[1:]) for name, row in OPTIMIZERS.items()}
    out |= {f"trained.{name}.w": -np.array([rate(s) for s in range(STEPS)]) for name, (_, rate) in SCHEDULES.items()}
    (folder / "optimizers.dl").write_text(program())
    save_file(out, folder / "optimizers.trained")
