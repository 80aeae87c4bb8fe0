"""The table of a comparison, as Markdown."""


def number(value):
    for limit, digits in ((100, 0), (10, 1), (1, 2)):
        if value >= limit:
            return f"{value:.{digits}f}"
    return f"{value:.3f}"


def table(header, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines) + "\n"


def pair(times):
    return f"{number(times['min_ms'])} / {number(times['median_ms'])}"


def best(others, key):
    return min(others.values(), key=lambda times: times[key])[key]


def contests(report, mode):
    """Rows of one mode: how often we are as fast as the best of the others, least by least and median by median."""
    cases = [case for case in report["cases"] if case["mode"] == mode]
    systems = list(dict.fromkeys(system for case in cases for system in case["times"] if system != "ours"))
    rows = []
    for case in cases:
        times = dict(case["times"])
        ours = times.pop("ours")
        ratios = [f"{best(times, key) / ours[key]:.2f}" if times else "–" for key in ("min_ms", "median_ms")]
        others = [pair(times[system]) if system in times else "–" for system in systems]
        rows.append([case["model"], str(case["batch"]), pair(ours), *others, *ratios])
    header = ["model", "batch", "mlc", *systems, "ratio of least", "ratio of medians"]
    return table(header, rows) if rows else ""


def megabytes(count):
    return f"{count / 2**20:.0f}"


def memory(report):
    """Most memory of training: the process, and what came after the imports."""
    rows = []
    for case in report["cases"]:
        if case["mode"] != "train":
            continue
        ours = case["times"]["ours"]
        row = [case["model"], str(case["batch"]), megabytes(ours["peak_bytes"])]
        torch = case["times"].get("torch")
        if torch:
            row += [megabytes(torch["peak_bytes"]), megabytes(torch["peak_bytes"] - torch["base_bytes"])]
        rows.append(row + ["–"] * (5 - len(row)))
    return table(["model", "batch", "mlc, MiB", "PyTorch, MiB", "of which not imports"], rows) if rows else ""


def limits(report):
    rows = []
    for row in report["limits"]:
        share = row["gflops"] / row["peak_gflops"]
        rows.append([row["what"], str(row["threads"]), number(row["min_ms"]), f"{row['gflops']:.0f}", f"{row['peak_gflops']:.0f}", f"{share:.0%}"])
    return table(["what", "threads", "least ms", "GFLOP/s", "peak", "share"], rows) if rows else ""


def programs(report):
    def ms(time):
        return f"{time:.0f}" if time else ""

    rows = [[r["model"], ms(r["forward"]), ms(r["train"]), f"{r['bytes'] / 2**20:.2f}"] for r in report["programs"]]
    return table(["model", "inference, ms", "training, ms", "executable, MiB"], rows) if rows else ""


def first_calls(report):
    rows = []
    for case in report["cases"]:
        first = {system: times["first_s"] for system, times in case["times"].items() if "first_s" in times}
        for system, seconds in first.items():
            if system in ("torch.compile", "jax", "openvino"):
                rows.append([case["model"], case["mode"], str(case["batch"]), system, number(seconds)])
    return table(["model", "mode", "batch", "system", "s"], rows) if rows else ""


def missing(report):
    lines = []
    for system, where in report["missing"].items():
        reasons = dict.fromkeys(where.values())
        lines += [f"- {system} is left out in {', '.join(w for w in where if where[w] == why)}: {why}\n" for why in reasons]
    return "".join(lines)


def markdown(report):
    about = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in report["machine"].items())
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    sections = [
        ("Single products and convolutions, least / median ms", contests(report, "small")),
        ("Inference, least / median ms", contests(report, "infer")),
        ("Training step, least / median ms", contests(report, "train")),
        ("Products and convolutions against the peak of multiply-adds", limits(report)),
        ("Compiling, and size", programs(report)),
        ("Most memory of training", memory(report)),
        ("From the imports to the end of the first call", first_calls(report)),
        ("Left out", missing(report)),
    ]
    parts = [f"{about}\n\n{versions}\n", *(f"## {title}\n\n{body}" for title, body in sections if body)]
    return "\n".join(parts)
