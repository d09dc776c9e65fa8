"""Noise for perf/error_rates.py: scores of activations that have the same mean, in points.

Drawn from recorded runs or from a distribution, independently of each other where not said
otherwise.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmark.activations import ARTICLE_SIX
from benchmark.stats.blocks import blocks

# Accuracy in points; the deviation of differences and the test images are those of digits.
ACCURACY, DEVIATION, STEP, GUESSING = 91.2, 0.73, 100 / 360, 10.0
# Spread of the others, where one activation is of another kind, as a share of its own.
OTHERS = 0.1
Draw = Callable[[np.random.Generator, tuple[int, int, int]], np.ndarray]


@dataclass(frozen=True)
class Noise:
    """What scores are drawn from.

    Attributes:
        draw: takes a generator and the shape (jobs, seeds, activations), returns the scores.
        promised: whether the error rates are promised for it.
        margin: in points.
    """

    name: str
    draw: Draw
    promised: bool = True
    margin: float = 0.5


def noises() -> list[Noise]:
    """Return what is simulated: recorded noise first, then what is promised, then the rest."""
    return [
        Noise("recorded on digits", recorded("digits")),
        Noise("recorded on MNIST", recorded("mnist"), margin=0.1),
        Noise("normal", normal),
        Noise("heavy-tailed (t with 3 degrees of freedom)", heavy_tailed),
        Noise("tied (360 test images)", tied),
        Noise("a fifth of the runs fails to learn", failing),
        Noise("normal, spreads from 1 to 4", unequal, promised=False),
        Noise("the same scores in another order each seed", reordered, promised=False),
        Noise("one activation skewed (exponential)", skewed, promised=False),
        Noise("one activation with two outcomes, 20/80", two_points, promised=False),
        Noise("one activation with two outcomes, 50/50", even_points, promised=False),
    ]


def residuals(dataset: str) -> np.ndarray:
    """Return recorded test accuracies less their activation's and their seed's mean, in points.

    Of the article's activations without sigmoid, which hardly learns on digits and spreads six
    times as wide as the others on MNIST. Scaled up for the means that were estimated.
    """
    runs = pd.read_csv(ROOT / "results/reference" / dataset / "runs.csv")
    block = next(blocks(runs))
    chosen = np.isin(block.activations, [name for name in ARTICLE_SIX if name != "sigmoid"])
    scores = 100 * block.scores["test_accuracy"][:, chosen]
    scores = scores[~np.isnan(scores).any(axis=1)]
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    rows, columns = rest.shape
    return rest.ravel() * np.sqrt(rest.size / ((rows - 1) * (columns - 1)))


def recorded(dataset: str) -> Draw:
    """Return what draws the noise of all activations from the residuals of a dataset."""
    pool = residuals(dataset)
    return lambda generator, shape: ACCURACY + generator.choice(pool, shape)


def normal(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Return normal scores."""
    return generator.normal(ACCURACY, DEVIATION / np.sqrt(2), shape)


def heavy_tailed(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Return scores with the tails of Student's t with 3 degrees of freedom."""
    return ACCURACY + DEVIATION / np.sqrt(6) * generator.standard_t(3, shape)


def tied(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Return normal scores as they are with 360 test images."""
    return STEP * np.round(normal(generator, shape) / STEP)


def failing(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Return normal scores, but those of guessing in a fifth of the runs."""
    return np.where(generator.random(shape) < 0.2, GUESSING, normal(generator, shape))


def unequal(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Return normal scores, of the last activation four times as wide as of the first."""
    return ACCURACY + (normal(generator, shape) - ACCURACY) * np.linspace(1, 4, shape[-1])


def reordered(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the same evenly spaced scores in each seed, in a random order."""
    steps = np.broadcast_to(np.linspace(-1, 1, shape[-1]), shape)
    return ACCURACY + DEVIATION * generator.permuted(steps, axis=-1)


def one_odd(values: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]) -> Draw:
    """Return what draws these values, of mean 0 and variance 1, for the first activation alone."""

    def draw(generator: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
        scores = ACCURACY + OTHERS * (normal(generator, shape) - ACCURACY)
        scores[..., 0] += DEVIATION * values(generator, shape[:2])
        return scores

    return draw


skewed = one_odd(lambda generator, shape: generator.exponential(size=shape) - 1)
two_points = one_odd(lambda generator, shape: np.where(generator.random(shape) < 0.2, 2, -0.5))
even_points = one_odd(lambda generator, shape: generator.choice([-1.0, 1.0], shape))
