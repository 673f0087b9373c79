"""Installs Debian packages that the tests need; standard library only.

`python3 -m tests.support.debian PACKAGE...` does it from a shell.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

POLICY = Path("/usr/sbin/policy-rc.d")
INSTALL_TIMEOUT_S = 900


class CannotInstall(Exception):
    """This machine does not let us install packages; the message says why and what to do."""


def is_installed(package: str) -> bool:
    answer = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package], capture_output=True, text=True
    )
    return answer.stdout == "installed"


def install(*packages: str) -> None:
    """Installs what is missing, without starting any service; CannotInstall when that is impossible."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise CannotInstall(f"{', '.join(packages)} needed, and this is no Debian; install them by hand")
    missing = [package for package in packages if not is_installed(package)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise CannotInstall(f"not root; as root run: apt-get install --no-install-recommends {' '.join(missing)}")
    print(f"installing {' '.join(missing)}", file=sys.stderr, flush=True)
    with tempfile.TemporaryFile("w+") as log, _services_stay_off():
        # One unreachable third-party source makes the update fail and may not matter: the installation decides.
        _apt(["update"], log)
        if _apt(["install", "--yes", "--no-install-recommends", *missing], log) != 0:
            log.seek(0)
            raise CannotInstall(f"apt-get could not install {' '.join(missing)}:\n{log.read()[-4000:]}")


def _apt(arguments: Sequence[str], log: IO[str]) -> int:
    command = ["apt-get", "-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        timeout=INSTALL_TIMEOUT_S,
    ).returncode


def bootstrap(suite: str, packages: str, folder: Path) -> None:
    """Makes a minimal Debian with `packages` (comma-separated) in a new folder, from this machine's mirror."""
    answer = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", suite, folder, *_mirror()],
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        env=os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"} | _proxy(),
    )
    if answer.returncode != 0:
        raise CannotInstall(f"debootstrap could not make {suite} in {folder}:\n{answer.stdout}{answer.stderr}"[-4000:])
    shutil.rmtree(folder / "var/cache/apt/archives")


def _mirror() -> list[str]:
    """The Debian mirror that this machine uses, or nothing."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(file.read_text(errors="replace") for file in files if file.is_file())
    return re.findall(r"^(?:deb |URIs:)[^#\n]*?(https?://\S+/debian)/?(?:\s|$)", text, re.MULTILINE)[:1]


def apt_settings() -> dict[str, str]:
    """apt's settings about how to reach its sources: proxies and certificates."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return dict(re.findall(r'^(Acquire::https?::(?:\S+::)?(?:Proxy|CAInfo)) "(.+)";$', dump, re.MULTILINE))


def _proxy() -> dict[str, str]:
    settings = apt_settings()
    names = {"http_proxy": "Acquire::http::Proxy", "https_proxy": "Acquire::https::Proxy"}
    return {variable: settings[name] for variable, name in names.items() if name in settings}


@contextmanager
def _services_stay_off() -> Iterator[None]:
    """Debian starts a server as it installs it; ours run on private ports instead."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        install(*sys.argv[1:])
    except CannotInstall as error:
        sys.exit(str(error))
