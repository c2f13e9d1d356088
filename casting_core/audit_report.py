"""The report of an audit: one HTML file that needs no network, pictures included."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from casting_core.audit import file_names
from casting_core.report_page import data_address, report_css
from casting_core.survey import read_picture
from casting_core.types import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from casting_core.audit import Audit, Contradiction

__all__ = ["render_report"]

_SIDE = 132  # pixels of a picture's longer side
_SHARP_SIDE = 260  # of pictures in which scratches are to be compared
_GROUPS_SHOWN, _IMAGES_SHOWN, _LINKS_SHOWN = 12, 8, 24


def render_report(audit: Audit) -> str:
    """Give the report as HTML: findings, balance, shortcuts, every contradiction, and the largest groups in pictures.

    Reads the pictures shown once more, and raises what `LabelledDataset.read` raises.
    """
    pictures = _Pictures(audit)
    sections = [
        f"<h1>Audit of {html.escape(audit.dataset.source)}</h1>",
        _findings(audit),
        _balance(audit),
        _shortcuts(audit),
        _contradictions(audit, pictures),
        _unreadable(audit, pictures),
        _largest_groups(audit, pictures),
        _links(audit, pictures),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Audit of a data set</title>'
        f"<style>{report_css()}</style></head><body>{''.join(sections)}</body></html>\n"
    )


class _Pictures:
    """Figures of images, by their places in the data set."""

    def __init__(self, audit: Audit) -> None:
        self._dataset = audit.dataset
        self.names = file_names([image.uri for image in audit.dataset.images])

    def row(self, images: Iterable[int], *, side: int = _SIDE) -> str:
        return f'<div class="row">{"".join(self._figure(image, side) for image in images)}</div>'

    def _figure(self, index: int, side: int) -> str:
        image = self._dataset.images[index]
        picture = read_picture(self._dataset.read(image), side=side)
        thumbnail = _crossed_out(side) if isinstance(picture, Rejection) else Image.fromarray(picture)
        file = io.BytesIO()
        thumbnail.save(file, "JPEG", quality=82)
        address = data_address(file.getvalue(), "jpeg")
        name = html.escape(self.names[index])
        return (
            f'<figure class="small" style="--label: var(--{image.label})"><img src="{address}" alt="{name}">'
            f"<figcaption>{image.label} · {name}</figcaption></figure>"
        )


def _crossed_out(side: int) -> Image.Image:
    picture = Image.new("L", (side, side), 225)
    draw = ImageDraw.Draw(picture)
    draw.line((0, 0, side, side), fill=120, width=2)
    draw.line((0, side, side, 0), fill=120, width=2)
    return picture


def _findings(audit: Audit) -> str:
    castings, images = len(set(audit.grouping.castings)), len(audit.dataset.images)
    if castings < images:
        groups = len(set(audit.grouping.groups))
        repeated = (
            f"{images} images show {castings} castings, in {groups} groups of pictures taken in one light. "
            "A random split by image puts castings on both sides; split by casting."
        )
        findings = [repeated]
    else:
        findings = [f"{images} images, each of another casting as far as can be seen."]
    by_picture = audit.basis_counts().get("whole_picture", 0)
    if by_picture:
        findings.append(
            f"{by_picture} pictures show no disc. They were compared as a whole, which withstands turns, mirroring and "
            "stretching of the whole content, but is less certain."
        )
    if not audit.grouping.complete:
        findings.append(
            "There are too many groups to look for castings that were photographed again in another light: two groups "
            "may show one casting. Give part ids in a manifest if there are any."
        )
    certain = sum(each.ground != "casting" for each in audit.contradictions)
    findings.append(
        f"{certain} contradictions between labels that are certain, and {len(audit.contradictions) - certain} that are "
        "likely."
        if audit.contradictions
        else "No labels contradict each other."
    )
    suspicious = [each.measure.replace("_", " ") for each in audit.shortcuts if each.is_suspicious]
    if suspicious:
        findings.append(f"The label can be guessed from {', '.join(suspicious)} alone: see below.")
    if audit.unreadable:
        findings.append(f"{len(audit.unreadable)} files are no pictures that can be judged.")
    return f'<ul class="findings">{"".join(f"<li>{html.escape(each)}</li>" for each in findings)}</ul>'


def _balance(audit: Audit) -> str:
    rows = [
        (each.label, each.castings, each.groups, each.images, each.most_images_of_a_casting) for each in audit.balance
    ]
    return "<h2>Class balance</h2>" + _table(
        ("class", "castings", "groups", "images", "most images of a casting"), rows
    )


def _shortcuts(audit: Audit) -> str:
    rows = [
        (
            each.measure.replace("_", " "),
            f"{each.auroc_by_casting:.2f}",
            f"{each.auroc_by_image:.2f}",
            f"{each.defective_is} if defective",
            "suspicious" if each.is_suspicious else "",
        )
        for each in audit.shortcuts
    ]
    explanation = (
        "<p class=quiet>How well one simple measure alone tells the classes apart, as AUROC: 0.5 is chance, 1 is "
        "always right. A model takes such a shortcut if it can, and fails when the light changes.</p>"
    )
    table = _table(("measure", "AUROC by casting", "AUROC by image", "", ""), rows)
    return f"<h2>Shortcuts</h2>{explanation}{table}" if rows else ""


def _contradictions(audit: Audit, pictures: _Pictures) -> str:
    explanations = {
        "equal_bytes": "Files with equal bytes and different labels",
        "group": "One group (one casting in one light, or one part id), with different labels",
        "casting": "Probably one casting photographed again, with different labels",
    }
    parts = [
        f"<p><strong>{explanations[each.ground]}</strong></p>{pictures.row(_rarer_label_first(audit, each))}"
        for each in audit.contradictions
    ]
    return f"<h2>Contradictions</h2>{''.join(parts)}" if parts else ""


def _rarer_label_first(audit: Audit, contradiction: Contradiction) -> list[int]:
    labels = [audit.dataset.images[image].label for image in contradiction.images]
    return sorted(contradiction.images, key=lambda image: labels.count(audit.dataset.images[image].label))


def _unreadable(audit: Audit, pictures: _Pictures) -> str:
    rows = [
        (pictures.names[index], rejection.reason, rejection.detail)
        for index in audit.unreadable
        if (rejection := audit.examined[index].rejection)
    ]
    return f"<h2>Files that cannot be judged</h2>{_table(('file', 'reason', ''), rows)}" if rows else ""


def _largest_groups(audit: Audit, pictures: _Pictures) -> str:
    members: dict[int, list[int]] = {}
    for image, group in enumerate(audit.grouping.groups):
        members.setdefault(group, []).append(image)
    largest = sorted((each for each in members.items() if len(each[1]) > 1), key=lambda each: -len(each[1]))
    parts = [
        f"<p>Group {group}: {len(images)} images</p>{pictures.row(images[:_IMAGES_SHOWN])}"
        for group, images in largest[:_GROUPS_SHOWN]
    ]
    return f"<h2>Largest groups</h2>{''.join(parts)}" if parts else ""


def _links(audit: Audit, pictures: _Pictures) -> str:
    links = sorted(audit.grouping.links, key=lambda link: link.likeness.agreement)[:_LINKS_SHOWN]
    parts = [
        f"<p>{link.likeness.agreement:.0%} of the fine detail agrees</p>"
        f"{pictures.row((link.first, link.second), side=_SHARP_SIDE)}"
        for link in links
    ]
    explanation = (
        "<p class=quiet>Groups that were taken for the same casting in another light, the least certain first. Look "
        "for the same scratches and burrs; the pictures may be turned and mirrored.</p>"
    )
    return f"<h2>Castings photographed again</h2>{explanation}{''.join(parts)}" if parts else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def cell(tag: str, value: object) -> str:
        number = isinstance(value, int) or str(value).replace(".", "", 1).isdigit()
        return f"<{tag}{' class=number' if number else ''}>{html.escape(str(value))}</{tag}>"

    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(cell('td', value) for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
