"""An explanation of every config key, made from the schema."""

import json

from calibench.planning.schema import load_schema, resolve


def _kind(schema: dict) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "object")
    return " or ".join(kind) if isinstance(kind, list) else kind


def _rows(schema: dict, root: dict, prefix: str = "") -> list[str]:
    schema, rows = resolve(schema, root), []
    for key, sub in schema.get("properties", {}).items():
        sub = resolve(sub, root)
        name = f"{prefix}{key}"
        if sub.get("properties") and key not in ("model", "train", "augment", "data"):
            rows += _rows(sub, root, f"{name}.")
            others = sub.get("additionalProperties")
            if isinstance(others, dict):
                rows.append(
                    f"| `{name}.<setting>` | {_kind(others)} |  | {' '.join(others['description'].split())} |"
                )
            continue
        default = "" if "default" not in sub else f"`{json.dumps(sub['default'])}`"
        meaning = " ".join(sub.get("description", "").split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {_kind(sub)} | {default} | {meaning} |")
    return rows


def explain() -> str:
    """Markdown tables of all config keys."""
    root = load_schema()
    head = "| key | value | default | meaning and where the default is from |\n|---|---|---|---|\n"
    parts = [("Top level", root, "")]
    parts += [(f"`{name}`", root["$defs"][name], "") for name in ("model", "train", "augment", "data")]
    parts.append(("`datasets.<name>`", root["$defs"]["dataset"], ""))
    parts.append(("`evaluate_on.attacks.<name>`", root["$defs"]["attack"], ""))
    return "\n".join(f"### {title}\n\n{head}" + "\n".join(_rows(s, root, p)) + "\n" for title, s, p in parts)
