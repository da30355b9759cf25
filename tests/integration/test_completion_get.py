# SPDX-License-Identifier: BSD-2-Clause
"""Completion of peerdist-get's command line."""

import re

import pytest

from conftest import ROOT, run
from getting import GET


def complete(*words):
    """What is offered for the last word."""
    script = (f"source {ROOT}/get/completion.bash; COMP_WORDS=(\"$@\"); "
              "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _peerdist_get; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    result = run(["bash", "-c", script, "bash", "peerdist-get", *words])
    assert (result.code, result.err) == (0, "")
    return set(result.out.split())


def test_options_are_those_of_the_program():
    said = run([GET, "--help"]).out
    shown = set(re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", said))
    assert {"-o", "--continue"} <= shown
    assert complete("-") == shown


@pytest.mark.parametrize("before", [["-o"], ["--output"]])
def test_files(folder, before):
    for name in ("one file", "other"):
        (folder.path / name).touch()
    found = complete(*before, f"{folder.path}/o")
    assert f"{folder.path}/other" in found


def test_values_and_nothing():
    assert "40s" in complete("--wait", "")
    assert complete("--wait", "4") == {"40s"}
    assert complete("--co") == {"--continue"}
    assert complete("http") == set()
