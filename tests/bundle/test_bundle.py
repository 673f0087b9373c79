"""The bundle in images that have no Python and no C library of ours: the whole line, and all that an image may lack."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bundle.elf import read_elf
from bundle.libraries import elf_files
from tests.support.certificates import Authority
from tests.support.place import HANDLERS, Place
from tests.support.roots import BUNDLE, Running, add_program, bare_root, build_bundle, run_in, write_config
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(400)

MOST_MEGABYTES = 80
PROGRAM = f"{BUNDLE}/bin/gridsidecar"
PYTHON = f"{BUNDLE}/bin/gridsidecar-python"


@pytest.fixture
def bare(tmp_path: Path, bundle: Path) -> Path:
    return bare_root(tmp_path / "root")


@pytest.fixture
def start(bundle: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(root: Path, *command: str, **options: Any) -> Running:
        started.append(Running(root, bundle, *command, **options))
        return started[-1]

    yield start
    for running in started:
        running.kill()
        print(running.text[-4000:])


# -- images -----------------------------------------------------------------------------------------------------------


def busybox(root: Path) -> dict[str, Any]:
    """A user without rights, on a root that nobody can write to, with no file of its own beside busybox."""
    script = (HANDLERS / "tell.sh").read_text().replace("$", "$$")  # a configuration's way to write a dollar
    return {"command": ["/bin/sh", "-c", script], "user": 10001, "options": "ro"}


def musl(root: Path) -> dict[str, Any]:
    program = root / "bin/tell"
    subprocess.run(["musl-gcc", HANDLERS / "tell.c", "-o", program], check=True)
    add_musl(root)
    return {"command": ["tell"], "processes": 2}


def add_musl(root: Path) -> None:
    (root / "lib").mkdir(exist_ok=True)
    loader = Path(read_elf(root / "bin/tell").loader or "")
    (root / "lib" / loader.name).write_bytes(loader.read_bytes())
    (root / "lib" / loader.name).chmod(0o755)


def node(root: Path) -> dict[str, Any]:
    """As in Debian, with another place for the bundle."""
    program = Path(shutil.which("node") or "node").resolve()
    add_program(root, program)
    (root / "tell.js").write_text((HANDLERS / "tell.js").read_text())
    return {"command": [str(program), "/tell.js"], "place": "/srv/else where/gs"}


@pytest.mark.parametrize("image", [busybox, musl, node])
async def test_a_task_is_done_and_its_handler_sees_nothing_of_the_bundle(
    bare: Path, place: Place, start: Callable[..., Running], image: Callable[[Path], dict[str, Any]]
) -> None:
    options = image(bare)
    handler = {"command": options.pop("command"), "pass_env": ["LD_LIBRARY_PATH", "PYTHONPATH"]}
    worker = {"processes": options.pop("processes", 1), "concurrency": 2}
    config = write_config(bare, place.config({"default": handler}, worker=worker))
    folder = options.get("place", BUNDLE)
    # What an image sets for its own programs is theirs: a loader that took it to heart would not start.
    given = {"PATH": "/bin", "LD_LIBRARY_PATH": "/lib:/nowhere", "PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}
    sidecar = start(
        bare, f"{folder}/bin/gridsidecar", "run", "-c", config, environment=given | {"LD_PRELOAD": "no.so"}, **options
    )
    await sidecar.said("consuming")
    await place.publish({"task_id": "a"}, {"task_id": "b"})
    await eventually(lambda: place.all_ended(2), 60)
    assert place.statuses() == {"success": 2}, sidecar.text
    for row in place.rows().values():
        assert_nothing_of_the_bundle(json.loads(row["result"]), given, folder)
    assert loaded_from(sidecar, bare) == {folder}
    await eventually(lambda: not zombies(sidecar))
    sidecar.terminate()
    assert sidecar.ended() == 0


def assert_nothing_of_the_bundle(seen: dict[str, Any], given: dict[str, str], folder: str) -> None:
    environment = dict(entry.split("=", 1) for entry in seen["environment"] if entry)
    assert seen["descriptors"] == [0, 1, 2, 3]  # the last is for events
    assert {name: environment.pop(name) for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")} == {
        name: given[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
    }
    assert environment.pop("PYTHONUNBUFFERED") == "1"  # every handler has it
    assert not [name for name in environment if name.startswith(("LD_", "PYTHON", "SSL_", "TZ"))]
    assert folder not in str(environment)


def loaded_from(sidecar: Running, root: Path) -> set[str]:
    """The folders of the programs and libraries of its Python processes, as seen from inside."""
    ours = [pid for pid in sidecar.processes() if about(pid, "comm") == "gridsidecar\n"]
    files = {line[73:].removeprefix(str(root)) for pid in ours for line in about(pid, "maps").splitlines()}
    return {file.partition("/lib/")[0] for file in files if ".so" in file or file.endswith("python")}


def zombies(sidecar: Running) -> list[int]:
    return [pid for pid in sidecar.processes() if "State:\tZ" in about(pid, "status")]


def about(pid: int, file: str) -> str:
    """Empty where the process is gone."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return ""


# -- what an image may lack -------------------------------------------------------------------------------------------


def python(root: Path, bundle: Path, code: str, **options: Any) -> str:
    return run_in(root, bundle, [PYTHON, "-c", code], **options).strip()


def test_names_in_hosts_are_found_without_a_word_on_where_to_look(bare: Path, bundle: Path) -> None:
    (bare / "etc").mkdir()
    (bare / "etc/hosts").write_text("192.0.2.7 queue.example\n")
    ask = "import socket; print(socket.gethostbyname('queue.example'))"
    assert python(bare, bundle, ask) == "192.0.2.7"
    # What the image's own C library would load is not ours to load.
    (bare / "etc/nsswitch.conf").write_text("hosts: mymachines resolve [!UNAVAIL=return] dns\npasswd: systemd\n")
    assert python(bare, bundle, ask) == "192.0.2.7"


def test_other_names_are_asked_of_the_name_server(bare: Path, bundle: Path) -> None:
    with name_server("192.0.2.8") as address:
        (bare / "etc").mkdir()
        (bare / "etc/resolv.conf").write_text(f"nameserver {address}\n")
        assert python(bare, bundle, "import socket; print(socket.gethostbyname('db.example'))") == "192.0.2.8"


@contextmanager
def name_server(answer: str) -> Iterator[str]:
    """One that has the same address for every name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.86", 53))

        def serve() -> None:
            while (received := server.recvfrom(512))[0]:
                asked, client = received
                question = asked[12 : asked.index(b"\0", 12) + 5]
                record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(answer)
                server.sendto(asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + record, client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[0]
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()


TRUSTED = "from gridsidecar.config.tls import Tls; print(len(Tls(mode='verify_ca').context().get_ca_certs()))"


def test_the_image_s_authorities_are_trusted_else_the_public_ones(bare: Path, bundle: Path, tmp_path: Path) -> None:
    assert int(python(bare, bundle, TRUSTED)) > 50
    (bare / "etc/ssl").mkdir(parents=True)
    (bare / "etc/ssl/cert.pem").write_text(Authority(tmp_path / "authority").pem.read_text())  # as in Alpine
    assert int(python(bare, bundle, TRUSTED)) == 1


OPENSSL = "openssl_conf = all\n[all]\nproviders = some\n[some]\nfips = one\n[one]\nactivate = 1\n"


@pytest.mark.parametrize("place", ["usr/lib/ssl/openssl.cnf", "own.cnf"])
def test_what_the_image_tells_its_openssl_is_not_for_ours(bare: Path, bundle: Path, place: str) -> None:
    """Its modules would be loaded, or no cipher be left."""
    (bare / place).parent.mkdir(parents=True, exist_ok=True)
    (bare / place).write_text(OPENSSL)
    environment = {"PATH": "/bin"} | ({"OPENSSL_CONF": "/own.cnf"} if place == "own.cnf" else {})
    say = "import os, ssl; ssl.create_default_context(); print(os.environ.get('OPENSSL_CONF'))"
    assert python(bare, bundle, say, environment=environment) == str(environment.get("OPENSSL_CONF"))


def test_times_are_those_of_the_zone_and_text_is_utf_8(bare: Path, bundle: Path) -> None:
    say = "import os, time; print(time.strftime('%z'), os.environ.get('TZDIR'), '时间', ascii(os.environ['WORD']))"
    environment = {"PATH": "/bin", "TZ": "Asia/Shanghai", "LANG": "de_DE.ISO-8859-1", "WORD": "字"}
    assert python(bare, bundle, say, environment=environment) == r"+0800 None 时间 '\u5b57'"


# -- process 1 --------------------------------------------------------------------------------------------------------


def embedded(root: Path) -> str:
    database = {"url": "sqlite:////tasks.db"}
    return write_config(root, {"broker": database, "store": database, "handlers": {"default": {"command": ["true"]}}})


async def test_a_stop_that_comes_before_python_has_started_is_obeyed(bare: Path, start: Callable[..., Running]) -> None:
    sidecar = start(bare, PROGRAM, "run", "-c", embedded(bare), environment={"PATH": "/bin"})
    await eventually(lambda: "--library-path" in sidecar.words, interval=0.001)  # the launcher is done
    sidecar.terminate()
    assert sidecar.ended() == 0


# -- another place ----------------------------------------------------------------------------------------------------

AS_INIT_CONTAINER = 'umask 077; for again in 1 2; do "$0" /shared || exit; done'


def test_a_copy_runs_in_another_image_as_another_user(bare: Path, bundle: Path, tmp_path: Path) -> None:
    (bare / "shared").mkdir()
    (bare / "shared").chmod(0o777)
    run_in(bare, bundle, ["/bin/sh", "-c", AS_INIT_CONTAINER, f"{BUNDLE}/bin/gridsidecar-copy"], user=10001)
    other = bare_root(tmp_path / "other")
    assert run_in(other, bare / "shared", [PROGRAM, "version"], user=10002, options="ro").startswith("gridsidecar ")
    assert {path.relative_to(bundle) for path in bundle.rglob("*")} == {
        path.relative_to(bare / "shared") for path in (bare / "shared").rglob("*")
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("noexec", "/shared is mounted noexec: nothing in it can be started; mount a volume without noexec"),
        ("size=1m", "cannot write /shared/.*: No space left on device; it takes 80 MB"),
        ("ro", "cannot write /shared/.*: Read-only file system"),
    ],
)
def test_a_volume_that_is_no_use_is_named(bare: Path, start: Callable[..., Running], options: str, said: str) -> None:
    (bare / "shared").mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs /shared && exec {BUNDLE}/bin/gridsidecar-copy /shared"
    copy = start(bare, "/bin/sh", "-c", mount, environment={"PATH": "/bin"})
    assert copy.ended() == 1
    assert copy.text.startswith("gridsidecar-copy: ")
    assert re.search(said, copy.text), copy.text


def test_the_launcher_says_what_is_wrong(bare: Path, bundle: Path, tmp_path: Path) -> None:
    for folder in ("bin", "a:b/bin"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(bundle / "bin/gridsidecar", tmp_path / folder / "gridsidecar")
    (loader,) = (path.name for path in (bundle / "lib").glob("ld-*"))

    def answer(folder: str = "bin") -> tuple[int, str]:
        ended = subprocess.run([tmp_path / folder / "gridsidecar", "version"], capture_output=True, text=True)
        return ended.returncode, ended.stderr

    there = f"gridsidecar: {tmp_path}/lib/{loader}"
    assert answer() == (127, f"{there}: No such file or directory\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / loader).touch(0o644)
    assert answer() == (126, f"{there}: Permission denied; is its volume mounted noexec?\n")
    why = "its path must not hold : ; or $, which mean something to the loader"
    assert answer("a:b/bin") == (126, f"gridsidecar: cannot run from {tmp_path}/a:b: {why}\n")
    shutil.copy(bundle / "bin/gridsidecar", bare)  # alone, and where no /proc is mounted
    ended = subprocess.run(["/usr/sbin/chroot", bare, "/gridsidecar"], capture_output=True, text=True)
    lost = "gridsidecar: cannot find its own place, /proc/self/exe: No such file or directory\n"
    assert (ended.returncode, ended.stderr) == (127, lost)


# -- what is in it ----------------------------------------------------------------------------------------------------


def test_it_is_small(bundle: Path) -> None:
    assert sum(path.lstat().st_size for path in bundle.rglob("*") if path.is_file()) < MOST_MEGABYTES * 1e6


def test_it_holds_every_library_that_its_files_need(bundle: Path) -> None:
    names = {path.name for path in elf_files(bundle)}
    assert {name for path in elf_files(bundle) for name in read_elf(path).needed} - names == set()


def test_every_module_that_is_compiled_loads(bare: Path, bundle: Path) -> None:
    """Stripped as they are, and without the machine that they come from."""
    lib = next((bundle / "lib").glob("python3.*"))
    files = [path.relative_to(lib) for path in lib.rglob("*.so")]
    places = (path.relative_to("lib-dynload") if path.parts[0] == "lib-dynload" else path for path in files)
    modules = sorted(".".join([*path.parent.parts, path.name.partition(".")[0]]) for path in places)
    assert len(modules) > 50
    python(bare, bundle, f"from importlib import import_module as load; [load(name) for name in {modules}]")


def test_nothing_is_built_where_something_is(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    answer = build_bundle(tmp_path)
    assert answer.returncode == 1
    assert answer.stderr == f"{tmp_path} is not empty; name a folder that is new, or remove what is in it\n"
