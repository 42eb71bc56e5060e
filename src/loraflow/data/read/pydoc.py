"""The default data: docstrings of the installed Python standard library, parsed, never imported."""

import ast
import platform
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from loraflow.files import hash_files

# tests, vendored tools, and what is not there on every machine
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "site-packages"}


def read_pydoc(instruction: str) -> Iterator[dict[str, str]]:
    """Yield a row in Alpaca's layout for each public class and function with a docstring.

    The input is the qualified name and the signature; the output is the docstring's first
    paragraph on one line. The order is that of the sorted file names.
    """
    for path in _source_files():
        module = ".".join(path.relative_to(_root()).with_suffix("").parts)
        for name, signature, docstring in _documented(ast.parse(path.read_bytes()), module):
            summary = " ".join(re.split(r"\n\s*\n", docstring)[0].split())
            yield {
                "instruction": instruction,
                "input": f"{name}\n{signature}",
                "output": summary,
            }


@cache
def hash_standard_library() -> str:
    """Return a digest of the sources that `read_pydoc` reads; they stay as they are for a run."""
    return f"python-{platform.python_version()}-{hash_files(_source_files())}"


@cache
def _root() -> Path:
    return Path(sysconfig.get_path("stdlib"))


@cache
def _source_files() -> tuple[Path, ...]:
    return tuple(
        path
        for path in sorted(_root().rglob("*.py"))
        if not any(
            part in _LEFT_OUT or part.startswith(("_", "config-"))
            for part in path.relative_to(_root()).with_suffix("").parts
            if part != "__init__"
        )
    )


def _documented(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield (qualified name, signature, docstring) of public objects, outer ones first."""
    for child in node.body:
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if child.name.startswith("_"):
            continue
        name = f"{prefix}.{child.name}".replace(".__init__.", ".")
        if docstring := ast.get_docstring(child):
            yield name, _signature(child), docstring
        if isinstance(child, ast.ClassDef):
            yield from _documented(child, name)


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    prefix = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{prefix} {node.name}({ast.unparse(node.args)})"
