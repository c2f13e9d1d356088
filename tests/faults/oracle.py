"""What must hold once a plant is well again, read from its database, its bucket and the receiver of its alerts."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

# What was written is never changed: rows of these, once seen, stay as they were.
HISTORY = {
    "verdict": "SELECT image_id, model_id, run_id, p_defective, verdict, sha256, judged_at FROM verdict",
    "quarantine": "SELECT image_id, run_id, reason, detail, sha256, quarantined_at FROM quarantine",
    "alert event": "SELECT event_id, alert_id, at, event, who, why FROM alert_event",
}
_OUTCOMES = """
    SELECT uri, etag, version, verdict, reason, coalesce(verdict.sha256, quarantine.sha256)
    FROM image
    LEFT JOIN (verdict JOIN model USING (model_id)) USING (image_id, captured_at)
    LEFT JOIN quarantine USING (image_id, captured_at)"""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What became of a picture in the bucket, if all went well: a verdict (None where any will do), or a reason."""

    content: bytes
    verdict: str | None = None
    reason: str | None = None


@dataclass(kw_only=True)
class Oracle:
    """Asks a plant's database by `sql`; `seen` is the history that was there at some earlier moment."""

    sql: object
    seen: dict = field(default_factory=lambda: {name: {} for name in HISTORY})

    def look(self):
        """Remember the history as it is now."""
        for name in HISTORY:
            self.seen[name] |= self._history(name)

    def violations(self, bucket, *, model):
        """What is wrong with images and history. `bucket` is uri -> Expected, `model` the version that serves."""
        found = [*_known(self.sql, bucket), *_outcomes(self.sql, bucket, model)]
        if running := self.sql("SELECT run_id FROM scoring_run WHERE state = 'running'"):
            found.append(f"{len(running)} runs said to be running")
        for name, rows in self.seen.items():
            now = self._history(name)
            if changed := [key for key, row in rows.items() if now.get(key) != row]:
                found.append(f"{len(changed)} rows of {name} have changed or gone, such as {changed[0]}")
        return found

    def alert_violations(self, climbing, *, received, channel):
        """What is wrong with alerts: `climbing` are the lines that must have one, `received` the keys that arrived."""
        found = []
        opened = Counter(
            line
            for (line,) in self.sql(
                "SELECT line FROM alert_event JOIN alert USING (alert_id) "
                "WHERE event = 'opened' AND kind = 'defect_rate_climb'"
            )
        )
        if opened != Counter(climbing):
            found.append(f"climbs told of: {dict(opened)}, not one each of {sorted(climbing)}")
        sent = "SELECT event_id, idempotency_key, delivered_at IS NOT NULL, channel FROM delivery"
        rows = [row[:3] for row in self.sql(f"{sent} WHERE NOT payload ? 'told_by'") if row[3] == channel]
        if twice := [event for event, count in Counter(event for event, _, _ in rows).items() if count > 1]:
            found.append(f"{len(twice)} events with two messages to one channel")
        told = {event for event, _, _ in rows}
        events = self.sql(
            "SELECT alert_id, event_id FROM alert_event JOIN alert USING (alert_id) WHERE part_of IS NULL"
        )
        # What was over before it could be told is told once, as over.
        if silent := {alert for alert, _ in events} - {alert for alert, event in events if event in told}:
            found.append(f"{len(silent)} alerts that nobody was told of")
        if waiting := [key for _, key, delivered in rows if not delivered]:
            found.append(f"{len(waiting)} messages never delivered")
        if lost := {key for _, key, delivered in rows if delivered} - set(received):
            found.append(f"{len(lost)} messages said to be delivered that never arrived")
        if unknown := set(received) - {key for _, key, _ in rows}:
            found.append(f"{len(unknown)} messages arrived that no alert knows of")
        return found

    def _history(self, name):
        rows = self.sql(HISTORY[name])
        return {tuple(row[:2]) if name == "verdict" else row[0]: tuple(row) for row in rows}


def _known(sql, bucket):
    """Each object in the bucket is one known image, and nothing else is known."""
    known = Counter(uri for (uri,) in sql("SELECT uri FROM image"))
    if missing := bucket.keys() - known.keys():
        yield f"{len(missing)} images never discovered, such as {min(missing)}"
    if unknown := known.keys() - bucket.keys():
        yield f"{len(unknown)} images known that are not in the bucket"
    if doubled := [uri for uri, count in known.items() if count > 1]:
        yield f"{len(doubled)} images known twice, such as {doubled[0]}"


def _outcomes(sql, bucket, model):
    """Each image has the outcome that its own bytes lead to, once for each model."""
    judged, rows = Counter(), sql(_OUTCOMES)
    for uri, _, version, verdict, reason, sha256 in rows:
        expected = bucket.get(uri)
        if expected is None:
            continue
        if verdict is not None and reason is not None:
            yield f"{uri} has two outcomes"
        if sha256 is not None and bytes(sha256) != hashlib.sha256(expected.content).digest():
            yield f"{uri} was judged by the bytes of another picture"
        if reason != expected.reason:
            yield f"{uri} is in quarantine as {reason}, not as {expected.reason}"
        if expected.verdict is not None and verdict not in (None, expected.verdict):
            yield f"{uri} was judged {verdict}, not {expected.verdict}"
        judged[uri, version] += verdict is not None
    if doubled := [key for key, count in judged.items() if count > 1]:
        yield f"{len(doubled)} images with two verdicts of one model, such as {doubled[0]}"
    if left := [uri for uri, each in bucket.items() if each.reason is None and not judged[uri, model]]:
        yield f"{len(left)} images without a verdict of {model}, such as {left[0]}"
    if refused := [
        uri for uri, each in bucket.items() if each.reason and any(judged[key] for key in judged if key[0] == uri)
    ]:
        yield f"{len(refused)} images judged that cannot be, such as {refused[0]}"
