"""What the graph of a function says about its cost. Importing this loads TensorFlow."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from benchmark.activations.types import Elementwise, Tensor

# Operations that compute an exponential, by the start of their names, but for these others.
_EXPONENTIAL = ("Exp", "Tanh", "Sinh", "Cosh", "Sigmoid", "Elu", "Selu", "Softplus", "Erf")
_NOT_EXPONENTIAL = ("ExpandDims",)
# Operations whose output is their input, and those that read no more of a tensor than its shape.
_SAME = ("Identity", "IdentityN", "Reshape", "ExpandDims", "Squeeze", "StopGradient")
_SHAPE_ONLY = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
# Rows of the tensors looked at: next to so many, a weight is nothing.
_ROWS = 2**12


def has_exponential(function: Elementwise, channels: int = 1) -> bool:
    """Return whether the operations of a function of (rows, channels) include an exponential."""
    traced = tf.function(function, autograph=False).get_concrete_function(
        tf.TensorSpec((1, channels))
    )
    graph = traced.graph.as_graph_def()
    inner = (node for function in graph.library.function for node in function.node_def)
    return any(
        node.op.startswith(_EXPONENTIAL) and node.op not in _NOT_EXPONENTIAL
        for node in (*graph.node, *inner)
    )


def kept_bytes(
    function: Elementwise, weights: Sequence[tf.Variable] = (), inputs: int = 1, outputs: int = 1
) -> dict[str, float]:
    """Return the bytes per output element that the backward pass reads from the forward pass.

    Args:
        function: of a float32 tensor (rows, inputs), to (rows, outputs).
        weights: its variables, which need a gradient too.
        inputs: length of a row of its input.
        outputs: length of a row of its output.

    Returns the bytes of the input, of the output and of what lies between, under "kept_input",
    "kept_output" and "kept_between". Only what grows with the rows is counted, and no tensor of
    which the shape alone is read.
    """
    forward: set[str] = set()
    ends: dict[str, Any] = {}

    def both(x: Tensor, upstream: Tensor) -> list[Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        forward.update(op.name for op in x.graph.get_operations())
        none = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(y, [x, *weights], upstream, none)
        ends.update(x=x, y=y, upstream=upstream, gradients=gradients)
        return gradients

    x = tf.TensorSpec((_ROWS, inputs))
    upstream = tf.TensorSpec((_ROWS, outputs))
    tf.function(both, autograph=False).get_concrete_function(x, upstream)
    totals = {"kept_input": 0.0, "kept_output": 0.0, "kept_between": 0.0}
    names = {_origin(ends["y"]).name: "kept_output", ends["x"].name: "kept_input"}
    for tensor in _read_by_backward(ends["gradients"], forward, ends["upstream"]):
        size = (tensor.shape.num_elements() or 0) * tensor.dtype.size
        totals[names.get(tensor.name, "kept_between")] += size / (_ROWS * outputs)
    return {name: round(size, 2) for name, size in totals.items()}


def _read_by_backward(gradients: list[Tensor], forward: set[str], upstream: Tensor) -> list[Tensor]:
    """Return the forward pass's tensors that the operations behind the gradients read."""
    read: dict[str, Tensor] = {}
    seen: set[str] = set()
    waiting = [gradient.op for gradient in gradients]
    while waiting:
        op = waiting.pop()
        if op.name in forward or op.name in seen or op.type in _SHAPE_ONLY:
            continue
        seen.add(op.name)
        for tensor in op.inputs:
            waiting.append(tensor.op)
            tensor = _origin(tensor)
            if tensor.op.name in forward and tensor is not upstream:
                read[tensor.name] = tensor
    return list(read.values())


def _origin(tensor: Tensor) -> Tensor:
    """Return the tensor whose memory this one shares."""
    while tensor.op.type in _SAME:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor
