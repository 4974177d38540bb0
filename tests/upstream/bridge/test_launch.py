"""How the bridge is started: the program, its environment, and the line by which it says where it listens."""

import os
import sys
from pathlib import Path

import msgspec
import pytest

from pipeline.errors import UpstreamUnusable
from pipeline.upstream.bridge import launch
from pipeline.upstream.bridge.launch import child_arguments, child_environment, find_command, read_ready, read_token
from pipeline.upstream.bridge.scratch import Scratch

SCRATCH = Scratch(Path("/scratch"))
READY = {
    "schemaVersion": 1,
    "serverVersion": "1.0.0",
    "pid": 18052,
    "transport": "tcp",
    "protocol": "connect",
    "host": "127.0.0.1",
    "port": 33845,
    "url": "http://127.0.0.1:33845",
    "authTokenFile": "/b/auth-token",
    "workspaceRef": "w",
    "stateRoot": "s",
}


def program(folder: Path, name: str = launch.PROGRAM, mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def ready_line(**changed):
    return launch.READY + msgspec.json.encode(READY | changed).decode()


# -- the program -----------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_package(tmp_path, monkeypatch):
    """A Python without the vendor's package, and a PATH with one empty folder."""
    (tmp_path / "python").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python" / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_the_program_beside_this_python_goes_before_that_in_the_path(no_package):
    in_path = program(no_package / "bin")
    assert find_command(()) == (str(in_path),)
    beside = program(no_package / "python")
    assert find_command(()) == (str(beside),)


def test_without_a_program_the_error_says_how_to_get_it(no_package):
    program(no_package / "bin", mode=0o644)
    with pytest.raises(UpstreamUnusable, match=r"pip install 'penstock\[cursor-sdk\]'") as caught:
        find_command(())
    assert (caught.value.status, caught.value.code) == (424, "upstream_not_configured")


def test_a_command_of_the_settings_keeps_its_arguments_and_is_a_whole_path(no_package, monkeypatch):
    own = program(no_package, "own")
    program(no_package / "bin", "bare")
    monkeypatch.chdir(no_package)
    assert find_command(("./own", "--x", "-y")) == (str(own), "--x", "-y")
    assert find_command(("bare",)) == (str(no_package / "bin" / "bare"),)
    for command in ("gone", "./gone", "/gone/program"):
        with pytest.raises(UpstreamUnusable, match="names no program"):
            find_command((command,))


def test_the_arguments_hold_places_and_no_secret():
    assert child_arguments(SCRATCH) == ("--workspace", "/scratch/workspace", "--state-root", "/scratch/state", "--host", "127.0.0.1")


# -- its environment -------------------------------------------------------------------------------------------------------------------------------


def test_only_listed_variables_are_passed_on():
    found = dict.fromkeys(("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"), "/kept")
    dropped = dict.fromkeys(
        ("CURSOR_API_KEY", "CURSOR_SDK_LOCAL_STORE", "OPENAI_API_KEY", "PENSTOCK_TOKEN", "NODE_OPTIONS", "LD_PRELOAD", "PYTHONPATH", "USER"), "secret"
    )
    child = child_environment(found | dropped | {"HOME": "/home/me", "TMPDIR": "/tmp/me", "XDG_CONFIG_HOME": "/home/me/.config"}, SCRATCH)
    assert {name for name, value in child.items() if value == "/kept"} == set(found)
    assert all(value == "/kept" or value.startswith("/scratch/") for value in child.values())
    assert child["HOME"] == "/scratch/home"
    assert {child[name] for name in ("TMPDIR", "TMP", "TEMP")} == {"/scratch/tmp"}
    assert {name for name in child if name.startswith("XDG_")} == {
        f"XDG_{word}" for word in ("CONFIG_HOME", "CACHE_HOME", "DATA_HOME", "STATE_HOME", "RUNTIME_DIR")
    }


def test_places_are_the_same_in_the_programs_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {"PATH": "bin:/usr/bin::../else", "SSL_CERT_FILE": "ca:1.pem", "NODE_EXTRA_CA_CERTS": "./more.pem", "SSL_CERT_DIR": "certs:/etc/ssl"}
    child = child_environment(found, SCRATCH)
    assert child["PATH"] == f"{tmp_path}/bin:/usr/bin:{tmp_path}:{tmp_path.parent}/else"
    assert child["SSL_CERT_FILE"] == f"{tmp_path}/ca:1.pem"
    assert child["NODE_EXTRA_CA_CERTS"] == f"{tmp_path}/more.pem"
    assert child["SSL_CERT_DIR"] == f"{tmp_path}/certs:/etc/ssl"
    assert child_environment({"PATH": "", "SSL_CERT_FILE": ""}, SCRATCH)["SSL_CERT_FILE"] == ""


def test_a_command_that_is_a_folder_is_called_one(tmp_path):
    with pytest.raises(UpstreamUnusable, match="names a folder"):
        find_command([str(tmp_path)])


def test_named_variables_are_passed_on_but_for_keys():
    found = {"EDITOR": "ed", "CURSOR_API_KEY": "crsr_1", "PENSTOCK_TOKEN": "psk_1", "HOME": "/home/me"}
    child = child_environment(found, SCRATCH, tuple(found))
    assert child["EDITOR"] == "ed"
    assert child["HOME"] == "/scratch/home"
    assert "crsr_1" not in child.values()
    assert "psk_1" not in child.values()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_behind_a_proxy_this_machine_is_reached_without_it(name):
    child = child_environment({name: "http://proxy:3128"}, SCRATCH)
    assert child[name] == "http://proxy:3128"
    assert child["NO_PROXY"] == child["no_proxy"] == "127.0.0.1,localhost,::1"
    child = child_environment({name: "http://proxy:3128", "NO_PROXY": "corp.example"}, SCRATCH)
    assert child["NO_PROXY"] == child["no_proxy"] == "corp.example,127.0.0.1,localhost,::1"


def test_without_a_proxy_nothing_is_said_of_one():
    assert not [name for name in child_environment({"PATH": "/bin"}, SCRATCH) if "proxy" in name.lower()]


# -- the ready line --------------------------------------------------------------------------------------------------------------------------------


def test_a_ready_line_is_read():
    ready = read_ready(ready_line())
    assert ready == launch.Ready("http://127.0.0.1:33845", "/b/auth-token", "1.0.0")
    assert read_ready(ready_line(url="http://[::1]:9/", somethingNew=[1])) == launch.Ready("http://[::1]:9", "/b/auth-token", "1.0.0")


@pytest.mark.parametrize("line", ["", "Debugger attached.", "cursor-sdk-bridge", "cursor-sdk-bridge readying", "ready {}"])
def test_other_lines_say_nothing(line):
    assert read_ready(line) is None


@pytest.mark.parametrize(
    "line",
    [
        launch.READY,
        launch.READY + "{",
        launch.READY + "[]",
        launch.READY + "\ufffd{}",
        ready_line(schemaVersion=2),
        ready_line(schemaVersion="1"),
        ready_line(transport="unix"),
        ready_line(protocol="grpc"),
        ready_line(url="http://example.org:80"),
        ready_line(url="http://0.0.0.0:80"),
        ready_line(url="https://127.0.0.1:80"),
        ready_line(url="http://127.0.0.1"),
        ready_line(url="http://127.0.0.1:99999"),
        ready_line(url="http://me:pw@127.0.0.1:80"),
        ready_line(url="http://[::1"),
        ready_line(url=None),
        ready_line(authTokenFile=7),
    ],
)
def test_a_bridge_that_cannot_be_trusted_is_refused(line):
    with pytest.raises(UpstreamUnusable) as caught:
        read_ready(line)
    assert caught.value.code == "upstream_bridge_incompatible"
    assert "127" not in caught.value.message


def test_a_token_is_read_and_not_shown(tmp_path):
    file = tmp_path / "auth-token"
    file.write_text("abc-DEF_012\n")
    token = read_token(str(file))
    assert token.reveal() == "abc-DEF_012"
    assert "abc" not in repr(token)


@pytest.mark.parametrize("held", [b"", b" \n", b"two\nlines", b"\xff\xfe", b"x" * 5000, "schlüssel".encode(), None])
def test_what_is_no_token_is_refused(tmp_path, held):
    file = tmp_path / "auth-token"
    if held is not None:
        file.write_bytes(held)
    with pytest.raises(UpstreamUnusable) as caught:
        read_token(str(file))
    assert os.fspath(tmp_path) not in caught.value.message
