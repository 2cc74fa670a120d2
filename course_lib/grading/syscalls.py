"""System calls that a learner's process is refused on Linux (seccomp): those that reach past its folder and its group.

Landlock knows nothing of metadata, limits, terminals, shared memory or sockets that are not TCP. Names and numbers are
those of the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
"""

import ctypes
import errno
import platform
import struct

REFUSED = {
    # others' processes, their limits and priorities, and leaving one's own group
    **dict(setpgid=(109, 154), setsid=(112, 157), setpriority=(141, 140), sched_setaffinity=(203, 122)),
    **dict(sched_setscheduler=(144, 119), sched_setparam=(142, 118), sched_setattr=(314, 274), ioprio_set=(251, 30)),
    **dict(ptrace=(101, 117), process_vm_readv=(310, 270), process_vm_writev=(311, 271), pidfd_getfd=(438, 438)),
    **dict(pidfd_send_signal=(424, 424), unshare=(272, 97), setns=(308, 268), mount=(165, 40)),
    # a file's owner and attributes
    **dict(chown=(92, None), fchown=(93, 55), lchown=(94, None), fchownat=(260, 54), setxattrat=(463, 463)),
    **dict(setxattr=(188, 5), lsetxattr=(189, 6), fsetxattr=(190, 7), removexattr=(197, 14)),
    **dict(lremovexattr=(198, 15), fremovexattr=(199, 16)),
    # connections, and memory that no process is charged for
    **dict(socket=(41, 198), io_uring_setup=(425, 425), shmget=(29, 194), msgget=(68, 186), semget=(64, 190)),
    **dict(mq_open=(240, 180), memfd_create=(319, 279), memfd_secret=(447, 447), bpf=(321, 280)),
    **dict(perf_event_open=(298, 241), userfaultfd=(323, 282), add_key=(248, 217), keyctl=(250, 219)),
}
WITHOUT_EFFECT = {
    **dict(chmod=(90, None), fchmod=(91, 52), fchmodat=(268, 53), fchmodat2=(452, 452), utime=(132, None)),
    **dict(utimes=(235, None), futimesat=(261, None), utimensat=(280, 88)),
}
"""Modes and times of files: libraries set them when they copy, and mind a refusal."""
PRLIMIT, IOCTL = (302, 261), (16, 29)
TERMINAL_INPUT, TERMINAL, FLAGS, XFLAGS = 0x5412, 0x541C, 0x40086602, 0x401C5820
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, DO_NOTHING, REFUSE = 0x7FFF0000, 0x00050000, 0x00050000 | errno.EPERM
NUMBER, MACHINE, FIRST, SECOND = 0, 4, 16, 24
OTHER_TABLE = 0x40000000
SECCOMP, FILTER, NO_NEW_PRIVILEGES = 22, 2, 38


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse() -> bool:
    """From now on the calls above fail with EPERM, here and in all that this thread starts; False where it cannot be.

    Of prlimit a process may use what concerns itself, of ioctl all but what types into a terminal or marks a file.
    """
    if platform.system() != "Linux" or platform.machine() not in MACHINES:
        return False
    libc, code = ctypes.CDLL(None, use_errno=True), program(*MACHINES[platform.machine()])
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return libc.prctl(SECCOMP, FILTER, ctypes.byref(_Program(len(code) // 8, code)), 0, 0) == 0


def program(machine: int, column: int) -> bytes:
    """The filter in the kernel's BPF."""
    lines = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine), (RETURN, 0, 0, REFUSE), (LOAD, 0, 0, NUMBER)]
    lines += [(AT_LEAST, 0, 1, OTHER_TABLE), (RETURN, 0, 0, REFUSE)]
    for calls, answer in ((REFUSED, REFUSE), (WITHOUT_EFFECT, DO_NOTHING)):
        for numbers in calls.values():
            if numbers[column] is not None:
                lines += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, answer)]
    lines += [(EQUAL, 0, 4, PRLIMIT[column]), (LOAD, 0, 0, FIRST), (EQUAL, 1, 0, 0), (RETURN, 0, 0, REFUSE)]
    lines += [(RETURN, 0, 0, ALLOW)]
    lines += [(EQUAL, 1, 0, IOCTL[column]), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, SECOND)]
    for request in (TERMINAL_INPUT, TERMINAL, FLAGS, XFLAGS):
        lines += [(EQUAL, 0, 1, request), (RETURN, 0, 0, REFUSE)]
    lines += [(RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
