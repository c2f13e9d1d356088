"""Figures for Prometheus: read from the database when they are asked for, so that a restart resets nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from db.errors import DatabaseError
from db.metrics import read_metrics
from flows.cards import read_cards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric
    from sqlalchemy import Connection

    from flows.cards import CardUse
    from flows.supervisor import Kept

    Connect = Callable[[], Connection]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """How a figure of the database is shown: a counter only grows, a gauge may fall."""

    name: str
    says: str
    label: str | None = None
    counter: bool = False


FIGURES = {
    "images_judged": Figure(
        name="casting_images_judged", says="Images by outcome, since ever.", label="outcome", counter=True
    ),
    "images_discovered": Figure(name="casting_images_discovered", says="Images made known, since ever.", counter=True),
    "runs": Figure(name="casting_runs", says="Scoring runs by state.", label="state"),
    "backlog": Figure(name="casting_backlog_images", says="Images that the newest completed run left unjudged."),
    "last_run_seconds": Figure(name="casting_last_run_seconds", says="How long the newest completed run took."),
    "stage_seconds": Figure(
        name="casting_stage_seconds",
        says="Seconds of work by stage, since ever; chunks and threads side by side are added up.",
        label="stage",
        counter=True,
    ),
    "last_run_stage_seconds": Figure(
        name="casting_last_run_stage_seconds", says="The same of the newest completed run.", label="stage"
    ),
    "last_run_rate": Figure(name="casting_last_run_images_per_second", says="Images a second of that run."),
    "last_run_finished": Figure(
        name="casting_last_run_finished_timestamp_seconds", says="When the newest completed run ended, Unix time."
    ),
    "judged_until": Figure(
        name="casting_judged_until_timestamp_seconds",
        says="Images captured before this moment have been looked for; now minus this is the lag.",
    ),
    "alerts_open": Figure(name="casting_alerts_open", says="Alerts that are not resolved.", label="severity"),
    "deliveries_waiting": Figure(name="casting_deliveries_waiting", says="Messages that no channel has taken yet."),
}


@dataclass(frozen=True, kw_only=True)
class PlantCollector(Collector):
    """Reads all figures anew at each scrape. `kept` are the services of a `casting up`, where one runs."""

    connect: Connect
    kept: Callable[[], list[Kept]] = list
    cards: Callable[[], list[CardUse]] = read_cards

    def collect(self) -> Iterator[Metric]:
        """The figures, and whether the database could be asked."""
        reached = GaugeMetricFamily("casting_database_up", "Whether the database answered this scrape.")
        try:
            with self.connect() as connection:
                figures = read_metrics(connection)
        except (DatabaseError, SQLAlchemyError):
            figures = {}
        reached.add_metric([], float(bool(figures)))
        yield reached
        for figure, values in figures.items():
            yield _family(FIGURES[figure], values)
        yield from self._services()
        yield from self._cards()

    def _services(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("casting_service_up", "Services of casting up that run.", labels=["service"])
        restarts = CounterMetricFamily("casting_service_restarts", "How often each was restarted.", labels=["service"])
        for kept in self.kept():
            up.add_metric([kept.service.name], float(kept.runs))
            restarts.add_metric([kept.service.name], kept.restarts)
        yield up
        yield restarts

    def _cards(self) -> Iterator[Metric]:
        busy = GaugeMetricFamily("casting_gpu_busy_ratio", "Share of time a card computes, 0 to 1.", labels=["gpu"])
        used = GaugeMetricFamily("casting_gpu_memory_used_bytes", "Memory in use on a card.", labels=["gpu"])
        total = GaugeMetricFamily("casting_gpu_memory_bytes", "Memory of a card.", labels=["gpu"])
        for card in self.cards():
            busy.add_metric([card.index], card.busy)
            used.add_metric([card.index], card.memory_used)
            total.add_metric([card.index], card.memory_total)
        yield busy
        yield used
        yield total


def _family(figure: Figure, values: dict[str, float]) -> Metric:
    kind = CounterMetricFamily if figure.counter else GaugeMetricFamily
    family = kind(figure.name, figure.says, labels=[figure.label] if figure.label else [])
    for label, value in values.items():
        family.add_metric([label] if figure.label else [], value)
    return family


def as_text(collector: PlantCollector) -> str:
    """All figures in Prometheus' text format."""
    return generate_latest(_registry(collector)).decode()


def serve(collector: PlantCollector, *, host: str, port: int) -> Callable[[], None]:
    """Serve the figures at http://host:port/metrics from a thread; return what ends that. Raises OSError."""
    server, thread = start_http_server(port, addr=host, registry=_registry(collector))

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _registry(collector: PlantCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry
