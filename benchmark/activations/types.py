"""Names for the types that TensorFlow and Keras leave open; importing this loads neither."""

from collections.abc import Callable
from typing import Any, TypeAlias

# TensorFlow brings no types: to a type checker a tensor and a layer are anything.
Tensor: TypeAlias = Any
Layer: TypeAlias = Any
Elementwise: TypeAlias = Callable[[Tensor], Tensor]
