"""Rules of shape that no linter states."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("services", "shared", "cli")
    for path in (ROOT / folder).rglob("src/**/*.py")
)
SQL = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER)\s[^a-z]*\b", re.S)
# The migration runner is the schema's own; a probe and a session's setting read no table.
SQL_ALLOWED = {"migrate.py"}
PROBES = re.compile(r"SELECT 1\Z|SELECT format")
# Children get the parent's environment on top of their settings.
ENVIRONMENT_ALLOWED = {"settings.py", "processes.py", "servers.py", "__main__.py"}


def texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_keeps_to_its_place(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))

    if not path.name.endswith("_repository.py") and path.name not in SQL_ALLOWED:
        queries = [t for t in texts(tree) if SQL.match(t) and not PROBES.match(t)]
        assert queries == [], "SQL stands in a repository"
    if path.name not in ENVIRONMENT_ALLOWED:
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert "environ" not in names, "settings are read once, in one place"
    identifiers = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "BaseHTTPMiddleware" not in identifiers, "it costs a tenth of a millisecond a request"
