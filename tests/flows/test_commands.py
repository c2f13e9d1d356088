"""The commands as a person types them: real processes, real database, real artifact."""

import csv
import json
import subprocess
import sys

import pytest

from tests.flows.conftest import NOW, picture
from tests.prefect_server import environment_without_prefect

UNTIL = NOW.strftime("%Y-%m-%dT%H:%M:%S")


@pytest.fixture
def casting(plant):
    """Run `casting` in the plant's environment; a command that needs a Prefect server starts its own."""
    person = environment_without_prefect()

    def run(*arguments, **environment):
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "flows", *arguments],
            env=person | {"COLUMNS": "120"} | environment,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    return run


def test_help_names_every_command_and_is_quick_because_it_imports_no_network_library(casting):
    done = casting("--help")
    assert done.returncode == 0
    for command in ("demo", "score", "predict", "doctor", "db"):
        assert command in done.stdout
    listed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows", "--help"], capture_output=True, text=True, check=True
    ).stderr
    assert " torch" not in listed
    assert " prefect" not in listed


def test_score_prints_one_json_object_as_its_only_output(plant, casting):
    plant.publish()
    plant.put_many(5)
    plant.put("cam1/2026/11/23/07/readme.md", b"x")
    done = casting("score", "--until", UNTIL, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    result = json.loads(line)
    assert {name: result[name] for name in ("discovered", "scored", "quarantined", "backlog", "unmatched_keys")} == {
        "discovered": 5,
        "scored": 5,
        "quarantined": 0,
        "backlog": 0,
        "unmatched_keys": 1,
    }
    assert sum(result["verdicts"].values()) == 5
    assert result["images_per_s"] > 0
    assert plant.sql("SELECT run_id::text FROM scoring_run") == [(result["run_id"],)]


def test_score_without_a_model_says_what_to_do_and_exits_1(casting):
    done = casting("score", "--json")
    assert done.returncode == 1
    assert "No model is promoted" in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_setting_that_cannot_be_used_is_named(casting):
    done = casting("score", CASTING_IMAGES_TIMEZONE="Mars/Olympus")
    assert done.returncode == 1
    assert "CASTING_IMAGES_TIMEZONE" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_writes_one_row_for_every_file(plant, casting, tmp_path):
    plant.publish()
    (artifact,) = (plant.home / "models").iterdir()
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(picture(number))
    (folder / "deeper" / "half.jpg").write_bytes(picture(9)[:500])
    (folder / "deeper" / "notes, with a comma.txt").write_bytes(b"notes")
    out = tmp_path / "out.csv"
    done = casting("predict", "--model", str(artifact), "--images", str(folder), "--out", str(out))
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["image"] for row in rows] == [
        "0.jpg",
        "1.jpg",
        "2.jpg",
        "deeper/half.jpg",
        "deeper/notes, with a comma.txt",
    ]
    assert list(rows[0]) == ["image", "p_defective", "verdict", "reason"]
    assert all(
        0 <= float(row["p_defective"]) <= 1 and row["verdict"] in ("ok", "defective", "review") for row in rows[:3]
    )
    assert [row["verdict"] for row in rows[3:]] == ["quarantined", "quarantined"]
    assert rows[3]["reason"].startswith("truncated")
    assert rows[4]["reason"].startswith("not_an_image")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--model", "nowhere", "--images", "."), "Restore it from a backup"),
        (("--model", "{artifact}", "--images", "nowhere"), "does not exist"),
    ],
    ids=["no artifact", "no images"],
)
def test_predict_says_what_is_missing(plant, casting, tmp_path, arguments, says):
    plant.publish()
    (artifact,) = (plant.home / "models").iterdir()
    done = casting("predict", *(a.format(artifact=artifact) for a in arguments), "--out", str(tmp_path / "out.csv"))
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_sql_prints_a_table_and_json_and_cannot_write(plant, casting):
    plant.publish()
    shown = casting("db", "sql", "SELECT state, registered_at::date AS day FROM model")
    assert "champion" in shown.stdout
    rows = json.loads(casting("db", "sql", "SELECT state, 1.5 AS x FROM model", "--json").stdout)
    assert rows == [{"state": "champion", "x": "1.5"}]
    commented = casting("db", "sql", "-- Which model judges?\nSELECT state FROM model", "--csv", "-")
    assert commented.stdout == "state\nchampion\n"
    refused = casting("db", "sql", "UPDATE model SET state = 'retired'")
    assert refused.returncode == 1
    assert "read-only transaction" in refused.stderr
    assert plant.sql("SELECT state FROM model") == [("champion",)]


def test_a_query_may_be_a_file(plant, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from flows.cli import app

    (tmp_path / "one.sql").write_text("-- How many?\nSELECT count(*) AS models FROM model;\n")
    asked = CliRunner().invoke(app, ["db", "sql", str(tmp_path / "one.sql"), "--csv", "-"])
    assert (asked.exit_code, asked.stdout) == (0, "models\n0\n"), asked.stderr
    absent = CliRunner().invoke(app, ["db", "sql", "two.sql"])
    assert (absent.exit_code, "The query two.sql cannot be read: No such file" in absent.stderr) == (1, True)


def test_url_and_upgrade_work_on_an_empty_database_and_name_no_password(plant, casting, empty_database_url):
    url = empty_database_url.set(password="s3cret").render_as_string(hide_password=False)  # noqa: S106
    before = casting("score", CASTING_DATABASE_URL=url)
    assert before.returncode == 1
    assert "casting db upgrade" in before.stderr
    assert casting("db", "upgrade", CASTING_DATABASE_URL=url).returncode == 0
    shown = casting("db", "url", CASTING_DATABASE_URL=url)
    assert empty_database_url.database in shown.stdout
    assert "s3cret" not in shown.stdout + before.stderr
    assert "No model is promoted" in casting("score", CASTING_DATABASE_URL=url).stderr


def test_doctor_finds_nothing_wrong_with_a_plant_in_order(plant, casting):
    plant.publish()
    done = casting("doctor")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stderr.splitlines()] == [
        ["ok", name] for name in ("database", "bucket", "model", "device", "judges", "Prefect", "alerts")
    ]


@pytest.mark.parametrize(
    ("environment", "finding"),
    [
        ({"CASTING_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/none"}, "database"),
        ({"CASTING_IMAGES_URL": "file:///nowhere/at/all"}, "bucket"),
        ({"CASTING_DEVICE": "cuda"}, "device"),
    ],
    ids=["no database", "no bucket", "no card"],
)
def test_each_check_finds_what_is_wrong_and_only_that(plant, monkeypatch, environment, finding):
    from flows.health import CHECKS
    from flows.settings import load_settings

    plant.publish()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    findings = {name: check(load_settings()) for name, check in CHECKS.items() if name not in {"Prefect", "alerts"}}
    # Without a database there is no registry either.
    assert {name for name, found in findings.items() if not found.well} - {"model"} == {finding}
    assert findings["model"].well == (finding != "database")
    assert all("hidden" not in found.text for found in findings.values())


def test_doctor_names_a_prefect_server_that_does_not_answer_and_exits_1(plant, casting):
    plant.publish()
    done = casting("doctor", PREFECT_API_URL="http://127.0.0.1:1/api")
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stderr.splitlines() if line.startswith("FAIL")] == ["Prefect"]
    assert "Start it: casting up" in done.stderr
