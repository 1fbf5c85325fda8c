#!/usr/bin/env python3
"""Measures podgate and its peers side by side, in one run, and prints Markdown.

    bench/measure.py --podgate PATH --npm DIR > result.md

It needs only Linux and Python 3.11, and openssl for https. A peer that is not installed is listed
as "not here", and a database that is not installed is skipped. If there is a C compiler, it builds
two small programs from HELPER: "floor", which shows what the kernel alone costs on this machine,
and a launcher. Without the launcher the peak memory is unknown. The servers run in this process,
on 127.0.0.1 and port 0, except the databases, which are the real ones. The script ends only
processes that it started, by pid. A full run takes about eight minutes.
"""

import argparse
import math
import os
import platform
import random
import re
import select
import shlex
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SEED = 20
READY_BETWEEN = (0.2, 3.0)  # seconds after the tool's start
BACKSTOP = 30.0  # seconds after which a tool that has not ended by itself is killed
PATH = os.environ.get("PATH", os.defpath)
# Without a proxy and PODGATE_ variables.
ENVIRONMENT = {"PATH": PATH, "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C"}

HELPER = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
        passed = write(fd, request, sizeof request - 1) > 0
              && read(fd, answer, sizeof answer) > 9 && answer[9] == '2';
    close(fd);
    return passed;
}

/* podgate's default schedule with sleep, socket, connect and close only. HTTP adds a write and a
 * read. */
static int wait_for(int http, int port, double limit) {
    struct sockaddr_in server = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    double start = now();
    for (int attempts = 1; !attempt(&server, http); attempts++) {
        double elapsed = now() - start, pause = elapsed * 0.02;
        if (elapsed >= limit)
            return fprintf(stderr, "(%d attempts)\n", attempts), 124;
        pause = pause < 0.001 ? 0.001 : pause > 0.25 ? 0.25 : pause;
        nanosleep(&(struct timespec){0, (long)(pause * 1e9)}, NULL);
    }
    return 0;
}

/* Runs a command and writes its cost to a file. A child's peak memory is never less than its
 * parent's size, so only a parent as small as this one shows that of a small command. A loop is
 * ended by SIGTERM to its session, and this program must outlive it. */
static int run(const char *report, char **command) {
    signal(SIGTERM, SIG_IGN);
    double start = now();
    pid_t child = vfork();
    if (child == 0) {
        signal(SIGTERM, SIG_DFL);
        execv(command[0], command);
        _exit(127);
    }
    struct rusage used;
    int status;
    wait4(child, &status, 0, &used);
    double wall = now() - start, cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec;
    cpu += (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    FILE *out = fopen(report, "w");
    fprintf(out, "%d %f %f %ld", status, wall, cpu, used.ru_maxrss);
    return fclose(out);
}

int main(int argc, char **argv) {
    if (argv[1][0] == 'w') /* wait tcp|http PORT SECONDS */
        return wait_for(argv[2][0] == 'h', atoi(argv[3]), atof(argv[4]));
    return run(argv[2], argv + 3); /* run REPORT COMMAND... */
}
"""

ROOT = Path(__file__).resolve().parent.parent
GRPCIO = str(ROOT / "target/tools/grpc/bin/python3")  # as ci/setup installs it

Plan = namedtuple("Plan", "moments wait runs fleet fleet_wait")  # how many, and seconds
FULL, QUICK = Plan(20, 20, 100, 150, 10), Plan(5, 3, 20, 150, 3)


@dataclass(frozen=True)
class Tool:
    """One way to wait or to check."""

    name: str
    programs: str  # all must be installed; the first is {program}
    # "tcp" and "http": a wait, which the script ends if it has no {limit}. "once": a check.
    commands: dict[str, str]
    interval: str = ""
    needs: str = ""  # in addition to its own file


TOOLS = (
    Tool(
        "podgate",
        "podgate",
        {
            "tcp": "{program} wait -q --timeout {limit}s tcp://127.0.0.1:{port}",
            "http": "{program} wait -q --timeout {limit}s http://127.0.0.1:{port}/",
            "once": "{program} check -q http://127.0.0.1:{port}/",
            "tls": "{program} check -q --tls-ca {ca} https://127.0.0.1:{port}/",
            "handshake": "{program} wait -q --timeout {limit}s --interval 10ms --tls-ca {ca} "
            "https://127.0.0.1:{port}/",
            "postgres": "{program} check -q postgres://127.0.0.1:{port}",
            "redis": "{program} check -q redis://127.0.0.1:{port}",
            "grpc": "{program} check -q grpc://127.0.0.1:{port}",
        },
        "2 % of the wait, 1-250 ms",
        "nothing",
    ),
    Tool(
        "floor",
        "floor",
        {
            "tcp": "{program} wait tcp {port} {limit}",
            "http": "{program} wait http {port} {limit}",
            "once": "{program} wait http {port} {limit}",
        },
        "as podgate",
    ),
    Tool(
        "wait-for-it",
        "wait-for-it bash timeout",
        {"tcp": "{program} -q -t {limit} 127.0.0.1:{port}"},
        "1 s",
        "bash, timeout, sleep, date",
    ),
    Tool(
        "wait-on",
        "wait-on node",
        {
            "tcp": "{program} -t {limit}s tcp:127.0.0.1:{port}",
            "http": "{program} -t {limit}s http://127.0.0.1:{port}/",
        },
        "250 ms",
        "node, npm packages",
    ),
    Tool(
        "wait-port",
        "wait-port node",
        {
            "tcp": "{program} -t {limit}000 127.0.0.1:{port}",
            "http": "{program} -t {limit}000 http://127.0.0.1:{port}/",
        },
        "1 s",
        "node, npm packages",
    ),
    Tool(
        "bash-loop",
        "bash",
        {
            "tcp": "{program} -c 'until (echo >/dev/tcp/127.0.0.1/{port}) 2>/dev/null; "
            "do sleep 1; done'"
        },
        "1 s",
        "bash, sleep",
    ),
    Tool(
        "curl-loop",
        "curl",
        {
            "http": "/bin/sh -c 'until curl -sf http://127.0.0.1:{port}/ >/dev/null; "
            "do sleep 1; done'"
        },
        "1 s",
        "sh, curl, sleep",
    ),
    Tool(
        "busybox-loop",
        "busybox",
        {
            "tcp": "{program} sh -c 'until busybox nc 127.0.0.1 {port} -e true 2>/dev/null; "
            "do sleep 1; done'",
            "http": "{program} sh -c 'until busybox wget -q -O /dev/null http://127.0.0.1:{port}/; "
            "do sleep 1; done'",
        },
        "1 s",
        "busybox",
    ),
    Tool(
        "curl",
        "curl",
        {
            "once": "{program} -sf http://127.0.0.1:{port}/",
            "tls": "{program} -sf --cacert {ca} https://127.0.0.1:{port}/",
            # Many requests in one process, each with its own connection.
            "handshake": "{program} -s --cacert {ca} -H 'Connection: close' "
            "https://127.0.0.1:{port}/[1-200]",
        },
        needs="its libraries",
    ),
    Tool(
        "busybox-wget",
        "busybox",
        {"once": "{program} wget -q -O- http://127.0.0.1:{port}/"},
        needs="nothing",
    ),
    Tool(
        "pg_isready",
        "pg_isready",
        {"postgres": "{program} -q -h 127.0.0.1 -p {port}"},
        needs="its libraries",
    ),
    Tool(
        "redis-cli",
        "redis-cli",
        {"redis": "{program} -h 127.0.0.1 -p {port} ping"},
        needs="its libraries",
    ),
    Tool(
        "grpcio",
        "grpcio",
        {
            "grpc": "{program} -c 'import grpc; "
            "from grpc_health.v1 import health_pb2 as messages, health_pb2_grpc as health; "
            'health.HealthStub(grpc.insecure_channel("127.0.0.1:{port}")).Check('
            "messages.HealthCheckRequest())'"
        },
        needs="Python",
    ),
    Tool("true", "true", {"once": "{program}"}),
    Tool("podgate-no-tls", "podgate-no-tls", {}, needs="nothing"),
    Tool("bash", "bash", {}, needs="its libraries"),
    Tool("node", "node", {}, needs="its libraries"),
)


class TcpTarget(socket.socket):
    """A port that is bound, so that no other program gets it, and refuses connections at first."""

    def __init__(self) -> None:
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.port = self.getsockname()[1]

    def become_ready(self) -> None:
        self.listen(16)


class HttpTarget(socketserver.ThreadingTCPServer):
    """A server that answers 503 until it is ready, then 200, and records what arrives."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HttpConnection)
        self.port = self.server_address[1]
        self.status = "503 Service Unavailable"
        self.connects: list[tuple] = []
        self.requests: list[bytes] = []
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def become_ready(self) -> None:
        self.status = "200 OK"

    def handle_error(self, *connection: object) -> None:
        """Ignores clients that close early, as they do when they are killed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*connection)

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class HttpsTarget(HttpTarget):
    """The same with TLS, and with a certificate that is its own CA."""

    def __init__(self, scratch: Path) -> None:
        self.ca, key = scratch / "ca.crt", scratch / "ca.key"
        arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        arguments += " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
        subprocess.run(
            ["openssl", *arguments.split(), "-keyout", key, "-out", self.ca],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca, key)
        super().__init__()

    def finish_request(self, request: socket.socket, client_address: tuple) -> None:
        # Without this the answer would wait for the acknowledgement of the session tickets.
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        with self.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)


class HttpConnection(socketserver.StreamRequestHandler):
    """One connection. It stays open for HTTP/1.1, unless the client sends `Connection: close`."""

    def handle(self) -> None:
        self.server.connects.append(self.client_address)
        stays = True
        while stays and (line := self.rfile.readline()):
            stays = line.rstrip().endswith(b"HTTP/1.1")
            while (header := self.rfile.readline()) not in (b"\r\n", b""):
                stays = stays and header.strip().lower() != b"connection: close"
            self.server.requests.append(line)
            connection = "keep-alive" if stays else "close"
            head = (
                f"HTTP/1.1 {self.server.status}\r\nConnection: {connection}\r\n"
                "Content-Length: 0\r\n\r\n"
            )
            self.wfile.write(head.encode())


def postgres_bin() -> Path:
    """The folder of PostgreSQL's programs. Debian's /usr/bin has scripts that call them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return found[-1] if found else Path("/usr/bin")


TARGETS = {"tcp": TcpTarget, "http": HttpTarget}


class Child:
    """A process in its own session, so that its whole tree can be found, measured and ended."""

    def __init__(self, argv: list[str]) -> None:
        self.stderr = tempfile.TemporaryFile("w+")
        files = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
        files.append((os.POSIX_SPAWN_DUP2, self.stderr.fileno(), 2))
        # Python ignores SIGPIPE; the tool must not inherit that.
        how = {"file_actions": files, "setsid": True, "setsigdef": [signal.SIGPIPE]}
        self.status: int | None = None
        self.started = time.monotonic()
        self.pid = os.posix_spawn(argv[0], argv, ENVIRONMENT, **how)
        self.pidfd = os.pidfd_open(self.pid)

    def wait(self, until: float) -> bool:
        """Waits for its end until this time. Notes the times at the end. Has it ended?"""
        ends = select.poll()
        ends.register(self.pidfd, select.POLLIN)
        if self.status is None and ends.poll(max(0.0, until - time.monotonic()) * 1000):
            self.ended = time.monotonic()
            _, self.status, used = os.wait4(self.pid, 0)
            self.cpu = used.ru_utime + used.ru_stime
        return self.status is not None

    def end(self) -> None:
        """Ends its whole session, unless the process has ended by itself."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in members({self.pid}) if self.status is None else []:
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
            self.wait(time.monotonic() + 2)

    def said(self) -> str:
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


def memory_kib(pids: list[int], file: str, field: str) -> int | None:
    """The sum of a field of /proc/PID/status or smaps_rollup. None if it is not reported."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # the process has just ended
            total += sum(
                map(
                    int,
                    re.findall(
                        rf"^{field}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.M
                    ),
                )
            )
    return total or None


# The CPU time of all processes, the peak of the largest one, and the sum of all at one moment.
Run = namedtuple("Run", "status wall cpu peak_kib tree_kib processes said")


@dataclass
class Bench:
    """The plan, the tools to measure, and their paths."""

    plan: Plan
    tools: list[Tool]
    where: dict[str, str]  # the paths of the installed tools
    scratch: Path

    def able(self, ask: str) -> list[Tool]:
        return [tool for tool in self.tools if ask in tool.commands]

    def here(self, ask: str) -> list[Tool]:
        return [tool for tool in self.able(ask) if tool.name in self.where]

    def command(
        self, tool: Tool, ask: str, port: int, limit: int = 60, ca: Path | None = None
    ) -> list[str]:
        values = {"program": self.where[tool.name], "port": port, "limit": limit, "ca": ca}
        return [word.format(**values) for word in shlex.split(tool.commands[ask])]

    def table(
        self, title: str, header: str, tools: list[Tool], row: Callable[[Tool], list[object]]
    ) -> None:
        columns = header.count("|")
        print(f"\n## {title}\n\n| {header} |\n|---|{'---:|' * columns}")
        for tool in tools:
            cells = row(tool) if tool.name in self.where else ["not here"]
            cells = ["-" if cell is None else str(cell) for cell in cells] + [""] * (
                columns - len(cells)
            )
            print(f"| {' | '.join([tool.name, *cells])} |")

    def run(self, command: list[str], limit: float, look_after: float = 0) -> Run:
        """Runs a command, through the launcher if there is one, and ends it at the limit.

        After `look_after` seconds it measures the memory of the process tree.
        """
        launcher = self.where.get("floor")
        report = self.scratch / f"report-{threading.get_ident()}"
        with Child([launcher, "run", str(report), *command] if launcher else command) as child:
            tree = []
            if look_after and not child.wait(child.started + look_after):
                tree = [pid for pid in members({child.pid}) if not launcher or pid != child.pid]
            tree_kib = memory_kib(tree, "status", "VmHWM")
            if not child.wait(child.started + limit):
                child.end()
            status, wall, cpu, peak = child.status, child.ended - child.started, child.cpu, None
            if launcher:
                status, wall, cpu, peak = map(float, report.read_text().split())
                report.unlink()
            status, peak = os.waitstatus_to_exitcode(int(status)), peak and int(peak)
            return Run(status, wall, cpu, peak, tree_kib, len(tree), child.said())


def two_at_a_time(work: Callable, jobs: list[tuple]) -> list:
    """Does all jobs, two at a time: waits sleep nearly all the time, and it halves the duration."""
    pool = ThreadPoolExecutor(max_workers=2)
    try:
        return list(pool.map(lambda job: work(*job), jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def p95(values: list[float]) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def ms(seconds: float, digits: int = 1) -> str:
    return f"{seconds * 1000:.{digits}f}"


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def detect(bench: Bench) -> None:
    """The delay from ready to the tool's exit.

    A tool is started. After a random time the port starts to listen (tcp), or the server answers
    200 instead of 503 (http). The times are the same for all tools. A trial is ok if the tool ended
    after ready, with exit code 0.
    """
    chance = random.Random(SEED)
    moments = [chance.uniform(*READY_BETWEEN) for _ in range(bench.plan.moments)]

    def trial(ask: str, tool: Tool, moment: float) -> float | None:
        with TARGETS[ask]() as target, Child(bench.command(tool, ask, target.port)) as child:
            early = child.wait(child.started + moment)
            target.become_ready()
            ready = time.monotonic()
            if not early and child.wait(ready + BACKSTOP) and child.status == 0:
                return child.ended - ready
            progress(
                f"detect: bad trial: {tool.name}, {ask}, ready after {moment:.3f} s: {child.said()}"
            )
            return None

    jobs = [
        (ask, tool, moment) for moment in moments for ask in TARGETS for tool in bench.here(ask)
    ]
    delays = two_at_a_time(trial, jobs)
    for ask in TARGETS:
        def row(tool: Tool) -> list[object]:
            tried = [delay for job, delay in zip(jobs, delays) if job[:2] == (ask, tool)]
            good = [delay for delay in tried if delay is not None]
            worth = [ms(of(good or [math.nan])) for of in (median, p95, max, min)]
            return [tool.interval, *worth, f"{len(good)}/{len(tried)}"]

        bench.table(
            f"detect: {ask}, from ready to exit, {len(moments)} moments",
            "tool | interval | p50 ms | p95 ms | max ms | min ms | ok",
            bench.able(ask),
            row,
        )


def cost(bench: Bench) -> None:
    """A wait that never succeeds: connections are refused (tcp), or answered with 503 (http).

    The server counts connections and requests. Refused connections are those that the tool itself
    reports, if it does. A loop without a limit is ended at the limit. Memory: the peak of the
    largest process, and the sum of the peaks of all processes one second before the end. Shared
    memory counts for each of them.
    """
    limit = bench.plan.wait

    def trial(ask: str, tool: Tool) -> tuple[Run, int | None, int | None]:
        progress(f"cost: {tool.name}, {ask}")
        with TARGETS[ask]() as target:
            command = bench.command(tool, ask, target.port, limit)
            end = limit + BACKSTOP if "{limit}" in tool.commands[ask] else limit
            run = bench.run(command, end, look_after=limit - 1)
            if ask == "http":
                return run, len(target.connects), len(target.requests)
            counted = re.search(r"\((\d+) attempts", run.said)
            return run, counted and int(counted[1]), None

    jobs = [(ask, tool) for tool in bench.tools for ask in TARGETS if tool in bench.here(ask)]
    results = two_at_a_time(trial, jobs)
    for ask in TARGETS:
        def row(tool: Tool) -> list[object]:
            run, connects, requests = results[jobs.index((ask, tool))]
            each = f"{run.cpu / (requests or connects) * 1e6:.0f}" if requests or connects else None
            status = "ended" if run.status == -signal.SIGTERM else run.status
            memory = [run.peak_kib, run.tree_kib, run.processes]
            return [ms(run.cpu), connects, requests, each, *memory, f"{run.wall:.2f}", status]

        header = (
            "tool | CPU ms | connects | requests | CPU us each | peak KiB | tree KiB | processes "
            "| wall s | exit"
        )
        bench.table(f"cost: {ask}, {limit} s without success", header, bench.able(ask), row)


def oneshot(bench: Bench) -> None:
    """One successful HTTP check, from spawn to exit.

    "floor" is a bare GET, and "true" makes no check.
    """
    with HttpTarget() as target:
        target.become_ready()
        commands = {
            tool.name: bench.command(tool, "once", target.port) for tool in bench.here("once")
        }
        one_check(bench, "once", "oneshot: one successful HTTP check", commands)


def https(bench: Bench) -> None:
    """One successful https check that verifies its server, from spawn to exit."""
    with HttpsTarget(bench.scratch) as target:
        target.become_ready()
        commands = {
            tool.name: bench.command(tool, "tls", target.port, ca=target.ca)
            for tool in bench.here("tls")
        }
        one_check(bench, "tls", "https: one successful https check", commands)


def handshake(bench: Bench) -> None:
    """An https attempt of a process that has its configuration, on a server that answers 503.

    CPU of the whole process, less that of one with a single attempt, for each further attempt.
    """
    limit = 4 if bench.plan.wait > 4 else bench.plan.wait

    def cost(tool: Tool) -> list[object]:
        figures = []
        for words in (None, ["--failure-threshold", "1"]):
            with HttpsTarget(bench.scratch) as target:
                command = bench.command(tool, "handshake", target.port, limit, ca=target.ca)
                if words and tool.name == "podgate":
                    command += words
                elif words:
                    command = [word.replace("/[1-200]", "/") for word in command]
                run = bench.run(command, limit + BACKSTOP)
                figures.append((run.cpu, len(target.connects), run.peak_kib))
        (cpu, attempts, peak), (first, _, _) = figures
        each = (cpu - first) / max(attempts - 1, 1)
        return [attempts, ms(each, 3), peak]

    header = "tool | attempts | CPU ms each | peak KiB"
    title = "handshake: https attempts of one process, answered 503"
    bench.table(title, header, bench.able("handshake"), cost)


def database(bench: Bench) -> None:
    """One check of PostgreSQL, which asks for a password, and of Redis, from spawn to exit.

    PostgreSQL does not run as root, so it runs as nobody.
    """
    nobody: list[str] = []
    data, programs = bench.scratch / "postgres", postgres_bin()
    data.mkdir()
    if os.getuid() == 0:
        nobody = "/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups".split()
        bench.scratch.chmod(0o755)
        shutil.chown(data, 65534, 65534)
    if (programs / "initdb").exists():
        subprocess.run(
            [*nobody, programs / "initdb", "-D", data, "-A", "trust", "-U", "me", "--no-sync"],
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        (data / "pg_hba.conf").write_text("host all all all scram-sha-256\n")
    settings = "unix_socket_directories= listen_addresses=127.0.0.1 fsync=off".split()
    settings.append("dynamic_shared_memory_type=mmap")
    options = [word for setting in settings for word in ("-c", setting)]
    redis = shutil.which("redis-server") or ""
    servers = {
        "postgres": [*nobody, str(programs / "postgres"), "-D", str(data), *options, "-p"],
        "redis": [redis, "--save", "", "--bind", "127.0.0.1", "--port"],
    }
    for ask, command in servers.items():
        if not Path(command[len(nobody) if ask == "postgres" else 0]).is_file():
            progress(f"database: no server for {ask} here")
            continue
        with TcpTarget() as free:
            port = free.port
        commands = {tool.name: bench.command(tool, ask, port) for tool in bench.here(ask)}
        with Child([*command, str(port)]) as server:
            end = time.monotonic() + BACKSTOP
            while bench.run(commands["podgate"], BACKSTOP).status and time.monotonic() < end:
                if server.wait(time.monotonic() + 0.05):
                    progress(f"database: {ask} does not start: {server.said()}")
                    break
            one_check(bench, ask, f"database: one check of {ask}", commands)


def grpc(bench: Bench) -> None:
    """One health check of a gRPC server of grpcio, from spawn to exit."""
    if not Path(GRPCIO).exists():
        progress("grpc: no grpcio here; ci/setup installs it")
        return
    server = str(ROOT / "tests/support/grpc_server.py")
    with TcpTarget() as free:
        port = free.port
    commands = {tool.name: bench.command(tool, "grpc", port) for tool in bench.here("grpc")}
    with Child([GRPCIO, server, "--address", f"127.0.0.1:{port}"]) as child:
        end = time.monotonic() + BACKSTOP
        while bench.run(commands["podgate"], BACKSTOP).status and time.monotonic() < end:
            if child.wait(time.monotonic() + 0.05):
                progress(f"grpc: the server does not start: {child.said()}")
                break
        one_check(bench, "grpc", "grpc: one health check", commands)


def one_check(bench: Bench, ask: str, title: str, commands: dict[str, list[str]]) -> None:
    """Each round runs all tools in a random order.

    A peak under about 650 KiB is that of the launcher.
    """
    chance = random.Random(SEED)
    rounds = [
        {
            name: bench.run(commands[name], BACKSTOP)
            for name in chance.sample(list(commands), len(commands))
        }
        for _ in range(bench.plan.runs)
    ]

    def row(tool: Tool) -> list[object]:
        runs = [runs[tool.name] for runs in rounds]
        walls, ok = [run.wall for run in runs], sum(run.status == 0 for run in runs)
        peak = max((run.peak_kib for run in runs if run.peak_kib), default=None)
        times = [median(walls), p95(walls), median(run.cpu for run in runs)]
        return [*(ms(time, 2) for time in times), peak, f"{ok}/{len(runs)}"]

    header = "tool | p50 ms | p95 ms | CPU p50 ms | peak KiB | ok"
    bench.table(title, header, bench.able(ask), row)


def fleet(bench: Bench) -> None:
    """Many waits at once for a port that refuses connections.

    CPU: from the first start to the last exit, divided by the limit. Memory: PSS, in which shared
    memory counts once, at half of the time.
    """
    count, limit = bench.plan.fleet, bench.plan.fleet_wait

    def row(tool: Tool) -> list[object]:
        progress(f"fleet: {tool.name}")
        with TcpTarget() as target, ExitStack() as stack:
            command = bench.command(tool, "tcp", target.port, limit)
            waits = [stack.enter_context(Child(command)) for _ in range(count)]
            time.sleep(max(0.0, waits[0].started + limit / 2 - time.monotonic()))
            tree = members({wait.pid for wait in waits})
            pss = memory_kib(tree, "smaps_rollup", "Pss")
            ended = sum(wait.wait(waits[-1].started + limit + BACKSTOP) for wait in waits)
        cpu, lasted = (
            sum(wait.cpu for wait in waits),
            max(wait.ended for wait in waits) - waits[0].started,
        )
        memory = [pss, pss and pss // count]
        return [
            len(tree),
            f"{cpu / limit:.3f}",
            ms(cpu / count),
            *memory,
            f"{lasted:.2f}",
            f"{ended}/{count}",
        ]

    header = (
        "tool | processes | CPU cores | CPU ms each | PSS KiB | PSS KiB each | last exit s "
        "| ended by itself"
    )
    tools = [tool for tool in bench.able("tcp") if tool.name in ("podgate", "floor", "wait-for-it")]
    bench.table(f"fleet: {count} waits at once for {limit} s, tcp, refused", header, tools, row)


def size(bench: Bench) -> None:
    """The size of each tool's file (or of a loop's text) and of its shared libraries (ldd)."""

    def row(tool: Tool) -> list[object]:
        for loop in (command for command in tool.commands.values() if " -c " in command):
            return [len(shlex.split(loop)[-1]), "text", None, tool.needs]
        file = Path(bench.where[tool.name]).resolve()
        script = not file.read_bytes().startswith(b"\x7fELF")
        listed = (
            "" if script else subprocess.run(["ldd", file], capture_output=True, text=True).stdout
        )
        libraries = [os.stat(path).st_size for path in re.findall(r"(/\S+) \(0x", listed)]
        kind = "script" if script else "dynamic" if libraries else "static"
        return [file.stat().st_size, kind, sum(libraries) or None, tool.needs]

    tools = [tool for tool in bench.tools if tool.needs]
    bench.table("size", "tool | bytes | kind | bytes of libraries | needs", tools, row)


SECTIONS = {
    section.__name__: section
    for section in (detect, cost, oneshot, https, handshake, database, grpc, fleet, size)
}


def build_helper(scratch: Path) -> str | None:
    """Compiles HELPER, statically if possible, because a launcher must be small. Its path."""
    source, program = scratch / "helper.c", scratch / "helper"
    source.write_text(HELPER)
    for link in (["-static"], []):
        with suppress(OSError):
            if (
                subprocess.run(
                    ["cc", "-O2", *link, "-o", program, source], stderr=subprocess.DEVNULL
                ).returncode
                == 0
            ):
                return str(program)
    return None


def locate(options: argparse.Namespace, scratch: Path) -> dict[str, str]:
    """The path of each tool whose programs are all installed."""
    given = {
        "podgate": options.podgate,
        "podgate-no-tls": options.podgate_no_tls,
        "floor": build_helper(scratch),
        "pg_isready": str(postgres_bin() / "pg_isready"),
        "grpcio": GRPCIO,
    }
    path = f"{options.npm}:{options.npm}/node_modules/.bin:{PATH}" if options.npm else PATH
    found = {}
    for tool in TOOLS:
        programs = [
            shutil.which(given.get(name, name) or "", path=path) for name in tool.programs.split()
        ]
        if all(programs):
            found[tool.name] = os.path.abspath(programs[0])
    return found


def load() -> str:
    return "/".join(f"{average:.2f}" for average in os.getloadavg())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--podgate", default="target/x86_64-unknown-linux-musl/release/podgate", metavar="PATH"
    )
    parser.add_argument("--podgate-no-tls", metavar="PATH", help="for its size only")
    parser.add_argument(
        "--npm", metavar="DIR", help="where wait-on and wait-port are (npm install --prefix DIR)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="to try this script: 5 moments, waits of 3 s"
    )
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,...",
        help=f"of {', '.join(SECTIONS)}; or of the tools: {', '.join(tool.name for tool in TOOLS)}",
    )
    options = parser.parse_args()
    if unknown := set(options.only) - set(SECTIONS) - {tool.name for tool in TOOLS}:
        parser.error(f"--only: no measurement or tool is named {', '.join(sorted(unknown))}")

    with tempfile.TemporaryDirectory(prefix="podgate-bench-") as scratch:
        tools = [tool for tool in TOOLS if tool.name in options.only] or list(TOOLS)
        bench = Bench(
            QUICK if options.quick else FULL, tools, locate(options, Path(scratch)), Path(scratch)
        )
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        print(f"{time.strftime('%Y-%m-%d %H:%M')}, Linux {platform.release()}, "
              f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores")
        for name in [name for name in SECTIONS if name in options.only] or SECTIONS:
            before, start = load(), time.monotonic()
            progress(f"{name} ...")
            SECTIONS[name](bench)
            print(
                f"\n_{time.monotonic() - start:.0f} s; load {before} before, {load()} after._",
                flush=True,
            )


if __name__ == "__main__":
    main()
