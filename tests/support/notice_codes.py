"""Which Notice codes the pipeline can say, read from its source: every code is a literal somewhere, and this finds where.

A code is the first argument of `Notice(…)`, or of a function that hands its own parameter `code` to one (`Calls.notice`, for one). It stands there as
a literal, or as a name that the function gave a literal before. What is neither cannot be listed, and is a fault.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARAMETER = "code"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def codes_of_rooms(folder: Path = ROOT / "pipeline") -> dict[str, set[str]]:
    """Each code with the rooms that say it; raises ValueError for a code that cannot be read from the source."""
    functions = [(path, node) for path in sorted(folder.rglob("*.py")) for node in ast.walk(_tree(path)) if isinstance(node, Function)]
    handers = [(path, node.name) for path, node in functions if _hands_on(node)]
    found: dict[str, set[str]] = {}
    for path, node in functions:
        # a private function is called in its own file alone; another one of its name elsewhere is another one
        sayers = {"Notice"} | {name for home, name in handers if home == path or not name.startswith("_")}
        for call in _calls(node, sayers):
            for code in _codes(call, node, path):
                found.setdefault(code, set()).add(path.relative_to(folder).parts[0])
    return found


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _hands_on(function: Function) -> bool:
    return _has_parameter(function) and any(_first(call) == PARAMETER for call in _calls(function, {"Notice"}))


def _has_parameter(function: Function) -> bool:
    return PARAMETER in {argument.arg for argument in function.args.args}


def _calls(function: Function, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name in names:
                yield node


def _first(call: ast.Call) -> str:
    return call.args[0].id if isinstance(call.args[0], ast.Name) else ""


def _codes(call: ast.Call, function: Function, path: Path) -> set[str]:
    given = call.args[0]
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        return {given.value}
    if isinstance(given, ast.Call) or (isinstance(given, ast.Name) and given.id == PARAMETER and _has_parameter(function)):
        return set()  # a Notice that was made elsewhere, or a code that its caller names
    codes = _assigned(_first(call), function)
    if not codes:
        raise ValueError(f"{path}:{call.lineno}: which code is this?")
    return codes


def _assigned(name: str, function: Function) -> set[str]:
    """The literals that a function gives to a name, alone or at its place in a tuple."""
    found: set[str] = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                found |= _literals(node.value)
            elif isinstance(target, ast.Tuple):
                places = [place for place, each in enumerate(target.elts) if isinstance(each, ast.Name) and each.id == name]
                values = [each for each in ast.walk(node.value) if isinstance(each, ast.Tuple) and len(each.elts) == len(target.elts)]
                found |= {literal for place in places for value in values for literal in _literals(value.elts[place])}
    return found


def _literals(value: ast.expr) -> set[str]:
    if isinstance(value, ast.IfExp):
        return _literals(value.body) | _literals(value.orelse)
    return {value.value} if isinstance(value, ast.Constant) and isinstance(value.value, str) else set()
