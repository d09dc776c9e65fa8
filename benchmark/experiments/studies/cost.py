"""What an activation costs: its time per element, and what it keeps for the backward pass.

Columns of the table, one row per thing that was timed:

    activation, form   "written": the operations of its definition; "trained": as the networks of
                       this project run it, a composite function as one compiled kernel. A native
                       function, and a layer with weights or noise, is the same in both: its
                       "trained" rows repeat the "written" ones.
    exponential        whether the operations of its definition include an exponential
    passes             "forward", "both" (forward and backward), or "next layer" (see below)
    inputs             "normal" (standard normal numbers); for ReLU's sparsity "positive" or
                       "negative" ones, or "half" of them negative; "again": once more (see below)
    elements, threads, rounds
    ms_per_million     time of the fastest round in milliseconds per million output elements (which
                       is ns per element); `median` that of the median round
    kept_input, kept_output, kept_between
                       bytes per output element that this activation in this form keeps for its
                       backward pass: of its input, of its output, of what lies between

The time is that of a loop within a graph, without tracing, less that of an empty loop. The first
round is not counted; each round times everything once, in another order. Tensors that fit into a
cache are there when the time begins. Tensors are float32; layers run as in training: PReLU also
takes its slopes' gradient, randomized ReLU draws its slopes. Maxout reads two inputs for each
output element. Memory is counted in the traced graph: the tensors that the forward pass makes and
an operation of the backward pass reads, but for weights. An input or output that is kept costs
nothing more where the layer before or after keeps it too.

For ReLU's sparsity there are two more questions: its own time where no or all inputs are negative,
and the time of the dense layer that follows ("next layer": the product of ReLU's outputs with a
square matrix, for which all, half or none of them are zeros).

Some work is timed more than once, as something else each time, and tells the noise of the
measurement: ReLU's two passes on "normal" inputs, on these with the sign changed ("half") and on
"normal" ones "again"; the next layer for "half" and for "half" "again".
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.activations import Activation, resolve
from benchmark.errors import RequestError
from benchmark.experiments.base import SIX_AND_TANH, Experiment, Option, Setting
from benchmark.experiments.claims import UNDECIDED, Finding, agreed
from benchmark.formatting import counted, listing
from benchmark.plotting.palette import LineStyle
from benchmark.training.options import listed, whole_number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


REFERENCE = "relu"
CHANNELS = 128
FEWEST, MOST = 2**10, 2**26
# A call goes over this many elements at least, so that starting it weighs little.
ELEMENTS_PER_CALL = 2**19
# As many rounds as go over this many elements, within limits.
ELEMENTS_IN_ALL, FEWEST_ROUNDS, MOST_ROUNDS = 2**26, 3, 17
# Tensors up to this size may lie in a cache: each timing then follows a run that puts them there.
CACHED = 2**22
# Times shorter than this share of the empty loop's are lost in it, and given as that share.
LEAST_SHARE = 0.05
# Inputs with which ReLU's passes, and the next layer, have the same to do.
SAME_WORK = {"both": ("normal", "half", "again"), "next layer": ("half", "again")}
# Smaller factors between two times are taken for noise, however well the controls agree.
CLEARLY = 1.1
# Of many comparisons so many may be beyond the noise, on the wrong side, by chance.
STRAY = 0.05


def sizes_option(value: object) -> list[int]:
    """Return numbers of elements in ascending order.

    Raises:
        RequestError: one is no multiple of 128 from 1024 to 2^26.
    """

    def convert(item: object) -> int:
        elements = whole_number("size", item, FEWEST, MOST)
        if elements % CHANNELS:
            raise RequestError(f"size {elements} cannot be used: give a multiple of {CHANNELS}")
        return elements

    return sorted(listed("sizes", value, convert))


@dataclass(frozen=True)
class _Kernel:
    """An activation in one form: a function of tensors (rows, pieces * channels), its weights."""

    labels: dict[str, Any]
    function: Callable[[Any], Any]
    weights: list[Any]
    pieces: int
    repeats: bool  # whether the trained form is this one too


def kernels_of(entry: Activation) -> list[_Kernel]:
    """Return the activation as written and, where that is another form, as it is trained."""
    from benchmark.analysis.graph_cost import has_exponential, kept_bytes
    from benchmark.training.kept_trainers import compiled

    trained = compiled(entry)
    repeats = trained is entry
    variants = {"written": entry} if repeats else {"written": entry, "trained": trained}
    made = []
    for form, variant in variants.items():
        function, weights = _callable(variant)
        if form == "written":
            exponential = has_exponential(function, entry.pieces * CHANNELS)
        kept = kept_bytes(function, weights, entry.pieces * CHANNELS, CHANNELS)
        labels = {"activation": entry.name, "form": form, "exponential": exponential, **kept}
        made.append(_Kernel(labels, function, weights, entry.pieces, repeats))
    return made


def _callable(entry: Activation) -> tuple[Callable[[Any], Any], list[Any]]:
    """Return the activation as in training, and its weights."""
    import tensorflow as tf

    if not entry.is_layer:
        return entry.make, []
    layer = entry.layer(0)
    layer(tf.zeros((1, entry.pieces * CHANNELS)))
    return lambda x: layer(x, training=True), list(layer.trainable_variables)


@dataclass(frozen=True)
class Case:
    """One thing to be timed: `run` does it so many times."""

    labels: dict[str, Any]
    run: Callable[[int], Any]
    repeats: bool = False


def repeated(step: Callable[[], list[Any]], start: list[Any]) -> Callable[[int], Any]:
    """Return a function that runs a step so many times within a graph.

    The results of each run are carried to the loop's end: otherwise they would not be computed.
    """

    import tensorflow as tf

    @tf.function(autograph=False)
    def loop(times: Any) -> Any:
        return tf.while_loop(
            lambda done, *results: done < times,
            lambda done, *results: (done + 1, *(step() or results)),
            (0, *start),
            parallel_iterations=1,
        )

    return lambda times: loop(tf.constant(times))


def _timed(kernel: _Kernel, x: Any, upstream: Any, passes: str) -> Callable[[int], Any]:
    import tensorflow as tf

    if passes == "forward":
        return repeated(lambda: [kernel.function(x)], [upstream])

    def both() -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = kernel.function(x)
        none = tf.UnconnectedGradients.ZERO
        return [y, *tape.gradient(y, [x, *kernel.weights], upstream, none)]

    return repeated(both, [upstream, x, *map(tf.convert_to_tensor, kernel.weights)])


def _cases(kernels: list[_Kernel], elements: int) -> list[Case]:
    """Return everything to be timed with tensors of that many elements."""
    import tensorflow as tf

    rng = np.random.default_rng(0)

    def normal(channels: int) -> np.ndarray:
        return rng.standard_normal((elements // CHANNELS, channels), np.float32)

    upstream = tf.constant(normal(CHANNELS))
    x = {many: tf.constant(normal(many * CHANNELS)) for many in {k.pieces for k in kernels}}
    made = []
    for kernel in kernels:
        for passes in ("forward", "both"):
            labels = {**kernel.labels, "passes": passes, "inputs": "normal"}
            run = _timed(kernel, x[kernel.pieces], upstream, passes)
            made.append(Case(labels, run, kernel.repeats))
    square = tf.constant(rng.standard_normal((CHANNELS, CHANNELS), np.float32))
    values = {"positive": abs(x[1]), "half": -x[1], "negative": -abs(x[1])}
    own = {**values, "again": tf.identity(x[1])}
    following = {**values, "again": tf.identity(-x[1])}
    for inputs in own:
        labels = {**kernels[0].labels, "inputs": inputs}
        run = _timed(kernels[0], own[inputs], upstream, "both")
        made.append(Case({**labels, "passes": "both"}, run))
        run = _next_layer(kernels[0].function(following[inputs]), square, upstream)
        made.append(Case({**labels, "passes": "next layer"}, run))
    return made


def _next_layer(outputs: Any, square: Any, start: Any) -> Callable[[int], Any]:
    import tensorflow as tf

    return repeated(lambda: [tf.matmul(outputs, square)], [start])


def measure(setting: Setting) -> "pd.DataFrame":
    """Time every activation, and ReLU in any case, at every size; see the module for the table."""
    import pandas as pd
    import tensorflow as tf

    from benchmark.training.setup import keras_defaults

    rows: list[dict[str, Any]] = []
    sizes = setting["sizes"]
    entries = [entry for entry in setting.entries if entry.name != REFERENCE]
    with keras_defaults():
        kernels = [k for entry in [resolve(REFERENCE), *entries] for k in kernels_of(entry)]
        for place, elements in enumerate(sizes):

            def progress(done: int, of: int, place: int = place) -> None:
                setting.progress(place * of + done, len(sizes) * of)

            rows += time_cases(_cases(kernels, elements), elements, progress)
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return pd.DataFrame(rows).assign(threads=threads)


def time_cases(
    cases: list[Case], elements: int, progress: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """Time the cases in rounds, in an order of its own each, and return the table's rows."""
    import tensorflow as tf

    rounds = min(MOST_ROUNDS, max(FEWEST_ROUNDS, ELEMENTS_IN_ALL // elements))
    times = max(1, ELEMENTS_PER_CALL // elements)
    everything = [Case({}, repeated(list, [tf.zeros(1)])), *cases]
    rng = np.random.default_rng(elements)
    spent = np.zeros((len(everything), rounds))
    for number in range(rounds + 1):
        # What comes before one leaves the cache and the allocator in another state.
        for done, place in enumerate(rng.permutation(len(everything))):
            if elements <= CACHED:
                everything[place].run(1)
            start = time.perf_counter()
            everything[place].run(times)
            # The first round traces and compiles.
            if number:
                spent[place, number - 1] = time.perf_counter() - start
            progress(number * len(spent) + done, (rounds + 1) * len(spent))
    idle = spent[0].min()
    net = np.maximum(spent[1:] - idle, LEAST_SHARE * idle) / (times * elements) * 1e9
    rows = []
    for case, own in zip(cases, net):
        row = {**case.labels, "elements": elements, "rounds": rounds}
        row["ms_per_million"] = float(f"{own.min():.4g}")
        row["median"] = float(f"{np.median(own):.4g}")
        rows.append(row)
        if case.repeats:
            rows.append({**row, "form": "trained"})
    return rows


def _fastest(table: "pd.DataFrame", inputs: str = "normal") -> "pd.Series":
    """Return the fastest round's time by passes, form, elements and activation."""
    chosen = table[table["inputs"] == inputs]
    keys = ["passes", "form", "elements", "activation"]
    return chosen.set_index(keys)["ms_per_million"].sort_index()


def _count(elements: int) -> str:
    small = f"{elements:,}".replace(",", "\u202f")
    return f"{elements / 1e6:.3g} million" if elements >= 1e6 else small


def _control(table: "pd.DataFrame") -> "pd.Series":
    """Return by size the greatest factor between timings of the same work."""
    import pandas as pd

    own = table[(table["activation"] == REFERENCE) & (table["form"] == "written")]
    chosen = [own[(own["passes"] == p) & own["inputs"].isin(SAME_WORK[p])] for p in SAME_WORK]
    times = pd.concat(chosen).groupby(["passes", "elements"])["ms_per_million"]
    return (times.max() / times.min()).groupby(level="elements").max()


def noise(table: "pd.DataFrame") -> "pd.Series":
    """Return by size the factor up to which two of the table's times count as equal."""
    return _control(table).clip(lower=CLEARLY)


def _span(numbers: "pd.Series") -> str:
    return " to ".join(dict.fromkeys([f"{numbers.min():.3g}", f"{numbers.max():.3g}"]))


def method(table: "pd.DataFrame") -> str:
    """Say how the times were taken."""
    names = counted(table["activation"].nunique(), "activation")
    sizes = [_count(size) for size in sorted(set(table["elements"]))]
    fewest, most = table["rounds"].min(), table["rounds"].max()
    rounds = f"{most}" if fewest == most else f"{fewest} to {most}"
    both = table[table["passes"] == "both"]
    above = (both["median"] / both["ms_per_million"]).median()
    threads = int(table["threads"].iloc[0])
    on = f"{threads} thread{'s' if threads > 1 else ''}" if threads else "all processor cores"
    return (
        f"Forward and backward pass of {names}, each as its"
        f" definition is written and as it is trained here, over tensors of {listing(sizes)}"
        f" float32 elements on {on}; the fastest of {rounds} rounds, each in"
        f" another order (a median round took {above:.2f} times the fastest)."
        " Timings of the same work (ReLU on normal numbers, on these with the sign changed and once"
        f" more; the next layer twice) differ by factors of up to {_span(_control(table))} by size:"
        f" what differs by no more than that, or than {CLEARLY:g}, counts as equal. Bytes kept for"
        " the backward pass are counted in the graph."
    )


def findings(table: "pd.DataFrame") -> list[Finding]:
    """Say what the table shows of the articles' claims on cost."""
    return [_no_exponential(table), _elu(table), _sparse_time(table), _sparse_memory(table)]


def _sides(ratios: "pd.Series", factors: "pd.Series") -> "tuple[pd.Series, pd.Series]":
    """Return which ratios are above 1, and which below, by more than the noise of their size."""
    limits = factors[ratios.index.get_level_values("elements")].to_numpy()
    return ratios > limits, ratios < 1 / limits


def _clearly(ratios: "pd.Series", factors: "pd.Series") -> bool:
    """Return whether most ratios are clearly above 1, and no more than strays clearly below.

    A few of many comparisons, within the noise or just beyond it, thus change nothing.
    """
    above, below = _sides(ratios, factors)
    return bool(above.mean() > 0.5 and below.mean() <= STRAY)


def _told(ratios: "pd.Series", factors: "pd.Series", more: str, less: str) -> str:
    """Say how many of the comparisons are beyond the noise."""
    above, below = (side.sum() for side in _sides(ratios, factors))
    within = len(ratios) - above - below
    are = "is" if above == 1 else "are"
    return (
        f"Of {counted(len(ratios), 'comparison')}, {above or 'none'} {are} clearly {more}"
        f" (by more than the noise, a factor of {_span(factors)}), {within or 'none'} within the"
        f" noise, {below or 'none'} clearly {less}"
    )


def _no_exponential(table: "pd.DataFrame") -> Finding:
    import pandas as pd

    claim = "ReLU and Leaky ReLU cost less time than activations with an exponential."
    names = sorted(set(table.loc[table["exponential"], "activation"]))
    if not names:
        return Finding(claim, UNDECIDED, "The table lacks any activation with an exponential.")
    if "leaky_relu" not in set(table["activation"]):
        return Finding(claim, UNDECIDED, "The table lacks leaky_relu.")
    times = _fastest(table)["both"].unstack("activation")
    written, trained = times.loc["written"], times.loc["trained"]
    # Where the trained form repeats the written one, it is not another comparison.
    forms = [written[names], trained[names].where(trained != written)]
    ratios = pd.concat(
        form.div(written[cheap], axis=0).stack().dropna()
        for form in forms
        for cheap in (REFERENCE, "leaky_relu")
    )
    factors, by_size = noise(table), ratios.groupby(level="elements")
    even = ratios[~_sides(ratios, factors)[0]].index.get_level_values("activation")
    leaky = written["leaky_relu"] / written[REFERENCE]
    texts = [_range_text(times, names, size) for size in _ends(table)]
    them = f"the {len(names)} with an exponential take" if len(names) > 1 else f"{names[0]} takes"
    evidence = (
        f"Forward and backward, {them}, in units of ReLU's time,"
        f" {'; '.join(texts)}; Leaky ReLU takes {_span(leaky)}."
    )
    evidence += f" {_told(ratios, factors, 'slower', 'faster')} (by size, form, and with either)"
    evidence += f"; those not clearly slower: {listing(sorted(set(even)))}." if len(even) else "."
    return Finding(claim, agreed(by_size.apply(_clearly, factors)), evidence)


def _ends(table: "pd.DataFrame") -> list[int]:
    """Return the smallest and the largest size."""
    return sorted({table["elements"].min(), table["elements"].max()})


def _range_text(times: "pd.DataFrame", names: list[str], elements: int) -> str:
    """Return "1.5 (sigmoid) to 30 (mish) as written and … as trained at 16,384 elements"."""
    texts = {}
    for form in ("written", "trained"):
        ratio = times.loc[(form, elements), names] / times.loc[(form, elements), REFERENCE]
        ends = dict.fromkeys([ratio.idxmin(), ratio.idxmax()])
        text = " to ".join(f"{ratio[name]:.3g} ({name})" for name in ends)
        texts.setdefault(text, []).append(f"as {form}")
    forms = [f"{text} {' and '.join(form)}" for text, form in texts.items()]
    return f"{', '.join(forms)} at {_count(elements)} elements"


def _elu(table: "pd.DataFrame") -> Finding:
    claim = "ELU takes longer to compute than Leaky ReLU, because of its exponential."
    lacking = [name for name in ("elu", "leaky_relu") if name not in set(table["activation"])]
    if lacking:
        return Finding(claim, UNDECIDED, f"The table lacks {listing(lacking)}.")
    times = _fastest(table)["both"]["trained"].unstack("activation")
    ratio = times["elu"] / times["leaky_relu"]
    text = ", ".join(f"{r:.3g} at {_count(elements)}" for elements, r in ratio.items())
    factors = noise(table)
    evidence = (
        f"ELU's forward and backward pass takes so many times as long as Leaky ReLU's, by the"
        f" number of elements: {text}. {_told(ratio, factors, 'slower', 'faster')}."
    )
    return Finding(claim, agreed([_clearly(ratio, factors)]), evidence)


def _sparse_time(table: "pd.DataFrame") -> Finding:
    import pandas as pd

    claim = "ReLU's sparsity saves time: outputs that are zero are cheaper than others."
    none, half, every = (
        _fastest(table, inputs).xs(REFERENCE, level="activation").xs("written", level="form")
        for inputs in ("positive", "half", "negative")
    )
    factors, texts, gains = noise(table), [], []
    for passes, name in (("both", "ReLU's own two passes"), ("next layer", "the next layer")):
        parts = [
            f"{every[passes][size] / none[passes][size]:.2f}"
            f" ({half[passes][size] / none[passes][size]:.2f}) at {_count(size)}"
            for size in sorted(set(table["elements"]))
        ]
        gains += [none[passes] / zeros[passes] for zeros in (every, half)]
        texts.append(f"for {name} {', '.join(parts)}")
    evidence = (
        "The time with all outputs zero (with half of them zero), over that with none zero, by the"
        f" number of elements: {'; '.join(texts)}."
        f" {_told(pd.concat(gains), factors, 'cheaper', 'dearer')}."
    )
    return Finding(claim, agreed(_clearly(gain, factors) for gain in gains), evidence)


def _sparse_memory(table: "pd.DataFrame") -> Finding:
    claim = (
        "ReLU, whose outputs are sparse, keeps less memory for its backward pass than activations"
        " with an exponential, such as sigmoid."
    )
    kept = _kept(table)
    names = sorted(set(table.loc[table["exponential"], "activation"]))
    if not names:
        return Finding(claim, UNDECIDED, "The table lacks any activation with an exponential.")
    own, texts, more = kept["trained"][REFERENCE], [], []
    for form in ("written", "trained"):
        others = kept[form][names]
        more += list(others > own)
        ends = dict.fromkeys([others.idxmin(), others.idxmax()])
        texts.append(
            f"as {form} {(others > own).sum() or 'none'} of {len(names)}"
            f" ({' to '.join(f'{others[name]:.3g} bytes with {name}' for name in ends)})"
        )
    evidence = (
        f"ReLU keeps {own:.3g} bytes per element: its tensors are dense, and the same whatever"
        f" share of them is zero. Of those with an exponential keep more: {', '.join(texts)}."
    )
    return Finding(claim, agreed(more), evidence)


def _kept(table: "pd.DataFrame") -> "pd.Series":
    """Return the bytes kept per element by form and activation."""
    first = table.groupby(["form", "activation"]).first()
    return first[["kept_input", "kept_output", "kept_between"]].sum(axis=1)


def figures(table: "pd.DataFrame", line_styles: "Mapping[str, LineStyle]") -> "dict[str, Figure]":
    """Draw times and memory of all, and times over the size of a few."""
    return {"": _overview(table, line_styles), "sizes": _by_size(table, line_styles)}


# Shorter times than this, in units of ReLU's, are drawn at the axis's end.
LEAST_RATIO = 0.1


def _overview(table: "pd.DataFrame", line_styles: "Mapping[str, LineStyle]") -> "Figure":
    from benchmark.plotting import panels

    largest = table["elements"].max()
    times = _fastest(table)["both"].xs(largest, level="elements")
    order = list(times["trained"].sort_values(ascending=False).index)
    ratios = {form: times[form] / times[form][REFERENCE] for form in ("written", "trained")}
    kept = _kept(table)
    height = max(1.6, 0.19 * len(order)) + 0.45
    figure, (left, right) = panels.grid(2, 2, height, sharey=True)
    figure.get_layout_engine().set(wspace=0.06)
    for place, name in enumerate(order):
        color = line_styles[name].color
        _pair(right, place, kept["written"][name], kept["trained"][name], color)
        written, trained = ratios["written"][name], ratios["trained"][name]
        if trained >= LEAST_RATIO:
            _pair(left, place, written, trained, color)
        else:
            left.plot(LEAST_RATIO, place, "<", color=color, markersize=6)
            left.annotate(
                f"{trained:.1g}",
                (LEAST_RATIO, place),
                (7, 0),
                textcoords="offset points",
                va="center",
            )
    left.set_yticks(range(len(order)), order)
    left.set_ylim(-0.7, len(order) - 0.3)
    left.set_xscale("log")
    _plain_ticks(left, max(r.max() for r in ratios.values()), min(map(min, ratios.values())))
    left.axvline(1, color="0.5", linewidth=0.8)
    left.set_xlabel("Time, forward and backward, over ReLU's")
    left.set_title(f"Time at {_count(largest)} elements", loc="left")
    right.tick_params(left=False)
    right.set_xlim(left=-1)
    right.set_xlabel("Bytes per element")
    right.set_title("Kept for the backward pass", loc="left")
    _forms_legend(figure)
    return figure


def _pair(axes: "Axes", place: int, written: float, trained: float, color: str) -> None:
    """Draw the written form as a ring, the trained one as a dot, and a line between the two."""
    axes.plot([written, trained], [place, place], color=color, linewidth=0.8)
    axes.plot(written, place, "o", color=color, markerfacecolor="none", markersize=5)
    axes.plot(trained, place, "o", color=color, markersize=5)


def _plain_ticks(axes: "Axes", most: float, least: float) -> None:
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if t <= most * 1.3]
    ticks = [t for t in ticks if t >= max(least, LEAST_RATIO) / 1.3]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()


def _forms_legend(figure: "Figure") -> None:
    from matplotlib.lines import Line2D

    ring = Line2D([], [], marker="o", linestyle="", color="0.5", markerfacecolor="none")
    dot = Line2D([], [], marker="o", linestyle="", color="0.5")
    labels = ["as written, where it differs", "as trained here"]
    figure.legend(handles=[ring, dot], labels=labels, loc="outside lower center", ncols=2)


# With more activations than this, the article's six and tanh stand out.
MOST_COLOURED = 10


def _by_size(table: "pd.DataFrame", line_styles: "Mapping[str, LineStyle]") -> "Figure":
    from matplotlib.ticker import LogLocator, NullFormatter

    from benchmark.plotting import panels

    times = _fastest(table)["both"]
    names = list(dict.fromkeys(table["activation"]))
    colored = names
    if len(names) > MOST_COLOURED:
        colored = [name for name in names if name in SIX_AND_TANH]
    figure, axes = panels.grid(2, 2, 2.6, sharex=True, sharey=True)
    for panel, form in zip(axes, ("written", "trained")):
        for name in names:
            line = times[form].xs(name, level="activation")
            line = line[line > 0]
            if name in colored:
                style = {**panels.artist(line_styles[name]), "marker": line_styles[name].marker}
                panel.plot(line.index, line, **style, zorder=3)
            else:
                panel.plot(line.index, line, color="0.5", linewidth=0.5, alpha=0.7)
        panel.set_title(f"As {form}", loc="left")
        panel.set_xlabel("Elements (4 bytes each)")
    axes[0].set_xscale("log", base=2)
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter(NullFormatter())
    own = times.xs(REFERENCE, level="activation")
    axes[0].set_ylim(bottom=0.3 * own[own > 0].min())
    axes[0].set_ylabel("Forward and backward pass\n(ns per element)")
    panels.legend(figure, line_styles, colored, markers=True)
    return figure


EXPERIMENT = Experiment(
    name="cost",
    place=2,
    title="What an activation costs",
    question="How much time and memory does an activation take, and does an exponential show?",
    measure=measure,
    method=method,
    findings=findings,
    figures=figures,
    captions={
        "": "Left: time of the forward and backward pass at the largest size, in units of ReLU's,"
        " on a logarithmic axis; right: bytes per element kept for the backward pass. Rings: as"
        " the definition is written; dots: as the project trains it; an arrowhead: off the axis.",
        "sizes": "Time per element of the forward and backward pass over the number of elements,"
        " as written and as trained. Thin gray lines: the other activations.",
    },
    activations=None,
    seeds=0,
    options=(
        Option(
            "sizes",
            [2**14, 2**17, 2**20, 2**24],
            sizes_option,
            "numbers of elements in a tensor, multiples of 128",
        ),
    ),
    alone=True,
    seconds=35.0,
)
