import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from shared import asyncapi, streams
from shared.click_streams import NAMES
from tests import bus_description
from tests.references import references, referred

ROOT = Path(__file__).parents[3]
DOCUMENT = asyncapi.document()
MESSAGES = DOCUMENT["components"]["messages"]
SPECS = "@asyncapi/specs@6.11.1"


def test_the_document_in_the_repository_is_that_of_the_code():
    written = (ROOT / "docs/asyncapi.yaml").read_text(encoding="utf-8")

    assert written == asyncapi.text(), "run `make asyncapi` and review the difference"
    assert msgspec.yaml.decode(written) == msgspec.json.decode(msgspec.json.encode(DOCUMENT))


@pytest.fixture(scope="session")
def official_schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the AsyncAPI initiative publishes as an npm package."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("npm")
    if npm is None:
        pytest.skip("npm is not on PATH: it brings AsyncAPI's own schema")
    command = [npm, "pack", "--silent", "--fetch-retries=0", "--fetch-timeout=20000", SPECS]
    packed = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    if packed.returncode:
        pytest.skip(f"no {SPECS} from the npm registry")
    with tarfile.open(folder / packed.stdout.decode().strip()) as package:
        member = package.extractfile("package/schemas/3.0.0-without-$id.json")
        assert member is not None
        return json.load(member)


def test_the_document_is_valid_asyncapi(official_schema: Any):
    jsonschema.Draft7Validator(official_schema).validate(DOCUMENT)


@pytest.mark.parametrize("reference", sorted(set(references(DOCUMENT))))
def test_a_reference_leads_somewhere(reference: str):
    assert referred(DOCUMENT, reference)


def test_every_stream_is_described_and_every_message_travels_on_one():
    channels = DOCUMENT["channels"].values()

    assert {channel["address"] for channel in channels} == {
        streams.CLICKS,
        "clicks:{shard}",
        streams.CLICKS_DEAD,
        streams.LINKS,
    }
    assert {name for channel in channels for name in channel["messages"]} == set(MESSAGES)


def test_with_its_parameter_an_address_is_the_name_of_a_stream():
    channel = DOCUMENT["channels"]["clicks_shard"]

    names = [
        channel["address"].replace("{shard}", each)
        for each in channel["parameters"]["shard"]["enum"]
    ]

    assert [streams.CLICKS, *names] == NAMES


@pytest.mark.parametrize("message", MESSAGES)
def test_an_example_fits_its_schema(message: str):
    (example,) = MESSAGES[message]["examples"]

    bus_description.check(message, example["payload"])


def test_what_is_not_as_described_is_found():
    fields = {**MESSAGES["clicks"]["examples"][0]["payload"]}

    for changed in ({"v": "2"}, {"batch": '[{"code": "a"}]'}, {"more": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            bus_description.check("clicks", fields | changed)
