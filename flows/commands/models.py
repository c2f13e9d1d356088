"""`casting models`: which models there are, what happened to them, and which one judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.console import JsonFlag, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from casting_core.registry_types import ModelEntry, ModelEvent
    from flows.resources import Resources

app = typer.Typer(help="Models: which one judges, what happened to each, promote, roll back.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="A version, as `casting models list` shows it.")]
Why = Annotated[str, typer.Option(help="The reason, for those who ask later.")]


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Show every model, the newest first."""
    from db.models import list_models

    with plain_errors(), _resources().engine.connect() as connection:
        entries = list_models(connection)
    if as_json:
        print_json([_entry(entry) for entry in entries])
        return
    columns = ("version", "state", "registered", "promoted", "castings", "escapes", "false rejects", "review", "AUROC")
    rows = [
        [entry.model.version, entry.model.state, entry.registered_at, entry.promoted_at, *_summary(entry)]
        for entry in entries
    ]
    print_table(columns, rows, title="Errors by image, on castings that training had held out")


@app.command()
def show(version: Version, as_json: JsonFlag = False) -> None:
    """Show a model's card, and what happened to it, by whom and why."""
    from db.models import list_models, model_events

    with plain_errors(), _resources().engine.connect() as connection:
        (entry,) = list_models(connection, version=version)
        events = model_events(connection, version=version)
    if as_json:
        print_json(_entry(entry) | {"card": entry.card, "events": [_event(event) for event in events]})
        return
    card = entry.card
    thresholds = card.get("thresholds", {})
    print_table(
        ("", ""),
        [
            ("version", version),
            ("state", entry.model.state),
            ("artifact", entry.model.artifact_url),
            ("architecture", card.get("architecture")),
            ("trained at", card.get("trained_at")),
            ("ok below", thresholds.get("ok_below")),
            ("defective from", thresholds.get("defective_from")),
            *((name, str(value)) for name, value in card.get("data", {}).items()),
            *zip(("castings", "escapes", "false rejects", "review", "AUROC"), map(str, _summary(entry)), strict=True),
        ],
    )
    print_table(
        ("when", "what", "who", "why"),
        [(event.happened_at, event.event, event.who, event.why) for event in events],
        title="What happened to it, the newest first",
    )


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="The version that is to be judged.")],
    second: Annotated[str, typer.Argument(help="The version that it is compared with, such as the champion.")],
    as_json: JsonFlag = False,
) -> None:
    """Let two models judge the golden set as the hourly job would, and say what the gate says of the first one."""
    from casting_core.gate import Decision, GateLimits
    from db.models import find_model
    from flows.comparing import compare_registered

    limits = GateLimits()
    with plain_errors():
        resources = _resources()
        with resources.engine.connect() as connection:
            challenger, champion = find_model(connection, first), find_model(connection, second)
        compared = compare_registered(resources, challenger, champion, confidence=limits.two_sided)
        decision = Decision(checks=tuple(compared.checks(limits)))
    if as_json:
        print_json(compared.to_json() | decision.to_json())
        return
    from flows.comparing import metrics_table

    rows = [list(row.values()) for row in metrics_table(compared, names=(second, first))]
    print_table(("model", "by", "n", "escapes", "false rejects", "review", "AUROC"), rows, title="On the golden set")
    for check in decision.checks:
        messages.print(f"{check.name}: {check.detail}", highlight=False)


@app.command()
def register(
    artifact: Annotated[str, typer.Argument(help="A model's folder or URL, as `casting train` wrote it.")],
    why: Annotated[str, typer.Option(help="The reason, for those who ask later.")] = "trained by hand",
) -> None:
    """Add a model that was trained by hand, as a candidate; its artifact is loaded and copied first."""
    from flows.registry import register_artifact

    with plain_errors():
        resources = _resources()
        model = register_artifact(resources, artifact, who=resources.settings.who, why=why)
    messages.print(
        f"{model.version} is a candidate. Let it judge: casting models promote {model.version} --why ...",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def promote(version: Version, why: Why) -> None:
    """Let a model judge from the next hourly run on; its artifact is loaded first."""
    from flows.registry import promote

    with plain_errors():
        resources = _resources()
        promote(resources, version, who=resources.settings.who, why=why)
    messages.print(f"{version} is the champion: the next hourly run judges with it.", highlight=False)


@app.command()
def rollback(why: Why) -> None:
    """Go back to the champion before; the next hourly run judges with it."""
    from flows.registry import roll_back

    with plain_errors():
        resources = _resources()
        model = roll_back(resources, who=resources.settings.who, why=why)
    messages.print(f"{model.version} is the champion again: the next hourly run judges with it.", highlight=False)


@app.command()
def thresholds(
    version: Version,
    escape_cost: Annotated[float, typer.Option(help="What a defective part that passes costs, in false rejects.")] = 20,
    false_reject_cost: Annotated[float, typer.Option(help="What an ok part called defective costs.")] = 1,
    review_cost: Annotated[float, typer.Option(help="What a part left to a person costs.")] = 0.3,
    most_escapes: Annotated[float, typer.Option(help="Highest share of defective castings that may pass.")] = 0.02,
    why: Annotated[str, typer.Option(help="The reason, for those who ask later.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Choose a model's thresholds again by other costs, without training: a new version, to be promoted by a person."""
    from casting_core.thresholds import Costs
    from db.models import list_models
    from flows.registry import choose_thresholds_again

    with plain_errors():
        resources = _resources()
        costs = Costs(escape=escape_cost, false_reject=false_reject_cost, review=review_cost, most_escapes=most_escapes)
        model = choose_thresholds_again(resources, version, costs, who=resources.settings.who, why=why)
        with resources.engine.connect() as connection:
            (entry,) = list_models(connection, version=model.version)
    if as_json:
        print_json(_entry(entry))
        return
    chosen = entry.card["thresholds"]
    messages.print(
        f"{model.version} is a candidate: ok below {chosen['ok_below']:.4g}, defective from "
        f"{chosen['defective_from']:.4g}. Let it judge: casting models promote {model.version} --why ...",
        highlight=False,
        soft_wrap=True,
    )


def _resources() -> Resources:
    from flows.resources import open_resources
    from flows.settings import load_settings

    return open_resources(load_settings())


def _summary(entry: ModelEntry) -> list[Any]:
    """Castings, escapes, false rejects, review and AUROC as the card has them."""
    metrics = entry.card.get("metrics", {})
    image, casting = metrics.get("by_image", {}), metrics.get("by_casting", {})
    return [
        casting.get("n"),
        *(
            _of(image, error, total)
            for error, total in (("escapes", "defective"), ("false_rejects", "ok"), ("review", "n"))
        ),
        image.get("auroc"),
    ]


def _of(scores: dict[str, Any], error: str, total: str) -> str:
    return f"{scores[error]} of {scores[total]}" if error in scores and total in scores else ""


def _entry(entry: ModelEntry) -> dict[str, Any]:
    return {
        "version": entry.model.version,
        "state": entry.model.state,
        "artifact_url": entry.model.artifact_url,
        "sha256": entry.model.sha256,
        "registered_at": entry.registered_at,
        "promoted_at": entry.promoted_at,
        "thresholds": entry.card.get("thresholds"),
        "metrics": entry.card.get("metrics", {}),
    }


def _event(event: ModelEvent) -> dict[str, Any]:
    return {
        "event": event.event,
        "happened_at": event.happened_at,
        "who": event.who,
        "why": event.why,
        "metrics": event.metrics,
    }
