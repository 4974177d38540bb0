"""Documents that are generated, wholly or in places: `make docs` writes them, and a test compares them with what would be written.

A generated place of a Markdown file stands between `<!-- generated: NAME -->` and `<!-- end -->`, each on a line of its own. What stands there is
replaced by what NAME's function gives; everything else is left as it is. A name without a function, a place without an end and a function without its
place are faults, so that none of them can rot unseen.

    python -m tests.support.documents
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from server.config_text import reference
from tests.support import dialects_doc, messages_doc, parameters_doc, sdk_bridge_doc
from tests.support.tool_calls_doc import REGIONS

ROOT = Path(__file__).parents[2]
_PLACE = re.compile(r"^<!-- generated: (?P<name>[^\n]+?) -->\n.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"^<!-- (?:generated: .*|end) -->$", re.MULTILINE)

Regions = Mapping[str, Callable[[], str]]


def fill(text: str, regions: Regions) -> str:
    r"""The text with its generated places filled anew; raises ValueError when places and functions do not match one to one.

    >>> fill("a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n", {"x": lambda: "new"})
    'a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb\n'
    """
    names = [found["name"] for found in _PLACE.finditer(text)]
    if len(_MARK.findall(text)) != 2 * len(names):
        raise ValueError("a generated place without its end, or an end without its beginning")
    if sorted(names) != sorted(regions):
        raise ValueError(f"in the text alone: {sorted(set(names) - set(regions))}; in the code alone: {sorted(set(regions) - set(names))}")
    return _PLACE.sub(lambda found: f"<!-- generated: {found['name']} -->\n\n{regions[found['name']]().strip()}\n\n<!-- end -->", text)


# the file -> what it should hold, made from what it holds
DOCUMENTS: dict[str, Callable[[str], str]] = {
    "docs/composer.md": lambda text: fill(text, parameters_doc.WAYS),
    "docs/messages.md": lambda text: fill(text, messages_doc.REGIONS),
    "docs/parameters.md": lambda text: fill(text, parameters_doc.REGIONS),
    "docs/sdk-bridge.md": lambda text: fill(text, sdk_bridge_doc.REGIONS),
    "docs/settings.md": lambda _: reference(),
    "docs/tool-calls.md": lambda text: fill(text, REGIONS),
}


# the same for those that are made by asking real servers, which a test does by itself
ASKED: dict[str, Callable[[str], str]] = {"docs/dialects.md": lambda text: fill(text, dialects_doc.REGIONS)}


def main() -> int:
    """Write what differs, and say so."""
    for name, made in (DOCUMENTS | ASKED).items():
        path = ROOT / name
        held = path.read_text(encoding="utf-8")
        text = made(held)
        if text != held:
            path.write_text(text, encoding="utf-8")
        print(f"{name}: {'written' if text != held else 'up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
