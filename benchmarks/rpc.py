"""Round trips a second of the internal RPC between two processes on this machine.

    python benchmarks/rpc.py [-s SECONDS] [-r REPETITIONS] [-o json] [--loop uvloop|asyncio] [--tls]

Each request carries the payload and its reply echoes it. CPU is that of both processes together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import secrets
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mgmt import certificates
from protocol.clock import wall_us
from protocol.messages import registry
from protocol.rpc.allocator import keep_freed_memory
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.tls import CertifiedName, InternalTls

HOST = "127.0.0.1"
PAYLOADS = (100, 64 * 1024)
IN_FLIGHT = (1, 16, 64)


@registry.message
class Echo(msgspec.Struct, frozen=True, array_like=True, tag="bench.echo"):
    """Reply: the same."""

    payload: bytes


@registry.message
class CpuAsked(msgspec.Struct, frozen=True, array_like=True, tag="bench.cpu_asked"):
    """Reply: CpuUsed."""


@registry.message
class CpuUsed(msgspec.Struct, frozen=True, array_like=True, tag="bench.cpu_used"):
    """CPU seconds of the answering process so far."""

    cpu_s: float


def interpreter() -> dict[str, Any]:
    """Which Python this is and how it was built: it decides more than anything here."""
    variables = [sysconfig.get_config_var(name) or "" for name in ("CONFIG_ARGS", "PY_CFLAGS")]
    flags = " ".join(variables)
    wanted = ("--enable-optimizations", "--with-lto", "-flto", "-O3", "-O2")
    return {
        "python": sys.version.split()[0],
        "executable": os.path.realpath(sys.executable),
        "build": [flag for flag in wanted if flag in flags],
        "machine": f"{os.cpu_count()} cores, {os.uname().machine}, Linux {os.uname().release}",
    }


def cpu_s() -> float:
    """CPU seconds of this process, the kernel's share included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def make_certificates(folder: Path) -> None:
    """For both processes, as gridCreate and modelApply do."""
    authority = certificates.new_authority("bench", wall_us())
    for name, kind in (("server", "data"), ("client", "tool")):
        named = CertifiedName("bench", kind, name)
        issued = certificates.issue(authority, name, now_us=wall_us(), internal=named)
        (folder / f"{name}.pem").write_text(issued.pem)
    (folder / "root.crt").write_text(authority.certificates)


def tls_of(folder: str, name: str) -> InternalTls | None:
    """Of one of the processes; None without a folder."""
    return InternalTls(Path(folder, "root.crt"), Path(folder, f"{name}.pem")) if folder else None


async def serve(secret: str, folder: str) -> None:
    """The answering process: prints its port, ends when its standard input closes."""
    identity = NodeIdentity("bench", "server", "1", secret.encode())
    node = RpcNode(identity, tls=tls_of(folder, "server"))
    node.handle(Echo, lambda message, request: request.reply(message))
    node.handle(CpuAsked, lambda _message, request: request.reply(CpuUsed(cpu_s())))
    print(await node.listen(HOST, 0), flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(0, ended.set)
    await ended.wait()
    loop.remove_reader(0)
    await node.close()


class Load:
    """Keeps `in_flight` requests open until the time is over."""

    def __init__(self, peer: Any, payload_bytes: int, in_flight: int, seconds: float) -> None:
        self._peer = peer
        self._message = Echo(secrets.token_bytes(payload_bytes))
        self._in_flight = in_flight
        self._end_s = time.perf_counter() + seconds
        self.latencies_us: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for _ in range(in_flight):
            self._ask()

    def _ask(self) -> None:
        began_s = time.perf_counter()

        def on_reply(_reply: Any, error: Any) -> None:
            now_s = time.perf_counter()
            if error is not None:
                if not self.done.done():
                    self.done.set_exception(error)
                return
            self.latencies_us.append((now_s - began_s) * 1e6)
            if now_s < self._end_s:
                self._ask()
                return
            self._in_flight -= 1
            if self._in_flight == 0:
                self.done.set_result(None)

        self._peer.send(self._message, on_reply, 30.0)


async def measure(peer: Any, payload_bytes: int, in_flight: int, seconds: float) -> dict[str, Any]:
    """One figure: round trips/s, latency and CPU."""
    server_cpu_s = (await peer.call(CpuAsked(), 10)).cpu_s
    own_cpu_s, began_s = cpu_s(), time.perf_counter()
    load = Load(peer, payload_bytes, in_flight, seconds)
    await load.done
    elapsed_s = time.perf_counter() - began_s
    own_cpu_s = cpu_s() - own_cpu_s
    server_cpu_s = (await peer.call(CpuAsked(), 10)).cpu_s - server_cpu_s
    count = len(load.latencies_us)
    latencies = sorted(load.latencies_us)
    return {
        "payload_bytes": payload_bytes,
        "in_flight": in_flight,
        "round_trips_s": round(count / elapsed_s),
        "p50_us": round(latencies[count // 2]),
        "p99_us": round(latencies[min(count - 1, count * 99 // 100)]),
        "cpu_us_client": round(own_cpu_s / count * 1e6, 1),
        "cpu_us_server": round(server_cpu_s / count * 1e6, 1),
    }


async def drive(port: int, secret: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All figures; each the median repetition by round trips/s."""
    identity = NodeIdentity("bench", "client", "1", secret.encode(), kind="tool")
    node = RpcNode(identity, tls=tls_of(options.folder, "client"))
    node.set_peer("server", HOST, port)
    peer = await node.wait_connected("server", 10)
    await measure(peer, 100, 16, 0.3)  # warm
    runs: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for _ in range(options.repetitions):
        for payload_bytes in PAYLOADS:
            for in_flight in IN_FLIGHT:
                figure = await measure(peer, payload_bytes, in_flight, options.seconds)
                runs.setdefault((payload_bytes, in_flight), []).append(figure)
    await node.close()
    return [
        sorted(figures, key=lambda figure: int(figure["round_trips_s"]))[len(figures) // 2]
        | {"spread": _spread([figure["round_trips_s"] for figure in figures])}
        for figures in runs.values()
    ]


def _spread(rates: list[int]) -> str:
    return f"±{(max(rates) - min(rates)) / 2 / statistics.median(rates) * 100:.0f} %"


def run(main: Any, loop_name: str) -> Any:
    """Run on the wanted event loop, as a daemon does."""
    keep_freed_memory()
    if loop_name == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    return asyncio.run(main)


def print_table(about: dict[str, Any], figures: list[dict[str, Any]]) -> None:
    """For people."""
    build = " ".join(about["build"]) or "no optimisation flags"
    print(f"Python {about['python']} ({about['executable']}; {build})")
    print(f"{about['machine']}; event loop {about['loop']}; load average {about['load_average']}")
    heads = ("payload", "in flight", "round trips/s", "spread", "p50 µs", "p99 µs")
    widths = (8, 9, 13, 7, 7, 7)
    cells = [f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)]
    print(*cells, "client CPU µs", "server CPU µs")
    for figure in figures:
        print(
            f"{figure['payload_bytes']:>8} {figure['in_flight']:>9} {figure['round_trips_s']:>13,} "
            f"{figure['spread']:>7} {figure['p50_us']:>7} {figure['p99_us']:>7} "
            f"{figure['cpu_us_client']:>13} {figure['cpu_us_server']:>13}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-s", "--seconds", type=float, default=1.0, help="per figure")
    parser.add_argument("-r", "--repetitions", type=int, default=3)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--tls", action="store_true", help="mutual TLS, as between hosts")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        run(serve(options.serve, options.folder), options.loop)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        if options.tls:
            make_certificates(Path(folder))
            options.folder = folder
        return bench(options)


def bench(options: argparse.Namespace) -> int:
    """Start the answering process, measure, print."""
    secret = secrets.token_hex(16)
    command = [sys.executable, __file__, "--serve", secret, "--loop", options.loop]
    command += ["--folder", options.folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        figures = run(drive(port, secret, options), options.loop)
        server.communicate()
    about = interpreter() | {
        "loop": options.loop + (" with TLS" if options.tls else ""),
        "load_average": round(os.getloadavg()[0], 1),
    }
    if options.output == "json":
        print(json.dumps({"about": about, "figures": figures}, indent=2))
    else:
        print_table(about, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
