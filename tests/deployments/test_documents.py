"""What the documents tell people to type exists: commands with their options, settings, deployments, files, targets."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import db
from flows.cli import app
from flows.settings import Settings

ROOT = Path(db.__file__).parents[1]
DOCUMENTS = sorted(
    path
    for folder in ("", "deployments", "deployments/bi", "flows", "casting_core", "tests/faults", "tests/soak")
    for path in (ROOT / folder).glob("*.md")
)
CASTING = typer.main.get_command(app)
# Variables of compose.yaml itself.
OF_COMPOSE = {"CASTING_PICTURES", "CASTING_S3_ADDRESS", "CASTING_PREFECT_ADDRESS"}


def blocks_and_quotes(text):
    """What stands in a document as something to type: indented lines, and words between backticks."""
    for line in re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE):
        yield from re.split(r"\s&&\s", re.sub(r"(^|\s)#.*$", "", line))
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^    .*$", "", text, flags=re.MULTILINE))


def commands(path):
    """Each `casting` command of a document, as words after the first."""
    for typed in blocks_and_quotes(path.read_text(encoding="utf-8")):
        found = re.match(
            r"(?:[A-Z_]+=\S+ )*(?:sudo .*|docker compose exec \S+ )?(?:\.venv/bin/|\S*/bin/)?casting (.+)", typed
        )
        if found and re.match(r"[a-z-]", found[1]):
            yield shlex.split(found[1])


COMMANDS = sorted({(path.relative_to(ROOT).as_posix(), *words) for path in DOCUMENTS for words in commands(path)})


def leaf(words):
    """The command that words lead to, and the words that are left for it."""
    command = CASTING
    words = list(words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    return command, words


@pytest.mark.parametrize("typed", COMMANDS, ids=" ".join)
def test_each_command_of_the_documents_exists_with_its_options(typed):
    _, *words = typed
    command, rest = leaf(words)
    known = {
        "--help",
        *(option for parameter in command.params for option in parameter.opts + parameter.secondary_opts),
    }
    assert {word for word in rest if word.startswith("--")} <= known
    takes = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    assert takes or not rest or rest[0].startswith("-"), f"it takes no {rest[0]}"


def test_the_documents_were_read():
    assert len(COMMANDS) > 50
    assert ("deployments/RUNBOOK.md", "restore", "FILE", "--replace") in COMMANDS


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_setting_of_the_documents_exists(path):
    known = {f"CASTING_{name.upper()}" for name in Settings.model_fields} | OF_COMPOSE
    named = set(re.findall(r"\bCASTING_[A-Z0-9_]*[A-Z0-9]\b(?!_)", path.read_text(encoding="utf-8")))
    assert named <= known


def test_every_setting_stands_in_the_readme():
    rows = re.findall(r"^\| (`CASTING_[^|]+) \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    named = set()
    for names in rows:
        first = ""
        for name in re.findall(r"`(\w+)`", names):
            # `CASTING_S3_ENDPOINT_URL`, `_REGION`: the second begins as the first does.
            first = first or name
            stem = next((stem for stem in ("CASTING_S3", "CASTING_ALERT") if first.startswith(stem)), "")
            named.add(name if name.startswith("CASTING_") else f"{stem}{name}")
    assert named == {f"CASTING_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_deployment_target_and_link_of_the_documents_exists(path):
    text = path.read_text(encoding="utf-8")
    plan = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8"))
    deployments = {f"{each['entrypoint'].rpartition('.')[2]}/{each['name']}" for each in plan["deployments"]}
    flows = "|".join({name.split("/")[0] for name in deployments})
    assert set(re.findall(rf"`((?:{flows})/[\w-]+)`", text)) <= deployments
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    typed = {found[1] for each in blocks_and_quotes(text) if (found := re.match(r"make ([a-z-]+)", each))}
    assert typed <= targets
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / link).exists(), link
