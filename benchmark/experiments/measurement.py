"""An experiment as a task: its table measured, its figures drawn, its record written."""

import contextlib
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmark.activations import packing, resolve
from benchmark.data import loading
from benchmark.errors import RequestError
from benchmark.execution.task import (
    EVENT_SECONDS,
    Record,
    Report,
    Settings,
    configure_for,
    error_line,
    output_into,
    split_of,
)
from benchmark.experiments import catalogue
from benchmark.experiments.base import Experiment, Setting
from benchmark.experiments.request import MeasurementSpec
from benchmark.results.folder import Store


@dataclass(frozen=True)
class Measurement:
    """One experiment. `facts` go into its record; `fresh` does it again where it is done."""

    spec: MeasurementSpec
    located: loading.Located | None
    output: str
    user_activations: bytes
    facts: dict[str, Any]
    fresh: bool
    style: str

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.spec.experiment

    @property
    def label(self) -> str:
        """What the display calls it."""
        return self.name

    @property
    def settings(self) -> Settings:
        """What TensorFlow must be set to."""
        return Settings(self.spec.threads, self.spec.device, self.spec.deterministic)

    @property
    def seconds(self) -> float:
        """About how long it takes by default."""
        return self.experiment.seconds

    @property
    def quiet_seconds(self) -> float:
        """All of it: not every experiment reports on its way."""
        return self.seconds

    @property
    def alone(self) -> bool:
        """Whether it measures time."""
        return self.experiment.alone

    @property
    def experiment(self) -> Experiment:
        """What is measured."""
        return catalogue.resolve(self.name)

    @property
    def _store(self) -> Store:
        return Store(self.output)

    def is_done(self) -> bool:
        """Return whether it is measured and drawn as asked for, and not to be done again."""
        record = self.finished()
        if record is None:
            return False
        figures = {path.name for path in self._store.figures(self.name)}
        drawn = record.get("style") == self.style and "figures" in record
        return drawn and set(record["figures"]) <= figures

    def finished(self) -> Record | None:
        """Return the record if it was measured with this very spec and is not wanted again."""
        if self.fresh:
            return None
        record = self._store.measurement(self.name)
        return record if record and record["spec"] == self.spec.as_json() else None

    def execute(self, report: Report) -> Record:
        """Do the experiment in this process, as far as it is not done, and return its record.

        One that raises is recorded as failed; the exception does not get out.
        """
        report({"run": self.name, "kind": "start"})
        try:
            with self._store.experiment_lock(self.name), output_into(os.devnull):
                record = self._execute(report)
        except Exception as error:
            record = self.failed(error_line(error), traceback.format_exc())
        report({"run": self.name, "kind": "end"})
        return record

    def failed(self, error: str, text: str = "") -> Record:
        """Write down why the experiment could not be done, and return its record."""
        with contextlib.suppress(OSError):
            self._store.write_failure(self.name, f"{error}\n{text}")
        return {"run": self.name, "status": "failed", "error": error}

    def _execute(self, report: Report) -> Record:
        from benchmark.experiments.figures import draw_experiment

        if self.user_activations:
            # They load TensorFlow, and a plug-in's colors are wanted for drawing too.
            configure_for(self.settings)
            packing.unpack(self.user_activations)
        record = self.finished() or self._measure(report)
        places = {name: resolve(name).index for name, _ in self.spec.activations}
        paths = draw_experiment(self._store, self.name, self.style, places)
        figures = [path.name for path in paths]
        record |= {"places": places, "style": self.style, "figures": figures}
        self._store.write_measurement(self.name, record)
        return {**record, "run": self.name}

    def _measure(self, report: Report) -> Record:
        """Write the table and return the record, without what is known of the figures."""
        configure_for(self.settings)
        start = time.perf_counter()
        table = self.experiment.measure(self._setting(report))
        self._store.write_experiment(self.name, table)
        return {
            "experiment": self.name,
            "status": "complete",
            "spec": self.spec.as_json(),
            "seconds": round(time.perf_counter() - start, 1),
            **self.facts,
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def _setting(self, report: Report) -> Setting:
        data = None
        if self.spec.dataset and self.located:
            sha256, data = split_of(self.located, "holdout")
            if sha256 != self.spec.data_sha256:
                raise RequestError(f"the files of {self.spec.dataset} changed while the job ran")
        return Setting(
            entries=tuple(resolve(name) for name, _ in self.spec.activations),
            seeds=self.spec.seeds,
            options=dict(self.spec.options),
            dataset=self.spec.dataset,
            data=data,
            progress=_progress(self.name, report),
        )


def _progress(name: str, report: Report) -> Callable[[int, int], None]:
    """Return what an experiment calls with the parts done and the parts in all."""
    last = 0.0

    def progress(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > EVENT_SECONDS:
            last = time.monotonic()
            share = done / max(of, 1)
            report({"run": name, "kind": "progress", "share": share, "detail": ""})

    return progress


def tasks_for(
    specs: list[MeasurementSpec],
    store: Store,
    located: loading.Located | None,
    facts: dict[str, Any],
    fresh: bool,
    style: str,
) -> list[Measurement]:
    """Return a task for each experiment. `facts` go into each record."""
    activations = [resolve(name) for spec in specs for name, _ in spec.activations]
    users = list({one.name: one for one in activations if one.is_user}.values())
    packed = packing.pack(users) if users else b""
    output = str(store.path.resolve())
    return [Measurement(spec, located, output, packed, facts, fresh, style) for spec in specs]
