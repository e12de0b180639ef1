"""Names at points: each at the first place near its point that is free."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from ..statistics import Floats
from .plot import freeze, lay_out, renderer_of
from .style import GREY, INK

_ANGLES = np.radians([0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200, 65, 115, 245, 295])
_DISTANCES = (5, 9, 14, 21, 30, 40, 52, 66, 82)  # points from the dot's centre to the text
_LEADER = 12  # points from which a line leads from the dot to its name
_SIZE = 6.2  # of the font, points


def place_names(
    figure: Figure, panels: Sequence[tuple[Axes, Floats, Floats, Sequence[str]]]
) -> None:
    """Write each name beside its point, clear of all markers and lines of the panel and of others.

    Where a panel has no free place left, the name stands over what is there.

    Args:
        figure: complete but for the names: the layout must stand before they find their places.
        panels: of each the axes, [n] x and [n] y in data units, and n names.
    """
    lay_out(figure)
    freeze(figure)  # names find free places in this layout, so it stays
    point = figure.dpi / 72
    renderer = renderer_of(figure)
    for ax, x, y, names in panels:
        taken = _taken(ax, point)
        frame = ax.get_window_extent(renderer)
        back = ax.transData.inverted()
        places = ax.transData.transform(np.column_stack([x, y]).astype(float))
        for place, name in zip(places, names, strict=True):
            text = ax.text(0, 0, name, fontsize=_SIZE, color=INK, zorder=6, ha="left", va="bottom")
            text.set_in_layout(False)
            size = text.get_window_extent(renderer)
            box, distance = _free(place, places, size.width, size.height, frame, taken, point)
            taken.append(box.padded(2 * point, 0.5 * point))
            text.set_position(tuple(back.transform((box.x0, box.y0)).tolist()))
            if distance >= _LEADER:
                near = (np.clip(place[0], box.x0, box.x1), np.clip(place[1], box.y0, box.y1))
                ends = back.transform([place, near])
                ax.plot(*ends.T, color=GREY, linewidth=0.4, zorder=1.8, scalex=False, scaley=False)


def _taken(ax: Axes, point: float) -> list[Bbox]:
    """Boxes, in pixels, over every marker and along every line that is drawn so far."""
    boxes = []
    for line in ax.lines:
        points = line.get_transform().transform(np.asarray(line.get_xydata(), dtype=float))
        if line.get_drawstyle() == "steps-post" and len(points) > 1:
            points = np.repeat(points, 2, axis=0)
            points = np.column_stack([points[1:, 0], points[:-1, 1]])
        if line.get_marker() not in ("", "None", None):
            half = (float(line.get_markersize()) / 2 + 0.5) * point
            boxes += [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in points]
        if line.get_linestyle() not in ("", "None", None):
            boxes += _along(points, point)
    for many in ax.collections:
        if isinstance(many, LineCollection):
            for segment in many.get_segments():
                boxes += _along(ax.transData.transform(np.asarray(segment, dtype=float)), point)
    return boxes


def _along(points: Floats, point: float) -> list[Bbox]:
    """Thin boxes along the segments of a line; of a sloping one a box every few pixels."""
    boxes = []
    for start, end in pairwise(points):
        if not np.isfinite([start, end]).all():
            continue
        straight = bool(np.isclose(start, end).any())
        steps = 1 if straight else int(np.ceil(np.abs(end - start).max() / (4 * point)))
        ends = np.linspace(start, end, steps + 1)
        low, high = np.minimum(ends[:-1], ends[1:]), np.maximum(ends[:-1], ends[1:])
        pad = 1.0 * point
        boxes += [
            Bbox.from_extents(a[0] - pad, a[1] - pad, b[0] + pad, b[1] + pad)
            for a, b in zip(low, high, strict=True)
        ]
    return boxes


def _free(
    place: Floats,
    places: Floats,
    width: float,
    height: float,
    frame: Bbox,
    taken: Sequence[Bbox],
    point: float,
) -> tuple[Bbox, float]:
    """(box in pixels, its distance in points): the first free one that stands nearest to its own
    dot, lest it is read as another's; where there is none, the first free one."""
    edges = np.array([one.extents for one in taken]).reshape(-1, 4)
    crowded: tuple[Bbox, float] | None = None
    for distance in _DISTANCES:
        for angle in _ANGLES:
            # The near corner of the text, or the middle of its near edge, stands at the distance.
            way = np.round([np.cos(angle), np.sin(angle)], 6)
            x, y = place + distance * point * way + np.sign(way) * (width / 2, height / 2)
            box = Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            inside = inside and frame.y0 <= box.y0 and box.y1 <= frame.y1
            apart = (
                (edges[:, 0] >= box.x1)
                | (edges[:, 2] <= box.x0)
                | (edges[:, 1] >= box.y1)
                | (edges[:, 3] <= box.y0)
            )
            if not (inside and apart.all()):
                continue
            if _distance(box, place[None])[0] <= _distance(box, places).min():
                return box, distance
            crowded = crowded or (box, distance)
    return crowded or (Bbox.from_bounds(place[0], place[1], width, height), 0.0)


def _distance(box: Bbox, places: Floats) -> Floats:
    """[n] pixels from a box to [n, 2] places; 0 inside."""
    near = np.clip(places, (box.x0, box.y0), (box.x1, box.y1))
    return np.asarray(np.hypot(*(places - near).T))
