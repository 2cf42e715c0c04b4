"""Forms made from config classes: every pydantic field becomes the widget its type, bounds and words ask for.

A new architecture needs no page change. Values are validated by the config class itself, not here.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def fields(
    config: type[BaseModel],
    key: str,
    start: Mapping[str, Any] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] = (),
) -> dict[str, Any]:
    """Draw the fields of ``config`` and return what they hold, by field name.

    ``start`` overrides defaults as the first value; a change of ``key`` starts over. Fields without a title are not
    for people and stay out, as does any type for which there is no widget.
    """
    wanted = list(only) if only is not None else [n for n, f in config.model_fields.items() if f.title]
    values = {}
    for name in wanted:
        field = config.model_fields[name]
        if name not in skip and (widget := _widget(field)):
            first = (start or {}).get(name, field.default)
            values[name] = widget(field, first, f"{key}-{name}")
    return values


def _widget(field: FieldInfo):
    if get_origin(field.annotation) is Literal:
        return _choice
    return {bool: _switch, int: _whole, float: _real, str: _words}.get(field.annotation)


def label(field: FieldInfo) -> str:
    """Title and unit, as the form shows them."""
    extra = field.json_schema_extra
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return f"{field.title}, {unit}" if unit else str(field.title)


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Smallest and largest value a widget may offer. An open bound of a whole number is moved inside by one."""
    low = high = None
    inside = int(field.annotation is int)
    for rule in field.metadata:
        match rule:
            case Ge(ge=bound):
                low = _number(bound)
            case Gt(gt=bound):
                low = _number(bound) + inside
            case Le(le=bound):
                high = _number(bound)
            case Lt(lt=bound):
                high = _number(bound) - inside
    return low, high


def _number(bound: Any) -> float:
    return bound


def _choice(field: FieldInfo, start: Any, key: str) -> Any:
    options = list(get_args(field.annotation))
    at = options.index(start) if start in options else 0
    return st.selectbox(label(field), options, index=at, key=key, help=field.description)


def _switch(field: FieldInfo, start: Any, key: str) -> bool:
    return st.toggle(label(field), value=bool(start), key=key, help=field.description)


def _whole(field: FieldInfo, start: Any, key: str) -> int | None:
    low, high = bounds(field)
    low, high = (None if bound is None else int(bound) for bound in (low, high))
    return st.number_input(
        label(field), min_value=low, max_value=high, value=int(start), step=1, key=key, help=field.description
    )


def _real(field: FieldInfo, start: Any, key: str) -> float | None:
    low, high = bounds(field)
    low, high = (None if bound is None else float(bound) for bound in (low, high))
    small = 0 < abs(start) < 0.01
    return st.number_input(
        label(field),
        min_value=low,
        max_value=high,
        value=float(start),
        step=1e-4 if small else 0.01,
        format="%.2e" if small else "%.4g",
        key=key,
        help=field.description,
    )


def _words(field: FieldInfo, start: Any, key: str) -> str | None:
    return st.text_input(label(field), value=start or "", key=key, help=field.description)
