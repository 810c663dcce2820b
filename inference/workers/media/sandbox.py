"""Sandbox of a process on Linux: Landlock for files, seccomp for system calls.

No maintained package offers both, so this makes the system calls: landlock(7), seccomp(2).
If the kernel lacks one of them, the other is used; `in_force` returns which are available.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import inference

if TYPE_CHECKING:
    from collections.abc import Iterable

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

# linux/landlock.h
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""Number of file access rights that each Landlock ABI version supports."""
_NET_SINCE, _SCOPE_SINCE = 4, 6
_NET_TCP = 0b11
_SCOPE_ALL = 0b11
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 5, 1 << 8, 1 << 14
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
_OF_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE

# linux/seccomp.h, linux/filter.h
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x10000
_X32 = 0x40000000
"""Bit of system calls of x86-64's x32 ABI, which has separate numbers."""


_NEVER = {
    # sockets
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # execution of programs
    "execve": (59, 221),
    "execveat": (322, 281),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "process_mrelease": (448, 448),
    # shared memory and message queues
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # modes, owners, times and attributes of files, which Landlock does not restrict
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    # notifications of file access
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # kernel administration
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    # ways to bypass file rules and filters
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
}
"""Denied system calls, which no media process needs: numbers on x86-64 and ARM64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """System call numbers of an architecture."""

    architecture: int
    seccomp: int
    clone: int
    clone3: int
    processes: tuple[int, ...]
    """Calls that start processes without `clone`, signal others, or change their priority."""
    own: tuple[int, ...]
    """Calls with a process as first argument, allowed for this one: thread signals, limits."""
    old: tuple[int, ...]
    """Older variants of denied calls."""
    column: int
    """Column of this architecture in the table of denied calls."""

    @property
    def never(self) -> tuple[int, ...]:
        """Numbers of denied calls."""
        return (*(numbers[self.column] for numbers in _NEVER.values()), *self.old)


_X86_64 = _Machine(
    architecture=0xC000003E,
    seccomp=317,
    clone=56,
    clone3=435,
    processes=(57, 58, 62, 200, 141),
    own=(234, 302),
    old=(90, 92, 94, 132, 235, 261, 253),  # chmod, chown, lchown, utime(s), futimesat, inotify_init
    column=0,
)
_ARM64 = _Machine(
    architecture=0xC00000B7,
    seccomp=277,
    clone=220,
    clone3=435,
    processes=(129, 130, 140),
    own=(131, 261),
    old=(),
    column=1,
)
_MACHINES = {"x86_64": _X86_64, "aarch64": _ARM64}


def in_force() -> dict[str, bool]:
    """Return the confinements that this machine's kernel supports."""
    return {"landlock": _landlock_version() > 0, "seccomp": _machine() is not None}


def hide() -> None:
    """Protect this process's memory and environment from other processes of the same user."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def renounce() -> None:
    """Deny sockets, execution of programs and new privileges, for this process and its children.

    Raises:
        OSError: The kernel supports the sandbox but refuses to apply it.
    """
    if sys.platform != "linux":
        return
    hide()
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if (machine := _machine()) is not None:
        _filter(machine, machine.never)


def confine(*, readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Deny access to other processes and to all files but these and Python's. Irreversible.

    Args:
        readable: Files and folders that may be read.
        writable: Folders in which files may be created, written and deleted, but no folders.

    Raises:
        OSError: The kernel supports the sandbox but refuses to apply it.
    """
    if sys.platform != "linux":
        return
    if (version := _landlock_version()) > 0:
        _landlock(version, [*readable, *_runtime()], list(writable))
    if (machine := _machine()) is not None:
        _filter(machine, machine.processes, threads_only=True)


@cache
def _runtime() -> tuple[Path, ...]:
    """Return the files that a running interpreter reads: code, libraries, system information."""
    paths = sysconfig.get_paths()
    code: set[str] = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed = {"site-packages", "dist-packages"}
    code |= {entry for entry in sys.path if Path(entry).name in installed}
    code |= {str(Path(inference.__file__ or "").parent)}
    system = (
        *("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share", "/etc/ld.so.cache"),
        *("/etc/localtime", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
        *("/dev/null", "/dev/urandom"),
    )
    libraries = Path(sys.base_prefix, "lib")
    found = (Path(place) for place in (*code, str(libraries), *system))
    return tuple(path for path in found if path.exists())


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    ctypes.set_errno(0)
    result: int = _libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


# -- Landlock --------------------------------------------------------------------------------


@cache
def _landlock_version() -> int:
    if sys.platform != "linux":
        return 0
    try:
        return _call(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def _landlock(version: int, readable: list[Path], writable: list[Path]) -> None:
    handled = (1 << max(count for since, count in _FS_RIGHTS.items() if since <= version)) - 1
    attributes = struct.pack("=Q", handled)
    if version >= _NET_SINCE:
        attributes += struct.pack("=Q", _NET_TCP)
    if version >= _SCOPE_SINCE:
        attributes += struct.pack("=Q", _SCOPE_ALL)
    rules = _call(
        _LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    try:
        for path in readable:
            _permit(rules, path, _READ & handled)
        for path in writable:
            _permit(rules, path, _WRITE & handled)
        _call(_LANDLOCK_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def _permit(rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # reading it will raise a better error
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, place)
        _call(
            _LANDLOCK_ADD,
            ctypes.c_int(rules),
            ctypes.c_int(_PATH_BENEATH),
            rule,
            ctypes.c_uint32(0),
        )
    finally:
        os.close(place)


# -- seccomp ---------------------------------------------------------------------------------


@cache
def _machine() -> _Machine | None:
    """Return this architecture's numbers, or None if the kernel does not support seccomp."""
    machine = _MACHINES.get(platform.machine())
    if machine is None or sys.platform != "linux" or struct.calcsize("P") != 8:  # noqa: PLR2004 - bytes
        return None
    action = struct.pack("=I", _ERRNO)
    try:
        _call(machine.seccomp, ctypes.c_uint(2), ctypes.c_uint(0), action)  # is it available
    except OSError:
        return None
    return machine


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _filter(machine: _Machine, denied: Iterable[int], *, threads_only: bool = False) -> None:
    """Install a seccomp filter: denied calls fail with EPERM, in all threads, irreversibly.

    Args:
        machine: System call numbers.
        denied: Numbers of denied calls.
        threads_only: Also deny new processes, but not new threads.
    """
    deny = _step(_RETURN, _ERRNO | errno.EPERM)
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, machine.architecture, then=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    if machine is _X86_64:
        steps += [_step(_AT_LEAST, _X32, otherwise=1), deny]
    for number in denied:
        steps += [_step(_EQUAL, number, otherwise=1), deny]
    if threads_only:
        # clone3's flags are in memory, which filters cannot read; ENOSYS makes libraries use clone.
        absent = _step(_RETURN, _ERRNO | errno.ENOSYS)
        steps += [_step(_EQUAL, machine.clone3, otherwise=1), absent]
        for number in machine.own:
            # 0 is this process, as is its id.
            steps += [
                _step(_EQUAL, number, otherwise=5),
                _step(_LOAD, _FIRST_ARGUMENT),
                _step(_EQUAL, 0, then=2),
                _step(_EQUAL, os.getpid(), then=1),
                deny,
                _step(_RETURN, _ALLOW),
            ]
        steps += [
            _step(_EQUAL, machine.clone, otherwise=3),
            _step(_LOAD, _FIRST_ARGUMENT),
            _step(_ANY_BIT, _CLONE_THREAD, then=1),
            deny,
        ]
    steps.append(_step(_RETURN, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(steps))
    program = _Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    _call(
        machine.seccomp,
        ctypes.c_uint(_SET_MODE_FILTER),
        ctypes.c_uint(_ALL_THREADS),
        ctypes.byref(program),
    )


def _step(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """Return one BPF instruction; `then` and `otherwise` are jump offsets of comparisons."""
    return struct.pack("=HBBI", code, then, otherwise, value)
