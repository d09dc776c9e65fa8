import threading

import cloudpickle
import numpy as np
import pytest
import tensorflow as tf

from benchmark.activations import packing, register_activation, resolve
from benchmark.errors import RequestError


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()

    @register_activation
    def guarded(x):
        with lock:
            return x

    with pytest.raises(RequestError, match="'guarded' cannot be sent to a worker"):
        packing.pack([resolve("guarded")])


def test_catalogue_entries_need_no_packing():
    assert cloudpickle.loads(packing.pack([])) == []


def test_function_that_was_used_in_a_graph_can_be_sent():
    @tf.function
    def helper(x):
        return 2.0 * x

    @register_activation
    @tf.function
    def used(x):
        return helper(x) + 1.0

    before = resolve("used").make(tf.ones(3)).numpy()
    (entry,) = packing.unpack(packing.pack([resolve("used")]))
    assert np.array_equal(entry.make(tf.ones(3)), before)
