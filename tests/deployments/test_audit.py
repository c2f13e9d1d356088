"""The audit of packages, against a database of vulnerabilities on this machine."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import db

ROOT = Path(db.__file__).parents[1]
KNOWN = {
    "id": "GHSA-0000-planted",
    "aliases": ["CVE-2026-0001"],
    "details": "planted",
    "affected": [
        {
            "package": {"name": "pillow", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
            "versions": ["1.0"],
        }
    ],
}


@pytest.fixture
def database():
    """A database in which pillow 1.0 is vulnerable and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            vulnerable = (asked["package"]["name"], asked["version"]) == ("pillow", "1.0")
            body = json.dumps({"vulns": [KNOWN]} if vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def audit(tmp_path):
    def run(packages, service):
        lock = tmp_path / "requirements.lock"
        lock.write_text(packages)
        command = [sys.executable, ".ci/audit.py", "--lock", str(lock), "--service", service]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603

    return run


def test_a_known_vulnerability_is_named_with_what_mends_it_and_fails_the_audit(audit, database):
    done = audit("pillow==1.0\nyarl==1.25.1\n", database)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "2 packages audited",
        "VULNERABLE: pillow 1.0: CVE-2026-0001, GHSA-0000-planted; fixed in 99.1",
    ]


def test_packages_without_one_pass(audit, database):
    done = audit("pillow==13.0.0\nyarl==1.25.1\n", database)
    assert (done.returncode, done.stdout) == (0, "2 packages audited\n")


def test_a_database_that_does_not_answer_is_said_and_fails_nothing(audit):
    done = audit("pillow==1.0\n", "http://127.0.0.1:9/v1/query")
    assert done.returncode == 0
    assert done.stdout.startswith("NOT AUDITED: the database of vulnerabilities could not be asked. ")
    assert "127.0.0.1" in done.stdout
    assert done.stdout.count("\n") == 1


def test_the_continuous_build_audits_and_names_no_package_index():
    build = (ROOT / ".ci" / "run").read_text()
    assert "make audit" in build
    for path in (".ci/run", ".ci/audit.py", "Makefile", "pyproject.toml", "requirements.lock"):
        assert "pypi.org" not in (ROOT / path).read_text(), path
