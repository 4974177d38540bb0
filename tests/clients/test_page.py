"""docs/clients.md names the versions that are installed. This needs no client, so it is part of the whole suite."""

import json
import re

from tests.clients.install import HERE
from tests.clients.shown import PAGE


def test_the_page_names_the_versions_that_are_installed():
    rows = re.findall(r"^\| .*?`(?P<package>[\w@/-]+)`\)? \| (?P<version>[\d.]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    node = json.loads((HERE / "package.json").read_text())["dependencies"]
    python = re.findall(r"^([\w-]+)==([\d.]+)", (HERE / "requirements.in").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted([*((name, version) for name, version in node.items() if name != "zod"), *python])


def test_the_lock_files_hold_those_versions_and_no_address_of_a_registry():
    lock = json.loads((HERE / "package-lock.json").read_text())
    assert lock["packages"][""]["dependencies"] == json.loads((HERE / "package.json").read_text())["dependencies"]
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    asked = set((HERE / "requirements.in").read_text().splitlines()[1:])
    assert asked <= set(re.findall(r"^([\w-]+==[\d.]+)", (HERE / "requirements.txt").read_text(), re.MULTILINE))
