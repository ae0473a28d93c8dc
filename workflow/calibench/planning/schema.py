"""The schema of a configuration: defaults, ranges, and one clear sentence for each mistake."""

import copy
import functools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from calibench.errors import UserError, did_you_mean

SCHEMA = Path(__file__).with_name("config.schema.yaml")

TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "keys and values",
    "string": "text",
}
# For JSON Schema 0.0 is an integer; but a seed of 0.0 would have another folder than 0.
_TYPES = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
)
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_TYPES)


@functools.cache  # used for every planned run; parsing would take most of the time of planning
def load_schema() -> dict[str, Any]:
    """The schema of a configuration file as a dictionary; do not change it."""
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def resolve(schema: dict, root: dict) -> dict:
    """A part of the schema with its ``$ref`` followed."""
    while "$ref" in schema:
        target = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def fill_defaults(value: Any, schema: dict, root: dict) -> Any:
    """A copy of ``value`` with the defaults of ``schema`` for missing keys."""
    schema = resolve(schema, root)
    if not isinstance(value, dict):
        return copy.deepcopy(value)
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", {})
    filled = {
        k: fill_defaults(v, properties.get(k, rest if isinstance(rest, dict) else {}), root)
        for k, v in value.items()
    }
    for key, sub in properties.items():
        sub = resolve(sub, root)
        if key not in filled and "default" in sub:
            filled[key] = fill_defaults(sub["default"], sub, root)
    return filled


def _unknown_key(error: jsonschema.ValidationError) -> str:
    known = list(error.schema.get("properties", {}))
    unknown = next(k for k in error.instance if k not in known)
    return f"unknown key '{unknown}'; {did_you_mean(unknown, known)}"


def _wrong_type(value: Any, wanted: str | list[str]) -> str:
    wanted = [wanted] if isinstance(wanted, str) else wanted
    sentence = f"expected {' or '.join(TYPES[kind] for kind in wanted)}, found {value!r}"
    return sentence + (f"; write [{value}]" if wanted == ["array"] and isinstance(value, str | int) else "")


def _reason(error: jsonschema.ValidationError) -> str:
    if error.validator == "additionalProperties":
        return _unknown_key(error)
    if error.validator in ("pattern", "not"):  # the schema explains them in $comment
        return f"'{error.instance}' is not allowed here: {error.schema['$comment']}"
    if (
        error.validator == "type"
        and isinstance(error.instance, str)
        and re.fullmatch(r"[-+]?[\d.]+e[-+]?\d+", error.instance, re.I)
    ):
        return f"'{error.instance}' was read as text; YAML numbers with an exponent need a dot, as in 1.0e-4"
    if error.validator == "type":
        return _wrong_type(error.instance, error.validator_value)
    if error.validator == "required":
        return f"key {error.message.split(' ')[0]} is missing; see config/README.md"
    if error.validator == "enum":
        return f"{error.instance!r} is not one of {', '.join(map(str, error.validator_value))}"
    if error.validator == "uniqueItems":
        return f"{error.instance} has the same item twice; keep one"
    return error.message


def check_plain(value: Any, where: str, path: tuple[str, ...] = (), above: tuple[int, ...] = ()) -> None:
    """Raise UserError unless a configuration has only JSON types and finite numbers, and no part contains itself.

    Args:
        value: the configuration, or the part of it at ``path``.
        where: name of the configuration in an error: its file, or ``config``.
        path: keys on the way to ``value``.
        above: identities of the objects that contain ``value``.
    """
    key = ": ".join(filter(None, [where, ".".join(path)]))
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key}: {value} is not a finite number; correct it, or remove the key")
    if not isinstance(value, dict | list):
        if not isinstance(value, str | int | float | None):
            raise UserError(f"{key}: '{value}' was read as a {type(value).__name__}; put it in quotes")
        return
    if id(value) in above:
        raise UserError(f"{key}: this YAML alias refers to a part that contains it; write the value out")
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict) and not isinstance(name, str):
            raise UserError(
                f"{key}: the key {name!r} is not text (in YAML on, off, yes, no and digits are not); put it in quotes "
                "or correct it"
            )
        check_plain(item, where, (*path, str(name)), (*above, id(value)))


def completed_part(value: dict[str, Any], place: Sequence[str], path: Sequence[str]) -> dict[str, Any]:
    """One part of a configuration, checked and with its defaults, for a stage that was started by hand.

    Args:
        value: the given part.
        place: its place in the schema, such as ``("properties", "statistics")``.
        path: its keys in a configuration file, for errors.

    Raises:
        UserError: for the first mistake.
    """
    root = load_schema()
    part: dict[str, Any] = root
    for step in place:
        part = part[step]
    _check(value, {**part, "$defs": root["$defs"]}, "config", path)
    return fill_defaults(value, part, root)


def check(config: dict[str, Any], definition: str | None = None, where: str = "config") -> None:
    """Check a configuration, or the part with this definition in the schema; UserError for the first mistake."""
    schema = load_schema()
    if definition:
        schema = {"$defs": schema["$defs"], "$ref": f"#/$defs/{definition}"}
    _check(config, schema, where, [definition] if definition else [])


def _check(config: Any, schema: dict[str, Any], where: str, path: Sequence[str]) -> None:
    check_plain(config, where, tuple(path))
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda e: (len(e.path), str(e.path)))
    if errors:
        first = min(errors, key=lambda e: e.validator != "additionalProperties")
        key = ".".join([*path, *map(str, first.absolute_path)])
        raise UserError(f"{': '.join(filter(None, [where, key]))}: {_reason(first)}")
