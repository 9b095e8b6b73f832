"""A part of a network as a chart of its steps, from left to right, as `report.figures.architecture` traced them."""

from collections.abc import Sequence

from report.figures.architecture import Operation
from report.figures.svg import arrow, tag, text

LANE, TOP = 62, 26  # pixels between lanes, and above the first


def drawing(steps: Sequence[Operation], width: float) -> tuple[str, float]:
    """The steps of a part from left to right, one that runs beside another below it; and the height."""
    columns, lanes = places(steps)
    wide = [max(map(_width, (step for step, own in zip(steps, columns) if own == column)))
            for column in range(max(columns) + 1)]
    gap = (width - sum(wide)) / (len(wide) - 1)
    left = [sum(wide[:column]) + gap * column for column in columns]
    right = [start + wide[column] for start, column in zip(left, columns)]
    y = [TOP + LANE * lane for lane in lanes]
    drawn = ""
    for index, step in enumerate(steps):
        middle = (left[index] + right[index]) / 2
        for source in step.inputs:
            start, bend = (right[source], y[source]), right[source] + gap / 2
            if y[source] == y[index]:
                drawn += arrow(start, (left[index], y[index]))
            elif len(step.inputs) > 1:  # it joins from its own lane
                drawn += arrow(start, (middle, y[source]), (middle, y[index] + (11 if y[source] > y[index] else -11)))
            else:
                drawn += arrow(start, (bend, y[source]), (bend, y[index]), (left[index], y[index]))
        drawn += _step(step, middle, y[index], wide[columns[index]])
    return drawn, max(y) + TOP


def _sign(step: Operation) -> bool:
    return step.kind == "step" and len(step.label[0]) == 1


def _width(step: Operation) -> float:
    return 22 if _sign(step) else 14 + 5.7 * max(map(len, step.label))


def places(steps: Sequence[Operation]) -> tuple[list[int], list[int]]:
    """Column and lane of each step: as late as its inputs make it, and in the lane of the first of them if that is free."""
    columns, lanes = [], []
    for index, step in enumerate(steps):
        columns.append(1 + max((columns[source] for source in step.inputs), default=-1))
        if not step.inputs:
            lanes.append(0 if not lanes else 2)
            continue
        source = step.inputs[0]
        users = [later for later, other in enumerate(steps) if source in other.inputs]
        joins = [later for later in users if len(steps[later].inputs) > 1]  # what runs on to a sum or product keeps its lane
        lanes.append(lanes[source] + (index != (joins or users)[-1 if joins else 0]))
    return columns, lanes


def _step(step: Operation, x: float, y: float, width: float) -> str:
    sign, drawn = _sign(step), ""
    if sign:
        drawn = tag("circle", cx=x, cy=y, r=11, class_="own")
    elif step.kind in ("layer", "step"):
        tall = 12 + 13 * len(step.label)
        drawn = tag("rect", x=x - width / 2, y=y - tall / 2, width=width, height=tall, rx=3,
                    class_="box" if step.kind == "layer" else "soft")
    first = y + 4 - 6.5 * (len(step.label) - 1)
    return drawn + "".join(text(part, x, first + 13 * index, "middle" + " paper bold" * sign, 13 if sign else 10.5)
                           for index, part in enumerate(step.label))
