"""The configurations that docs/clients.md shows, for the tests to use as they stand there, with the address and the key of a test."""

import re
from pathlib import Path

from tests.clients.scripted_model import Gateway

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
ADDRESS, KEY = "http://127.0.0.1:8787", '"any"'


def shown(language: str, gateway: Gateway) -> str:
    """The page's one block in that language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert ADDRESS in block
    return str(block).replace(ADDRESS, gateway.url).replace(KEY, f'"{gateway.key}"')
