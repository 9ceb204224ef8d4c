"""The JSON Schemas of all payloads, generated from the classes into `schemas/`.

`python -m arcade_shared.schema_files` writes them anew; a test says when they are stale.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from arcade_shared.messages import BY_KIND, BareCoinpulse, Echo, Message

FOLDER = Path(__file__).parent / "schemas"


def schemas() -> dict[str, str]:
    """File name → text of every schema."""
    classes: dict[str, type[Message]] = {**BY_KIND, "coinpulse-unsigned": BareCoinpulse, "echo": Echo}
    return {f"{name}.json": json.dumps(_schema(cls), indent=2) + "\n" for name, cls in sorted(classes.items())}


def _schema(cls: type[Message]) -> Any:
    (schema,), parts = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **parts[cls.__name__]}
    whole.update({key: value for key, value in schema.items() if key != "$ref"})
    others = {name: part for name, part in parts.items() if name != cls.__name__}
    return _portable({**whole, "$defs": others} if others else whole)


def _portable(node: Any) -> Any:
    """Python's anchors in patterns written as JSON Schema's dialect (ECMA 262) has them."""
    if isinstance(node, dict):
        return {
            key: value.replace(r"\A", "^").replace(r"\Z", "$") if key == "pattern" else _portable(value)
            for key, value in node.items()
        }
    return [_portable(part) for part in node] if isinstance(node, list) else node


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in schemas().items():
        (FOLDER / name).write_text(text)
