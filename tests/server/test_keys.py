"""`penstock keys new`: what it prints is a table that the settings take, and a key that the front door knows."""

import re

import pytest
from werkzeug.datastructures import Headers

from server.cli import main
from server.front_door import FrontDoor
from server.keys import SHAPE, hash_of, new_key
from tests.support.settings_files import load, usual_umask


def test_what_is_printed_works(capsys, tmp_path):
    assert main(["keys", "new", "alice"]) == 0
    printed = capsys.readouterr()
    key = printed.out.splitlines()[0]
    assert SHAPE.fullmatch(key)
    assert printed.out.count(key) == 1
    assert printed.err == ""
    toml = printed.out[printed.out.index("[[auth.keys]]") :]
    with usual_umask():
        door = FrontDoor(load(tmp_path, toml).settings)
    assert door.admit(Headers({"Authorization": f"Bearer {key}"})).name == "alice"


def test_each_key_is_new():
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(re.fullmatch(r"psk_[A-Za-z0-9_-]{43}", key) for key in keys)
    assert len({hash_of(key) for key in keys}) == 1000


@pytest.mark.parametrize("name", ["", "a b", 'a"', "-a\n", "a" * 65, "é", "psk_a"])
def test_a_name_that_is_none(capsys, name):
    assert main(["keys", "new", "--", name]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "a key's name has" in printed.err


@pytest.mark.parametrize("words", [["keys"], ["keys", "new"], ["keys", "old", "a"], ["keys", "new", "a", "b"]])
def test_wrong_use(capsys, words):
    assert main(words) == 2
    assert capsys.readouterr().out == ""
