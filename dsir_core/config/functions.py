"""Functions that settings name as `module:function`: a request is checked without loading what computes."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any


@functools.cache
def function_named(name: str) -> Callable[..., Any]:
    """The function of a name `module:function`, imported on first use.

    Raises:
        ImportError, AttributeError: there is none.
    """
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
