"""Bad input to every field and parameter, as the routes themselves describe them.

A new route is swept by being routed: what it takes is in its description.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest

from management.app import ROUTES
from management.bodies import MAX_JSON_BYTES
from management.descriptions import Description
from management.fields import Body
from management.resources import Resource
from shared.postgres import Pool
from tests.integration.management.conftest import Answer, Api

SERVED: dict[str, Description] = {
    f"{method.upper()} {each.endpoint.described.path}": operation.description
    for each in ROUTES
    if isinstance(each.endpoint, Resource)
    for method, operation in each.endpoint.operations.items()
}
BODIES = {name: each.body for name, each in SERVED.items() if isinstance(each.body, Body)}
QUERIES = {name: each.query for name, each in SERVED.items() if each.query}
NAMES = {"host": "example.com", "alias": "other", "code": "other", "asset": "x"}
VALUES: dict[str, list[str]] = {  # raw JSON by its type
    "string": ['"x"', '""'],
    "integer": ["7"],
    "number": ["1.5", "1e400"],
    "boolean": ["true"],
    "array": ["[]"],
    "object": ["{}"],
    "null": ["null"],
}
DEEP = "[" * 20_000 + "]" * 20_000
ABUSE = [
    *("javascript:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "ftp://example.com/"),
    *("//example.com", "http:example.com", "https:///x", "https://", "https://localhost/"),
    *("http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/"),
    *("http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://10.0.0.1/", "http://169.254.1.1"),
    *("https://user:secret@example.com/", "https://example.com\\@evil.com/", "http://a.invalid/"),
    *("https://example.com/\r\nSet-Cookie: a", "https://example.com/\x00", "https://exa mple.com/"),
    *(
        "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
        "https://example.com:0/",
        "https://example.com:99999/",
    ),
]


async def rows_of(pool: Pool) -> dict[str, int]:
    """How many rows each table has; what others empty meanwhile is left out."""
    tables = await pool.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
        "AND relnamespace = 'public'::regnamespace "
        "AND relname NOT IN ('outbox', 'webhook_deliveries')"
    )
    return {
        row["relname"]: await pool.fetchval(f'SELECT count(*) FROM "{row["relname"]}"')
        for row in tables
    }


@pytest.fixture
async def world(api: Api) -> Api:
    """There is one of everything, with the id 1."""
    await api.url(await api.user(), short_code="hello")
    if "POST /webhooks" in BODIES:
        await api.post("/webhooks", dict(BODIES["POST /webhooks"].example))
    return api


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: NAMES.get(match[1], "1"), path)


def types_of(schema: Mapping[str, Any]) -> set[str]:
    kinds = schema.get("type", [])
    named = {kinds} if isinstance(kinds, str) else set(kinds)
    if "enum" in schema and not named:
        named = {"string"}
    return named


def wrong_values(schema: Mapping[str, Any]) -> Iterator[str]:
    """Raw JSON that does not fit `schema`."""
    kinds = types_of(schema)
    for kind, values in VALUES.items():
        if kinds and kind not in kinds:
            yield from values
    if "string" in kinds:
        yield from ('"a\\u0000b"', '"a\\u001bb"', '"a\\u009fb"')
        if schema.get("minLength"):
            yield '""'
        if most := schema.get("maxLength"):
            yield json.dumps("x" * (most + 1))
    if "integer" in kinds:
        yield from ("-1", str(2**63), str(2**64), "1" + "0" * 400, "1.0")
    if "array" in kinds and "maxItems" in schema:
        yield json.dumps(["x"] * (schema["maxItems"] + 1))
        yield '["\\u0000"]'


def refused(answer: Answer, name: str | None) -> bool:
    """Whether an answer refuses in the one shape of errors, naming `name` if given."""
    if answer.status not in {400, 413, 422}:
        return False
    details = answer.json.get("details", {})
    return bool(answer.error) and (
        name is None or any(re.split(r"[.\[]", each)[0] == name for each in details)
    )


@pytest.mark.parametrize("operation", BODIES)
async def test_a_wrong_field_is_named_and_nothing_is_stored(world: Api, pool: Pool, operation: str):
    method, path = operation.split()
    body = BODIES[operation]
    before = await rows_of(pool)
    accepted = []

    for name, check in body.checks.items():
        example = {**body.example, name: "{value}"}
        for value in wrong_values(check.schema):
            raw = json.dumps(example).replace('"{value}"', value).encode()
            answer = await world.ask(method, filled(path), raw=raw)
            # A float beyond all bounds, or a number of 400 digits, is no JSON of ours at all.
            named = None if value in {"1e400", "1" + "0" * 400} else name
            if not refused(answer, named):
                accepted.append((name, value[:60], answer.status, answer.body[:200]))

    assert accepted == []
    assert await rows_of(pool) == before


@pytest.mark.parametrize("operation", BODIES)
async def test_a_body_that_is_no_json_object_is_refused_and_nothing_is_stored(
    world: Api, pool: Pool, operation: str
):
    method, path = operation.split()
    example = json.dumps(BODIES[operation].example)
    name = next(iter(BODIES[operation].example))
    limit = max(MAX_JSON_BYTES, 4 << 20 if "bulk" in path else 0)
    bodies: list[bytes] = [
        *(b"", b"{", b"[]", b"null", b'"x"', b"7", b"NaN", b"{'a': 1}", b"{,}"),
        *(
            example.encode("utf-16"),
            example.encode("utf-16-le"),
            b"\xef\xbb\xbf" + example.encode(),
        ),
        *(b'{"%s": "\xff"}' % name.encode(), b'{"%s": "\xed\xa0\x80"}' % name.encode()),
        *(f'{{"{name}": "\\ud800"}}'.encode(), f'{{"{name}": NaN}}'.encode()),
        *(f'{{"{name}": {DEEP}}}'.encode(), b"{" * 5000, DEEP.encode()),
        example.encode() + b" " * limit,
        example.encode() + b"x",
    ]
    twice = f'{example[:-1]}, "{name}": {json.dumps(BODIES[operation].example[name])}}}'
    before = await rows_of(pool)

    answers = [await world.ask(method, filled(path), raw=raw) for raw in bodies]
    doubled = await world.ask(method, filled(path), raw=twice.encode())

    wrong = zip(bodies, answers, strict=True)
    assert [(r[:60], a.status, a.body) for r, a in wrong if not refused(a, None)] == []
    assert refused(doubled, name), doubled.body
    assert await rows_of(pool) == before


NOT_UTF8 = ("%FF", "caf%C3", "%C3(", "%ED%A0%80")


def wrong_texts(schema: Mapping[str, Any]) -> Iterator[str]:
    """Texts of a query that do not fit `schema`."""
    if "array" in types_of(schema):
        schema = schema["items"]
    kinds = types_of(schema)
    yield "\x00"
    if "integer" in kinds:
        yield from (
            ("", "-1", "1.5", "\uff11", "1" * 20, " 1", "0x1", "+1")
            if "string" not in kinds
            else ()
        )
    elif "boolean" in kinds:
        yield from ("", "1", "TRUE", "yes", "truefalse")
    elif "enum" in schema:
        yield from ("", "nothing", f"{schema['enum'][0]} ")
    else:
        yield from ("a\nb", "a\x1bb", "x" * (schema.get("maxLength", 5000) + 1))
        if schema.get("minLength"):
            yield ""


@pytest.mark.parametrize("operation", QUERIES)
async def test_a_wrong_parameter_is_named_and_nothing_is_stored(
    world: Api, pool: Pool, operation: str
):
    method, path = operation.split()
    described = SERVED[operation]
    body = dict(described.body.example) if isinstance(described.body, Body) else None
    before = await rows_of(pool)
    accepted = []

    for name, schema in QUERIES[operation].items():
        for text in (*map(quote, wrong_texts(schema)), *NOT_UTF8):
            answer = await world.ask(method, f"{filled(path)}?{name}={text}", body)
            if answer.status != 400 or set(answer.json.get("details", {})) != {name}:
                accepted.append((name, text[:60], answer.status, answer.body[:200]))

    assert accepted == []
    assert await rows_of(pool) == before


@pytest.mark.parametrize(
    "operation", [name for name, body in BODIES.items() if "original_url" in body.checks]
)
async def test_a_target_of_the_abuse_list_is_refused_wherever_one_is_taken(
    world: Api, pool: Pool, operation: str
):
    method, path = operation.split()
    example = BODIES[operation].example
    before = await rows_of(pool)

    for target in ABUSE:
        answer = await world.ask(method, filled(path), {**example, "original_url": target})
        assert refused(answer, "original_url"), answer.body
        for name, value in {"rules": [{"target": target}], "expired_url": target}.items():
            body = {**example, name: value}
            assert refused(await world.ask(method, filled(path), body), name)

    assert await rows_of(pool) == before


@pytest.mark.parametrize("operation", [name for name in SERVED if "{" in name])
async def test_nothing_in_a_path_is_an_error_of_ours(world: Api, operation: str):
    method, path = operation.split()
    body = BODIES[operation].example if operation in BODIES else None

    for part in re.findall(r"\{\w+\}", path):
        for text in ("%00", "a%00", *NOT_UTF8, "%F0%9F%98%80", "-1", "9" * 30, "x" * 5000):
            answer = await world.ask(method, filled(path.replace(part, text)), body)
            assert answer.status < 500, (part, text[:60], answer.body)


@pytest.mark.parametrize("query", ["q=abc&%FF=1", "a%FF", "x=%ff"])
async def test_a_parameter_that_is_not_there_must_be_utf8_too(world: Api, query: str):
    answer = await world.get(f"/urls?{query}")

    assert answer.status == 400
    assert answer.error.endswith("must be UTF-8")


@pytest.mark.parametrize(
    "sent", [b"GET /urls?q=b\xc3\xa4r HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\r\n"]
)
async def test_what_is_no_http_is_refused_as_everything_else_is(world: Api, sent: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(sent)
    head, _, body = (await asyncio.wait_for(reader.read(), timeout=5)).partition(b"\r\n\r\n")
    writer.close()

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nx-request-id: " in head
    assert json.loads(body) == {"error": "Malformed request"}


async def test_a_link_to_ourselves_is_refused(start: Any, pool: Pool):
    async with start(public_url="https://sho.example.com") as api:
        user_id = await api.user()
        before = await rows_of(pool)

        for target in ("https://sho.example.com/x", "http://SHO.EXAMPLE.COM.:8080/x"):
            answer = await api.post("/urls", {"user_id": user_id, "original_url": target})
            assert refused(answer, "original_url"), answer.body
        assert await rows_of(pool) == before
