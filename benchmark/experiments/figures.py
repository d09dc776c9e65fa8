"""The figures of experiments, drawn from their tables."""

from pathlib import Path

from benchmark.errors import one_line
from benchmark.experiments.catalogue import all_experiments, resolve
from benchmark.plotting.palette import all_line_styles
from benchmark.plotting.rendering import rendered
from benchmark.results.folder import Store


def redraw_experiments(store: Store, style: str = "light") -> dict[str, str]:
    """Draw the figures of all experiments anew whose tables are whole.

    Returns why some could not be drawn, by name; a table of another version, for instance.
    """
    undrawn = {}
    for name in all_experiments():
        record = store.measurement(name)
        if not record:
            continue
        try:
            figures = draw_experiment(store, name, style, record.get("places"))
        except Exception as error:
            undrawn[name] = f"{type(error).__name__}: {one_line(error)}"
            continue
        names = [path.name for path in figures]
        store.write_measurement(name, {**record, "style": style, "figures": names})
    return undrawn


def draw_experiment(
    store: Store, name: str, style: str = "light", places: dict[str, int] | None = None
) -> list[Path]:
    """Draw the figures of an experiment from its table; return the paths written.

    `places` gives the places in the palette of activations that are not registered here.

    Raises:
        RequestError: there is no table.
    """
    from benchmark.plotting.style import figure_style

    experiment, table = resolve(name), store.table(f"experiments/{name}.csv")
    paths = []
    with figure_style(style):
        drawn = experiment.figures(table, all_line_styles(table, places or {}))
        for key, figure in drawn.items():
            formats = {ending: rendered(figure, ending) for ending in ("png", "svg")}
            paths += store.write_figure(f"{name}-{key}" if key else name, formats)
    store.remove_figures((name,), keep=paths)
    return paths
