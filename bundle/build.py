"""The bundle, put together in a new folder."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
from pathlib import Path
from py_compile import PycInvalidationMode

from bundle import bill, interpreter
from bundle.copying import copy_file, copy_folder
from bundle.elf import read_elf
from bundle.libraries import elf_files, needed_by
from bundle.packages import OURS, copy_packages

HERE = Path(__file__).parent
ZONES = Path("/usr/share/zoneinfo")
OLDEST_GLIBC = (2, 33)  # whose loader knows --argv0
BILL = "share/gridsidecar.cdx.json"


class CannotBuild(Exception):
    """The message says what is missing, or in the way."""


def build(root: Path, extra: str | None) -> None:
    """`root` must not hold anything yet. CannotBuild, CannotInstall, LibraryMissing."""
    _check(root)
    lib = root / "lib"
    program = interpreter.copy_interpreter(lib)
    modules = lib / interpreter.VERSION
    copy_packages(modules, extra)
    copy_file(HERE / "gridsidecar_copy.py", modules / "gridsidecar_copy.py")
    if ZONES.is_dir():
        copy_folder(ZONES, root / "share/zoneinfo", without=frozenset({"posix", "right"}))
    loader, libraries = _copy_libraries(root, program)
    _compile_programs(root, loader.name)
    interpreter.strip(elf_files(lib))
    (root / "share").mkdir(exist_ok=True)
    (root / BILL).write_text(bill.written(bill.bill(modules, [loader, *libraries], [bill.interpreter()])))
    _precompile(modules)


def _check(root: Path) -> None:
    if root.exists() and any(root.iterdir()):
        raise CannotBuild(f"{root} is not empty; name a folder that is new, or remove what is in it")
    missing = [tool for tool in ("gcc", "strip") if shutil.which(tool) is None]
    if missing:
        raise CannotBuild(f"{' and '.join(missing)} needed; on Debian: apt-get install gcc libc6-dev")
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    if name != "glibc" or tuple(int(number) for number in version.split(".")) < OLDEST_GLIBC:
        raise CannotBuild("a C library with another loader; build on glibc 2.33 or newer, such as Debian 12's")


def _copy_libraries(root: Path, program: Path) -> tuple[Path, list[Path]]:
    """Where this machine has the loader and the libraries; those that a wheel brings are there already."""
    lib = root / "lib"
    needed = needed_by([program, *elf_files(root / "lib" / interpreter.VERSION)])
    found = {name: path for name, path in needed.items() if not path.is_relative_to(root)}
    for name, path in found.items():
        copy_file(path, lib / name)
    loader = read_elf(program).loader
    if loader is None:
        raise CannotBuild(f"{program} is linked statically; take a Python that is not")
    copy_file(Path(loader), lib / Path(loader).name)
    return Path(loader), list(found.values())


def _compile_programs(root: Path, loader: str) -> None:
    bin_ = root / "bin"
    bin_.mkdir()
    compile_ = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-s"]
    launcher: list[str | Path] = [f'-DLOADER="{loader}"', "-static", HERE / "launcher.c", "-o", bin_ / "gridsidecar"]
    surroundings: list[str | Path] = ["-shared", "-fPIC", HERE / "surroundings.c", "-o", root / "lib/surroundings.so"]
    for words in (launcher, surroundings):
        answer = subprocess.run([*compile_, *words], capture_output=True, text=True)
        if answer.returncode != 0:
            raise CannotBuild(f"gcc failed; on Debian it needs libc6-dev, too:\n{answer.stderr}")
    for name in ("gridsidecar-python", "gridsidecar-copy"):
        (bin_ / name).symlink_to("gridsidecar")


def _precompile(modules: Path) -> None:
    """Valid whatever becomes of the dates of files. What is not ours is there in its compiled form alone, which takes
    half the room; ours keeps its source, for the lines of a traceback."""
    for top in sorted(modules.iterdir()):
        kept = top.name == OURS
        compile_ = compileall.compile_dir if top.is_dir() else compileall.compile_file
        compile_(
            top,
            quiet=2,
            force=True,
            legacy=not kept,
            stripdir=modules,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        )
        if not kept:
            for source in [top] if top.suffix == ".py" else top.rglob("*.py"):
                source.unlink()
