"""What an experiment is: a question, how it is measured, drawn and judged.

Each is a file in `studies` that defines `EXPERIMENT`. It is found by itself, and shows in the
command line, the figures and the report. Importing one loads nothing heavy: TensorFlow, pandas and
matplotlib are imported in the functions that need them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.activations import ARTICLE_SIX, Activation
from benchmark.experiments.claims import Finding
from benchmark.plotting.palette import LineStyle

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from benchmark.data.loading import Split

SIX_AND_TANH = (*ARTICLE_SIX, "tanh")


@dataclass(frozen=True)
class Option:
    """A setting of an experiment beside activations and seeds: `--depths` for the name "depths".

    `convert` makes of a text, as on the command line, or of a value from Python what `measure`
    wants, and raises RequestError for a bad one; `default` is given in the latter form.
    """

    name: str
    default: Any
    convert: Callable[[Any], Any]
    help: str


@dataclass(frozen=True)
class Setting:
    """What an experiment is to measure.

    Attributes:
        entries: the activations.
        seeds: the seeds; empty for an experiment that draws nothing at random.
        options: the experiment's own options by name.
        dataset: name of the dataset; "" for an experiment without data.
        data: its examples and labels; None for an experiment without data.
        progress: to be called now and then with the parts done and the parts in all.
    """

    entries: tuple[Activation, ...]
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    dataset: str = ""
    data: "Split | None" = None
    progress: Callable[[int, int], None] = lambda done, of: None

    def __getitem__(self, option: str) -> Any:
        return self.options[option]

    def pixels(self, part: str, standardized: bool = False) -> "np.ndarray":
        """Return the examples of "train", "val" or "test" as rows of float32 numbers, (n, inputs).

        Images lie in [0, 1] as in the comparison; standardized, the training examples' numbers have
        together mean 0 and variance 1.
        """
        import numpy as np

        assert self.data is not None
        scale = self.data.scale

        def flat(name: str) -> "np.ndarray":
            examples = getattr(self.data, f"x_{name}")
            return examples.reshape(len(examples), -1).astype(np.float32) / scale

        if not standardized:
            return flat(part)
        train = flat("train")
        return (flat(part) - train.mean()) / train.std()

    def labels(self, part: str) -> "np.ndarray":
        """Return the classes of "train", "val" or "test", int64 (n,)."""
        return getattr(self.data, f"y_{part}").astype("int64")


@dataclass(frozen=True)
class Experiment:
    """One question from the theory.

    Attributes:
        name: as on the command line; its table is experiments/NAME.csv.
        place: where it stands in the report, from 1.
        title: a short heading.
        question: what it asks, one sentence for `--help` and the report.
        measure: makes the table of a setting. A function of the setting alone.
        method: says of a table what was done, in one to three sentences.
        findings: says of a table, as pandas reads it from its file, what it shows of each claim.
            Must cope with any choice of activations.
        figures: draws a table. Keys end the files' names: "" gives NAME.png, "share"
            NAME-share.png. `line_styles` has every activation of the table.
        captions: what each figure shows, by the same keys; also its alternative text.
        activations: by default; None is the whole catalogue.
        seeds: how many by default; 0 for an experiment that draws nothing at random.
        options: further settings.
        images: whether it needs a dataset, of images or signals.
        alone: whether nothing else may run beside it, because it takes time.
        seconds: about how long it takes on one core by default: long ones start first.
        protocol: raised when the same settings would give other numbers than before.
    """

    name: str
    place: int
    title: str
    question: str
    measure: Callable[[Setting], "pd.DataFrame"]
    method: Callable[["pd.DataFrame"], str]
    findings: Callable[["pd.DataFrame"], list[Finding]]
    figures: Callable[["pd.DataFrame", Mapping[str, "LineStyle"]], dict[str, "Figure"]]
    captions: Mapping[str, str]
    activations: tuple[str, ...] | None = SIX_AND_TANH
    seeds: int = 3
    options: tuple[Option, ...] = ()
    images: bool = False
    alone: bool = False
    seconds: float = 30.0
    protocol: int = 1
