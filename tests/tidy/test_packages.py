"""What is installed is what is there, under names that collide with nothing."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import tidemark

from fakes import source_tree


def test_the_list_of_packages_is_complete(root: Path) -> None:
    setuptools = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert setuptools["package-dir"] == {"tidemark": "."}
    found = ["tidemark"]
    for room in source_tree.ROOMS:
        for marker in (root / room).rglob("__init__.py"):
            parts = marker.parent.relative_to(root).parts
            found.append(".".join(["tidemark", *parts]))
    assert sorted(setuptools["packages"]) == sorted(found)


def test_every_folder_with_modules_is_a_package(root: Path) -> None:
    for module in source_tree.modules():
        if module.is_ours:
            assert (module.path.parent / "__init__.py").exists(), module.name


def test_no_folder_bears_the_name_of_a_package_that_we_import(root: Path) -> None:
    ours = {"tidemark", *(path.parent.name for path in (root / "tests").glob("*/__init__.py"))}
    imported = {
        found.target.split(".")[0]
        for module in source_tree.modules()
        for found in source_tree.imports(module)
        if not found.relative and found.target.split(".")[0] not in ours
    }
    # From the root these would be found first, and pytest puts tests/ on the path.
    for folder in (root, root / "tests"):
        here = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}
        assert here & (imported | sys.stdlib_module_names) == set()


def test_public_names_are_importable_and_listed_once() -> None:
    names = list(tidemark.__all__)
    assert sorted(set(names)) == sorted(names)
    missing = [name for name in names if not hasattr(tidemark, name)]
    assert missing == []
    assert set(names) <= set(dir(tidemark))


def test_public_values_say_where_they_are_public() -> None:
    """A name is exported by one object: no two names of the face are the same class."""
    kinds = [getattr(tidemark, name) for name in tidemark.__all__]
    classes = [kind for kind in kinds if isinstance(kind, type)]
    assert len(set(classes)) == len(classes)


def test_what_is_installed_is_this_checkout(root: Path) -> None:
    """Tests import the installed package: an old one, or a file left in build/, would deceive."""
    installed = Path(str(tidemark.__file__)).parent
    found = {path.relative_to(installed).as_posix() for path in installed.glob("*.py")}
    for room in source_tree.ROOMS:
        paths = (installed / room).rglob("*.py")
        found |= {path.relative_to(installed).as_posix() for path in paths}
    wanted = {module.name: module.text for module in source_tree.modules() if module.is_ours}
    assert found == wanted.keys(), "remove build/ and install again"
    for name, text in wanted.items():
        assert (installed / name).read_text(encoding="utf-8") == text, f"{name}: install again"
