"""What is compared: inputs of each model, and the batches of inference and training."""

# Shape of a row, number of classes, and whether rows are tokens (then so are labels).
INPUTS = {
    "mlp": ((784,), 10, False),
    "cnn": ((28, 28, 1), 10, False),
    "rnn": ((100, 1), 10, False),
    "lstm": ((100, 8), 10, False),
    "attn": ((100, 1), 10, False),
    "gpt": ((128,), 512, True),
    "vgg16": ((224, 224, 3), 1000, False),
    "gpt2-small": ((128,), 50257, True),
    "dense64": ((64,), 64, False),
    "dense512": ((128,), 512, False),
    "conv28": ((28, 28, 1), 32, False),
}

# Single products and convolutions, by the size of a batch.
SMALL = {"dense64": (64, 32), "dense512": (1,), "conv28": (1,)}
INFERENCE = {"vgg16": (1,), "gpt2-small": (1,)}
TRAINING = {"gpt": (8,), "vgg16": (), "gpt2-small": (1,)}


def cases(models):
    """(model, mode, batch) in the order of the table."""
    for model in models:
        for batch in SMALL.get(model, ()):
            yield model, "small", batch
    models = [model for model in models if model not in SMALL]
    for model in models:
        for batch in INFERENCE.get(model, (1, 32)):
            yield model, "infer", batch
    for model in models:
        for batch in TRAINING.get(model, (32, 128)):
            yield model, "train", batch
