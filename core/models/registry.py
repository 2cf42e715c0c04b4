"""Finds the architectures: every file of this folder that defines ``MODEL``. Importing one imports torch, so lazily."""

import importlib
import pkgutil
from functools import cache
from typing import Any

from pydantic import ValidationError

from core.errors import UserError
from core.models.contract import FAMILIES, Forecaster, ModelConfig, Shape


@cache
def architectures() -> dict[str, type[Forecaster]]:
    """All architectures by name: those of the papers, then the baselines, then the statistical ones, by title."""
    import core.models as package

    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            model = getattr(importlib.import_module(f"core.models.{module.name}"), "MODEL", None)
            if model is not None:
                found[model.name] = model
    return dict(sorted(found.items(), key=lambda item: (FAMILIES.index(item[1].family), item[1].title.lower())))


def architecture(name: str) -> type[Forecaster]:
    """The class of this name. Raises UserError for an unknown one."""
    try:
        return architectures()[name]
    except KeyError:
        known = ", ".join(architectures())
        raise UserError(f"There is no architecture called {name!r}. Choose one of: {known}.") from None


def configure(name: str, options: dict[str, Any]) -> ModelConfig:
    """Options validated by that architecture's config class. Raises UserError naming the first bad field."""
    try:
        return architecture(name).Config(**options)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{architecture(name).title}, {field}: {first['msg']} (given: {first['input']!r}).") from None


def build(name: str, options: dict[str, Any], shape: Shape) -> Forecaster:
    """A fresh model, checked. Raises UserError where the options or their combination with the shape cannot work."""
    config = configure(name, options)
    architecture(name).check(config, shape)
    return architecture(name)(config, shape)
