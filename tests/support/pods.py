"""A pod as its manifest says, without a cluster: each container in a root of its own, with what it mounts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Spec = Mapping[str, Any]

# $1: the root, $2: user:group; then from, to and ro or rw of each mount, --, the command. The root is read-only itself,
# and the process in it number 1 of its own.
ENTER = """
set -e
root=$1 who=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift
mount -o remount,bind,ro "$root"
exec /usr/sbin/chroot --userspec="$who" "$root" "$@"
"""


class Pod:
    """`images` are root folders by the image's name, each with what starts when the manifest names no command."""

    def __init__(
        self,
        spec: Spec,
        images: Mapping[str, tuple[Path, list[str]]],
        folder: Path,
        values: Mapping[str, str],
        config: str,
    ) -> None:
        """`values` are those of the Secret, `config` is the file of the ConfigMap."""
        self._spec = spec
        self._images = images
        self._folder = folder
        self._values = values
        self._user = spec["securityContext"]["runAsUser"]
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for volume in spec["volumes"]:
            place = folder / "volumes" / volume["name"]
            place.mkdir(parents=True)
            place.chmod(0o777)
            if "configMap" in volume:
                (place / "config.yaml").write_text(config)

    def start(self) -> None:
        """As a kubelet does: init containers one after the other, those that stay are not waited for."""
        for container in self._spec.get("initContainers", ()):
            process = self._start(container)
            if container.get("restartPolicy") != "Always":
                assert process.wait(60) == 0, self.log(container["name"])
        for container in self._spec["containers"]:
            self._start(container)

    def _start(self, container: Spec) -> subprocess.Popen[bytes]:
        root, command = self._images[container["image"]]
        command = container.get("command", command) + container.get("args", [])
        mounts: list[str] = []
        for mount in container["volumeMounts"]:
            access = "ro" if mount.get("readOnly") else "rw"
            mounts += [str(self._folder / "volumes" / mount["name"]), mount["mountPath"], access]
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter", str(root)]
        words += [f"{self._user}:{self._user}", *mounts, "--", *command]
        with self._log(container["name"]).open("wb") as log:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment(container)
            )
        self._running[container["name"]] = process
        return process

    def _environment(self, container: Spec) -> dict[str, str]:
        found = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        for each in container.get("env", ()):
            key = each.get("valueFrom", {}).get("secretKeyRef", {}).get("key")
            found[each["name"]] = each["value"] if key is None else self._values[key]
        return found

    def probe(self, container: Spec, name: str) -> bool:
        """Whether a probe's command succeeds, beside the container's process."""
        if (pid := self._inner(container["name"])) is None:
            return False
        who = ["--setuid", str(self._user), "--setgid", str(self._user)]
        inside = ["nsenter", "--target", str(pid), "--mount", "--pid", "--root", "--wd", *who, "--"]
        done = subprocess.run([*inside, *container[name]["exec"]["command"]], check=False, capture_output=True)
        return done.returncode == 0

    def terminate(self, name: str, timeout: float = 60) -> int:
        """The exit code, after SIGTERM to the container's first process."""
        pid = self._inner(name)
        assert pid is not None, f"{name} does not run:\n{self.log(name)}"
        os.kill(pid, signal.SIGTERM)
        return self._running[name].wait(timeout)

    def runs(self, name: str) -> bool:
        return self._running[name].poll() is None

    def log(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")

    def kill(self) -> None:
        for name, process in self._running.items():
            # Everything below process 1 goes with it. It outlives its parent: the change of user takes that away.
            if (first := self._inner(name)) is not None:
                os.kill(first, signal.SIGKILL)
            process.kill()
            process.wait()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _inner(self, name: str) -> int | None:
        """The container's first process, as it is seen from outside; None where there is none, or not yet."""
        outer = self._running[name].pid
        with contextlib.suppress(OSError, IndexError):
            return int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
        return None
