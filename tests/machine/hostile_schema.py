"""Holds an answer against a schema, both from stdin, and says what that took: seconds of processor time, and MiB at the peak."""

import json
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

import jsonschema_rs  # the import is not part of what is measured

from pipeline.errors import RequestError
from pipeline.machine.json_answer import Checker
from pipeline.request import AnswerFormat

MEBIBYTE = 1 << 20


def peak_kibibytes() -> int:
    """Of this program alone: ru_maxrss would begin at the peak of the process that started it."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))


def forget_peak() -> None:
    """What reading the input took is not part of what is measured."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (2048 * MEBIBYTE, 2048 * MEBIBYTE))
    schema, text = json.load(sys.stdin)
    jsonschema_rs.validator_for({}).is_valid({})
    forget_peak()
    before, began = peak_kibibytes(), time.process_time()
    with suppress(RequestError):  # a schema that is refused has cost something too
        Checker(AnswerFormat("json_schema", schema, "x")).judge(text)
    json.dump([time.process_time() - began, (peak_kibibytes() - before) / 1024], sys.stdout)
