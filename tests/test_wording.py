"""Texts are right for images and for signals alike."""

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmark.experiments import catalogue as experiments
from benchmark.experiments.base import Experiment
from benchmark.plotting.catalogue import KINDS

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "results" / "reference" / "mnist1d" / "experiments"
TEMPLATES = sorted((ROOT / "benchmark" / "report" / "templates").iterdir())


def of_images_only(text: str) -> list[str]:
    return re.findall(r"\b(?:image|pixel)s?\b", text, re.IGNORECASE)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates(template):
    assert not of_images_only(template.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_figures(kind):
    assert not of_images_only(f"{kind.title} {kind.caption} {kind.measure}")


@pytest.mark.parametrize("made", experiments.all_experiments().values(), ids=lambda made: made.name)
def test_experiments(made: Experiment):
    table = pd.read_csv(TABLES / f"{made.name}.csv")
    texts = [made.method(table), *made.captions.values()]
    texts += [f"{finding.claim} {finding.evidence}" for finding in made.findings(table)]
    assert not of_images_only(" ".join(texts))
