"""Whether networks can be trained with a user's function. Importing this loads TensorFlow.

What is checked is what runs: in a graph, compiled where training compiles it, and traced more than
once.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from benchmark.activations.gradients import value_and_gradient, value_and_slope, wrong_slope
from benchmark.activations.kernels import fused
from benchmark.activations.registry import Activation
from benchmark.activations.types import Elementwise, Tensor
from benchmark.errors import RequestError, one_line

# f(x) and f'(x) in the shape of x, and a function that gives them.
Results: TypeAlias = Sequence[np.ndarray]
Form: TypeAlias = Callable[[np.ndarray], Results]

# As the comparison's convolutions and dense layers have it; channels that gates can halve.
_SHAPES = ((4, 2, 3, 100), (24, 100))
# Fewer of the same points in another order, other batch and channels.
_OTHER_SHAPE = (16, 60)
# Of numbers that should be equal: compiled for another shape they are rounded otherwise.
_RELATIVE, _ABSOLUTE = 1e-4, 1e-5

_TENSORS = (
    "the function gets tensors, not numbers: for `if` take tf.where or keras.ops.where, for"
    " functions of NumPy or math those of TensorFlow or keras.ops"
)
_TRAP = (
    "where tf.where picks between two formulas, the gradients of both are computed, and 0 times an"
    " infinite slope of the other one is NaN: keep its argument where its slope is finite, as in"
    " tf.sqrt(tf.maximum(x, 1.0))"
)


class Verdict(NamedTuple):
    """What the check of a function found: whether it can be compiled, and warnings, a line each."""

    compiled: bool
    warnings: list[str]


def check(entry: Activation, device: str = "CPU") -> Verdict:
    """Check a user's function before it is trained with.

    Shape, dtype and gradient; then, in the form that is trained on that device ("CPU" or "GPU"):
    finite values and gradients in float32 on [-30, 30], and each element treated alone. Where only
    the compiled form fails, the verdict is that it is not to be compiled. Warnings are of that, of
    what fails up to ±1e4, and of a gradient that is not the slope of the values.

    Raises:
        RequestError: the function does not pass; the message names it.
    """
    about = f"activation {entry.name!r}"
    _check_structure(about, entry.make)

    def compiled() -> Form:
        if device == "GPU":
            return _form(entry.make, jit_compile=True)
        # Without its cache: traced anew.
        return _form(fused.__wrapped__(entry.make))

    def uncompiled() -> Form:
        return _form(entry.make)

    form, failure = _trained_form(about, compiled, uncompiled)
    _check_alone(about, uncompiled if failure else compiled, form)
    warnings = [*failure, *_warnings_far_out(about, form), *_warnings_of_slope(about, form)]
    return Verdict(not failure, warnings)


def _trained_form(
    about: str, compiled: Callable[[], Form], uncompiled: Callable[[], Form]
) -> tuple[Form, list[str]]:
    """Return the compiled form where it is finite, else the other one and a warning."""
    form = compiled()
    try:
        _check_finite(about, form)
        return form, []
    except RequestError as error:
        form = uncompiled()
        try:
            _check_finite(about, form)
        except RequestError:
            raise error from None
        reason = str(error).removeprefix(f"{about} ")
        warning = f"{about} is trained uncompiled, which takes longer, since compiled it {reason}"
        return form, [warning]


def _form(function: Elementwise, jit_compile: bool | None = None) -> Form:
    """Return it as a layer of a network calls it: in a graph, which Keras does not convert."""

    @functools.partial(tf.function, autograph=False, jit_compile=jit_compile)
    def traced(x: Tensor) -> tuple[Tensor, Tensor]:
        return value_and_slope(function, x)

    return lambda x: tuple(part.numpy() for part in traced(tf.constant(x)))


def _points() -> np.ndarray:
    """Return points on [-30, 30] (2400,), shuffled: neighbors have nothing in common."""
    grid = np.linspace(-30.0, 30.0, 2401, dtype=np.float32)[:-1]
    return np.random.default_rng(0).permutation(grid)


def _check_structure(about: str, function: Elementwise) -> None:
    """Check that it can be traced, and the shapes and types of what it returns."""

    @tf.function
    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        return value_and_gradient(function, x)

    for shape in _SHAPES:
        x = tf.constant(_points().reshape(shape))
        try:
            value, gradient = evaluate(x)
            # As when a model is built, with the size of the batch unknown.
            evaluate.get_concrete_function(tf.TensorSpec((None, *shape[1:])))
        except Exception as error:
            raise RequestError(f"{about} raises {_reason(error, function)}") from error
        _check_value(about, x, value)
        if gradient is None:
            raise RequestError(f"{about} has no gradient: use differentiable operations of tensors")
        if gradient.shape != x.shape:
            raise RequestError(
                f"{about} has a gradient of shape {tuple(gradient.shape)} for an input of shape"
                f" {shape}: what its tf.custom_gradient returns must have the input's shape"
            )


def _check_value(about: str, x: Tensor, value: Tensor) -> None:
    shape, returned = tuple(x.shape), tuple(value.shape)
    if returned[:-1] == shape[:-1] and returned[-1] < shape[-1]:
        raise RequestError(
            f"{about} is gated: it returns {returned[-1]} channels for {shape[-1]}, and layers keep"
            " their width here; give a form that keeps the shape, x * tf.sigmoid(x) for instance"
        )
    if returned != shape:
        raise RequestError(
            f"{about} returns shape {returned} for an input of shape {shape}: it must keep the"
            " shape"
        )
    if value.dtype != x.dtype:
        raise RequestError(
            f"{about} returns {value.dtype.name} for {x.dtype.name}: it must keep the dtype"
        )


def _reason(error: Exception, function: Elementwise) -> str:
    """Return what went wrong in a trace, in one line; of Python on tensors, what to do instead."""
    # AutoGraph rewrites functions and wraps their errors in its own.
    plain_form = _form(function)
    try:
        plain_form(_points().reshape(_SHAPES[0]))
    except Exception as plain:
        error = plain
    if "symbolic" in str(error).lower():
        return f"{type(error).__name__}: {one_line(error).split('. ')[0]}; {_TENSORS}"
    return f"{type(error).__name__}: {one_line(error)[:300]}"


def _results(about: str, form: Form, x: np.ndarray) -> Results:
    try:
        return form(x)
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)[:300]}"
        raise RequestError(f"{about} cannot be part of a graph: {reason}") from error


def _check_finite(about: str, form: Form) -> None:
    x = _points().reshape(_SHAPES[0])
    for what, numbers in zip(("value", "gradient"), _results(about, form, x)):
        bad = x[~np.isfinite(numbers)]
        if bad.size:
            trap = f"; {_TRAP}" if what == "gradient" else ""
            raise RequestError(
                f"{about} has a {what} that is not finite at x = {bad.min():g}: it must be finite"
                f" on [-30, 30]{trap}"
            )


def _check_alone(about: str, new_form: Callable[[], Form], form: Form) -> None:
    """Check that an element's value and slope are the same in any company; `new_form` traces the
    form anew."""
    points = _points()
    few = np.random.default_rng(1).permutation(len(points))[: math.prod(_OTHER_SHAPE)]
    x = points.reshape(_SHAPES[0])
    results = form(x)
    others = _results(about, form, points[few].reshape(_OTHER_SHAPE))
    if _agree([numbers.ravel()[few] for numbers in results], others):
        return
    if not _agree(results, form(x)):
        reason = (
            "gives the same input another value in each call: noise is not supported, the value"
            " must be a function of the input alone"
        )
    elif not _agree(results, new_form()(x)):
        reason = (
            "gives other values each time it is traced: a random number that Python or NumPy draws"
            " in it is drawn once and stays; make it a constant"
        )
    else:
        reason = (
            "gives an element another value in another batch or beside other channels: it must"
            " treat each element alone, and batches are trained in parts"
        )
    raise RequestError(f"{about} {reason}")


def _agree(first: Results, second: Results) -> bool:
    """Return whether values and slopes agree, whatever their shapes."""
    return all(
        np.allclose(one.ravel(), other.ravel(), rtol=_RELATIVE, atol=_ABSOLUTE)
        for one, other in zip(first, second, strict=True)
    )


def _warnings_far_out(about: str, form: Form) -> list[str]:
    """Return a warning each of values and gradients that are not finite from ±30 to ±1e4."""
    right = np.exp(np.linspace(3.4, 9.21, math.prod(_OTHER_SHAPE) // 2, dtype=np.float32))
    x = np.concatenate([-right, right])
    warnings = []
    for what, numbers in zip(("value", "gradient"), form(x.reshape(_OTHER_SHAPE))):
        bad = x[~np.isfinite(numbers.ravel())]
        if bad.size:
            warnings.append(f"{about} has a {what} that is not finite at x = {bad[0]:g}")
    return warnings


def _warnings_of_slope(about: str, form: Form) -> list[str]:
    wrong = wrong_slope(form)
    if wrong is None:
        return []
    return [
        f"{about} has a gradient that is not the slope of its values, {wrong.gradient:.3g} for"
        f" {wrong.slope:.3g} at x = {wrong.x:.3g}: right for a straight-through estimator, else a"
        " mistake in its tf.custom_gradient"
    ]
