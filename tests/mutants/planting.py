"""A loaded module computes with another source: who imported from it sees the change."""

from __future__ import annotations

import inspect
import sys
from types import FunctionType, ModuleType
from typing import Any

VALUES = (bool, int, float, str, tuple, frozenset, dict, type(None))
"""What constants are."""


def plant(module: ModuleType, source: str) -> None:
    """Give the module's functions, methods and constants the values that `source` gives them."""
    fresh = ModuleType(module.__name__)
    for name in ("__file__", "__package__", "__path__"):
        if hasattr(module, name):
            setattr(fresh, name, getattr(module, name))
    exec(compile(source, str(module.__file__), "exec"), vars(fresh))
    for name, new in vars(fresh).items():
        old = vars(module).get(name)
        if inspect.isclass(new) and new.__module__ == module.__name__:
            plant_class(old, new)
        elif isinstance(new, FunctionType) and new.__module__ == module.__name__:
            plant_function(old, new)
        elif isinstance(new, VALUES) and not name.startswith("__") and new != old:
            plant_value(name, old, new)


def plant_class(old: Any, new: type) -> None:
    for name, value in vars(new).items():
        mine = vars(old).get(name)
        if isinstance(value, (staticmethod, classmethod)):
            plant_function(mine.__func__, value.__func__)
        elif isinstance(value, property):
            plant_function(mine.fget, value.fget)
        elif isinstance(value, FunctionType) and isinstance(mine, FunctionType):
            if value.__code__.co_filename == new_file(new):
                plant_function(mine, value)
        elif isinstance(value, VALUES) and not name.startswith("__") and value != mine:
            setattr(old, name, value)


def new_file(kind: type) -> str:
    return str(sys.modules[kind.__module__].__file__)


def plant_function(old: Any, new: Any) -> None:
    """The same function object, so that everybody who has it computes anew."""
    old.__code__, old.__defaults__ = new.__code__, new.__defaults__
    old.__kwdefaults__ = new.__kwdefaults__


def plant_value(name: str, old: Any, new: Any) -> None:
    """In the module itself, and where somebody imported it by name."""
    for other in list(sys.modules.values()):
        known = getattr(other, "__name__", "")
        if known.split(".")[0] in ("train", "tests") and vars(other).get(name) is old:
            setattr(other, name, new)
