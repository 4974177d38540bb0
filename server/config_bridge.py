"""The rules of the SDK bridge: what is started, and what of this process's environment it may see; `server.config_rules` lists them.

The bridge is a program that is not ours and that takes keys where it finds them. So no variable that holds a key is given to it: it gets the key of
each request with the request. Nothing is started here; a command without a slash is looked for when it is started, and by the doctor.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from server.environment import PREFIX
from server.problems import Problem, format_path, shown
from server.settings import Settings
from server.upstream_settings import KeyedUpstream, SdkBridge

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

VENDORS_KEY = "CURSOR_API_KEY"
"""The variable that the bridge falls back to for a request without a key."""

OWN_FOLDERS = re.compile(r"HOME|TMPDIR|TMP|TEMP|XDG_[A-Z_]+")
"""Variables that say where a program's files are; the bridge's are in a folder of its own."""


def bridge_commands_can_be_run(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """A command that is a path leads to a program."""
    for name, upstream in settings.upstreams.items():
        if isinstance(upstream, SdkBridge) and upstream.command and "/" in upstream.command[0]:
            program = cwd / upstream.command[0]
            fault = _fault(program)
            if fault is not None:
                path = format_path(("upstreams", name, "command", 0))
                yield Problem(path, f"expected the path of a program, from the working directory, got {shown(upstream.command[0])}: {fault}")


def _fault(program: Path) -> str | None:
    try:
        if program.is_dir():
            return "it is a folder"
        if not program.is_file():
            return "there is no such file"
        return None if os.access(program, os.X_OK) else "it may not be executed"
    except (OSError, ValueError) as error:
        return (error.strerror if isinstance(error, OSError) else None) or "it cannot be looked at"


def bridges_are_given_no_keys(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """What is passed on of the environment are variables, and none that holds a key or says where the bridge's files are."""
    keys = {upstream.api_key_env for upstream in settings.upstreams.values() if isinstance(upstream, KeyedUpstream) and upstream.api_key_env}
    for name, upstream in settings.upstreams.items():
        if not isinstance(upstream, SdkBridge):
            continue
        for index, variable in enumerate(upstream.environment):
            path = format_path(("upstreams", name, "environment", index))
            if not VARIABLE_NAME.fullmatch(variable):
                # a value in the place of a name may be a secret
                yield Problem(path, "expected the name of an environment variable, without a value")
            elif variable == VENDORS_KEY or variable in keys:
                yield Problem(path, f"{variable} holds a key, and the bridge is given the key of each request with it; leave it out")
            elif variable.startswith(PREFIX):
                yield Problem(path, f"variables that begin with {PREFIX} are this gateway's own; leave it out")
            elif OWN_FOLDERS.fullmatch(variable):
                yield Problem(path, f"{variable} says where files are, and the bridge's are in a folder of its own; leave it out")


def runs_are_of_one_process(settings: Settings) -> Iterator[Problem]:
    """What is no fault and worth a word: a run that waits for the results of its tools is known to one worker."""
    workers = settings.server.workers
    for name, upstream in settings.upstreams.items():
        if isinstance(upstream, SdkBridge) and workers > 1:
            message = f"each of {workers} workers starts a bridge of its own, and a run that waits for the results of tools is known to one of them; "
            message += "results that reach another start a new run, which is told the conversation so far. With server.workers = 1 every run goes on"
            yield Problem(format_path(("upstreams", name)), message)
