"""`.env.example` says everything that compose.yaml can be told, with the defaults it has."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::?-([^}]*))?\}")
LINE = re.compile(r"^# ([A-Z_]+)=(.*)$", re.MULTILINE)


def test_every_variable_is_explained_with_its_default():
    used = VARIABLE.findall((ROOT / "compose.yaml").read_text(encoding="utf-8"))

    explained = LINE.findall((ROOT / ".env.example").read_text(encoding="utf-8"))

    assert len(explained) == len(dict(explained)), "a variable stands there twice"
    assert dict(explained) == dict(used)
    assert len(set(used)) == len(dict(used)), "a variable has two defaults"


def test_nothing_is_set_by_it():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")

    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
