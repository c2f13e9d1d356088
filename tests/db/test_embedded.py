"""The embedded Postgres is shared by processes, outlives crashes, and says why when it cannot come up."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy
from sqlalchemy import make_url, text

from db import embedded
from db.errors import EmbeddedFailed
from tests.db.builders import at_once, eventually

CLIENT = """
    import json
    import sys
    from pathlib import Path
    from db import embedded

    for line in sys.stdin:
        command, embedded._PATIENCE_SECONDS = json.loads(line)
        try:
            url = getattr(embedded, command)(Path(sys.argv[1]))
            answer = {"url": url.render_as_string(hide_password=False) if url else None}
        except Exception as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)
"""


class Client:
    """A process of its own that starts or joins the server on a folder."""

    def __init__(self, folder):
        command = [sys.executable, "-c", textwrap.dedent(CLIENT), str(folder)]
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, command, *, patience=60):
        self.process.stdin.write(json.dumps([command, patience]) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def start(self):
        self.ask("start")
        answer = self.answer()
        assert "url" in answer, answer
        return make_url(answer["url"])

    def stop(self):
        self.ask("stop")
        assert self.answer() == {"url": None}

    def end(self):
        """Let the process end in its own time."""
        self.process.stdin.close()
        assert self.process.wait() == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


@pytest.fixture(scope="module")
def folder():
    """A data folder that all tests here start and stop a server on."""
    # Not below pytest's own folder: every session that begins closes that to other users, Postgres' own included.
    root = Path(tempfile.mkdtemp(prefix="casting-embedded-"))
    yield root / "new" / "data"
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def idle(folder):
    """Client processes that live on from earlier tests, as a worker's does from run to run."""
    clients = []
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def client(folder, idle):
    """Lends client processes; those that are still there let go of the server after the test."""
    lent = []

    def lend():
        lent.append(idle.pop() if idle else Client(folder))
        return lent[-1]

    yield lend
    for client in lent:
        if client.process.poll() is None:
            client.stop()
            idle.append(client)
        else:
            client.close()
    if server := postmaster(folder):
        server.send_signal(signal.SIGINT)
        eventually(lambda: postmaster(folder) is None, what="the server stops")


def postmaster(folder):
    """The server's main process, or None where none runs."""
    try:
        process = psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))
        return process if process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE else None
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None


def execute(url, statement):
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        return result.scalars().all() if result.returns_rows else None


def test_processes_that_start_at_once_on_a_new_folder_share_one_server_until_the_last_ends(client, folder):
    one, two = client(), client()
    first, second = at_once(one.start, two.start)
    assert first == second
    assert first.drivername == "postgresql+psycopg"
    assert execute(first, "SHOW listen_addresses") == [""]
    server = postmaster(folder)
    execute(first, "CREATE TABLE shared AS SELECT 'made by one' AS note")
    one.end()
    assert postmaster(folder) == server
    assert execute(second, "SELECT note FROM shared") == ["made by one"]
    two.end()
    assert postmaster(folder) is None


def test_starting_twice_in_a_process_is_joining(client, folder):
    one = client()
    first = one.start()
    server = postmaster(folder)
    assert one.start() == first
    assert postmaster(folder) == server


def test_data_survive_a_restart(client, folder):
    before = client()
    url = before.start()
    execute(url, "CREATE TABLE kept AS SELECT generate_series(1, 3) AS number")
    before.stop()
    assert postmaster(folder) is None
    url = client().start()
    assert execute(url, "SELECT number FROM kept ORDER BY 1") == [1, 2, 3]


@pytest.mark.parametrize("starter", ["the process that had started it", "another process"])
def test_a_killed_server_recovers_at_the_next_start(client, folder, starter):
    one = client()
    url = one.start()
    execute(url, "DROP TABLE IF EXISTS history; CREATE TABLE history (note text); INSERT INTO history VALUES ('kept')")
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as open_session:
        open_session.execute("INSERT INTO history VALUES ('never committed')")
        server = postmaster(folder)
        server.kill()
        url = (one if starter == "the process that had started it" else client()).start()
        assert postmaster(folder) != server
        assert execute(url, "SELECT note FROM history") == ["kept"]
        with pytest.raises(psycopg.OperationalError):
            open_session.execute("SELECT 1")
        open_session.close()


def test_a_killed_process_leaves_the_server_to_the_next_which_stops_it(client, folder):
    one, two = client(), client()
    url = one.start()
    server = postmaster(folder)
    one.kill()
    assert postmaster(folder) == server
    assert two.start() == url
    assert postmaster(folder) == server
    two.end()
    assert postmaster(folder) is None


def test_a_process_that_let_go_and_came_back_keeps_the_server_up(client, folder):
    one, two = client(), client()
    url = one.start()
    two.start()
    one.stop()
    assert one.start() == url
    two.end()
    assert execute(url, "SELECT 1") == [1]
    one.stop()
    assert postmaster(folder) is None


def test_a_start_during_a_shutdown_waits_for_its_end(client, folder):
    one = client()
    url = one.start()
    server = postmaster(folder)
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)):
        # It ends when the last session does, and says so in its pid file.
        server.terminate()
        eventually(lambda: "stopping" in (folder / "postmaster.pid").read_text(), what="it is shutting down")
        two = client()
        two.ask("start")
    assert "url" in two.answer()
    assert postmaster(folder) not in (None, server)


def test_a_server_that_cannot_come_up_says_why_and_comes_up_once_that_is_mended(client, folder):
    one = client()
    one.start()
    one.stop()
    settings = folder / "postgresql.conf"
    sound = settings.read_bytes()
    settings.write_bytes(sound + b"\nno_such_setting = 1\n")
    one.ask("start")
    answer = one.answer()
    settings.write_bytes(sound)
    assert answer["error"] == EmbeddedFailed.__name__
    assert f"The embedded Postgres in {folder} did not start" in answer["message"]
    assert f"Its log is {folder / 'log'}" in answer["message"]
    assert "no_such_setting" in (folder / "log").read_text()
    assert execute(one.start(), "SELECT 1") == [1]


@pytest.fixture
def other_program(tmp_path):
    """Starts a program of a given name that has nothing to do with our server."""
    started = []

    def start(name):
        (tmp_path / name).symlink_to(sys.executable)
        command = [tmp_path / name, "-c", "import time; time.sleep(600)"]
        started.append(subprocess.Popen(command))  # noqa: S603 - our own program
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def give_its_number_to(program, folder):
    """Kill the server, and let all it leaves name another program, as when that gets its number after a reboot."""
    server = postmaster(folder)
    server.kill()
    eventually(lambda: not psutil.pid_exists(server.pid), what="the server is gone")
    for left in (folder / "postmaster.pid", folder / ".s.PGSQL.5432.lock"):
        left.write_text(left.read_text().replace(str(server.pid), str(program.pid), 1))


def test_a_pid_file_that_names_another_program_is_of_no_account(client, folder, other_program):
    one = client()
    url = one.start()
    program = other_program("millwright")
    give_its_number_to(program, folder)
    assert one.start() == url
    assert execute(url, "SELECT 1") == [1]
    one.end()
    assert postmaster(folder) is None
    assert program.poll() is None


def test_another_postgres_is_neither_taken_for_ours_nor_stopped(client, folder, other_program):
    one = client()
    one.start()
    program = other_program("postgres")
    give_its_number_to(program, folder)
    pid_file = folder / "postmaster.pid"
    one.ask("start", patience=0)
    answer = one.answer()
    one.end()
    assert answer["error"] == EmbeddedFailed.__name__
    assert f"if {pid_file} names a process that is no Postgres, remove it" in answer["message"]
    assert program.poll() is None
    pid_file.unlink()
    assert execute(client().start(), "SELECT 1") == [1]


def test_a_folder_that_cannot_be_one_is_refused(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(EmbeddedFailed, match=r"The embedded Postgres in .*/data did not start"):
        embedded.start(tmp_path / "data")
