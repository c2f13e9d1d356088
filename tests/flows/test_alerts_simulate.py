import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from flows.commands.alerts import app

run = CliRunner()


def test_json_is_one_object_on_the_last_line_and_nothing_else():
    result = run.invoke(app, ["simulate", "--p0", "0.02", "--ratio", "2", "--n", "200", "--json"])
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    methods = {method["name"]: method for method in json.loads(line)["methods"]}
    assert {"p_chart", "p_prime_chart", "cusum"} < set(methods)
    cusum = methods["cusum"]
    assert cusum["arl0_parts"] == pytest.approx(27_122, abs=1)
    assert cusum["arl0_se"] == 0
    assert cusum["arl1_parts"] == pytest.approx({"1.5": 1_532, "2": 530, "3": 219}, abs=0.5)
    assert cusum["arl1_hours"]["2"] == pytest.approx(2.65, abs=0.01)
    assert cusum["design"]["limit"] == pytest.approx(247 / 35)


def test_table_is_for_people():
    result = run.invoke(app, ["simulate", "--p0", "0.02"], env={"COLUMNS": "140"})
    assert result.exit_code == 0
    assert "cusum_bank" in result.stdout
    assert "2,476 (12.4 h)" in result.stdout


def test_overdispersion_and_promise_are_passed_on():
    result = run.invoke(app, ["simulate", "--p0", "0.02", "--icc", "0.005", "--arl0", "5000", "--n", "50", "--json"])
    answer = json.loads(result.stdout)
    assert (answer["icc"], answer["n"], answer["arl0_promised_parts"]) == (0.005, 50, 5_000)
    assert all(method["arl0_parts"] >= 4_500 for method in answer["methods"] if method["name"] != "p_chart")


@pytest.mark.parametrize(
    "arguments",
    [["--p0", "0"], ["--p0", "1"], ["--p0", "0.02", "--ratio", "60"], ["--p0", "0.02", "--n", "0"], ["--p0", "nan"]],
)
def test_impossible_questions_end_in_one_line(arguments):
    result = run.invoke(app, ["simulate", *arguments, "--json"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Error:" in result.stderr


def test_help_loads_no_numbers():
    code = "import sys; from flows.commands import alerts; print([m for m in ('numpy', 'scipy') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert loaded.stdout.strip() == "[]"
    assert run.invoke(app, ["simulate", "--help"]).exit_code == 0
