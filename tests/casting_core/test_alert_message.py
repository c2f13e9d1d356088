"""Messages read as a foreman reads them: word for word."""

from dataclasses import replace
from datetime import timedelta
from textwrap import dedent
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from casting_core.alert_message import AlertMessage, compose, compose_digest, compose_test
from casting_core.alert_types import AlertKind, EventName
from tests.casting_core.alert_examples import NOW, alert_of, bare, climb, event_of

BERLIN = ZoneInfo("Europe/Berlin")
LINK = "https://bi.plant.example/alerts/{alert_id}?line={line}"


def message(finding, event=None, *, link=None, **alert):
    return compose(alert_of(finding, **alert), event or event_of(), key="k-1", timezone=BERLIN, link=link)


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_climb_says_what_where_since_when_how_sure_how_many_what_before_which_parts_and_what_now():
    told = message(climb(), link=LINK)
    assert plain(told.title) == "CRITICAL · line-b: defect rate climbs, 30 % instead of 5.2 %"
    assert plain(told.body).splitlines() == [
        "More parts than usual are judged defective on line-b.",
        "Rate: 30 % of the parts; before, it was 5.2 % (5.8 times as many).",
        "Since: about 09:00 (90 % sure: 08:49 to 09:08), 34 parts since then.",
        "How sure: without the model's own errors it is 27 %, between 14 % and 43 % (95 %).",
        "A false alarm is expected once in 30 days, over all lines.",
        "Look at: B20003, B20007, B20011 (the worst first)",
        (
            "Now: look at these parts by eye. If they are bad, hold back what was made since, and see what changed on "
            "the line at that time: mould, core, melt, tool. If they are sound, check lamp and lens."
        ),
        "https://bi.plant.example/alerts/17?line=line-b",
        "Alert 17, critical. Key k-1",
    ]
    assert plain(told.short) == (
        "CRITICAL · line-b: defect rate climbs, 30 % instead of 5.2 %, since about 09:00. Look at B20003, B20007, "
        "B20011."
    )


@pytest.mark.parametrize(
    ("finding", "title", "first"),
    [
        (
            bare("quarantine_rate_climb", observed_rate=0.08, baseline_rate=0.004),
            "line-b: pictures cannot be judged, 8 % instead of 0.4 %",
            (
                "More pictures than usual cannot be judged on line-b.\n"
                "Rate: 8 % of the pictures; before, it was 0.4 % (20 times as many).\n"
                "Now: check camera, lens, lamp and cable."
            ),
        ),
        (
            bare("review_rate_climb", observed_rate=0.2, baseline_rate=0.05),
            "line-b: more parts go to review, 20 % instead of 5 %",
            (
                "More parts than usual have to be looked at by a person on line-b.\n"
                "Rate: 20 % of the parts; before, it was 5 % (4 times as many).\n"
                "Now: put somebody on the parts in review."
            ),
        ),
        (
            bare("score_drift"),
            "line-b: the model sees something new",
            "The model's scores have moved from where they were on line-b.\nNow: compare a picture of now",
        ),
        (
            bare("no_images"),
            "line-b: no pictures arrive",
            "No pictures have arrived for a while on line-b.\nNow: does the line run?",
        ),
        (
            bare("scoring_stalled", line="", severity="critical"),
            "CRITICAL · Whole plant: parts are not being judged",
            "Pictures wait to be judged for too long in the whole plant.\nNow: on the inspection computer run:",
        ),
        (
            climb(line="", stream="", evidence={"lines": ["line-a", "line-b", "line-d"]}, examples=()),
            "CRITICAL · 3 lines at once: defect rate climbs, 30 % instead of 5.2 %",
            "More parts than usual are judged defective on 3 lines at the same time: line-a, line-b, line-d.",
        ),
    ],
    ids=["quarantine", "review", "drift", "no images", "stalled", "grouped"],
)
def test_each_kind_has_its_own_words(finding, title, first):
    told = message(finding)
    assert plain(told.title) == title
    assert plain(told.body).startswith(first)


def test_a_group_points_at_what_the_lines_share():
    told = message(climb(line="", stream="", evidence={"lines": ["a", "b"]}))
    assert "light, cameras, the model" in told.body


def test_each_event_has_its_own_title():
    titles = {
        name: plain(message(climb(), event_of(name, who="Eva Kern")).title).partition(":")[0]
        for name in get_args(EventName)
    }
    assert titles == {
        "opened": "CRITICAL · line-b",
        "updated": "News",
        "acknowledged": "Taken up by Eva Kern",
        "resolved": "Over",
        "reopened": "Again",
        "snoozed": "Snoozed by Eva Kern",
    }


def test_a_change_of_severity_stands_in_the_title():
    changed = replace(event_of("updated"), details={"severity": "critical"})
    assert plain(message(climb(), changed).title).startswith("Now critical: line-b")


def test_taken_up_says_who_and_why():
    told = message(climb(), event_of("acknowledged", who="Eva Kern", why="mould 3 is being changed"))
    assert told.body == dedent("""\
        Eva Kern says: Mould 3 is being changed.
        More parts than usual are judged defective on line-b.
        Alert 17, critical. Key k-1""")
    assert told.tone == "info"


def test_over_says_since_when_and_names_the_day_where_it_is_another_one():
    event = event_of("resolved", why="the rate has been back for 400 parts")
    told = message(climb(), event, state="resolved", opened_at=NOW - timedelta(hours=26))
    assert plain(told.body).splitlines()[:2] == [
        "Over since Mon 23 Nov 09:20. The rate has been back for 400 parts.",
        "It had been open since Sun 22 Nov 07:20.",
    ]
    assert told.tone == "success"


@pytest.mark.parametrize("kind", get_args(AlertKind))
@pytest.mark.parametrize("event", get_args(EventName))
def test_every_message_fits_a_chat_service_and_is_told_in_plain_text(kind, event):
    told = message(climb(kind=kind), event_of(event), link=LINK)
    assert len(told.title) < 100
    assert len(told.short) < 160
    assert len(told.body) < 1_000
    assert "None" not in told.title + told.short + told.body
    assert "k-1" in told.body


def test_fields_are_what_a_program_needs():
    fields = message(climb(), link=LINK).fields
    assert fields == {
        "key": "k-1",
        "alert_id": 17,
        "event": "opened",
        "kind": "defect_rate_climb",
        "severity": "critical",
        "state": "open",
        "line": "line-b",
        "lines": ["line-b"],
        "stream": "line-b",
        "at": "2026-11-23T08:20:00+00:00",
        "since": "2026-11-23T08:00:00+00:00",
        "parts": 34,
        "observed_rate": 0.3012,
        "baseline_rate": 0.052,
        "examples": ["B20003", "B20007", "B20011"],
        "link": "https://bi.plant.example/alerts/17?line=line-b",
    }


def test_a_message_comes_back_from_json_as_it_was():
    told = message(climb())
    assert AlertMessage(**told.to_json()) == told


def test_a_digest_tells_the_gravest_first_and_counts_what_it_leaves_out():
    mild = [message(bare("score_drift", line=f"line-{number}")) for number in range(9)]
    digest = compose_digest([*mild, message(climb())], key="d-1")
    lines = plain(digest.body).splitlines()
    assert digest.title == "10 messages about alerts"
    assert lines[1] == "• CRITICAL · line-b: defect rate climbs, 30 % instead of 5.2 %"
    assert lines[8:] == [
        "• line-6: the model sees something new",
        "and 2 more.",
        "All of them: casting alerts list",
        "Key d-1",
    ]
    assert digest.tone == "failure"
    assert len(digest.body) < 1_000
    assert len(digest.fields["alerts"]) == 10


def test_a_digest_of_nothing_is_refused():
    with pytest.raises(ValueError, match="needs messages"):
        compose_digest([], key="d-1")


def test_a_test_message_says_that_it_is_one():
    assert "test of the channel mail" in compose_test("mail", key="t").body
