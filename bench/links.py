"""The links that are followed. No I/O."""

TARGET = "https://www.example.com/a/page?of=some&length=1"


def code(number: int) -> str:
    """Return the code of a numbered link; `paths.lua` makes the same."""
    return f"l{number:08d}"


WARM = code(0)
LINKS = 100_000  # there are so many, unless a measurement makes more
