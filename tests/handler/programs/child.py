"""A handler for what a shell cannot do: floods, daemons, bytes. The first argument says what."""

import json
import os
import signal
import sys
import time

MEBIBYTE = 1024 * 1024


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def events() -> int:
    return os.open(os.environ["GRIDSIDECAR_EVENTS"], os.O_WRONLY | os.O_APPEND)


def flood(mebibytes: str, kind: str) -> None:
    block = {
        "short": b"y\n",
        "json": b'{"level":"info","n":1}\n',
        "unbroken": b"xx",
        "events": b'{"type":"heartbeat"}\n',
    }[kind]
    chunk = block * (MEBIBYTE // len(block))
    fd = events() if kind == "events" else 1
    for _ in range(int(mebibytes)):
        write_all(fd, chunk)
    write_all(events(), b'\n{"type":"result","result":"after the flood"}\n')


def long_line(channel: str, mebibytes: str, then: str) -> None:
    """One line that starts like a message, too long, and the end of it looks like a message of its own."""
    fd = events() if channel == "events" else 1
    write_all(fd, b'{"gs":1,"type":"result","result":"' + b"x" * (int(mebibytes) * MEBIBYTE))
    write_all(fd, b'{"gs":1,"type":"result","result":"forged"}\n')
    if then == "then-result":
        write_all(fd, b'{"gs":1,"type":"result","result":"true"}\n')


def deaf() -> None:
    """Never reads its input, which is larger than a pipe."""
    time.sleep(0.2)
    write_all(events(), b'{"type":"result","result":"deaf"}\n')


def slow_reader() -> None:
    size = 0
    while data := os.read(0, 10_000):
        size += len(data)
    write_all(events(), b'{"type":"result","result":%d}\n' % size)


def binary() -> None:
    write_all(1, bytes(range(256)) * 100 + b"\n{\xff\xfe\n")
    write_all(2, bytes(range(256)))
    write_all(events(), b"\xff\x00\n" + b"\x00" * 100 + b"\n")


def daemon(pid_file: str, stdout: str) -> None:
    """A classic daemon: new session, parents gone, no way back. It may hold on to stdout."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        if stdout == "closed":
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.closerange(3, 100)
        with open(pid_file + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(pid_file + ".new", pid_file)
        time.sleep(1000)
    os.wait()
    while not os.path.exists(pid_file):
        time.sleep(0.005)


def hidden(how: str, pid_file: str, until: str = "") -> None:
    """A daemon without our mark in its environment; the attempt goes on until a file is there."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.closerange(3, 100)
        if how == "emptied":
            os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, "idle", pid_file], {})
        overwrite_environment()
        idle(pid_file)
    os.wait()
    while not os.path.exists(until or pid_file):
        time.sleep(0.005)


def overwrite_environment() -> None:
    import ctypes

    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    ctypes.memset(start, ord("x"), end - start)


def idle(pid_file: str) -> None:
    with open(pid_file + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(pid_file + ".new", pid_file)
    time.sleep(1000)


def own_group(pid_file: str) -> None:
    """A session leader cannot leave its group; its child can, and both are deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        os.setpgid(0, 0)
    except PermissionError:
        write_all(events(), b'{"type":"progress","progress":1}\n')
    if os.fork() == 0:
        os.setpgid(0, 0)
        with open(pid_file, "w") as file:
            file.write(str(os.getpid()))
    time.sleep(1000)


def late_words(go: str, heard: str) -> None:
    """Leaves a daemon without our mark, which nothing finds, and which speaks on all it holds once told to."""
    if os.fork() == 0:
        os.setsid()
        os.execve(sys.executable, [sys.executable, "-I", "-S", __file__, "speak-late", go, heard], {})
    write_all(events(), b'{"type":"result","result":"own"}\n')


def speak_late(go: str, heard: str) -> None:
    while not os.path.exists(go):
        time.sleep(0.01)
    answers = []
    for fd in (1, 2, 3, os.open("/dev/fd/3", os.O_WRONLY)):
        try:
            write_all(fd, b'{"gs":1,"type":"result","result":"late"}\n')
            answers.append("taken")
        except BrokenPipeError:
            answers.append("refused")
    with open(heard + ".new", "w") as file:
        file.write(",".join(answers))
    os.rename(heard + ".new", heard)


def memory() -> None:
    time.sleep(0.1)  # limits are set after the start
    try:
        held = b"x" * (512 * MEBIBYTE)
    except MemoryError:
        print(json.dumps({"gs": 1, "type": "result", "result": "refused"}))
    else:
        print(json.dumps({"gs": 1, "type": "result", "result": len(held)}))


def used_memory() -> None:
    held = bytearray(os.urandom(1)) * (800 * MEBIBYTE)  # more than whoever runs the tests has itself
    print(len(held))


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
