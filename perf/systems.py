"""The systems that are timed against each other, each in a process of its own.

`python perf/systems.py SYSTEM THREADS` reads lines `ACTIVATION STEPS` and answers each with the
seconds that these training steps of 128 images took, and the process's peak memory in megabytes.
The first line of an activation also builds its network; its time is not for quoting.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

BATCH = 128
EXAMPLES = 48_000


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images (n, 28, 28, 1), two thirds background as in MNIST, and labels (n,)."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (EXAMPLES, 28, 28, 1), np.uint8)
    pixels[draw.random(pixels.shape, np.float32) < 2 / 3] = 0
    return pixels, draw.integers(0, 10, EXAMPLES).astype(np.uint8)


class Ours:
    """The benchmark's own engine, as its workers run it."""

    def __init__(self, threads: int) -> None:
        from benchmark.training import environment

        environment.settle()
        from benchmark.data import loading
        from benchmark.training.setup import configure

        configure(threads)
        x, y = images()
        few = x[:BATCH], y[:BATCH]
        self._data = loading.Split(x, y, *few, *few, scale=255.0, classes=10)
        self._trainers: dict[str, Any] = {}

    def _trainer(self, activation: str) -> Any:
        from benchmark.activations import resolve
        from benchmark.models.networks import build_cnn
        from benchmark.training import kept_trainers
        from benchmark.training.spec import RunSpec
        from benchmark.training.trainer import Trainer

        if activation not in self._trainers:
            model = build_cnn(kept_trainers.compiled(resolve(activation)), (28, 28, 1))
            spec = RunSpec("mnist", activation, 0)
            self._trainers[activation] = Trainer(spec, model, self._data)
        return self._trainers[activation]

    def run(self, activation: str, steps: int) -> float:
        """Train that many steps and return the seconds."""
        trainer = self._trainer(activation)
        start = time.perf_counter()
        for done, _ in trainer.train_epoch(1):
            if done >= steps:
                break
        return (time.perf_counter() - start) * steps / done


class PlainKeras:
    """`model.fit` on float arrays: perf/article_keras.py."""

    def __init__(self, threads: int) -> None:
        import keras
        import tensorflow as tf

        # 0 leaves TensorFlow its own choice, which is what the script has.
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        x, y = images()
        self._x = x.astype(np.float32) / 255
        self._y = keras.utils.to_categorical(y, 10)
        self._models: dict[str, Any] = {}

    def run(self, activation: str, steps: int) -> float:
        """Fit on that many batches and return the seconds."""
        import article_keras

        if activation not in self._models:
            self._models[activation] = article_keras.build_cnn(activation)
        part = slice(0, steps * BATCH)
        start = time.perf_counter()
        self._models[activation].fit(self._x[part], self._y[part], batch_size=BATCH, verbose=0)
        return time.perf_counter() - start


class Torch:
    """The same network in PyTorch, channels last; `compiled` with `torch.compile`."""

    def __init__(self, threads: int, compiled: bool = False) -> None:
        import torch

        torch.set_num_threads(threads)
        x, y = images()
        pixels = torch.from_numpy(x.astype(np.float32) / 255).permute(0, 3, 1, 2)
        self._x = pixels.contiguous(memory_format=torch.channels_last)
        self._y = torch.from_numpy(y.astype(np.int64))
        self._compiled = compiled
        self._steps: dict[str, Any] = {}

    def _step(self, activation: str) -> Any:
        import torch
        from torch import nn

        kinds = {
            "sigmoid": nn.Sigmoid,
            "relu": nn.ReLU,
            "elu": nn.ELU,
            "leaky_relu": lambda: nn.LeakyReLU(0.2),
            "selu": nn.SELU,
            "gelu": lambda: nn.GELU("tanh"),
        }
        act = kinds[activation]
        drop = nn.AlphaDropout if activation == "selu" else nn.Dropout
        layers = [nn.Conv2d(1, 32, 3), act(), nn.Conv2d(32, 64, 3), act(), nn.MaxPool2d(2)]
        layers += [drop(0.25), nn.Flatten(), nn.Linear(9216, 128), act(), drop(0.5)]
        model = nn.Sequential(*layers, nn.Linear(128, 10)).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7)
        forward = torch.compile(model) if self._compiled else model
        loss = nn.CrossEntropyLoss()

        def step(batch: Any) -> None:
            optimizer.zero_grad(set_to_none=True)
            loss(forward(self._x[batch]), self._y[batch]).backward()
            nn.utils.clip_grad_value_(model.parameters(), 0.5)
            optimizer.step()

        return step

    def run(self, activation: str, steps: int) -> float:
        """Train that many steps and return the seconds."""
        import torch

        if activation not in self._steps:
            self._steps[activation] = self._step(activation)
        order = torch.randperm(EXAMPLES)
        start = time.perf_counter()
        for first in range(0, steps * BATCH, BATCH):
            self._steps[activation](order[first : first + BATCH])
        return time.perf_counter() - start


class MatrixProduct:
    """The machine's limit: the network's multiply-adds in large float32 matrix products."""

    SIDE = 2048

    def __init__(self, threads: int) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        self._a = tf.random.stateless_normal((self.SIDE, self.SIDE), (1, 2))
        self._product = tf.function(lambda a: tf.linalg.matmul(a, a))

    def run(self, activation: str, steps: int) -> float:
        """Return the seconds that many steps would take at the rate measured now."""
        from benchmark.models.networks import NETWORKS

        start = time.perf_counter()
        for _ in range(8):
            product = self._product(self._a)
        product.numpy()
        seconds = (time.perf_counter() - start) / 8
        # Forward, and backward to weights and to inputs; the first layer has no inputs' gradient.
        first = 26 * 26 * 9 * 32
        work = (3 * NETWORKS["cnn"].multiply_adds((28, 28)) - first + 3 * 128 * 10) * BATCH * steps
        return seconds * work / self.SIDE**3


SYSTEMS = {
    "ours": Ours,
    "keras": PlainKeras,
    "torch": Torch,
    "torch-compiled": lambda threads: Torch(threads, compiled=True),
    "limit": MatrixProduct,
}


def main() -> None:
    """Answer requests until the input ends."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from benchmark.results.provenance import peak_memory_mb

    system = SYSTEMS[sys.argv[1]](int(sys.argv[2]))
    print("ready", file=answers)
    for line in sys.stdin:
        activation, steps = line.split()
        print(system.run(activation, int(steps)), peak_memory_mb(), file=answers)


if __name__ == "__main__":
    main()
