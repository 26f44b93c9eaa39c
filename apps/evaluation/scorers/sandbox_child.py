"""Makes the sandbox of ``sandbox.py`` around itself, and runs the harness in it. Started as a program, with Python
alone.

Three processes: this one (outside, waits); the first one of the new process namespace (waits, and takes all others with
it when it ends); the harness, a fresh Python without any privilege.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
from typing import Any

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEVICES, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
DIE_WITH_PARENT, SET_FILTER, DROP_BOUND, NO_NEW_PRIVILEGES = 1, 22, 24, 38
CAPABILITY_VERSION = 0x20080522
# Of nobody in particular; each sandbox has its own, so that limits on a user's processes are its own as well.
FIRST_USER, USERS = 1_000_000_000, 1_000_000_000
# By machine: its number in linux/audit.h, and those of its calls shmget, semget and msgget.
CALLS = {"x86_64": (0xC000003E, (29, 64, 68)), "aarch64": (0xC00000B7, (194, 190, 186))}

libc = ctypes.CDLL(None, use_errno=True)


def tell(descriptor: int, setting: dict[str, Any], **report: str) -> None:
    os.write(descriptor, b"\n" + json.dumps({"nonce": setting["nonce"], "from": "child", **report}).encode() + b"\n")


def checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    checked(libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(options)), f"mount {target}")


def leave(uid: int, gid: int) -> None:
    """Into namespaces of our own."""
    own = NEW_MOUNTS | NEW_IPC | NEW_PROCESSES | NEW_NETWORK
    checked(libc.unshare(own if uid == 0 else own | NEW_USER), "unshare")
    if uid != 0:
        for name, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(content)
    mount("none", "/", None, RECURSIVE | PRIVATE)


def build(root: str, python: str, files: dict[str, str], limits: dict[str, Any]) -> None:
    """The new root: Python read only, and /work with the program."""
    mount("tmpfs", root, "tmpfs", NO_SUID | NO_DEVICES, f"size={limits['disk']},nr_inodes=2048,mode=755")
    own = os.path.join(os.path.dirname(os.path.dirname(python)), "lib")
    for path in dict.fromkeys(("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", own, python)):
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif os.path.exists(path):
            show(path, root + path)
    os.mkdir(f"{root}/work")
    os.chmod(f"{root}/work", 0o777)  # noqa: S103 - its own, in memory
    for name, content in files.items():
        with open(f"{root}/work/{name}", "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(content)
        os.chmod(file.name, 0o444)


def show(path: str, target: str) -> None:
    """Put a directory, or a file, of the machine into the new root, read only."""
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    mount(path, target, None, BIND)
    # What the mount forbids already has to stay forbidden, where user namespaces make the mount.
    mount("none", target, None, BIND | REMOUNT | READ_ONLY | NO_SUID | NO_DEVICES)


def drop(uid: int) -> None:
    """Every privilege, for good."""
    if uid == 0:
        user = FIRST_USER + int.from_bytes(os.urandom(4), "big") % USERS
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    else:
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        nothing = (ctypes.c_uint32 * 6)()
        for capability in range(64):
            libc.prctl(DROP_BOUND, capability, 0, 0, 0)
        checked(libc.capset(header, nothing), "capset")
    checked(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")


def bound(limits: dict[str, Any]) -> None:
    for what, most in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_FSIZE, limits["file_size"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    # At the first a signal that says why; at the second, for who ignores it, the end.
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_seconds"], limits["cpu_seconds"] + 1))


def refuse() -> None:
    """No shared memory, semaphores and queues of System V: no limit on a process sees what they hold.

    A filter of system calls (seccomp, in the kernel's BPF): each instruction is a code, two jumps and a value.
    """
    machine = os.uname().machine
    if machine not in CALLS:
        raise OSError(f"the numbers of the system calls of {machine} are not known here")
    architecture, calls = CALLS[machine]
    load, equal, least, end = 0x20, 0x15, 0x35, 0x06
    refused, allowed = 0x00050000 | errno.EPERM, 0x7FFF0000
    refusing = [(test, 0, 1, value) for test, value in ((least, 0x40000000), *((equal, call) for call in calls))]
    program = [
        *((load, 0, 0, 4), (equal, 1, 0, architecture), (end, 0, 0, refused)),  # calls of other numbers
        (load, 0, 0, 0),
        *(step for test in refusing for step in (test, (end, 0, 0, refused))),
        (end, 0, 0, allowed),
    ]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    whole = struct.pack("@HP", len(program), ctypes.addressof(steps))
    checked(libc.prctl(SET_FILTER, 2, whole, 0, 0), "prctl")


def first(setting: dict[str, Any], uid: int) -> str:
    """The first process of the namespace: starts the harness and says how it ended."""
    limits = setting["limits"]
    # Out of the way of the descriptors that the harness has: 0 to 2 lead nowhere, 3 to who reads the report.
    empty = fcntl.fcntl(os.open("/dev/null", os.O_RDWR), fcntl.F_DUPFD, 10)
    report = fcntl.fcntl(1, fcntl.F_DUPFD, 10)
    build(setting["root"], setting["python"], setting["files"], limits)
    os.chroot(setting["root"])
    os.chdir("/work")
    harness = os.fork()
    if harness == 0:
        for descriptor in (0, 1, 2):
            os.dup2(empty, descriptor)
        os.dup2(report, 3)
        os.closerange(4, 64)
        try:
            os.setsid()
            drop(uid)
            bound(limits)
            refuse()
            python = setting["python"]
            command = [python, "-I", "-S", "-B", "harness.py", setting["nonce"]]
            os.execve(python, command, {"HOME": "/work", "LANG": "C.UTF-8"})  # noqa: S606
        except Exception as error:  # whatever it is, it is no fault of the answer
            tell(3, setting, unavailable=str(error))
            os._exit(1)
    ended = os.pidfd_open(harness)
    if not select.select([ended], [], [], limits["seconds"])[0]:
        return "timeout"
    _, status, used = os.wait4(harness, 0)
    spent = used.ru_utime + used.ru_stime
    if os.WIFSIGNALED(status) and (os.WTERMSIG(status) == signal.SIGXCPU or spent >= limits["cpu_seconds"]):
        return "cpu"
    return "ended" if os.WIFEXITED(status) else "crashed"


def main() -> None:
    setting = json.loads(sys.stdin.buffer.read())
    uid, gid = os.getuid(), os.getgid()
    try:
        leave(uid, gid)
        inside = os.fork()
        if inside == 0:
            checked(libc.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0), "prctl")
            end = first(setting, uid)
            tell(1, setting, end=end)
            os._exit(0)
        os.waitpid(inside, 0)
    except Exception as error:
        tell(1, setting, unavailable=str(error))
        os._exit(1)


if __name__ == "__main__":
    main()
