"""The log file: shared, rotated, and no trouble to anybody when its disk is in trouble."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.telemetry.file import KEPT, NAME, Broken, LogFile, Mended
from tests.support.mounts import read_only, small_disk
from tests.support.waiting import eventually

LONG = 3600.0
SHORT = 0.05


class Files:
    """Log files that are closed at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def open(self, folder: Path, *, largest: int = 10_000, pause: float = SHORT) -> LogFile:
        file = LogFile(str(folder), SystemClock(), largest=largest, pause=pause)
        self._stack.callback(file.close)
        return file

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def files() -> Iterator[Files]:
    opened = Files()
    yield opened
    opened.close()


def texts(folder: Path) -> list[str]:
    """The files' contents, oldest first."""
    old = sorted(folder.glob(f"{NAME}.[0-9]"), reverse=True)
    return [file.read_text() for file in (*old, folder / NAME)]


async def once_mended(file: LogFile) -> Mended:
    """A line now and then, until one is written."""
    answer = await eventually(lambda: file.keep(b"tick\n"))
    assert isinstance(answer, Mended)
    return answer


# -- rotation ---------------------------------------------------------------------------------------------------------


def test_it_makes_its_folder_and_appends(tmp_path: Path, files: Files) -> None:
    folder = tmp_path / "a" / "b"
    assert [files.open(folder).keep(f"{number}\n".encode()) for number in range(3)] == [None] * 3
    files.open(folder).keep("from the next run: 任务\n".encode())
    assert texts(folder) == ["0\n1\n2\nfrom the next run: 任务\n"]


def test_a_full_file_moves_aside_and_the_oldest_goes(tmp_path: Path, files: Files) -> None:
    file = files.open(tmp_path, largest=100)
    for number in range(80):
        assert file.keep(f"line {number:04}\n".encode()) is None  # 10 bytes
    assert (tmp_path / f"{NAME}.{KEPT}").exists()
    assert not (tmp_path / f"{NAME}.{KEPT + 1}").exists()
    assert {len(text) for text in texts(tmp_path)} == {100}
    assert "".join(texts(tmp_path)) == "".join(f"line {number:04}\n" for number in range(20, 80))


def test_a_line_larger_than_a_file_is_kept_whole(tmp_path: Path, files: Files) -> None:
    file = files.open(tmp_path, largest=100)
    lines = ["small\n", "x" * 500 + "\n", "small again\n"]
    assert [file.keep(line.encode()) for line in lines] == [None] * 3
    assert texts(tmp_path) == lines


def test_who_comes_second_does_not_rotate_again(tmp_path: Path, files: Files) -> None:
    one, other = files.open(tmp_path, largest=100), files.open(tmp_path, largest=100)
    for number in range(5):
        one.keep(f"one {number:05}\n".encode())
        other.keep(f"two {number:05}\n".encode())
    one.keep(b"rotates\n")
    other.keep(b"follows\n")
    assert len(texts(tmp_path)) == 2
    assert texts(tmp_path)[1] == "rotates\nfollows\n"


def test_a_rotation_that_hangs_holds_nobody_up(tmp_path: Path, files: Files) -> None:
    file = files.open(tmp_path, largest=100)
    with (tmp_path / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in range(20):
            assert file.keep(f"line {number:04}\n".encode()) is None
        assert len(texts(tmp_path)) == 1
    file.keep(b"line 0020\n")
    assert [text.count("\n") for text in texts(tmp_path)] == [20, 1]


@pytest.mark.parametrize("by", ["rename", "unlink", "folder"])
def test_a_file_that_others_take_away_is_made_anew(tmp_path: Path, files: Files, by: str) -> None:
    folder = tmp_path / "logs"
    file = files.open(folder)
    file.keep(b"before\n")
    match by:
        case "rename":
            (folder / NAME).rename(tmp_path / "elsewhere")
        case "unlink":
            (folder / NAME).unlink()
        case _:
            shutil.rmtree(folder)
    assert file.keep(b"after\n") is None
    assert (folder / NAME).read_text() == "after\n"


# -- trouble ----------------------------------------------------------------------------------------------------------


async def test_a_full_disk_is_told_once_and_its_end_too(tmp_path: Path, files: Files) -> None:
    with small_disk(tmp_path / "disk", "64k") as folder:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(40 * 1024))
        file = files.open(folder, largest=1_000_000)
        lines = [f"{number:04} {'x' * (number % 90)}\n" for number in range(900)]
        answers = [file.keep(line.encode()) for line in lines]
        told = [answer for answer in answers if answer is not None]
        assert [type(answer) for answer in told] == [Broken]
        assert isinstance(told[0], Broken)
        assert told[0].reason == f"No space left on device: {folder / NAME}"
        kept = answers.index(told[0])
        assert 300 < kept < 700

        ballast.unlink()
        assert (await once_mended(file)).lost >= len(lines) - kept
        assert file.keep(b"after\n") is None
        assert (folder / NAME).read_text() == "".join([*lines[:kept], "tick\n", "after\n"])


async def test_a_read_only_folder_is_told_and_left_alone(tmp_path: Path, files: Files) -> None:
    folder = tmp_path / "logs"
    with read_only(folder):
        file = files.open(folder)
        answer = file.keep(b"lost\n")
        assert answer == Broken(f"Read-only file system: {folder / NAME}")
        assert file.keep(b"lost\n") is None
        assert list(folder.iterdir()) == []
    mended = await once_mended(file)
    assert mended.lost >= 2
    assert (folder / NAME).read_text() == "tick\n"


@pytest.mark.parametrize("what", ["a file in the way", "a disk without room", "a pipe that nobody reads"])
def test_other_troubles(tmp_path: Path, files: Files, what: str) -> None:
    folder = tmp_path / "logs"
    if what == "a file in the way":
        folder.touch()
    else:
        folder.mkdir()
    if what == "a disk without room":
        (folder / NAME).symlink_to("/dev/full")
    file = files.open(folder)
    if what == "a pipe that nobody reads":
        os.mkfifo(folder / NAME)
        answers = [file.keep(b"x" * 1000 + b"\n") for _ in range(100)]
        assert [type(answer) for answer in answers if answer] == [Broken]
        return
    assert isinstance(file.keep(b"lost\n"), Broken)


async def test_it_is_not_tried_again_before_its_time(tmp_path: Path, files: Files) -> None:
    folder = tmp_path / "logs"
    folder.touch()
    patient, hasty = files.open(folder, pause=LONG), files.open(folder)
    assert isinstance(patient.keep(b"lost\n"), Broken)
    assert isinstance(hasty.keep(b"lost\n"), Broken)
    folder.unlink()
    await once_mended(hasty)
    assert patient.keep(b"lost\n") is None
    assert (folder / NAME).read_text() == "tick\n"


async def test_asking_whether_it_works_counts_as_no_line(tmp_path: Path, files: Files) -> None:
    folder = tmp_path / "logs"
    folder.touch()
    file = files.open(folder)
    assert isinstance(file.keep(b""), Broken)
    folder.unlink()
    assert isinstance(await eventually(lambda: file.keep(b"")), Mended)
    assert (folder / NAME).read_text() == ""
