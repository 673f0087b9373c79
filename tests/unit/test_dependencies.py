"""What the package imports is what it asks for: a library that came along with another one may leave with it, too."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = "gridsidecar"


def imported() -> dict[str, str]:
    """Distribution, and one of the files that import it."""
    found: dict[str, str] = {}
    names = packages_distributions()
    for file in (ROOT / OWN).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {OWN}:
                for distribution in names[module]:
                    found[distribution.lower().replace("_", "-")] = str(file.relative_to(ROOT))
    return found


def test_every_library_that_is_imported_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked_for = [*project["dependencies"], *project["optional-dependencies"]["otel"]]
    declared = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in asked_for}
    found = {name: file for name, file in imported().items() if not name.startswith("opentelemetry")}
    assert {name: file for name, file in found.items() if name not in declared} == {}
