"""The project installs from what it declares: bounds, a lock that works anywhere, packages in layers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("requirements.lock", "requirements-docs.lock", "requirements-extras.lock")
}
"""What `make install` installs; what `make docs` adds; the versions for the image, without what only tests need."""
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
LAYERS = ["dsir_core", "tasks", "flows", "deployments"]


def declared() -> list[Requirement]:
    optional = EXTRAS.values()
    groups = [PROJECT["project"]["dependencies"], PROJECT["build-system"]["requires"], *optional]
    return [Requirement(line) for group in groups for line in group]


def locked(lock: str) -> dict[str, list[Requirement]]:
    """Each package of a lock with its versions (more than one where they differ by Python)."""
    found: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^[A-Za-z0-9].*?(?= \\$)", LOCKS[lock], flags=re.MULTILINE):
        requirement = Requirement(line)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


FOR_DOCS = [Requirement(line) for line in PROJECT["dependency-groups"]["docs"]]


@pytest.mark.parametrize("requirement", [*declared(), *FOR_DOCS], ids=lambda requirement: requirement.name)
def test_every_dependency_has_a_lower_and_an_upper_bound(requirement: Requirement) -> None:
    operators = {specifier.operator for specifier in requirement.specifier}
    assert operators == {"=="} or (operators & {"<", "<="} and operators & {">", ">="})


OF_CLUSTERS = [Requirement(line) for extra in ("docker", "kubernetes", "slurm") for line in EXTRAS[extra]]
"""The extras that a user chooses."""

HELD = {
    "requirements.lock": [found for found in declared() if found not in OF_CLUSTERS],
    "requirements-docs.lock": FOR_DOCS,
    "requirements-extras.lock": [*map(Requirement, PROJECT["project"]["dependencies"]), *OF_CLUSTERS],
}


@pytest.mark.parametrize(
    ("lock", "requirement"),
    [(lock, requirement) for lock, held in HELD.items() for requirement in held],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_lock_holds_every_dependency_within_its_bounds(lock: str, requirement: Requirement) -> None:
    for found in locked(lock)[canonicalize_name(requirement.name)]:
        (pin,) = found.specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version)


@pytest.mark.parametrize("lock", ["requirements-docs.lock", "requirements-extras.lock"])
def test_every_lock_has_the_versions_that_the_tests_have(lock: str) -> None:
    tested, shipped = (
        {name: {str(pin.specifier) for pin in found} for name, found in locked(one).items()}
        for one in ("requirements.lock", lock)
    )
    assert {name: tested[name] for name in tested.keys() & shipped} == {
        name: shipped[name] for name in tested.keys() & shipped
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_each_package_once_for_each_python(lock: str) -> None:
    for minor in (11, 12, 13):
        for platform in ("linux", "darwin"):
            environment = {
                "python_version": f"3.{minor}",
                "python_full_version": f"3.{minor}.9",
                "sys_platform": platform,
            }
            for name, found in locked(lock).items():
                fitting = [r for r in found if r.marker is None or r.marker.evaluate(environment)]
                assert len(fitting) <= 1, (name, environment)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_hashes_for_everything(lock: str) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCKS[lock])[1:]
    assert len(blocks) > 50
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_index_host_or_path(lock: str) -> None:
    foreign = re.findall(
        r"^.*(?:://|--(?!hash=)|-e |@ |\bindex\b|find-links|/|\.whl).*$", LOCKS[lock], flags=re.MULTILINE
    )
    assert foreign == []


def test_what_is_installed_is_what_is_locked_where_answers_depend_on_it() -> None:
    assert version("data-selection") == "1.0.3"
    assert version("nltk") == "3.9.4"


def test_what_is_installed_has_all_that_it_needs() -> None:
    # `make install` takes the lock as it is, and resolves nothing.
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def modules_imported(path: Path) -> set[str]:
    """Top-level names of what a module imports, at whatever depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_only_towards_the_core(layer: str) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    forbidden = above | ({"prefect", "dask", "distributed"} if layer == "dsir_core" else set())
    modules = sorted((ROOT / layer).rglob("*.py"))
    assert modules
    wrong = {
        f"{path.relative_to(ROOT)}: {sorted(modules_imported(path) & forbidden)}"
        for path in modules
        if modules_imported(path) & forbidden
    }
    assert wrong == set()


def test_wheel_holds_every_package() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == LAYERS
    assert all((ROOT / layer / "__init__.py").is_file() for layer in LAYERS)


def test_third_party_imports_are_declared() -> None:
    modules = [path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")]
    imported = set().union(*map(modules_imported, modules))
    names = {Requirement(line).name.replace("-", "_") for line in PROJECT["project"]["dependencies"]}
    # compression: the standard library's from Python 3.14 on.
    known = {"compression"} | {name.partition(".")[0].replace("-", "_") for name in names} - {"pyyaml"} | {"yaml"}

    assert imported - set(sys.stdlib_module_names) - set(LAYERS) - known == set()


def test_what_the_image_is_built_from_is_there_and_reaches_the_engine() -> None:
    text = (ROOT / "deployments" / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"dsir_core", "tasks", "flows", "deployments", "prefect.yaml"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name.partition('/')[0]}" in ignored
