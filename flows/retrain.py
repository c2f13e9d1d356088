"""Retraining: what people have labelled since becomes a model, which serves only if it is not worse.

    snapshot -> castings, golden set -> train -> publish -> compare on the golden set -> gate -> register, promote

Until the last step, which is one transaction, the champion serves as before, whatever fails. The gate's rule stands in
casting_core/gate.py; RETRAINING.md is for those who run it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from casting_core import gate
from casting_core.artifact import publish_artifact
from casting_core.examination import ExaminedPicture
from casting_core.golden import GoldenSplit, split_off_golden
from casting_core.grouping import Grouping, group_castings
from casting_core.registry_types import GoldenImage, RetrainSummary
from casting_core.snapshot import Snapshot, SnapshotImage, freeze
from casting_core.training_report import report_files
from casting_core.training_run import TrainedModel, train_model
from db import models, retraining
from db.golden import freeze_golden
from flows.comparing import Compared, check_reproduction, compare, load_stored
from flows.resources import open_resources
from flows.retrain_parameters import RetrainParameters
from flows.retrain_report import show_in_prefect
from flows.retrain_runs import Retraining, clear, end_early, enter, failure_recorded, leave, open_retraining
from flows.retries import back_off, worth_retrying
from flows.settings import load_settings
from flows.training_data import keep_golden_pictures, labelled_pictures, with_golden_set

if TYPE_CHECKING:
    from casting_core.dataset import LabelledDataset
    from casting_core.types import Label
    from flows.resources import Resources

_DEFAULTS = RetrainParameters()
_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class Material:
    """The snapshot's images, behind them golden ones that it lacks, their castings, and how they were split.

    `fresh` joins the golden set when the run completes: a run that fails leaves the set as it was, so that the next one
    splits the same snapshot alike.
    """

    snapshot: Snapshot
    images: tuple[SnapshotImage, ...]
    grouping: Grouping
    split: GoldenSplit
    fresh: tuple[GoldenImage, ...]


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A trained model as it lies in the store, not registered yet."""

    trained: TrainedModel
    url: str
    sha256: str


@flow(name="retrain", persist_result=False, validate_parameters=True)
def retrain(parameters: RetrainParameters = _DEFAULTS, retrain_id: UUID | None = None) -> RetrainSummary:
    """Train on what is labelled, compare with the champion on the golden set, and promote what is not worse.

    Only one retraining runs at a time; another one leaves at once. Ends early where too few labels are new.
    """
    resources = open_resources(load_settings())
    retrying = back_off(resources.settings)
    with retraining.one_at_a_time(resources.engine) as alone:
        if not alone:
            return leave(resources, retrain_id)
        run = open_retraining(resources, parameters, retrain_id)
        with failure_recorded(resources, run):
            snapshot, new_labels = take_snapshot.with_options(**retrying)(run)
            if new_labels < parameters.min_new_labels:
                return end_early(resources, run, snapshot, new_labels)
            material = split_castings.with_options(**retrying)(run, snapshot)
            challenger = train_challenger.with_options(**retrying)(run, material)
            compared = compare_models.with_options(**retrying)(run, material, challenger)
            decision = decide.with_options(**retrying)(run, material, challenger, compared)
            summary = register(run, material, challenger, compared, decision)
    clear(run)
    show_in_prefect(summary, compared, artifact_url=challenger.url)
    return summary


@task(name="take snapshot", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def take_snapshot(run: Retraining) -> tuple[Snapshot, int]:
    """Freeze every labelled picture on this machine's disk; return it, and how many of its labels are new."""
    resources = enter(run, "snapshot")
    source = run.parameters.data or resources.settings.training_data
    snapshot = freeze(labelled_pictures(resources, source), run.workdir / "snapshot")
    with resources.engine.begin() as connection:
        new = len(retraining.new_labels(connection, _labels(snapshot)))
        retraining.record(
            connection,
            run.retrain_id,
            snapshot_sha256=snapshot.sha256,
            images=len(snapshot.images),
            new_labels=new,
        )
    if snapshot.left_out:
        examples = "; ".join(f"{uri} ({why})" for uri, why in list(snapshot.left_out.items())[:_EXAMPLES])
        get_run_logger().warning("%d labelled images are left out, such as %s", len(snapshot.left_out), examples)
    return snapshot, new


@task(name="split castings", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def split_castings(run: Retraining, snapshot: Snapshot) -> Material:
    """Find which images show the same casting, and set aside golden ones: those frozen, and a share of the new ones."""
    resources = enter(run, "split")
    images, golden = with_golden_set(resources, snapshot)
    grouping = group_castings(snapshot.dataset(images, source="the labelled images"))
    frozen = {each.sha256 for each in golden}
    with resources.engine.connect() as connection:
        known = retraining.known_uris(connection)
    split = split_off_golden(
        grouping.castings,
        [each.image.label for each in images],
        frozen={place for place, each in enumerate(images) if each.sha256 in frozen},
        seen={place for place, each in enumerate(images) if each.image.uri in known},
        share=run.parameters.golden_share,
        seed=int(snapshot.sha256[:8], 16),
    )
    fresh = keep_golden_pictures(
        resources,
        snapshot,
        [(images[place], grouping.castings[place]) for place in split.fresh],
        above=1 + max((each.casting for each in golden), default=-1),
    )
    return Material(snapshot=snapshot, images=tuple(images), grouping=grouping, split=split, fresh=fresh)


@task(name="train and publish", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def train_challenger(run: Retraining, material: Material) -> Challenger:
    """Train on all castings but the golden ones and publish the artifact; nobody serves it yet."""
    resources = enter(run, "train")
    settings = resources.settings
    dataset, grouping = _training_side(material)
    trained = train_model(dataset, grouping, run.parameters.plan(settings), workdir=run.workdir / "training")
    enter(run, "publish")
    url, sha256 = publish_artifact(
        settings.models_root,
        card=trained.card,
        weights=trained.weights,
        files=trained.files() | report_files(dataset, trained),
        options=settings.storage_options(settings.models_root),
    )
    return Challenger(trained=trained, url=url, sha256=sha256)


@task(name="compare", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def compare_models(run: Retraining, material: Material, challenger: Challenger) -> Compared:
    """Let challenger and champion judge the golden set, both as the hourly job loads and feeds them."""
    resources = enter(run, "compare")
    with resources.engine.connect() as connection:
        champion = models.find_champion(connection)
    return compare(
        resources,
        load_stored(resources, challenger.url, challenger.sha256),
        champion,
        [_examined(material, place, name=material.images[place].sha256) for place in material.split.golden],
        lambda picture: material.snapshot.read(picture.name),
        confidence=run.parameters.gate.two_sided,
    )


@task(name="decide", cache_policy=NO_CACHE, retry_jitter_factor=0.5, retry_condition_fn=worth_retrying)
def decide(run: Retraining, material: Material, challenger: Challenger, compared: Compared) -> gate.Decision:
    """Ask the gate: is the challenger sound, and not worse than the champion?"""
    resources = enter(run, "decide")
    limits, castings, split = run.parameters.gate, material.grouping.castings, material.split
    labels = [int(each.image.label == "defective") for each in material.images]
    sha256_by_uri = {each.image.uri: each.sha256 for each in material.images}
    return gate.Decision(
        checks=(
            gate.check_sides({castings[at] for at in split.training}, {castings[at] for at in split.golden}),
            gate.check_classes([labels[at] for at in split.training], [labels[at] for at in split.golden]),
            check_reproduction(
                challenger.trained,
                load_stored(resources, challenger.url, challenger.sha256),
                lambda picture: material.snapshot.read(sha256_by_uri[picture.name]),
            ),
            gate.check_calibration(compared.evaluation, limits),
            *compared.checks(limits),
        )
    )


def register(
    run: Retraining, material: Material, challenger: Challenger, compared: Compared, decision: gate.Decision
) -> RetrainSummary:
    """Register the challenger, promote it if the gate lets it, and close the run: one transaction, all or nothing."""
    resources = enter(run, "register")
    card, evidence = challenger.trained.card, compared.to_json() | decision.to_json()
    with resources.engine.begin() as connection:
        models.lock_promotions(connection)
        moved = models.find_champion(connection) != compared.against
        outcome, why = _verdict(run, resources, decision, moved=moved)
        model = models.register_model(
            connection,
            version=card.version,
            artifact_url=challenger.url,
            sha256=challenger.sha256,
            card=card.model_dump(mode="json"),
            who=run.who,
            why=f"retraining {run.retrain_id}: {why}",
            metrics=evidence,
        )
        if outcome == "promoted":
            models.promote_model(connection, card.version, who=run.who, why=why, metrics=evidence)
        freeze_golden(connection, material.fresh)
        new_labels = retraining.remember_labels(connection, run.retrain_id, _labels(material.snapshot))
        retraining.complete(
            connection,
            run.retrain_id,
            outcome=outcome,
            why=why,
            challenger=model,
            champion=compared.against,
            comparison=evidence,
        )
    castings, split = material.grouping.castings, material.split
    return RetrainSummary(
        retrain_id=run.retrain_id,
        outcome=outcome,
        why=why,
        images=len(material.snapshot.images),
        new_labels=new_labels,
        left_out=len(material.snapshot.left_out),
        training_castings=len({castings[place] for place in split.training}),
        golden_castings=len({castings[place] for place in split.golden}),
        challenger=card.version,
        champion=compared.against.version if compared.against else None,
        checks=tuple(decision.to_json()["checks"]),
    )


def _verdict(
    run: Retraining, resources: Resources, decision: gate.Decision, *, moved: bool
) -> tuple[Literal["candidate", "promoted"], str]:
    """Say what becomes of the challenger, and why."""
    auto_promote = run.parameters.auto_promote
    if not decision.passed:
        return "candidate", f"The gate refused it. {decision.why}"
    if moved:
        return "candidate", "The champion changed while this retraining ran; compare the two and promote by hand."
    if not (resources.settings.auto_promote if auto_promote is None else auto_promote):
        return "candidate", f"It passed the gate, and a person promotes (auto_promote is off). {decision.why}"
    return "promoted", f"It passed the gate. {decision.why}"


def _training_side(material: Material) -> tuple[LabelledDataset, Grouping]:
    """The images to train on, and their castings."""
    places, whole = material.split.training, material.grouping
    dataset = material.snapshot.dataset([material.images[place] for place in places], source="the labelled images")
    return dataset, Grouping(
        groups=tuple(whole.groups[place] for place in places),
        castings=tuple(whole.castings[place] for place in places),
        basis=tuple(whole.basis[place] for place in places),
        links=(),
        complete=whole.complete,
    )


def _examined(material: Material, place: int, *, name: str) -> ExaminedPicture:
    return ExaminedPicture(
        name=name, label=material.images[place].image.label, casting=material.grouping.castings[place]
    )


def _labels(snapshot: Snapshot) -> dict[str, Label]:
    return {each.image.uri: each.image.label for each in snapshot.images}
