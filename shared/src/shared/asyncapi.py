"""The bus's description in AsyncAPI 3.0, from the Structs that travel on it. No I/O.

`python -m shared.asyncapi` prints it as YAML.
"""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Any
from uuid import UUID

import msgspec

from shared import streams
from shared.events import Click, DeadReason, LinkChanged, LinkRecord, RelayHeartbeat, encoder

SCHEMA_REFERENCE = "#/components/schemas/{name}"
INTRODUCTION = (
    "The Redis streams on which a Shortwire installation tells what happens. They are read in the "
    "Redis named `bus`; docs/streams.md shows a complete consumer. A message here is a stream "
    "entry. Its payload lists the entry's fields; Redis knows no types, so that each is a string, "
    "and one of them holds JSON. Members of that JSON are only ever added: ignore those you do not "
    "know. Delivery is at least once."
)


def _json(meaning: str, schema: Mapping[str, Any]) -> msgspec.Meta:
    content = {"contentMediaType": "application/json", "contentSchema": schema}
    return msgspec.Meta(description=meaning, extra_json_schema=content)


def _schema(kind: type) -> dict[str, str]:
    return {"$ref": SCHEMA_REFERENCE.format(name=kind.__name__)}


class ClicksEntry(msgspec.Struct, frozen=True):
    """A frame: the clicks of some milliseconds."""

    v: Annotated[
        str,
        msgspec.Meta(
            description="Version of this layout.",
            extra_json_schema={"const": str(streams.CLICKS_SCHEMA_VERSION)},
        ),
    ]
    n: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]*$", description="How many clicks.")]
    batch: Annotated[str, _json("The clicks.", {"type": "array", "items": _schema(Click)})]


class DeadEntry(msgspec.Struct, frozen=True):
    """Something of `clicks` that could not be stored, kept for a decision."""

    entry: Annotated[
        str, msgspec.Meta(pattern="^[0-9]+-[0-9]+$", description="Its id on its stream.")
    ]
    reason: DeadReason
    explanation: Annotated[str, msgspec.Meta(description="The reason, in words.")]
    payload: Annotated[
        str, msgspec.Meta(description="A click's JSON, or a whole frame's where it was none.")
    ]
    stream: Annotated[str, msgspec.Meta(description="Where it was.")] = streams.CLICKS


class ChangeEntry(msgspec.Struct, frozen=True):
    """A link was created, changed or deleted."""

    message: Annotated[str, _json("The change.", _schema(LinkChanged))]


class HeartbeatEntry(msgspec.Struct, frozen=True):
    """Nothing is missing up to here."""

    message: Annotated[str, _json("The heartbeat.", _schema(RelayHeartbeat))]


_CLICK = Click(
    id=UUID("019d52f1-6a00-7000-8000-000000000001"),
    at=datetime(2026, 4, 3, 12, tzinfo=UTC),
    code="hello",
    url_id=1,
    user_id=1,
    request_id="5f0c8f4d0f6e4b0e8a5d5b1f0c3e2a10",
    referrer="https://news.example.com",
    user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
    address="203.0.113.0",
    language="de-at",
    source="qr",
)
_SECONDS = 1_775_217_600.0
_CHANGE = LinkChanged(
    code="hello",
    operation="updated",
    record=LinkRecord(
        version=7,
        state="active",
        cached_at=_SECONDS,
        url_id=1,
        user_id=1,
        target="https://example.com/hello",
    ),
    committed_at=_SECONDS,
)
EXAMPLES: Mapping[str, msgspec.Struct] = {
    "clicks": ClicksEntry(
        str(streams.CLICKS_SCHEMA_VERSION), "1", encoder.encode([_CLICK]).decode()
    ),
    "dead": DeadEntry(
        "1775217600000-0",
        "out_of_range",
        "at is too far from now",
        encoder.encode(_CLICK).decode(),
    ),
    "change": ChangeEntry(encoder.encode(_CHANGE).decode()),
    "heartbeat": HeartbeatEntry(encoder.encode(RelayHeartbeat(at=_SECONDS)).decode()),
}
CLICK_SHARD = "clicks:{shard}"
PARAMETERS: Mapping[str, Mapping[str, Any]] = {  # by stream
    CLICK_SHARD: {
        "shard": {
            "description": "Its number, in braces.",
            "enum": [
                name.removeprefix("clicks:")
                for name in streams.click_streams(streams.MAX_CLICK_STREAMS)
            ],
        }
    }
}
CHANNELS: Mapping[str, tuple[str, str, list[str]]] = {  # by stream
    streams.CLICKS: (
        "clicks",
        "Every followed link. An entry is kept until every group has acknowledged it, and a "
        "minute longer. The same click may come twice: remember ids.",
        ["clicks"],
    ),
    CLICK_SHARD: (
        "clicks_shard",
        "The same, where clicks go to several streams (`CLICK_STREAMS`): read all of them, and "
        "`clicks`, for what is left there. A click that comes twice may come on two.",
        ["clicks"],
    ),
    streams.CLICKS_DEAD: (
        "dead",
        "What could not be stored. Nothing is trimmed: `shortwire replay-dead` sends it again.",
        ["dead"],
    ),
    streams.LINKS: (
        "links",
        "Every change of a link, and a heartbeat every second. About "
        f"{streams.LINKS_MAXLEN:,} entries are kept. A change may come twice, and changes out of "
        "order: the higher `version` wins.",
        ["change", "heartbeat"],
    ),
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    kinds = [type(example) for example in EXAMPLES.values()]
    _, schemas = msgspec.json.schema_components(
        [*kinds, Click, LinkChanged, RelayHeartbeat], ref_template=SCHEMA_REFERENCE
    )
    for schema in schemas.values():
        schema["description"] = " ".join(schema["description"].split())  # a docstring's lines
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Shortwire's bus",
            "version": version("shortwire-shared"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "servers": {
            "bus": {
                "host": "{host}",
                "protocol": "redis",
                "description": "`bus` in `.data/stack.json`.",
                "variables": {"host": {"default": "localhost:6379"}},
            }
        },
        "channels": {
            name: {
                "address": stream,
                "description": meaning,
                **({"parameters": PARAMETERS[stream]} if stream in PARAMETERS else {}),
                "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in messages},
            }
            for stream, (name, meaning, messages) in CHANNELS.items()
        },
        "operations": {
            f"send_{name}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{each}"} for each in messages],
            }
            for name, _, messages in CHANNELS.values()
        },
        "components": {
            "messages": {
                name: {
                    "name": name,
                    "summary": (type(example).__doc__ or "").strip(),
                    "payload": _schema(type(example)),
                    "examples": [{"payload": msgspec.to_builtins(example)}],
                }
                for name, example in EXAMPLES.items()
            },
            "schemas": dict(sorted(schemas.items())),
        },
    }


def text() -> str:
    """Return the document as YAML."""
    return "# Made by `make asyncapi`.\n" + msgspec.yaml.encode(document()).decode()


if __name__ == "__main__":
    sys.stdout.write(text())
