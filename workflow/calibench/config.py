"""Reading and checking a configuration: strict keys, one clear sentence per mistake, defaults filled in."""

import argparse
import copy
import difflib
import functools
import json
import math
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from calibench.cli import run
from calibench.errors import UserError

SCHEMA = Path(__file__).parent.parent / "schemas" / "config.schema.yaml"


class _Loader(yaml.SafeLoader):
    """Plain YAML, in which a key stands once: PyYAML alone takes the last one without a word."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        first: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in first:
                    raise UserError(
                        f"key '{key.value}' stands twice, in lines {first[key.value]} and {line}; keep one"
                    )
                first[key.value] = line
        return node


# JSON Schema counts 0.0 as an integer; a seed of 0.0 would name another folder than 0.
_TYPES = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
)
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_TYPES)


@functools.cache  # every planned run is checked: parsing it again for each took most of the time of a plan
def load_schema() -> dict[str, Any]:
    """The schema of a configuration file as a dictionary, which nobody changes."""
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def _resolve(schema: dict, root: dict) -> dict:
    while "$ref" in schema:
        target = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def fill_defaults(value: Any, schema: dict, root: dict) -> Any:
    """A copy of ``value`` with every default of ``schema`` that it leaves out."""
    schema = _resolve(schema, root)
    if not isinstance(value, dict):
        return copy.deepcopy(value)
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", {})
    filled = {
        k: fill_defaults(v, properties.get(k, rest if isinstance(rest, dict) else {}), root)
        for k, v in value.items()
    }
    for key, sub in properties.items():
        sub = _resolve(sub, root)
        if key not in filled and "default" in sub:
            filled[key] = fill_defaults(sub["default"], sub, root)
    return filled


def _unknown_key(error: jsonschema.ValidationError) -> str:
    known = list(error.schema.get("properties", {}))
    unknown = next(k for k in error.instance if k not in known)
    close = difflib.get_close_matches(unknown, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"
    return f"unknown key '{unknown}'; {hint}"


def _reason(error: jsonschema.ValidationError) -> str:
    if error.validator == "additionalProperties":
        return _unknown_key(error)
    if error.validator in ("pattern", "not"):  # the schema says in words what they are for
        return f"'{error.instance}' cannot be a name here: {error.schema['$comment']}"
    if (
        error.validator == "type"
        and isinstance(error.instance, str)
        and re.fullmatch(r"[-+]?[\d.]+e[-+]?\d+", error.instance, re.I)
    ):
        return f"'{error.instance}' was read as text; YAML wants a dot in it, as in 1.0e-4"
    if error.validator == "required":
        return f"key {error.message.split(' ')[0]} is missing; see config/README.md"
    if error.validator == "enum":
        return f"{error.instance!r} is not one of {', '.join(map(str, error.validator_value))}"
    return error.message


def _check_plain(value: Any, where: str, above: tuple[int, ...] = ()) -> None:
    """Check what no schema sees: it could be JSON, with finite numbers, and nothing contains itself."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}: {value} is not a finite number; correct it, or leave the key out")
    if not isinstance(value, dict | list):
        if not isinstance(value, str | int | float | None):
            raise UserError(f"{where}: '{value}' was read as a {type(value).__name__}; put it in quotes")
        return
    if id(value) in above:
        raise UserError(f"{where}: the alias stands within its own anchor; write the value out")
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict) and not isinstance(key, str):
            raise UserError(
                f"{where}: the key {key!r} is not text (YAML reads on, off, yes, no and digits as something else); "
                "put it in quotes or correct it"
            )
        _check_plain(item, f"{where}: {key}", (*above, id(value)))


def check(config: dict[str, Any], definition: str | None = None, where: str = "config") -> None:
    """Check a configuration, or one part of it by the name of its schema definition.

    Raises:
        UserError: naming the key and what is wrong with it.
    """
    _check_plain(config, where)
    schema = load_schema()
    if definition:
        schema = {"$defs": schema["$defs"], "$ref": f"#/$defs/{definition}"}
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda e: (len(e.path), str(e.path)))
    if errors:
        first = min(errors, key=lambda e: e.validator != "additionalProperties")
        path = ": ".join([where, *map(str, first.absolute_path)])
        raise UserError(f"{path}: {_reason(first)}")


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """The checked configuration with all defaults filled in; the argument is left alone.

    Raises:
        UserError: for the first mistake found.
    """
    check(config)
    schema = load_schema()
    filled = fill_defaults(config, schema, schema)
    _add_sweep(filled)
    return filled


def lr_variant(factor: float) -> str:
    """Name of the variant that a sweep trains at this factor on the learning rate."""
    return f"lr{factor:.4f}".rstrip("0").rstrip(".")


def _add_sweep(config: dict[str, Any]) -> None:
    for factor in config["sweep"]["lr"]:
        variant = {"train": {"lr_factor": factor}}
        if config["variants"].setdefault(lr_variant(factor), variant) != variant:
            raise UserError(
                f"config: variants: '{lr_variant(factor)}' is a name that sweep: lr needs; rename yours"
            )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Keys and values of one YAML file; none if it is empty.

    Raises:
        UserError: if it cannot be read, is not plain YAML, or names a key twice.
    """
    try:
        found = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply; write it flatter") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or a date such as 2020-13-01
        raise UserError(f"{path} is not plain YAML: {' '.join(str(error).split())}") from error
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected keys and values at the top level")
    _check_plain(found, str(path))
    return found


def read(*paths: str | Path) -> dict[str, Any]:
    """Read YAML files, later ones overriding earlier ones key by key, and complete the result."""
    return complete(functools.reduce(merge, map(read_yaml, paths), {}))


def merge(base: dict, over: dict) -> dict:
    """Deep merge: dictionaries key by key, everything else replaced."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else value
    return result


def _kind(schema: dict) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "object")
    return " or ".join(kind) if isinstance(kind, list) else kind


def _rows(schema: dict, root: dict, prefix: str = "") -> list[str]:
    schema, rows = _resolve(schema, root), []
    for key, sub in schema.get("properties", {}).items():
        sub = _resolve(sub, root)
        name = f"{prefix}{key}"
        if sub.get("properties") and key not in ("model", "train", "augment", "data"):
            rows += _rows(sub, root, f"{name}: ")
            continue
        default = "" if "default" not in sub else f"`{json.dumps(sub['default'])}`"
        meaning = " ".join(sub.get("description", "").split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {_kind(sub)} | {default} | {meaning} |")
    return rows


def explain() -> str:
    """Every key of a configuration as Markdown tables, made from the schema."""
    root = load_schema()
    head = "| key | value | default | meaning and where the default is from |\n|---|---|---|---|\n"
    parts = [("Top level", root, "")]
    parts += [(f"`{name}:`", root["$defs"][name], "") for name in ("model", "train", "augment", "data")]
    parts.append(("`datasets: <name>:`", root["$defs"]["dataset"], ""))
    return "\n".join(f"### {title}\n\n{head}" + "\n".join(_rows(s, root, p)) + "\n" for title, s, p in parts)


def main(argv=None) -> None:
    """Check configuration files and print the completed configuration as JSON; without files, explain every key."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("files", nargs="*", help="YAML files; later ones override earlier ones")
    paths = parser.parse_args(argv).files
    print(json.dumps(read(*paths), indent=1) if paths else explain())


if __name__ == "__main__":
    run(main)
