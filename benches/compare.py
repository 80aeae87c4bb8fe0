#!/usr/bin/env python3
"""Our executables and what a user would pick instead, in turn, on the same models.

    python3 benches/compare.py [--models cnn,gpt] [--systems torch,jax] [--threads 2] [--seconds 2] [--rounds 3]
                               [--out target/compare]

Needs cargo (or `--mlc` and `--peak`, built already). PyTorch, ONNX Runtime, OpenVINO and JAX are taken from PYTHONPATH
or the environment; what isn't importable is left out and named below the table. OUT.md and OUT.json are written anew
after each case. docs/performance.md says what the rows mean.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "others"))

from cases import INPUTS, SMALL, cases  # noqa: E402
from report import markdown  # noqa: E402

CALLED = ("torch", "torch.compile", "onnxruntime", "openvino", "jax")
SYSTEMS = {"small": CALLED, "infer": CALLED, "train": ("torch", "torch.compile", "jax")}
PRODUCTS = (256, 512, 1024, 2048)
# Channels, and the side of the picture.
CONVOLUTIONS = ((32, 56), (64, 56), (128, 28), (256, 14))
CONVOLUTION_BATCH = 8


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


class Compiler:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, Path(folder)
        self.mlc = arguments.mlc or self.cargo_mlc()

    @staticmethod
    def cargo_mlc():
        subprocess.run(["cargo", "build", "--release", "-p", "mlc"], cwd=HERE, check=True)
        target = os.environ.get("CARGO_TARGET_DIR") or HERE.parent / "target"
        return Path(target) / "release" / "mlc"

    def build(self, model, *defines):
        """An executable of benches/models/MODEL.dl."""
        out = self.folder / "-".join([model, *(d.split("=")[1] for d in defines)])
        options = [f"-D{define}" for define in defines]
        command = [self.mlc, "build", HERE / "models" / f"{model}.dl", *options, *self.level(), "-o", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return out

    def level(self):
        return ["--cpu", self.arguments.cpu] if self.arguments.cpu else []

    def program(self, name, model, *defines):
        """What compiling a model takes and gives."""
        row = {"model": name, "bytes": self.build(model, *defines).stat().st_size}
        return row | {mode: self.compile_ms(mode, model, *defines) for mode in ("forward", "train")}

    def compile_ms(self, what, model, *defines):
        """Milliseconds from the text of a model to machine code in memory of what a call or a training needs, the
        least of seven; nothing if the model has no such part."""
        options = [f"-D{define}" for define in defines]
        command = [self.mlc, "run", "--timings", *options, *self.level(), HERE / "models" / f"{model}.dl"]
        # What comes behind the file is for the program.
        command += ["bench", what, "--size", "B=1", "--seconds", "0.001"]
        runs = [subprocess.run(command, capture_output=True, text=True) for _ in range(7)]
        if any(run.returncode != 0 for run in runs):
            return None
        return min(last_json(run.stderr)["compile_ms"] for run in runs)


class Ours:
    """Our executable: each turn is a process of its own."""

    def __init__(self, executable, mode, batch, threads):
        what = ["train"] if mode == "train" else ["forward"]
        self.command = [executable, "bench", *what, "--size", f"B={batch}", "--threads", str(threads), "--json"]

    def turn(self, seconds):
        run = subprocess.run([*self.command, "--seconds", str(seconds)], check=True, capture_output=True, text=True)
        return json.loads(run.stdout)

    def close(self):
        pass


class Other:
    """Another system: a process that stays, and is told when it is its turn."""

    def __init__(self, system, model, mode, batch, threads):
        command = [sys.executable, HERE / "others" / "measure.py", system, model, mode, str(batch), str(threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=tempfile.gettempdir()
        )
        self.ready = self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        error = self.process.stderr.read().strip().splitlines()
        return {"missing": error[-1] if error else "it ended without a word"}

    def turn(self, seconds):
        print(seconds, file=self.process.stdin, flush=True)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def contest(competitors, arguments):
    """Least and median milliseconds of each over all rounds, one after another in each round."""
    turns = {name: [] for name in competitors}
    for _ in range(arguments.rounds):
        for name, competitor in competitors.items():
            turn = competitor.turn(arguments.seconds)
            if "min_ms" in turn:
                turns[name].append(turn)
    return {name: summary(list_) for name, list_ in turns.items() if list_}


def summary(turns):
    medians = sorted(turn["median_ms"] for turn in turns)
    result = {"min_ms": min(turn["min_ms"] for turn in turns), "median_ms": medians[len(medians) // 2]}
    result["peak_bytes"] = max(turn.get("peak_bytes") or 0 for turn in turns)
    for key in ("gflops", "arena_bytes"):
        if turns[0].get(key) is not None:
            result[key] = max(turn[key] for turn in turns)
    return result


def run_case(compiler, model, mode, batch, arguments, report):
    competitors = {"ours": Ours(compiler.build(model), mode, batch, arguments.threads)}
    ready = {}
    for system in SYSTEMS[mode]:
        if system not in arguments.systems:
            continue
        other = Other(system, model, mode, batch, arguments.threads)
        if "missing" in other.ready:
            report["missing"].setdefault(system, {})[f"{model} {mode} {batch}"] = other.ready["missing"]
            other.close()
            continue
        report["versions"][system] = other.ready["version"]
        competitors[system], ready[system] = other, other.ready
    times = contest(competitors, arguments)
    for competitor in competitors.values():
        competitor.close()
    for system, values in ready.items():
        if system in times:
            times[system] |= {key: values[key] for key in ("first_s", "base_bytes")}
    report["cases"].append({"model": model, "mode": mode, "batch": batch, "times": times})


def peak(arguments, threads):
    """GFLOP/s of independent multiply-adds on so many threads."""
    command = [arguments.peak] if arguments.peak else ["cargo", "bench", "-q", "-p", "mlc-benches", "--bench", "peak", "--"]
    run = subprocess.run([*command, "--json", str(threads)], cwd=HERE, check=True, capture_output=True, text=True)
    return last_json(run.stdout)["gflops"]


def run_limits(compiler, arguments, report):
    """Products and convolutions, on one thread and on all: the least time of some rounds through all of them, as a
    share of the most that multiply-adds alone reached before any of these turns."""
    jobs = [("product", f"{n}³", ["product"], [f"N={n}"], []) for n in PRODUCTS]
    for channels, side in CONVOLUTIONS:
        for function in ("output", "input", "weight"):
            sizes = ["--size", f"B={CONVOLUTION_BATCH}"]
            name = f"{function}, {channels} channels, {side} x {side}"
            jobs.append(("convolution", name, [function], [f"C={channels}", f"H={side}"], sizes))
    limits = []
    for model, name, function, defines, sizes in jobs:
        executable = compiler.build(model, *defines)
        for threads in sorted({1, arguments.threads}):
            command = [executable, "bench", *function, *sizes, "--threads", str(threads), "--json"]
            limits.append(Limit(f"{model} {name}", threads, command))
    for _ in range(arguments.rounds):
        for limit in limits:
            limit.turn(arguments)
    peaks = {limit.threads: 0 for limit in limits}
    for limit in limits:
        peaks[limit.threads] = max(peaks[limit.threads], limit.peak)
    report["limits"] += [limit.row(peaks[limit.threads]) for limit in limits]


class Limit:
    """A product or convolution on so many threads."""

    def __init__(self, what, threads, command):
        self.what, self.threads, self.command = what, threads, command
        self.turns, self.peak = [], 0

    def turn(self, arguments):
        self.peak = max(self.peak, peak(arguments, self.threads))
        command = [*self.command, "--seconds", str(arguments.seconds / 2)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        self.turns.append(json.loads(run.stdout))

    def row(self, most):
        best = min(self.turns, key=lambda turn: turn["min_ms"])
        gflops = best["gflops"] * best["median_ms"] / best["min_ms"]
        row = {"what": self.what, "threads": self.threads, "gflops": gflops}
        return row | {"peak_gflops": most, "min_ms": best["min_ms"]}


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def machine(arguments):
    return {
        "processor": cpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": arguments.threads,
        "load_at_start": os.getloadavg()[0],
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = lambda text: [name for name in text.split(",") if name]
    parser.add_argument("--models", type=names, default=list(INPUTS))
    parser.add_argument("--systems", type=names, default=list(SYSTEMS["infer"]))
    parser.add_argument("--modes", type=names, default=list(SYSTEMS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-limits", action="store_true", help="without products and convolutions")
    parser.add_argument("--cpu", help="as for `mlc build`")
    parser.add_argument("--mlc", type=lambda path: Path(path).resolve(), help="a compiler that is built already")
    parser.add_argument("--peak", type=lambda path: Path(path).resolve(), help="the bench `peak`, built already")
    parser.add_argument("--out", type=Path, default=HERE.parent / "target" / "compare")
    return parser.parse_args()


def write(report, out):
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    out.with_suffix(".md").write_text(markdown(report))


def main():
    arguments = parsed()
    # The same cores for everybody.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    report = {"machine": machine(arguments), "versions": {}, "missing": {}, "cases": [], "limits": [], "programs": []}
    with tempfile.TemporaryDirectory() as folder:
        compiler = Compiler(arguments, folder)
        report["versions"]["mlc"] = subprocess.run(
            [compiler.mlc, "--version"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for model in (model for model in arguments.models if model not in SMALL):
            report["programs"].append(compiler.program(model, model))
        if "gpt" in arguments.models:
            report["programs"].append(compiler.program("gpt, 48 layers", "gpt", "Layers=48"))
        if not arguments.no_limits:
            run_limits(compiler, arguments, report)
            write(report, arguments.out)
        for model, mode, batch in cases(arguments.models):
            if mode not in arguments.modes:
                continue
            print(f"{model} {mode} {batch}", file=sys.stderr, flush=True)
            run_case(compiler, model, mode, batch, arguments, report)
            write(report, arguments.out)
    print(markdown(report))


if __name__ == "__main__":
    main()
