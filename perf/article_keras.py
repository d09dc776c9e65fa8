"""The article's script as a competent user would write it in plain Keras 3 today.

Usage: python perf/article_keras.py --data-dir FOLDER --activations relu,gelu --epochs 1

`model.fit` on float arrays, activations as the article defines them, TensorFlow's own threading.
It shares no code with the benchmark: it is what the benchmark is measured against.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

ACTIVATIONS = ("sigmoid", "relu", "elu", "leaky_relu", "selu", "gelu")


def gelu(x: tf.Tensor) -> tf.Tensor:
    """GELU as the article writes it."""
    return 0.5 * x * (1 + tf.tanh(tf.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3))))


def leaky_relu(x: tf.Tensor) -> tf.Tensor:
    """Leaky ReLU with the article's slope."""
    return tf.nn.leaky_relu(x, alpha=0.2)


OWN = {"gelu": gelu, "leaky_relu": leaky_relu}


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return MNIST as float32 images (n, 28, 28, 1) in [0, 1] and one-hot labels (n, 10)."""
    with np.load(folder / "mnist.npz") as data:
        arrays = {name: data[name] for name in data.files}
    images = [arrays[f"x_{part}"][..., None].astype("float32") / 255 for part in ("train", "test")]
    labels = [keras.utils.to_categorical(arrays[f"y_{part}"], 10) for part in ("train", "test")]
    return images[0], labels[0], images[1], labels[1]


def build_cnn(name: str) -> keras.Model:
    """Return the article's network, compiled with its optimizer."""
    activation = OWN.get(name, name)
    selu = name == "selu"
    start = {"kernel_initializer": "lecun_normal"} if selu else {}
    dropout = layers.AlphaDropout if selu else layers.Dropout
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation=activation, **start),
            layers.Conv2D(64, 3, activation=activation, **start),
            layers.MaxPooling2D(2),
            dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation=activation, **start),
            dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adam(clipvalue=0.5)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Train each activation in turn, as the article does."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--activations", default=",".join(ACTIVATIONS))
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    x_train, y_train, _, _ = load(options.data_dir)
    for name in options.activations.split(","):
        start = time.perf_counter()
        build_cnn(name).fit(
            x_train, y_train, validation_split=0.2, batch_size=128, epochs=options.epochs, verbose=2
        )
        print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
