"""What one request costs the daemon's HTTP layer and API, in CPU time of the server alone.

    python tests/bench/http_request.py [--requests N] [--json FILE]

A server process with an echo handler answers invocations over a Unix socket, one after the other on a kept connection,
from a client in another process; the server's own rusage, taken before and after, is divided by the number of
requests. `floor` is a bare trio echo over the same socket: what the event loop itself costs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import structlog
import trio

from thawd.http import Request, Response, Router, open_unix_listener, serve

BODY = b'{"key": "value"}'
REQUEST = (
    b"POST /2015-03-31/functions/hello%3A1/invocations HTTP/1.1\r\n"
    b"Host: localhost\r\n"
    b"User-Agent: Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux md/arch#x86_64 lang/python#3.13\r\n"
    b"Accept-Encoding: identity\r\n"
    b"X-Amz-Date: 20261123T070000Z\r\n"
    b"Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261123/us-east-1/lambda/aws4_request, "
    b"SignedHeaders=host;x-amz-date, Signature=" + b"0" * 64 + b"\r\n"
    b"amz-sdk-invocation-id: 00000000-0000-4000-8000-000000000000\r\n"
    b"amz-sdk-request: attempt=1\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


async def _echo(request: Request) -> Response:
    return Response(200, await request.read(), [("Content-Type", "application/json")])


async def _http(path: Path) -> None:
    router = Router()
    router.add("POST", "/2015-03-31/functions/{name}/invocations", _echo)
    with open_unix_listener(path) as listener:
        await serve(listener, router)


async def _floor(path: Path) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    with open_unix_listener(path) as listener:
        await trio.serve_listeners(handle, [listener])


def _measure(server: object, requests: int) -> dict[str, float]:
    """CPU and round-trip time of one request, in microseconds."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        pid = os.fork()
        if not pid:
            structlog.configure(
                wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
                cache_logger_on_first_use=True,
            )

            async def main() -> None:
                with trio.open_signal_receiver(signal.SIGTERM) as signals:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(server, path)
                        async for _ in signals:
                            nursery.cancel_scope.cancel()
                            break

            trio.run(main)
            os._exit(0)
        client = socket.socket(socket.AF_UNIX)
        while client.connect_ex(str(path)):
            time.sleep(0.01)
        for _ in range(200):  # warm
            client.sendall(REQUEST)
            client.recv(65536)
        ticks = os.sysconf("SC_CLK_TCK")

        def cpu_s() -> float:
            schedstat = Path(f"/proc/{pid}/schedstat")
            if schedstat.exists():
                return int(schedstat.read_text().split()[0]) / 1e9
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / ticks

        cpu, began = cpu_s(), time.perf_counter()
        for _ in range(requests):
            client.sendall(REQUEST)
            client.recv(65536)
        took, cpu = time.perf_counter() - began, cpu_s() - cpu
        client.close()
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    return {"cpu_us": cpu / requests * 1e6, "round_trip_us": took / requests * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = {
        "floor": _measure(_floor, arguments.requests),
        "http": _measure(_http, arguments.requests),
    }
    for name, figures in result.items():
        print(
            f"{name:6} {figures['cpu_us']:7.1f} us CPU  {figures['round_trip_us']:7.1f} us round trip"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
