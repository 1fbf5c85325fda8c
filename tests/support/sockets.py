"""Starts a command beside listening sockets, and where system calls are refused if asked to.

sockets.py [listen=PORT,ADDRESS[,OPTION]]... [refuse=CALL,ERRNO]... -- CMD...

An option is v6only, dual, device (SO_BINDTODEVICE to lo), mptcp, bound (it does not listen) or
connected (only its connection is left).
"""
import ctypes
import errno
import platform
import socket
import struct
import subprocess
import sys

# The number of the system call, and the first argument that is refused (None: any).
CALLS = {
    "x86_64": {"netlink": (41, socket.AF_NETLINK), "send": (44, None), "receive": (45, None)},
    "aarch64": {"netlink": (198, socket.AF_NETLINK), "send": (206, None), "receive": (207, None)},
}
IPPROTO_MPTCP = 262


def opened(port: str, address: str, option: str = "") -> list[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    protocol = IPPROTO_MPTCP if option == "mptcp" else 0
    listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    if option in ("v6only", "dual"):
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(option == "v6only"))
    if option == "device":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    listener.bind((address, int(port)))
    if option == "bound":
        return [listener]
    listener.listen(16)
    if option != "connected":
        return [listener]
    client = socket.create_connection((address, int(port)))
    server, _ = listener.accept()
    listener.close()
    return [client, server]


def refuse(call: str, error: str) -> None:
    """Installs a seccomp filter (seccomp(2)): load a word, compare, return."""
    number, argument = CALLS[platform.machine()][call]
    load, equal, give = 0x20, 0x15, 0x06
    program = [(load, 0, 0, 0), (equal, 0, 3 if argument is not None else 1, number)]
    if argument is not None:
        program += [(load, 0, 0, 16), (equal, 0, 1, argument)]
    program += [(give, 0, 0, 0x00050000 | getattr(errno, error)), (give, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *it) for it in program))
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in [(38, 1, 0, 0, 0), (22, 2, ctypes.c_void_p(ctypes.addressof(filter_)), 0, 0)]:
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def main() -> None:
    end = sys.argv.index("--")
    sockets, refused = [], []
    for word in sys.argv[1:end]:
        kind, _, values = word.partition("=")
        if kind == "listen":
            sockets += opened(*values.split(","))
        else:
            refused.append(values.split(","))

    def restrict() -> None:
        for call, error in refused:
            refuse(call, error)

    done = subprocess.run(sys.argv[end + 1 :], preexec_fn=restrict, check=False)
    sys.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


main()
