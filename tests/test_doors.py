"""The doors of the house: which room may import which, read from the imports themselves."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ASYNC = {"anyio", "trio", "asyncio", "httpx", "sniffio"}
SYNCHRONOUS_ROOMS = ("parse", "prompt", "machine", "emit", "usage", "wire")
STAGES = (*SYNCHRONOUS_ROOMS, "upstream")
VOCABULARY = {
    "conversation_name",
    "events",
    "errors",
    "request",
    "identity",
    "models",
    "credential",
    "parameters",
    "parameter_effects",
    "messages_fields",
    "thinking_blocks",
    "echo",
}
HTTPX_FILES = {"pipeline/upstream/http.py", "pipeline/upstream/transport.py"}

# room -> the other rooms that it may use, and why
NEIGHBOURS = {
    "emit": {"usage"},  # the usage object of an answer holds its cost
    "upstream": {"wire", "prompt", "usage"},  # an upstream writes its request, weighs it against the window, and reads its own wire
}


def modules(package: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py"))


def imports(module: str, *, deferred: bool = True) -> Iterator[str]:
    """The names of all modules that a module imports, inside functions too; not those for type checking only."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
        if child is not node
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield f"{node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tops(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(module)}


def rooms_of(module: str) -> set[str]:
    return {name.split(".")[1] for name in imports(module) if name.startswith("pipeline.") and name.split(".")[1] in STAGES}


@pytest.mark.parametrize("module", modules("pipeline"))
def test_the_library_does_not_know_the_server(module):
    assert not tops(module) & {"server", "tests", "benchmarks", "quart", "quart_trio", "hypercorn"}


@pytest.mark.parametrize("module", modules("pipeline"))
def test_the_library_speaks_anyio_and_no_backend(module):
    assert not tops(module) & {"trio", "asyncio"}


@pytest.mark.parametrize("module", [module for room in SYNCHRONOUS_ROOMS for module in modules(f"pipeline/{room}")])
def test_machines_and_codecs_are_synchronous(module):
    assert not tops(module) & ASYNC
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)]


@pytest.mark.parametrize("module", [module for room in STAGES for module in modules(f"pipeline/{room}")])
def test_a_stage_knows_the_vocabulary_and_not_its_neighbours(module):
    room = module.split("/")[1]
    assert rooms_of(module) <= {room} | NEIGHBOURS.get(room, set())
    others = {name.split(".")[1] for name in imports(module) if name.startswith("pipeline.") and name.count(".") >= 1} - set(STAGES)
    assert others <= VOCABULARY | ({"cases", "clocks"} if room == "upstream" else set())


@pytest.mark.parametrize("module", [*modules("pipeline"), *modules("server")])
def test_httpx_has_one_door(module):
    assert "httpx" not in tops(module) or module in HTTPX_FILES


@pytest.mark.parametrize("module", modules("server"))
def test_the_server_speaks_trio(module):
    assert not tops(module) & {"asyncio", "anyio", "tests", "benchmarks"}


def test_every_module_says_what_it_is():
    for module in [*modules("pipeline"), *modules("server")]:
        assert ast.get_docstring(ast.parse((ROOT / module).read_text(encoding="utf-8"))), module
