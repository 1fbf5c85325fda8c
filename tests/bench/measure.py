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
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SEED = 20
READY_BETWEEN = (0.2, 3.0)  # seconds after the tool's start
BACKSTOP = 30.0  # seconds after which a tool that should have ended by itself is ended
FLEET = ("podgate", "floor", "wait-for-it")
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
    Tool("podgate-no-tls", ("podgate-no-tls",), {}, "", "nothing"),
    Tool("bash", ("bash",), {}),
    Tool("node", ("node",), {}),
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

    def handle_error(self, *connection: object) -> None:
        """A client that hangs up early, as one that is ended does, is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*connection)

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
                    with suppress(ProcessLookupError):
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
        with suppress(ProcessLookupError):
            if os.getsid(pid) in sessions:
                found.append(pid)
    return found


def proportional_kib(pids: Iterable[int]) -> int | None:
    """PSS in all: what is shared counts once. None where the kernel does not tell."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # it has just ended
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(int(kib) for kib in re.findall(r"^Pss:\s+(\d+)", rollup, re.M))
    return total or None


@dataclass
class Cost:
    """What one run took. CPU and peak are of the tool with all its children; the peak is that of the largest process."""

    code: int
    wall: float
    cpu: float
    peak_kib: int | None
    pss_kib: int | None
    processes: int
    complaint: str


class Bench:
    """Where the tools are, how much to measure, and a place for files."""

    def __init__(self, tools: list[Tool], where: dict[str, str], plan: Plan, scratch: Path) -> None:
        self.tools, self.where, self.plan, self.scratch = tools, where, plan, scratch

    def able(self, ask: str) -> list[Tool]:
        """The tools that can do this, on this machine or not."""
        return [tool for tool in self.tools if ask in tool.commands]

    def here(self, ask: str) -> list[Tool]:
        return [tool for tool in self.able(ask) if tool.name in self.where]

    def table(self, title: str, header: str, tools: list[Tool], row: Callable[[Tool], list[object]]) -> None:
        columns = header.count("|")
        print(f"\n## {title}\n\n| {header} |\n|---|{'---:|' * columns}")
        for tool in tools:
            cells = row(tool) if tool.name in self.where else ["not here"]
            cells = ["-" if cell is None else str(cell) for cell in cells] + [""] * (columns - len(cells))
            print(f"| {' | '.join([tool.name, *cells])} |")

    def run(self, argv: list[str], give_up: float, look_after: float = 0) -> Cost:
        """Runs a command through the launcher, where there is one; looks at its memory on the way, if asked to."""
        launcher = self.where.get("floor")
        report = self.scratch / f"report-{threading.get_ident()}"
        with Child([launcher, "run", str(report), *argv] if launcher else argv) as child:
            tree = []
            if look_after and not child.wait(look_after):
                tree = [pid for pid in members({child.pid}) if not launcher or pid != child.pid]
            pss = proportional_kib(tree)
            if not child.wait(child.started + give_up - time.monotonic()):
                child.end()
            status, wall, cpu, peak = child.status, child.ended - child.started, child.cpu, None
            if launcher:
                status, wall, cpu, peak = (convert(word) for convert, word in zip(
                    (int, float, float, int), report.read_text().split(), strict=True))
                report.unlink()
            return Cost(os.waitstatus_to_exitcode(status), wall, cpu, peak, pss, len(tree), child.complaint())


def two_at_a_time(work: Callable, jobs: list[tuple]) -> list:
    """Does all jobs, two side by side: waits sleep nearly all the time, and it halves the hour."""
    pool = ThreadPoolExecutor(max_workers=2)
    try:
        return list(pool.map(lambda job: work(*job), jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def rank(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def ms(seconds: float, digits: int = 1) -> str:
    return f"{seconds * 1000:.{digits}f}"


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def detect(bench: Bench) -> None:
    """Delay from ready to the tool's exit. A tool is started; after a random time the port starts to listen (tcp), or
    the server, which answered 503 so far, answers 200 (http). The moments are the same for all tools. A trial counts
    when the tool ended after ready, and with 0."""
    chance = random.Random(SEED)
    moments = [chance.uniform(*READY_BETWEEN) for _ in range(bench.plan.moments)]

    def trial(ask: str, tool: Tool, moment: float) -> float | None:
        with TARGETS[ask]() as target, Child(tool.command(ask, bench.where, target.port)) as child:
            early = child.wait(moment)
            ready = target.become_ready()
            if early or not child.wait(BACKSTOP) or child.status != 0:
                progress(f"detect: a bad trial of {tool.name}, {ask}: status {child.status}, {child.complaint()!r}")
                return None
            return child.ended - ready

    jobs = [(ask, tool, moment) for moment in moments for ask in TARGETS for tool in bench.here(ask)]
    delays = two_at_a_time(trial, jobs)
    for ask in TARGETS:
        def row(tool: Tool) -> list[object]:
            tried = [delay for job, delay in zip(jobs, delays) if job[0] == ask and job[1] is tool]
            good = [delay for delay in tried if delay is not None] or [math.nan]
            ok = f"{len(tried) - tried.count(None)}/{len(tried)}"
            return [tool.interval, ms(median(good)), ms(rank(good, 0.95)), ms(max(good)), ms(min(good)), ok]

        title = f"detect: {ask}, from ready to exit, {len(moments)} moments"
        bench.table(title, "tool | interval | p50 ms | p95 ms | max ms | min ms | ok", bench.able(ask), row)


def cost(bench: Bench) -> None:
    """A wait that never succeeds: connections refused (tcp), 503 (http). HTTP connects and requests are counted by the
    server; refused connects are the tool's own count, where it tells one. A loop without a limit is ended at the limit.
    PSS is of all its processes, a second before the end."""
    limit = bench.plan.wait

    def trial(ask: str, tool: Tool) -> tuple[Cost, int | None, int | None]:
        progress(f"cost: {tool.name}, {ask}")
        with TARGETS[ask]() as target:
            give_up = limit + BACKSTOP if tool.ends_itself(ask) else limit
            result = bench.run(tool.command(ask, bench.where, target.port, limit), give_up, limit - 1)
            if ask == "http":
                return result, target.connects, target.requests
            told = re.search(r"\((\d+) attempts", result.complaint)
            return result, int(told[1]) if told else None, None

    jobs = [(ask, tool) for tool in bench.tools for ask in TARGETS if tool in bench.here(ask)]
    results = two_at_a_time(trial, jobs)
    for ask in TARGETS:
        def row(tool: Tool) -> list[object]:
            result, connects, requests = results[jobs.index((ask, tool))]
            attempts = requests or connects
            each = f"{result.cpu / attempts * 1e6:.0f}" if attempts else None
            return [ms(result.cpu), connects, requests, each, result.peak_kib, result.pss_kib, result.processes,
                    f"{result.wall:.2f}", "ended" if result.code == -signal.SIGTERM else result.code]

        title = f"cost: {ask}, {limit} s that never succeed"
        header = "tool | CPU ms | connects | requests | CPU us each | peak KiB | PSS KiB | processes | wall s | exit"
        bench.table(title, header, bench.able(ask), row)


def oneshot(bench: Bench) -> None:
    """One successful HTTP check, from spawn to exit, all tools in turn; "floor" is one bare GET, "true" no check at all.
    A peak under about 650 KiB would be the launcher's."""
    tools = bench.here("once")
    with HttpTarget() as target:
        target.become_ready()
        rounds = [[bench.run(tool.command("once", bench.where, target.port), BACKSTOP) for tool in tools]
                  for _ in range(bench.plan.runs)]

    def row(tool: Tool) -> list[object]:
        runs = [results[tools.index(tool)] for results in rounds]
        walls, peaks = [run.wall for run in runs], [run.peak_kib for run in runs]
        peak = max(peaks) if all(peaks) else None
        ok = f"{sum(run.code == 0 for run in runs)}/{len(runs)}"
        return [ms(median(walls), 2), ms(rank(walls, 0.95), 2), ms(median(run.cpu for run in runs), 2), peak, ok]

    title = "oneshot: one successful HTTP check"
    bench.table(title, "tool | wall p50 ms | wall p95 ms | CPU p50 ms | peak KiB | ok", bench.able("once"), row)


def fleet(bench: Bench) -> None:
    """Many waits at once on a refused port: their CPU from first start to last exit, divided by the limit; and their PSS,
    half way."""
    count, limit = bench.plan.waits_at_once, bench.plan.fleet

    def row(tool: Tool) -> list[object]:
        progress(f"fleet: {tool.name}")
        with TcpTarget() as target, ExitStack() as stack:
            command = tool.command("tcp", bench.where, target.port, limit)
            waits = [stack.enter_context(Child(command)) for _ in range(count)]
            time.sleep(max(0.0, waits[0].started + limit / 2 - time.monotonic()))
            tree = members({wait.pid for wait in waits})
            pss = proportional_kib(tree)
            late = sum(not wait.wait(waits[-1].started + limit + BACKSTOP - time.monotonic()) for wait in waits)
        cpu = sum(wait.cpu for wait in waits)
        memory = [f"{pss / 1024:.1f}", pss // count] if pss else [None, None]
        lasted = max(wait.ended for wait in waits) - waits[0].started
        return [len(tree), f"{cpu / limit:.3f}", ms(cpu / count), *memory, f"{lasted:.2f}", late]

    header = "tool | processes | CPU cores | CPU ms each | PSS MiB | PSS KiB each | last exit s | had to be ended"
    bench.table(f"fleet: {count} waits at once, {limit} s, tcp, refused", header,
                [tool for tool in bench.able("tcp") if tool.name in FLEET], row)


def size(bench: Bench) -> None:
    """Bytes of each tool's own file (a loop: of its text), and of the shared libraries that the file loads (ldd)."""

    def row(tool: Tool) -> list[object]:
        for command in tool.commands.values():
            if "-c" in command:
                return [len(command[-1]), "text", None, tool.needs]
        file = Path(bench.where[tool.name]).resolve()
        if file.read_bytes()[:4] != b"\x7fELF":
            return [file.stat().st_size, "script", None, tool.needs]
        listed = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
        libraries = [Path(path) for path in re.findall(r"(/\S+) \(0x", listed)]
        loaded = sum(library.stat().st_size for library in libraries)
        return [file.stat().st_size, "dynamic" if libraries else "static", loaded or None, tool.needs]

    bench.table("size", "tool | bytes | kind | bytes of its libraries | needs",
                [tool for tool in bench.tools if tool.name not in ("floor", "true")], row)


SECTIONS = {section.__name__: section for section in (detect, cost, oneshot, fleet, size)}


def build_helper(scratch: Path) -> str | None:
    """The path of the compiled HELPER; static where possible, for a small launcher. None without a C compiler."""
    source, program = scratch / "helper.c", scratch / "helper"
    source.write_text(HELPER)
    for link in (["-static"], []):
        with suppress(OSError):
            if subprocess.run(["cc", "-O2", *link, "-o", program, source], capture_output=True).returncode == 0:
                return str(program)
    progress('no C compiler that works: no "floor", and no peak memory')
    return None


def locate(options: argparse.Namespace, scratch: Path) -> dict[str, str]:
    """The first program of every tool that has all its programs on this machine, by the tool's name."""
    path = os.pathsep.join([*([options.npm, f"{options.npm}/node_modules/.bin"] if options.npm else []), PATH])
    given = {"podgate": options.podgate, "podgate-no-tls": options.podgate_no_tls, "floor": build_helper(scratch)}
    found = {name: shutil.which(given[name] or "" if name in given else name, path=path)
             for tool in TOOLS for name in tool.programs}
    return {tool.name: os.path.abspath(found[tool.programs[0]]) for tool in TOOLS if all(map(found.get, tool.programs))}


def load() -> str:
    return "/".join(f"{average:.2f}" for average in os.getloadavg())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--podgate", default="target/x86_64-unknown-linux-musl/release/podgate", metavar="PATH")
    parser.add_argument("--podgate-no-tls", metavar="PATH", help="for its size only")
    parser.add_argument("--npm", metavar="DIR", help="where npm installed wait-on and wait-port (npm install --prefix DIR)")
    parser.add_argument("--quick", action="store_true", help="to try this script: 5 moments, waits of 3 s")
    parser.add_argument("--only", default="", metavar="NAME,...",
                        help=f"measurements ({', '.join(SECTIONS)}) or tools ({', '.join(tool.name for tool in TOOLS)})")
    options = parser.parse_args()
    only = {name for name in options.only.split(",") if name}
    if unknown := only - set(SECTIONS) - {tool.name for tool in TOOLS}:
        parser.error(f"--only: no measurement and no tool is called {', '.join(sorted(unknown))}")

    with tempfile.TemporaryDirectory(prefix="podgate-bench-") as scratch:
        where = locate(options, Path(scratch))
        tools = [tool for tool in TOOLS if tool.name in only] or list(TOOLS)
        bench = Bench(tools, where, QUICK if options.quick else Plan(), Path(scratch))
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        print(f"{time.strftime('%Y-%m-%d %H:%M')}, Linux {platform.release()}, {cpu[1] if cpu else platform.machine()}, "
              f"{os.cpu_count()} cores, load {load()}")
        for name in [name for name in SECTIONS if name in only] or SECTIONS:
            progress(f"{name} ...")
            before, start = load(), time.monotonic()
            SECTIONS[name](bench)
            print(f"\n_{time.monotonic() - start:.0f} s; load {before} before, {load()} after._", flush=True)


if __name__ == "__main__":
    main()
