"""The models of benches/models in JAX: same sizes, same activations. Each is (parameters, function)."""

import jax
import jax.numpy as jnp
from jax import lax

_keys = iter(jax.random.split(jax.random.key(0), 4096))


def weight(*shape):
    return 0.05 * jax.random.normal(next(_keys), shape, jnp.float32)


def linear(inputs, outputs, bias=True):
    layer = {"w": weight(inputs, outputs)}
    return layer | {"b": jnp.zeros(outputs)} if bias else layer


def dense(layer, x):
    y = x @ layer["w"]
    return y + layer["b"] if "b" in layer else y


def head_of(layers, x):
    *hidden, last = layers
    for layer in hidden:
        x = jax.nn.relu(dense(layer, x))
    return dense(last, x)


def convolution(layer, x, padding):
    y = lax.conv_general_dilated(x, layer["w"], (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(y + layer["b"])


def pooled(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def filters(inputs, outputs):
    return {"w": weight(3, 3, inputs, outputs), "b": jnp.zeros(outputs)}


def mlp():
    return [linear(784, 512), linear(512, 512), linear(512, 10)], head_of


def cnn():
    weights = {"convs": [filters(1, 32), filters(32, 64)], "head": [linear(1600, 128), linear(128, 10)]}

    def forward(w, x):
        for conv in w["convs"]:
            x = pooled(convolution(conv, x, "VALID"))
        return head_of(w["head"], x.reshape(x.shape[0], -1))

    return weights, forward


def vgg16():
    stages, before = [], 3
    for count, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        stages.append([filters(before if i == 0 else width, width) for i in range(count)])
        before = width
    weights = {"stages": stages, "head": [linear(25088, 4096), linear(4096, 4096), linear(4096, 1000)]}

    def forward(w, x):
        for stage in w["stages"]:
            for conv in stage:
                x = convolution(conv, x, "SAME")
            x = pooled(x)
        return head_of(w["head"], x.reshape(x.shape[0], -1))

    return weights, forward


def over_time(step, start, x):
    return lax.scan(step, start, jnp.swapaxes(x, 0, 1))


def rnn(width=64):
    weights = {"in": linear(1, width), "again": weight(width, width), "head": [linear(width, 64), linear(64, 10)]}

    def forward(w, x):
        def step(h, x_t):
            return jax.nn.relu(x_t + h @ w["again"]), None

        last, _ = over_time(step, jnp.zeros((x.shape[0], width)), dense(w["in"], x))
        return head_of(w["head"], last)

    return weights, forward


def lstm(width=128):
    weights = {"in": linear(8, 4 * width), "again": weight(width, 4 * width), "head": [linear(width, 10)]}

    def forward(w, x):
        def step(state, x_t):
            h, cell = state
            i, f, g, o = jnp.split(x_t + h @ w["again"], 4, axis=-1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(cell), cell), None

        zero = jnp.zeros((x.shape[0], width))
        (last, _), _ = over_time(step, (zero, zero), dense(w["in"], x))
        return head_of(w["head"], last)

    return weights, forward


def attn(width=64):
    weights = {
        "in": linear(1, 3 * width),
        "again": linear(width, 3 * width),
        "query": weight(width, width),
        "key": weight(width, width),
        "fit": weight(width),
        "head": [linear(2 * width, 64), linear(64, 10)],
    }

    def forward(w, x):
        def step(h, x_t):
            rx, zx, nx = jnp.split(x_t, 3, axis=-1)
            rh, zh, nh = jnp.split(dense(w["again"], h), 3, axis=-1)
            z = jax.nn.sigmoid(zx + zh)
            n = jnp.tanh(nx + jax.nn.sigmoid(rx + rh) * nh)
            h = (1 - z) * n + z * h
            return h, h

        last, states = over_time(step, jnp.zeros((x.shape[0], width)), dense(w["in"], x))
        states = jnp.swapaxes(states, 0, 1)
        fit = jnp.tanh((last @ w["query"])[:, None] + states @ w["key"]) @ w["fit"]
        seen = jnp.einsum("bt,btd->bd", jax.nn.softmax(fit, axis=-1), states)
        return head_of(w["head"], jnp.concatenate((seen, last), axis=-1))

    return weights, forward


def scale(width):
    return {"g": jnp.ones(width), "b": jnp.zeros(width)}


def normalized(layer, x):
    mean = x.mean(axis=-1, keepdims=True)
    variance = jnp.square(x - mean).mean(axis=-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * layer["g"] + layer["b"]


def transformer(vocabulary, context, width, heads, layers):
    def block():
        return {
            "ln1": scale(width),
            "qkv": linear(width, 3 * width),
            "proj": linear(width, width),
            "ln2": scale(width),
            "up": linear(width, 4 * width),
            "down": linear(4 * width, width),
        }

    weights = {
        "tok": weight(vocabulary, width),
        "pos": weight(context, width),
        "blocks": [block() for _ in range(layers)],
        "ln": scale(width),
        "head": weight(width, vocabulary),
    }

    def attention(w, x):
        batch, time, _ = x.shape
        split = [part.reshape(batch, time, heads, -1) for part in jnp.split(dense(w["qkv"], x), 3, axis=-1)]
        q, k, v = (part.transpose(0, 2, 1, 3) for part in split)
        fit = jnp.einsum("bhid,bhjd->bhij", q, k) / jnp.sqrt(q.shape[-1] * 1.0)
        fit = jnp.where(jnp.tril(jnp.ones((time, time), bool)), fit, -jnp.inf)
        seen = jnp.einsum("bhij,bhjd->bhid", jax.nn.softmax(fit, axis=-1), v)
        return dense(w["proj"], seen.transpose(0, 2, 1, 3).reshape(batch, time, width))

    def forward(w, ids):
        x = w["tok"][ids] + w["pos"][: ids.shape[1]]
        for layer in w["blocks"]:
            x = x + attention(layer, normalized(layer["ln1"], x))
            hidden = jax.nn.gelu(dense(layer["up"], normalized(layer["ln2"], x)), approximate=True)
            x = x + dense(layer["down"], hidden)
        return normalized(w["ln"], x) @ w["head"]

    return weights, forward


def dense_alone(inputs, outputs):
    return linear(inputs, outputs, bias=False), dense


def conv28():
    def forward(w, x):
        return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return weight(3, 3, 1, 32), forward


MAKE = {
    "dense64": lambda: dense_alone(64, 64),
    "dense512": lambda: dense_alone(128, 512),
    "conv28": conv28,
    "mlp": mlp,
    "cnn": cnn,
    "rnn": rnn,
    "lstm": lstm,
    "attn": attn,
    "gpt": lambda: transformer(512, 128, 256, 4, 4),
    "gpt2-small": lambda: transformer(50257, 1024, 768, 12, 12),
    "vgg16": vgg16,
}
