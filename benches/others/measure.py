"""One system, one model, one batch: makes it ready, then times it whenever it is told to.

    measure.py SYSTEM MODEL small|infer|train BATCH THREADS

Prints a JSON line when ready: seconds from the imports to the end of the first call, version, bytes before the model was made. Each line on
standard input is a number of seconds; the answer is a JSON line with the milliseconds of the calls and the most memory
so far. A system that isn't installed says so and ends.
"""

import json
import os
import resource
import sys
import tempfile
import time

from cases import INPUTS


def say(**values):
    print(json.dumps(values), flush=True)


def imported():
    """Bytes of the process and the time, once everything is imported."""
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, time.perf_counter()


def torch_tensors(torch, model, batch, channels_first=True):
    shape, classes, tokens = INPUTS[model]
    if tokens:
        ids = torch.randint(0, classes, (batch, *shape))
        return ids, torch.randint(0, classes, (batch, *shape))
    if channels_first and len(shape) == 3:
        shape = (shape[2], *shape[:2])
    return torch.rand(batch, *shape), torch.randint(0, classes, (batch,))


def prepare_torch(model, mode, batch, threads, compiled):
    import torch

    from torch_models import MAKE

    base = imported()
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    net = MAKE[model]()
    x, y = torch_tensors(torch, model, batch)
    run = torch.compile(net) if compiled else net
    if mode != "train":
        net.eval()

        def call():
            with torch.inference_mode():
                run(x)

    else:
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

        def call():
            optimizer.zero_grad(set_to_none=True)
            logits = run(x).flatten(0, -2)
            torch.nn.functional.cross_entropy(logits, y.flatten()).backward()
            optimizer.step()

    return call, torch.__version__, base


def onnx_file(model, batch):
    import torch

    from torch_models import MAKE

    torch.manual_seed(0)
    x, _ = torch_tensors(torch, model, batch)
    path = os.path.join(tempfile.gettempdir(), f"compare-{os.getuid()}-{model}-{batch}.onnx")
    if not os.path.exists(path):
        torch.onnx.export(
            MAKE[model]().eval(), (x,), path, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"]
        )
    return path, x.numpy()


def prepare_ort(model, mode, batch, threads):
    import onnxruntime

    path, x = onnx_file(model, batch)
    base = imported()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x}), onnxruntime.__version__, base


def prepare_openvino(model, mode, batch, threads):
    import openvino

    path, x = onnx_file(model, batch)
    base = imported()
    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(path), "CPU", hints).create_infer_request()
    return lambda: request.infer({0: x}), openvino.__version__, base


def prepare_jax(model, mode, batch, threads):
    import jax
    import jax.numpy as jnp

    from jax_models import MAKE

    base = imported()
    shape, classes, tokens = INPUTS[model]
    key = jax.random.key(1)
    weights, forward = MAKE[model]()
    if tokens:
        x = jax.random.randint(key, (batch, *shape), 0, classes)
        y = x
    else:
        x = jax.random.uniform(key, (batch, *shape))
        y = jax.random.randint(key, (batch,), 0, classes)
    if mode != "train":
        run = jax.jit(forward)
        return lambda: run(weights, x).block_until_ready(), jax.__version__, base

    def loss(w):
        picked = jnp.take_along_axis(jax.nn.log_softmax(forward(w, x)), y[..., None], axis=-1)
        return -picked.mean()

    def adam(state):
        w, m, v, t = state
        value, g = jax.value_and_grad(loss)(w)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        update = lambda w, m, v: w - 1e-3 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return (jax.tree.map(update, w, m, v), m, v, t), value

    step = jax.jit(adam, donate_argnums=0)
    zeros = lambda: jax.tree.map(jnp.zeros_like, weights)
    state = [(weights, zeros(), zeros(), jnp.float32(0))]

    def call():
        state[0], value = step(state[0])
        value.block_until_ready()

    return call, jax.__version__, base


SYSTEMS = {
    "torch": lambda *case: prepare_torch(*case, compiled=False),
    "torch.compile": lambda *case: prepare_torch(*case, compiled=True),
    "onnxruntime": prepare_ort,
    "openvino": prepare_openvino,
    "jax": prepare_jax,
}


def main():
    system, model, mode, batch, threads = sys.argv[1:]
    try:
        call, version, (base, start) = SYSTEMS[system](model, mode, int(batch), int(threads))
    except ImportError as error:
        return say(missing=str(error))
    call()
    say(first_s=time.perf_counter() - start, version=version, base_bytes=base)
    for line in sys.stdin:
        for _ in range(3):
            call()
        times, end = [], time.perf_counter() + float(line)
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e3)
        times.sort()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        say(min_ms=times[0], median_ms=times[len(times) // 2], calls=len(times), peak_bytes=peak)


if __name__ == "__main__":
    main()
