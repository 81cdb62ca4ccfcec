"""Arguments are checked once, where they enter; each refusal is one sentence: what was given, what is allowed."""

import numbers

import numpy as np


def checked(name, value, types, allowed, in_range=lambda value: True):
    """The value, if it has the type and lies in the range.

    Args:
        name (str): the parameter's.
        value: what was given; a bool does not pass as a number, NumPy's numbers pass as Python's.
        types (type or tuple of types): what it may be.
        allowed (str): what it must be, in words.
        in_range (callable): from the value to whether it is allowed.

    Raises:
        TypeError, ValueError: it is not.
    """
    wanted = types if isinstance(types, tuple) else (types,)
    wanted = tuple({int: numbers.Integral, float: numbers.Real}.get(kind, kind) for kind in wanted)
    if not isinstance(value, wanted) or (isinstance(value, bool | np.bool_) and bool not in wanted):
        raise TypeError(f"{name} is {described(value)}; it must be {allowed}: correct its type.")
    if not in_range(value):
        raise ValueError(f"{name} is {described(value)}; it must be {allowed}: correct its value.")
    return value


def described(value):
    """A value in a sentence: itself if it is short, else its type and shape."""
    if isinstance(value, np.ndarray) or hasattr(value, "asnumpy"):
        return f"an array of shape {tuple(value.shape)} and type {value.dtype}"
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"
