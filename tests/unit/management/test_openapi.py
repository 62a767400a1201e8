import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.requests import Request
from starlette.responses import Response

from management.app import ROUTES, describe
from management.descriptions import Media
from management.fields import Body
from management.openapi import document
from management.print_openapi import text
from management.resources import Operation, Resource, State, operation, paths_of, route
from redirector import app as redirector
from tests.references import references, referred

ROOT = Path(__file__).parents[3]
DOCUMENT = describe()
OPERATIONS = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
]
SERVED: dict[str, Operation] = {
    f"{method} {each.endpoint.described.path}": operation
    for each in ROUTES
    if isinstance(each.endpoint, Resource)
    for method, operation in each.endpoint.operations.items()
}


def conforms(value: object, schema: Any) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft202012Validator(whole).validate(value)


def test_the_document_is_valid_openapi():
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_document_in_the_repository_is_that_of_the_code():
    written = (ROOT / "docs/openapi.json").read_text(encoding="utf-8")

    assert written == text(), "run `make openapi` and review the difference"


def test_every_route_is_described_under_its_methods():
    described = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}

    for each in ROUTES:
        path = each.path.rstrip("/") or "/"
        assert isinstance(each.endpoint, Resource)
        assert each.endpoint.operations
        assert {(path, method) for method in each.endpoint.operations} <= described


async def undescribed(_: Request[State]) -> Response:
    return Response()


def test_a_route_cannot_be_declared_without_its_description():
    with pytest.raises(AttributeError, match="has no attribute"):
        route("/x", get=undescribed)  # type: ignore[arg-type]


def test_a_handler_cannot_be_described_without_a_word():
    with pytest.raises(ValueError, match="undescribed has no docstring"):
        operation()(undescribed)


def test_a_path_parameter_that_is_no_id_has_to_be_described():
    @operation()
    async def show(_: Request[State]) -> Response:
        """Show it."""
        return Response()

    with pytest.raises(ValueError, match="show does not describe day"):
        document(paths_of(route("/days/{day}", get=show)))


@pytest.mark.parametrize("reference", sorted(set(references(DOCUMENT))))
def test_a_reference_leads_somewhere(reference: str):
    assert referred(DOCUMENT, reference)


def test_what_the_redirector_serves_is_described():
    # A health check is each service's own, not the gateway's.
    served = {
        route.path.rstrip("/").replace("{code}", "{short_code}") for route in redirector.ROUTES
    }

    described = {path for path, item in DOCUMENT["paths"].items() if "head" in item}

    assert described == {path for path in served if not path.startswith("/health")}


def test_operations_have_names_of_their_own():
    names = [each["operationId"] for item in DOCUMENT["paths"].values() for each in item.values()]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_operation_is_told_completely(path: str, method: str):
    described = DOCUMENT["paths"][path][method]

    assert described["summary"]
    assert {"429", "500"} <= set(described["responses"])
    if described["security"]:
        assert described["security"] == [{"bearer": []}, {"apiKey": []}]
        assert {"401", "503"} <= set(described["responses"])
    for status, response in described["responses"].items():
        if status in {"429", "503"}:
            name = response["$ref"].rpartition("/")[2]
            assert "Retry-After" in DOCUMENT["components"]["responses"][name]["headers"]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_example_fits_its_schema(path: str, method: str):
    described = DOCUMENT["paths"][path][method]

    for response in described["responses"].values():
        for kind, content in response.get("content", {}).items():
            if kind == "application/json" and "object" not in content["schema"].get("type", ""):
                conforms(content["example"], content["schema"])
    for content in described.get("requestBody", {}).get("content", {}).values():
        for name, schema in content["schema"]["properties"].items():
            for example in schema.get("examples", []):
                conforms(example, content["schema"]["properties"][name])


@pytest.mark.parametrize("served", SERVED.values(), ids=SERVED)
def test_an_example_of_a_body_is_accepted_and_fits_its_schema(served: Operation):
    body = served.description.body
    if isinstance(body, Body):
        conforms(body.example, body.schema)

        values = body.read(body.example)

        assert set(values) == set(body.example)


def test_the_document_is_plain_json():
    assert json.loads(text()) == DOCUMENT


def holds_bare_time(kind: msgspec.inspect.Type) -> bool:
    """Whether a time is somewhere in `kind` without saying in which form it is written."""
    match kind:
        case msgspec.inspect.DateTimeType():
            return True
        case msgspec.inspect.StructType(fields=fields):
            return any(holds_bare_time(field.type) for field in fields)
        case msgspec.inspect.UnionType(types=types):
            return any(holds_bare_time(each) for each in types)
        case msgspec.inspect.CollectionType(item_type=item):
            return holds_bare_time(item)
        case msgspec.inspect.DictType(value_type=value):
            return holds_bare_time(value)
        case _:
            return False


@pytest.mark.parametrize("served", SERVED.values(), ids=SERVED)
def test_an_answer_says_in_which_form_its_times_are(served: Operation):
    if not isinstance(served.description.returns, Media | None):
        kind = msgspec.inspect.type_info(served.description.returns)

        assert not holds_bare_time(kind), "use fields.Moment"
