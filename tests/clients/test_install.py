"""The installer says what is missing. This needs no client, so it is part of the whole suite."""

import sys

import pytest

from tests.clients import install


def test_without_node_it_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert install.main() == 1
    assert capsys.readouterr().err == "test-clients: the clients need Node 20 or newer, with npm, and there is none on the PATH\n"


def test_a_package_that_cannot_be_had_is_told_with_the_installers_own_words(monkeypatch, tmp_path):
    monkeypatch.setattr(install, "CLIENTS", tmp_path)
    with pytest.raises(install.Impossible, match=r"(?s)is the package registry reachable\? It says:\n.*no route"):
        install.run(sys.executable, "-c", "raise SystemExit('no route to the registry')")


def test_what_is_installed_is_installed_again_only_for_other_lock_files(monkeypatch, tmp_path):
    installed = []
    monkeypatch.setattr(install, "CLIENTS", tmp_path)
    for _ in range(2):
        install.once("python", lambda: installed.append("python"), "what there is")
    assert installed == ["python"]
    assert install.missing() == ["node"]
    install.stamp("python").write_text("of another lock file")
    install.once("python", lambda: installed.append("again"), "what there is")
    assert installed == ["python", "again"]
