"""Hold what travels on the bus against its description."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from shared.asyncapi import document

DOCUMENT = document()


def check(message: str, fields: Mapping[bytes, bytes] | Mapping[str, str]) -> None:
    """Fail unless an entry's fields are those of `message`, and the JSON in them as described."""
    entry = {_text(name): _text(value) for name, value in fields.items()}
    reference = DOCUMENT["components"]["messages"][message]["payload"]["$ref"]
    schema = DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
    _validate(entry, {**schema, "additionalProperties": False})
    for name, described in schema["properties"].items():
        if "contentSchema" in described:
            _validate(json.loads(entry[name]), described["contentSchema"])


def _validate(value: object, schema: Mapping[str, Any]) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft202012Validator.check_schema(whole)
    Draft202012Validator(whole).validate(value)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
