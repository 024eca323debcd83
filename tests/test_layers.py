"""The architecture, held by a walk over the imports of every module."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import entropy_ids

PACKAGE = Path(entropy_ids.__file__).parent
STAGES = ("collector", "features", "detectors", "profile", "alarms")
COMMON = {"types", "errors", "calendar", "settings", "config"}
DRIVING = {
    "pipeline",
    "replay",
    "daemon",
    "evaluate",
    "cli",
    "reading",
    "report",
    "show",
}
DRIVERS = {"replay", "daemon", "evaluate"}
MOST_LINES = 400
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Give a module's dotted name within the package; the package itself is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


EVERY = pytest.mark.parametrize("path", MODULES, ids=lambda p: name_of(p) or "package")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Give every module that is imported anywhere in a module, functions included."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def libraries(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def rooms(path: Path) -> set[str]:
    """Give the modules and folders of this package that a module imports."""
    ours = [name.split(".") for name in imports(path) if name.startswith("entropy_ids")]
    names = {parts[1] for parts in ours if len(parts) > 1}
    return names & {name_of(module).partition(".")[0] for module in MODULES}


def in_stage(path: Path) -> str | None:
    room = name_of(path).partition(".")[0]
    return room if room in STAGES else None


def test_all_stages_are_there():
    assert {in_stage(path) for path in MODULES} >= set(STAGES)


@EVERY
def test_no_stage_imports_a_later_one(path):
    stage = in_stage(path)
    later = STAGES[STAGES.index(stage) + 1 :] if stage else ()
    assert rooms(path) & set(later) == set()


@EVERY
def test_no_stage_imports_what_puts_stages_together(path):
    assert not in_stage(path) or rooms(path) & (DRIVING | {"simulate"}) == set()


@EVERY
def test_what_all_share_imports_no_stage(path):
    if name_of(path) in COMMON:
        assert rooms(path) <= COMMON


@EVERY
def test_drivers_do_not_import_each_other_or_the_command_line(path):
    room = name_of(path).partition(".")[0]
    if room in DRIVERS | {"pipeline", "reading"}:
        assert rooms(path) & ((DRIVERS - {room}) | {"cli", "show"}) == set()


@EVERY
def test_only_detectors_import_the_network_library(path):
    if in_stage(path) != "detectors":
        assert "torch" not in libraries(path)


@EVERY
def test_only_detectors_and_their_rivals_import_the_learning_library(path):
    rivals = {"evaluate.methods", "evaluate.baselines"}
    if in_stage(path) != "detectors" and name_of(path) not in rivals:
        assert "sklearn" not in libraries(path)


@EVERY
def test_only_the_plots_of_an_evaluation_import_the_plotting_library(path):
    if name_of(path) != "evaluate.plots":
        assert "matplotlib" not in libraries(path)


@EVERY
def test_simulation_knows_nothing_of_the_package_but_time_and_files(path):
    if name_of(path).startswith("simulate"):
        assert rooms(path) <= {"errors", "calendar", "collector", "simulate"}


@EVERY
def test_only_site_time_knows_time_zones(path):
    if name_of(path) != "calendar":
        assert "zoneinfo" not in set(imports(path))


@EVERY
def test_nothing_prints(path):
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    called = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    assert called & {"print", "pprint"} == set()


@EVERY
def test_a_module_is_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@EVERY
def test_a_module_says_what_it_is_for(path):
    assert ast.get_docstring(tree_of(path))


def loaded_with(module: str) -> set[str]:
    """Give the top-level modules that importing one brings into a new process."""
    code = f"import {module}, sys; sys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "module", ["entropy_ids.cli", "entropy_ids.reading", "entropy_ids.simulate"]
)
def test_what_needs_no_network_does_not_load_its_library(module):
    assert loaded_with(module) & {"torch", "sklearn", "matplotlib"} == set()


def test_only_drawing_loads_the_plotting_library():
    assert "matplotlib" not in loaded_with("entropy_ids.evaluate.plots")
