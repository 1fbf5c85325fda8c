"""A name server for tests, in its own network and mount namespace. It plays one table after the
other, and for each it runs a program with its own /etc/resolv.conf.

Usage: name_server.py CASES.json. CASES is a list of objects:
    resolv     the text of /etc/resolv.conf
    servers    for each server (127.0.0.1, 127.0.0.2, …) what it answers: a table from "name type"
               (or "name", "* type", "*") to an answer, or null for a server that is silent. At the
               other loopback addresses nothing listens.
    run        the programs to run: "words" is the program with its arguments, "listen" are the
               addresses where port 8080 accepts connections while it runs
An answer is a list of words:
    1.2.3.4, fd00::1   records       cname:NAME   an alias       hold:N   N ms later
    nxdomain, servfail, refused, notimp, formerr, empty, referral, silent
    truncated          TC over UDP; the records come over TCP
    wrong-id, wrong-name, wrong-type, no-question, loop, short, garbage, flood, oversize
                       a bad datagram before the answer
    tcp-closed         TC over UDP, and TCP closes the connection
Prints one JSON line for each program: exit code, output, duration, and the questions.
"""

import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

CODES = {"formerr": 1, "servfail": 2, "nxdomain": 3, "notimp": 4, "refused": 5}
TYPES = {1: "A", 28: "AAAA"}


def packed(name):
    out = b""
    for label in name.rstrip(".").split("."):
        out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def unpacked(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return ".".join(labels), at + 1


class Case:
    def __init__(self):
        self.lock = threading.Lock()
        self.servers = []
        self.asked = []

    def words(self, index, name, kind):
        table = self.servers[index]
        if not isinstance(table, dict):
            return ["silent"]
        for key in (f"{name} {kind}", name, f"* {kind}", "*"):
            if key in table:
                return table[key].split()
        return ["nxdomain"]


case = Case()


def answer(data, index, tcp):
    """The datagrams to send, and how much later in seconds."""
    ident, flags, count = struct.unpack("!HHH", data[:6])
    name, at = unpacked(data, 12)
    name = name.lower()
    kind = TYPES.get(struct.unpack("!H", data[at : at + 2])[0], "?")
    question = data[12 : at + 4]
    with case.lock:
        case.asked.append([index, name, kind, "tcp" if tcp else "udp"])
        words = case.words(index, name, kind)
    if "silent" in words:
        return [], 0
    code, later, before, owner, flags = 0, 0, [], b"\xc0\x0c", 0x8180
    records, size = [], 0
    head = lambda ident, flags, answers: struct.pack("!HHHHHH", ident, flags, 1, answers, 0, 0)
    with_question = True
    for word in words:
        if word in CODES:
            code = CODES[word]
        elif word.startswith("hold:"):
            later = int(word[5:]) / 1000
        elif word.startswith("cname:"):
            target = packed(word[6:])
            records.append(owner + struct.pack("!HHIH", 5, 1, 60, len(target)) + target)
            owner = target
        elif word in ("truncated", "tcp-closed"):
            if not tcp:
                return [head(ident, 0x8380, 0) + question], later
            if word == "tcp-closed":
                return None, 0
        elif word == "referral":
            flags = 0x8000
        elif word == "no-question":
            with_question = False
        elif word == "wrong-id":
            before.append(head(ident ^ 1, 0x8183, 0) + question)
        elif word == "wrong-name":
            before.append(head(ident, 0x8183, 0) + packed("other.example") + question[-4:])
        elif word == "wrong-type":
            before.append(head(ident, 0x8183, 0) + question[:-4] + b"\0\x10\0\1")
        elif word == "loop":
            loop = b"\xc0" + bytes([12 + len(question)])
            before.append(head(ident, 0x8180, 1) + question + loop + b"\0\1\0\1\0\0\0\0\0\4aaaa")
        elif word == "short":
            nine = head(ident, 0x8180, 9)
            before += [b"", data[:1], nine[:11], nine + question]
        elif word == "garbage":
            before.append(os.urandom(300))
        elif word == "flood":
            before += [os.urandom(60)] * 150
        elif word == "oversize":
            before.append(head(ident, 0x8180, 1) + question + b"a" * 60000)
        elif word != "empty":
            address = ipaddress.ip_address(word)
            if (address.version == 4) == (kind == "A"):
                raw = address.packed
                number = 1 if kind == "A" else 28
                records.append(owner + struct.pack("!HHIH", number, 1, 60, len(raw)) + raw)
    if not with_question:
        return before + [struct.pack("!HHHHHH", ident, flags | code, 0, 0, 0, 0)], later
    if code and code != 3:
        records = []
    return before + [head(ident, flags | code, len(records)) + question + b"".join(records)], later


def udp(index, sock):
    while True:
        data, peer = sock.recvfrom(4096)

        def reply(data=data, peer=peer):
            messages, later = answer(data, index, False)
            time.sleep(later)
            for message in messages:
                sock.sendto(message, peer)

        threading.Thread(target=reply, daemon=True).start()


def tcp(index, sock):
    while True:
        peer, _ = sock.accept()
        threading.Thread(target=talk, args=(index, peer), daemon=True).start()


def talk(index, peer):
    with peer:
        peer.settimeout(5)
        try:
            # glibc asks several questions on one connection.
            while size := peer.recv(2, socket.MSG_WAITALL):
                size = struct.unpack("!H", size)[0]
                messages, later = answer(peer.recv(size, socket.MSG_WAITALL), index, True)
                time.sleep(later)
                if messages is None:
                    return
                for message in messages[-1:]:
                    # In pieces, as a network may deliver them.
                    data = struct.pack("!H", len(message)) + message
                    for piece in (data[:1], data[1:9], data[9:]):
                        peer.sendall(piece)
                        time.sleep(0.002)
        except (OSError, struct.error):
            pass


def listen(index):
    address = f"127.0.0.{index + 1}"
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((address, 53))
    stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stream.bind((address, 53))
    stream.listen(16)
    threading.Thread(target=udp, args=(index, datagrams), daemon=True).start()
    threading.Thread(target=tcp, args=(index, stream), daemon=True).start()


def accept(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, 8080))
    sock.listen(16)
    return sock


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ("fd00::1", "fd00::2"):
        subprocess.run(["ip", "addr", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
    cases = json.load(open(sys.argv[1]))
    listening = set()
    for it in cases:
        with open("/etc/resolv.conf", "w") as file:
            file.write(it["resolv"])
        for index in range(len(it["servers"])):
            if index not in listening:
                listen(index)
                listening.add(index)
        for run in it["run"]:
            with case.lock:
                case.servers, case.asked = it["servers"], []
            accepting = [accept(address) for address in run["listen"]]
            began = time.monotonic()
            done = subprocess.run(run["words"], capture_output=True, text=True, errors="replace")
            took = time.monotonic() - began
            for sock in accepting:
                sock.close()
            with case.lock:
                asked = list(case.asked)
            print(
                json.dumps(
                    {
                        "code": done.returncode,
                        "stdout": done.stdout,
                        "stderr": done.stderr,
                        "took": took,
                        "asked": asked,
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
