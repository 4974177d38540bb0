"""The configurations that docs/clients.md shows, for the tests to use as they stand there, with the address and the key of a test."""

import re
from pathlib import Path

from tests.clients.scripted_model import Gateway

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
ADDRESS, KEY = "http://127.0.0.1:8787", '"any"'


def shown(language: str, gateway: Gateway, *, naming: str = ADDRESS) -> str:
    """The page's one block in that language that has `naming` in it."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = (each for each in blocks if naming in each)
    return block.replace(ADDRESS, gateway.url).replace(KEY, f'"{gateway.key}"')
