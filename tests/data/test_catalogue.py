from benchmark.data import catalogue
from benchmark.stats.summary import LEVELS


def test_catalogue_order():
    assert catalogue.NAMES == ("mnist", "fashion_mnist", "digits", "mnist1d")
    assert all(entry.name == name for name, entry in catalogue.CATALOGUE.items())


def test_what_is_said_of_each_dataset():
    assert {name: entry.margin for name, entry in catalogue.CATALOGUE.items()} == {
        "mnist": 0.1,
        "fashion_mnist": 0.5,
        "digits": 0.5,
        "mnist1d": 0.5,
    }
    # Each has targets for time_to_accuracy.csv.
    assert set(LEVELS) == set(catalogue.NAMES)
