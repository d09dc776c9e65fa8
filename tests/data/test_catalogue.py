from benchmark.data import catalogue


def test_catalogue_order():
    assert catalogue.NAMES == ("mnist", "fashion_mnist", "digits", "mnist1d")
    assert all(entry.name == name for name, entry in catalogue.CATALOGUE.items())
