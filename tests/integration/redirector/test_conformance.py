from pathlib import Path

from tests.conformance import ask_all
from tests.integration.redirector.conftest import Links, Start

OPENAPI = Path(__file__).parents[3] / "docs/openapi.json"


async def test_redirects_are_as_the_api_describes_them(start: Start, links: Links, tmp_path: Path):
    await links.put("hello")  # the example in the description
    async with links.beating(), start() as redirector:
        await ask_all(
            str(OPENAPI),
            tmp_path,
            *("--url", f"http://127.0.0.1:{redirector.port}"),
            *("--include-path-regex", r"\{short_code\}"),
        )
