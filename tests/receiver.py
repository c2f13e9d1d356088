"""A receiver of webhooks over real HTTP on 127.0.0.1, which can refuse, hang, or drip."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What it has received, and how it answers: with a status, or `hang`."""

    answer: int | str = 200
    received: list = field(default_factory=list)
    headers: list = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)

    def __enter__(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.headers.append(dict(self.headers))
                receiver.received.append(json.loads(body))
                receiver.arrived.set()
                if receiver.answer == "hang":
                    receiver.let_go.wait(60)
                    return
                self.send_response(receiver.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def url(self):
        return f"json://{self.address}/hooks/planted-secret?+Authorization=Bearer-planted-secret"

    @property
    def keys(self):
        return [message["key"] for message in self.received]
