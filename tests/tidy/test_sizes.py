"""Files and functions that fit into a head."""

from __future__ import annotations

import ast

from tests.tidy.source import modules

FILE_LINES_MAX = 799
FUNCTION_LINES_MAX = 70
LINE_MAX = 100


def test_files_are_shorter_than_800_lines() -> None:
    long = {
        module.where: count
        for module in modules(around=True)
        if (count := module.text.count("\n")) > FILE_LINES_MAX
    }
    assert not long


def test_functions_fit_on_a_screen() -> None:
    long = {}
    for module in modules(around=True):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{module.where}:{node.lineno} {node.name}"] = lines
    assert not long


def test_packages_hold_a_docstring_only() -> None:
    wrong = []
    for module in modules():
        if module.is_package:
            body = module.tree.body
            is_docstring = len(body) == 1 and ast.get_docstring(module.tree)
            if not is_docstring:
                wrong.append(module.where)
    assert not wrong, "a reader never has to look there for code, but finds what the folder is for"


def test_every_module_says_what_it_is_for() -> None:
    silent = [m.where for m in modules(around=True) if not ast.get_docstring(m.tree)]
    silent = [where for where in silent if not where.endswith("tests/__init__.py")]
    assert not silent
