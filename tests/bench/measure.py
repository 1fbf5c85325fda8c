#!/usr/bin/env python3
"""Measures podgate and its peers side by side, in one run, and prints Markdown.

    tests/bench/measure.py --podgate target/x86_64-unknown-linux-musl/release/podgate --npm DIR > result.md

Needs Python 3.11 and Linux, nothing else. A peer that is not on the machine is listed as "not here". With a C
compiler, two small programs are built (see HELPER): "floor", which shows what the kernel alone costs here, and a
launcher, without which peak memory cannot be told. Servers are on 127.0.0.1, port 0, inside this process. Only
processes started here are ended, by pid.
"""

import argparse
import math
import os
import platform
import random
import re
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SEED = 20
READY_BETWEEN = (0.2, 3.0)  # seconds after the tool's start
BACKSTOP = 30.0  # seconds after which a tool that should have ended by itself is ended
SECTIONS = ("detect", "cost", "oneshot", "fleet", "size")
PATH = os.environ.get("PATH", os.defpath)
ENVIRONMENT = {"PATH": PATH, "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C"}  # no proxy, no PODGATE_*

HELPER = r"""
/* helper wait tcp|http PORT SECONDS: podgate's default schedule, and nothing but sleep, socket, connect, close (http:
 * one write and one read more). helper run REPORT CMD...: CMD's own cost. The kernel starts a child's peak memory at its
 * parent's size, so a parent as small as this one must start CMD, or Python's 20 MB would be all one sees. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int attempt(const struct sockaddr_in *server, int http) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    char answer[512];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int passed = connect(fd, (const struct sockaddr *)server, sizeof *server) == 0;
    if (passed && http)
        passed = write(fd, request, sizeof request - 1) > 0 && read(fd, answer, sizeof answer) > 9 && answer[9] == '2';
    close(fd);
    return passed;
}

static int wait_for(int http, int port, double limit) {
    struct sockaddr_in server = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    double start = now();
    for (int attempts = 1; !attempt(&server, http); attempts++) {
        double elapsed = now() - start, pause = elapsed * 0.02;
        if (elapsed >= limit) {
            fprintf(stderr, "(%d attempts)\n", attempts);
            return 124;
        }
        pause = pause < 0.001 ? 0.001 : pause > 0.25 ? 0.25 : pause;
        struct timespec t = {0, (long)(pause * 1e9)};
        nanosleep(&t, NULL);
    }
    return 0;
}

static int run(const char *report, char **command) {
    signal(SIGTERM, SIG_IGN); /* a loop without a limit is ended with SIGTERM to the session: outlive it, and report */
    double start = now();
    pid_t child = vfork();
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        execv(command[0], command);
        _exit(127);
    }
    struct rusage cost;
    int status;
    wait4(child, &status, 0, &cost);
    double wall = now() - start;
    double cpu = cost.ru_utime.tv_sec + cost.ru_stime.tv_sec + (cost.ru_utime.tv_usec + cost.ru_stime.tv_usec) / 1e6;
    FILE *out = fopen(report, "w");
    fprintf(out, "%d %.6f %.6f %ld\n", status, wall, cpu, cost.ru_maxrss);
    return fclose(out);
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "wait") == 0)
        return wait_for(argv[2][0] == 'h', atoi(argv[3]), atof(argv[4]));
    if (argc >= 4 && strcmp(argv[1], "run") == 0)
        return run(argv[2], argv + 3);
    return 2;
}
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    moments: int = 20
    wait: int = 20  # seconds
    runs: int = 100
    waits_at_once: int = 150
    fleet: int = 10  # seconds


QUICK = Plan(moments=5, wait=3, runs=20, fleet=3)


@dataclass(frozen=True)
class Tool:
    """One way to wait or to check. Commands name {program}, {port}, {limit} (seconds), and {limit_ms}."""

    name: str
    programs: tuple[str, ...]  # the first is {program}; all must be on the machine
    commands: dict[str, tuple[str, ...]]  # by what is asked: "tcp", "http" (waits), "once" (one successful check)
    interval: str = ""
    needs: str = ""  # what else it takes to run it, for the table of sizes

    def command(self, ask: str, where: dict[str, str], port: int, limit: int = 60) -> list[str]:
        """What to start. Without {limit} in it, the caller has to end it."""
        values = {"program": where[self.name], "port": port, "limit": limit, "limit_ms": limit * 1000}
        return [part.format(**values) for part in self.commands[ask]]

    def ends_itself(self, ask: str) -> bool:
        return any("{limit" in part for part in self.commands[ask])


URL = "http://127.0.0.1:{port}/"
TOOLS = (
    Tool("podgate", ("podgate",), {
        "tcp": ("{program}", "wait", "-q", "--timeout", "{limit}s", "tcp://127.0.0.1:{port}"),
        "http": ("{program}", "wait", "-q", "--timeout", "{limit}s", URL),
        "once": ("{program}", "check", "-q", URL),
    }, "2 % of the wait, 1-250 ms", "nothing"),
    Tool("floor", ("floor",), {
        "tcp": ("{program}", "wait", "tcp", "{port}", "{limit}"),
        "http": ("{program}", "wait", "http", "{port}", "{limit}"),
        "once": ("{program}", "wait", "http", "{port}", "{limit}"),
    }, "as podgate", "nothing; it is no tool"),
    Tool("wait-for-it", ("wait-for-it", "bash", "timeout"), {
        "tcp": ("{program}", "-q", "-t", "{limit}", "127.0.0.1:{port}"),
    }, "1 s", "bash, timeout, sleep, date"),
    Tool("wait-on", ("wait-on", "node"), {
        "tcp": ("{program}", "-t", "{limit_ms}", "tcp:127.0.0.1:{port}"),
        "http": ("{program}", "-t", "{limit_ms}", URL),
    }, "250 ms", "node and its npm packages"),
    Tool("wait-port", ("wait-port", "node"), {
        "tcp": ("{program}", "-t", "{limit_ms}", "127.0.0.1:{port}"),
        "http": ("{program}", "-t", "{limit_ms}", URL),
    }, "1 s", "node and its npm packages"),
    Tool("bash-loop", ("bash",), {
        "tcp": ("{program}", "-c", "until (echo >/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 1; done"),
    }, "1 s", "bash, sleep"),
    Tool("curl-loop", ("curl",), {
        "http": ("/bin/sh", "-c", "until curl -sf " + URL + " >/dev/null; do sleep 1; done"),
    }, "1 s", "sh, curl, sleep"),
    Tool("busybox-loop", ("busybox",), {
        "tcp": ("{program}", "sh", "-c", "until busybox nc 127.0.0.1 {port} -e true 2>/dev/null; do sleep 1; done"),
        "http": ("{program}", "sh", "-c", "until busybox wget -q -O /dev/null " + URL + "; do sleep 1; done"),
    }, "1 s", "busybox"),
    Tool("curl", ("curl",), {"once": ("{program}", "-sf", URL)}),
    Tool("busybox-wget", ("busybox",), {"once": ("{program}", "wget", "-q", "-O", "/dev/null", URL)}),
    Tool("true", ("true",), {"once": ("{program}",)}),
)


class TcpTarget:
    """A port that is taken, so that nothing else can get it, and refuses connections until it listens."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def become_ready(self) -> float:
        self.socket.listen(16)
        return time.monotonic()

    def __enter__(self) -> "TcpTarget":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


class HttpTarget(socketserver.ThreadingTCPServer):
    """A server that answers 503 until it is ready, then 200, and counts connections and requests."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HttpConnection)
        self.port = self.server_address[1]
        self.status = "503 Service Unavailable"
        self.connects = self.requests = 0
        self.counting = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def become_ready(self) -> float:
        self.status = "200 OK"
        return time.monotonic()

    def process_request(self, *connection: object) -> None:
        self.connects += 1  # by the accepting thread only
        super().process_request(*connection)

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class HttpConnection(socketserver.StreamRequestHandler):
    """One connection, kept open when an HTTP/1.1 client does not ask for the contrary."""

    def handle(self) -> None:
        kept = True
        while kept and (line := self.rfile.readline()):
            kept = line.rstrip().endswith(b"HTTP/1.1")
            while (header := self.rfile.readline()) not in (b"\r\n", b""):
                kept = kept and header.lower().strip() != b"connection: close"
            with self.server.counting:
                self.server.requests += 1
            close = "" if kept else "Connection: close\r\n"
            self.wfile.write(f"HTTP/1.1 {self.server.status}\r\n{close}Content-Length: 0\r\n\r\n".encode())

    def finish(self) -> None:
        """A client that left early is its own affair."""
        try:
            super().finish()
        except OSError:
            pass


TARGETS = {"tcp": TcpTarget, "http": HttpTarget}


class Child:
    """A process in a session of its own, by which its whole tree can be found, measured, and ended."""

    def __init__(self, argv: list[str]) -> None:
        self.stderr = tempfile.TemporaryFile("w+")
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
        actions = [*null, (os.POSIX_SPAWN_DUP2, self.stderr.fileno(), 2)]
        self.started = time.monotonic()
        self.pid = os.posix_spawn(
            argv[0], argv, ENVIRONMENT, file_actions=actions, setsid=True, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ]
        )
        self.pidfd = os.pidfd_open(self.pid)
        self.status: int | None = None

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after at most so long. Wakes on the end itself, and then notes the instant and the cost."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if self.status is None and poll.poll(max(0.0, seconds) * 1000):
            self.ended = time.monotonic()
            _, self.status, cost = os.wait4(self.pid, 0)
            self.cpu = cost.ru_utime + cost.ru_stime
        return self.status is not None

    def end(self) -> None:
        """Ends what is left of its session."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self.status is None:
                for pid in members({self.pid}):
                    os.kill(pid, how)
                self.wait(2)

    def complaint(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        os.close(self.pidfd)
        self.stderr.close()


def members(sessions: set[int]) -> list[int]:
    """The processes of these sessions."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            if os.getsid(pid) in sessions:
                found.append(pid)
        except ProcessLookupError:
            continue
    return found


def proportional_kib(pids: Iterable[int]) -> int | None:
    """PSS in all: what is shared counts once. None where the kernel does not tell."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it has just ended
        total += sum(int(kib) for kib in re.findall(r"^Pss:\s+(\d+)", rollup, re.M))
    return total or None


@dataclass
class Cost:
    """What one run took. CPU and peak memory are of the tool and all its children; the peak is that of the largest."""

    code: int
    wall: float
    cpu: float
    peak_kib: int | None = None
    pss_kib: int | None = None
    processes: int = 0
    complaint: str = ""


class Bench:
    """Where the tools are, how much to measure, and a place for files."""

    def __init__(self, where: dict[str, str], plan: Plan, tools: tuple[Tool, ...], scratch: Path) -> None:
        self.where, self.plan, self.tools, self.scratch = where, plan, tools, scratch

    def here(self, ask: str) -> list[Tool]:
        return [tool for tool in self.tools if ask in tool.commands and tool.name in self.where]

    def table(self, title: str, ask: str, header: str, row: Callable[[Tool], list[object]]) -> None:
        """One row for every tool that can do what is asked, whether it is here or not."""
        columns = header.split(" | ")
        print(f"\n## {title}\n\n| {header} |\n|{'---|' + '---:|' * (len(columns) - 1)}")
        for tool in (tool for tool in self.tools if ask in tool.commands):
            cells = row(tool) if tool.name in self.where else ["not here"]
            cells = ["-" if cell is None else str(cell) for cell in cells]
            print(f"| {' | '.join([tool.name, *cells, *[''] * (len(columns) - 1 - len(cells))])} |", flush=True)

    def run(self, argv: list[str], give_up: float, look_at: float | None = None) -> Cost:
        """Runs a command through the launcher, where there is one, and looks at its memory once on the way."""
        launcher = self.where.get("floor")
        report = self.scratch / f"report-{threading.get_ident()}"
        with Child([launcher, "run", str(report), *argv] if launcher else argv) as child:
            tree: list[int] = []
            pss = None
            if look_at and not child.wait(look_at):
                tree = [pid for pid in members({child.pid}) if not launcher or pid != child.pid]
                pss = proportional_kib(tree)
            if not child.wait(child.started + give_up - time.monotonic()):
                child.end()
            cost = Cost(child.status, child.ended - child.started, child.cpu)
            if launcher:
                status, wall, cpu, peak = report.read_text().split()
                cost = Cost(int(status), float(wall), float(cpu), int(peak))
            cost.code = os.waitstatus_to_exitcode(cost.code)
            cost.pss_kib, cost.processes, cost.complaint = pss, len(tree), child.complaint()
            return cost


def two_at_a_time(work: Callable, jobs: list[tuple]) -> dict[tuple, object]:
    """Does every job, two side by side: they sleep nearly all the time, and it halves the hour. Gives job -> result."""
    pool = ThreadPoolExecutor(max_workers=2)
    try:
        return dict(zip(jobs, pool.map(lambda job: work(*job), jobs)))
    finally:
        pool.shutdown(cancel_futures=True)


def rank(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}" if seconds < 0.1 else f"{seconds * 1000:.1f}"


def detect(bench: Bench) -> None:
    """Delay from ready to the tool's exit. A tool is started, and after a random time the port starts to listen (TCP), or
    the server, which answered 503 so far, answers 200 (HTTP). The moments are the same for every tool; a trial counts
    when the tool ended after ready, with 0."""
    chance = random.Random(SEED)
    moments = [chance.uniform(*READY_BETWEEN) for _ in range(bench.plan.moments)]

    def trial(tool: Tool, ask: str, moment: float) -> float | None:
        with TARGETS[ask]() as target, Child(tool.command(ask, bench.where, target.port)) as child:
            early = child.wait(moment)
            ready = target.become_ready()
            if early or not child.wait(BACKSTOP) or child.status != 0:
                progress(f"detect: {tool.name} {ask}: bad trial ({child.status=}): {child.complaint().strip()}")
                return None
            return child.ended - ready

    jobs = [(tool, ask, moment) for moment in moments for ask in TARGETS for tool in bench.here(ask)]
    jobs.sort(key=lambda job: (job[2], bench.tools.index(job[0])))
    delays = two_at_a_time(trial_hashable(trial), jobs)
