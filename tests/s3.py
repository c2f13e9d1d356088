"""A bucket behind a real S3 API over HTTP, and a proxy in front of it that fails on demand."""

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

Fault = Literal["unavailable", "slow_down", "forbidden", "reset", "truncate", "hang", "slow", "twice"]

CREDENTIALS = {"key": "testing", "secret": "testing", "client_kwargs": {"region_name": "us-east-1"}}
# One object of a listing.
_LISTED = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
_PROXIED_ANEW = {"connection", "content-length", "expect", "transfer-encoding"}
_REFUSALS = {
    "unavailable": (503, "ServiceUnavailable"),
    "slow_down": (503, "SlowDown"),
    "forbidden": (403, "SignatureDoesNotMatch"),
}


def client_of(endpoint: str) -> Any:
    """A boto3 client of an S3 API, for setting things up."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=CREDENTIALS["client_kwargs"]["region_name"],
        aws_access_key_id=CREDENTIALS["key"],
        aws_secret_access_key=CREDENTIALS["secret"],
    )


@dataclass(frozen=True, kw_only=True)
class S3Bucket:
    """A bucket of its own; `options` is what open_store and fsspec take beside the URL."""

    name: str
    client: Any
    options: dict[str, Any]

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]


@dataclass(kw_only=True)
class FaultProxy:
    """Hands requests on to an S3 server, unless `fault` names a way to fail one; `requests` are (method, path).

    `slow` answers after `delay` seconds; `twice` lets a listing name each of its keys two times.
    """

    upstream: str
    delay: float = 0.5
    fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        host, port = self._server.server_address
        return f"http://{host}:{port}"

    def options(self, **config: Any) -> dict[str, Any]:
        """Options for open_store that lead through the proxy; botocore tries once unless `config` says otherwise."""
        config = {"retries": {"max_attempts": 0}} | config
        return CREDENTIALS | {"endpoint_url": self.url, "config_kwargs": config}

    def fail(self, kind: Fault, *, times: float = float("inf"), only: str = "") -> None:
        """Fail the next requests whose path holds `only`."""
        left = [times]
        lock = threading.Lock()

        def fault(_method: str, path: str) -> Fault | None:
            with lock:
                if only not in unquote(path) or left[0] <= 0:
                    return None
                left[0] -= 1
                return kind

        self.fault = fault

    def recover(self) -> None:
        self.fault = lambda _method, _path: None

    def listed_prefixes(self) -> list[str]:
        """The prefix of each listing asked for."""
        queries = (parse_qs(urlsplit(path).query) for method, path in self.requests if method == "GET")
        return [query.get("prefix", [""])[0] for query in queries if "list-type" in query]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about clients that left."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Otherwise head and body go in two packets, and the second waits for the first one's receipt.
    wbufsize = -1
    proxy: FaultProxy

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.proxy.requests.append((self.command, self.path))
        fault = self.proxy.fault(self.command, self.path)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            socket.close(self.connection.detach())
        elif fault == "hang":
            self.close_connection = True
            self.proxy.released.wait()
        elif fault in _REFUSALS:
            status, code = _REFUSALS[fault]
            content = f"<Error><Code>{code}</Code><Message>refused by the test</Message></Error>".encode()
            self._answer(status, {"Content-Type": "application/xml"}, content)
        else:
            if fault == "slow":
                self.proxy.released.wait(self.proxy.delay)
            self._hand_on(body, truncated=fault == "truncate", twice=fault == "twice")

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server looks these names up

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come: what is buffered would keep the client waiting."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _hand_on(self, body: bytes, *, truncated: bool, twice: bool) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _PROXIED_ANEW}
        connection = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc, timeout=30)
        try:
            connection.request(self.command, self.path, body=body or None, headers=headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if twice:
            content = _LISTED.sub(rb"\g<0>\g<0>", content)
        length = response.headers["Content-Length"] if self.command == "HEAD" else None
        self._answer(response.status, response.headers, content, length=length, truncated=truncated)

    def _answer(
        self, status: int, headers: Any, content: bytes, *, length: str | None = None, truncated: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _PROXIED_ANEW:
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if truncated else content)
        self.close_connection |= truncated
