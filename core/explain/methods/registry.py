"""Finds the methods: every file of this folder that defines ``METHOD``. Importing them imports captum, so lazily."""

import importlib
import pkgutil
from functools import cache

from core.errors import UserError
from core.explain.methods.contract import Method
from core.models.contract import Forecaster

ORDER = (
    "adds_up",
    "gradient",
    "gradient_input",
    "integrated_gradients",
    "smoothgrad",
    "occlusion",
    "occlusion_patch",
    "ablation",
    "leave_scale_out",
    "random",
)


@cache
def methods() -> dict[str, Method]:
    """All methods by name: what adds up, by gradients, by changing the window, then the control."""
    import core.explain.methods as package

    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        method = getattr(importlib.import_module(f"core.explain.methods.{module.name}"), "METHOD", None)
        if method is not None:
            found[method.name] = method
    return dict(sorted(found.items(), key=lambda item: (*[ORDER.index(n) for n in ORDER if n == item[0]], len(ORDER))))


def methods_for(model: Forecaster) -> dict[str, Method]:
    """Those that this model can answer, as ``methods``."""
    return {name: one for name, one in methods().items() if model.capabilities.scales or not one.scales}


def method(name: str) -> Method:
    """The method of this name. Raises UserError for an unknown one."""
    if name not in methods():
        raise UserError(f"There is no method called {name!r}. Choose among: {', '.join(methods())}.")
    return methods()[name]
