"""`.env.example` says everything that the compose files can be told, with their defaults."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::?-([^}]*))?\}")
LINE = re.compile(r"^# ([A-Z_]+)=(.*)$", re.MULTILINE)


def test_every_variable_is_explained_with_its_default():
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("compose*.yaml")]
    used = [variable for text in texts for variable in VARIABLE.findall(text)]

    explained = LINE.findall((ROOT / ".env.example").read_text(encoding="utf-8"))

    assert len(explained) == len(dict(explained)), "a variable stands there twice"
    assert dict(explained) == dict(used)
    assert len(set(used)) == len(dict(used)), "a variable has two defaults"


def test_nothing_is_set_by_it():
    text = (ROOT / ".env.example").read_text(encoding="utf-8")

    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
