# SPDX-License-Identifier: BSD-2-Clause
"""What the checks of the sources share: which files there are, and C read well
enough to count."""

import dataclasses
import fnmatch
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

TOKEN = re.compile(
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
SOURCE = re.compile(r".*\.(c|h|py|sh|mk|proto|pml|map|in)$|.*Makefile$")


def files(root, *patterns):
    """All files that are, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [str(p.relative_to(root)) for p in root.rglob("*")
                 if not re.match(r"build|\.git/",
                                 str(p.relative_to(root)))]
    return sorted({
        n for n in names if (root / n).is_file() and
        any(fnmatch.fnmatch(os.path.basename(n), p) for p in patterns)})


def read(root, path):
    return (root / path).read_text("utf-8", "replace")


def is_source(path, text):
    return bool(SOURCE.match(path)) or text.startswith("#!")


def is_shell(text):
    return bool(re.match(r"#!\s*/\S*(?:env +)?(?:ba|da)?sh\b", text))


@dataclasses.dataclass
class Blanked:
    text: str
    line_comments: list


def without_comments(text):
    """Comments and the insides of literals become nothing; lines stay."""
    line_comments = []

    def blank(match):
        token = match[0]
        if token.startswith("//"):
            line_comments.append(text.count("\n", 0, match.start()) + 1)
        if token[0] in "\"'":
            return token[0] * 2
        return "\n" * token.count("\n")

    return Blanked(TOKEN.sub(blank, text), line_comments)


@dataclasses.dataclass
class Function:
    path: str
    name: str
    line: int
    length: int  # 0 for a prototype
    parameters: int


def count_parameters(signature):
    depth = 0
    count = 0 if re.fullmatch(r"\(\s*(void)?\s*\)", signature) else 1
    for char in signature[1:-1]:
        depth += (char == "(") - (char == ")")
        count += char == "," and depth == 0
    return count


def functions(root, paths):
    """Definitions and prototypes, from universal-ctags."""
    if not paths:
        return
    result = subprocess.run(
        ["ctags", "--options=NONE", "-L", "-", "-f", "-", "--sort=no",
         "--language-force=C", "--kinds-C=fp", "--fields=+neSK",
         "-I", "CLEANUP+,AUTO_FREE,AUTO_FD"],
        cwd=root, input="\n".join(paths), check=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True)
    for tag in result.stdout.splitlines():
        name, path, _, rest = tag.split("\t", 3)
        kind, *others = rest.split("\t")
        fields = dict(f.split(":", 1) for f in others if ":" in f)
        line = int(fields["line"])
        length = int(fields["end"]) - line + 1 if kind == "function" else 0
        yield Function(path, name, line, length,
                       count_parameters(fields.get("signature", "(void)")))
