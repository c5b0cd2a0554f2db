"""Tours of a survey: which fields are visited on which day, in what order.

Distances are geodesics on the ellipsoid of WGS 84 times a detour factor, because roads are not straight. Fields are inserted
where they lengthen a tour least. Then fields are moved within and between the tours or exchanged, and parts of a tour are
reversed (2-opt; Croes 1958, doi:10.1287/opre.6.6.791), as long as this shortens the tours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from typing import Annotated

import numpy as np
from pyproj import Geod

from bocage.advice.selection import Floats, Gains
from bocage.errors import AdviceError
from bocage.ranges import Range, check_ranges

ELLIPSOID = Geod(ellps="WGS84")
STOP = 1.0
"""Kilometres that a stop counts for, in addition to those driven, where gains per kilometre are compared."""
LESS = 1e-9
"""Smallest shortening of a tour that counts, in kilometres."""


@dataclass(frozen=True)
class Budget:
    """What a survey may take."""

    fields: Annotated[int, Range(1, 100_000)] = 20
    """Number of fields."""
    days: Annotated[int, Range(1, 1000)] = 1
    """Number of days, with a tour each."""
    kilometres: Annotated[float | None, Range(0, 1e6, above=True)] = None
    """Kilometres that can be driven in a day; None: no limit."""
    detour: Annotated[float, Range(1, 10)] = 1.3
    """Length of a road over the straight line."""

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def per_day(self) -> int:
        """Maximum number of fields of a day."""
        return -(-self.fields // self.days)

    @property
    def limit(self) -> float:
        """Kilometres of a day; infinite without a limit."""
        return math.inf if self.kilometres is None else self.kilometres


@dataclass(frozen=True)
class Tour:
    """The fields of a day."""

    start: int | None
    """Position of the start point, to which the tour returns; None: the tour starts at its first field and ends at its last."""
    stops: tuple[int, ...]
    """Positions of the candidates, in the order of the visits."""
    kilometres: float


@dataclass(frozen=True)
class Survey:
    """The fields to survey and their tours."""

    chosen: tuple[int, ...]
    """Positions of the candidates, the most wanted first."""
    tours: tuple[Tour, ...]
    """Tours of the days that have fields."""

    @property
    def kilometres(self) -> float:
        """Length of all tours."""
        return sum(tour.kilometres for tour in self.tours)


def distances(first: Floats, second: Floats, detour: float) -> Floats:
    """Return the kilometres between places (N, 2) and (M, 2), longitude and latitude in degrees: (N, M)."""
    a = np.repeat(first, len(second), axis=0)
    b = np.tile(second, (len(first), 1))
    metres = ELLIPSOID.inv(a[:, 0], a[:, 1], b[:, 0], b[:, 1])[2] if len(a) else np.zeros(0)
    return np.asarray(metres, float).reshape(len(first), len(second)) * detour / 1000


def plan_survey(gains: Sequence[Gains], place: Floats, starts: Floats, budget: Budget) -> Survey:
    """Return the fields with the largest gains that the budget allows, and their tours.

    A tour has an equal part of the fields of the budget at most, or of the candidates if these are fewer. Without a limit of
    kilometres, the fields are chosen by their gains, and then grouped. With a limit, they are also chosen by their gains per
    kilometre, which gives more fields nearby, and the choice with the larger sum of gains is returned.

    Parameters
    ----------
    gains
        The same gains twice: each choice uses one up.
    place : (N, 2)
        Longitude and latitude of each candidate, in degrees.
    starts : (S, 2)
        Longitude and latitude of the start points; none: tours have no start point.

    Raises
    ------
    AdviceError
        No candidate can be reached within the kilometres of a day.
    """
    budget = replace(budget, fields=max(1, min(budget.fields, len(place))))
    choices = [_Choice.of(gains[0], place, starts, budget)]
    if budget.kilometres is not None:
        choices.append(_Choice.of(gains[1], place, starts, budget))
    for per_kilometre, choice in enumerate(choices):
        choice.fill(bool(per_kilometre))
    best = max(choices, key=lambda choice: choice.total)
    if not best.chosen:
        nearest = float(best.starting.min(0).min())
        raise AdviceError(
            f"No field can be visited within {budget.limit:g} km a day: the nearest candidate to a start point is "
            f"{nearest:.1f} km away, {2 * nearest:.1f} km there and back ({budget.detour:g} times the straight line). Increase "
            "--kilometres, or move --start."
        )
    return _improved(best, place, starts, budget)


@dataclass
class _Choice:
    """Fields that are chosen one by one and inserted into the tours."""

    gains: Gains
    place: Floats
    starting: Floats
    """Kilometres from each start point to each candidate (S, N); zeros (1, N) without start points."""
    budget: Budget
    tours: list[list[int]]
    start: list[int]
    """Start point of each day."""
    length: list[float]
    rows: dict[int, Floats] = field(default_factory=dict)
    """Candidate → its distances to all candidates, for those chosen."""
    chosen: list[int] = field(default_factory=list)
    total: float = 0.0
    """Sum of the gains at the time of the choice."""

    @classmethod
    def of(cls, gains: Gains, place: Floats, starts: Floats, budget: Budget) -> "_Choice":
        starting = distances(starts, place, budget.detour) if len(starts) else np.zeros((1, len(place)))
        days = budget.days
        return cls(gains, place, starting, budget, [[] for _ in range(days)], [0] * days, [0.0] * days)

    def fill(self, per_kilometre: bool) -> None:
        """Choose fields until the budget is used up."""
        free = np.ones(len(self.place), bool)
        while len(self.chosen) < self.budget.fields and free.any():
            cost = np.stack([self._cost(day) for day in range(self.budget.days)])
            day = cost.argmin(0)
            least = cost.min(0)
            gain = self.gains.now
            worth = gain / (least + STOP) if per_kilometre else gain
            worth = np.where(free & np.isfinite(least), worth, -1)
            best = int(worth.argmax())
            if worth[best] < 0:
                return
            free[best] = False
            self.total += float(gain[best])
            self._insert(best, int(day[best]))
            self.gains.choose(best)

    def _cost(self, day: int) -> Floats:
        """Return the kilometres by which each candidate lengthens the tour of a day; infinite where the budget forbids it."""
        tour = self.tours[day]
        if len(tour) >= self.budget.per_day:
            return np.full(len(self.place), np.inf)
        cost = self._lengthening(day).min(0) if tour else 2 * self.starting.min(0)
        return np.where(self.length[day] + cost <= self.budget.limit, cost, np.inf)

    def _lengthening(self, day: int) -> Floats:
        """Return the kilometres that each candidate adds between two stops of a tour that is not empty: (stops + 1, N)."""
        tour, home = self.tours[day], self.starting[self.start[day]]
        rows = [home, *(self.rows[stop] for stop in tour), home]
        edges = [home[tour[0]], *(self.rows[a][b] for a, b in pairwise(tour)), home[tour[-1]]]
        return np.stack([rows[k] + rows[k + 1] - edges[k] for k in range(len(edges))])

    def _insert(self, best: int, day: int) -> None:
        if best not in self.rows:
            self.rows[best] = distances(self.place[best : best + 1], self.place, self.budget.detour)[0]
        tour = self.tours[day]
        if not tour:
            self.start[day] = int(self.starting[:, best].argmin())
            self.length[day] = 2 * float(self.starting[:, best].min())
            tour.append(best)
        else:
            added = self._lengthening(day)[:, best]
            tour.insert(int(added.argmin()), best)
            self.length[day] += float(added.min())
        self.chosen.append(best)


def _improved(choice: _Choice, place: Floats, starts: Floats, budget: Budget) -> Survey:
    """Return the survey of a choice with shorter tours."""
    chosen, count = choice.chosen, max(len(starts), 1)
    own = place[chosen]
    matrix = np.zeros((count + len(own), count + len(own)))
    matrix[count:, count:] = distances(own, own, budget.detour)
    if len(starts):
        matrix[:count, count:] = distances(starts, own, budget.detour)
        matrix[count:, :count] = matrix[:count, count:].T
    node = {candidate: count + k for k, candidate in enumerate(chosen)}
    orders = [[start, *(node[c] for c in tour)] for start, tour in zip(choice.start, choice.tours, strict=True)]
    shorten(orders, matrix, budget, count)
    tours = [
        Tour(order[0] if len(starts) else None, tuple(chosen[k - count] for k in order[1:]), length_of(order, matrix))
        for order in orders
        if len(order) > 1
    ]
    return Survey(tuple(chosen), tuple(tours))


def length_of(order: Sequence[int], matrix: Floats) -> float:
    """Return the length of a tour through nodes and back to the first."""
    return float(matrix[order, np.roll(order, -1)].sum())


def shorten(orders: list[list[int]], matrix: Floats, budget: Budget, starts: int = 1) -> None:
    """Move fields within and between tours, and reverse parts of tours, until no tour becomes shorter.

    Each tour is a list of nodes that begins with its start, one of the first `starts` nodes.
    """
    changed = True
    while changed:
        changed = False
        for k, order in enumerate(orders):
            shorter = min(
                (_reversed([s, *order[1:]], matrix) for s in range(starts)), key=lambda o: length_of(o, matrix)
            )
            if len(order) > 1 and length_of(shorter, matrix) < length_of(order, matrix) - LESS:
                orders[k], changed = shorter, True
        changed |= _moved(orders, matrix, budget)
        for pair in combinations(range(len(orders)), 2):
            changed |= _swapped(orders, pair, matrix, budget)


def _reversed(order: list[int], matrix: Floats) -> list[int]:
    """Return a tour after 2-opt: the reversal that shortens it most, as long as there is one."""
    path, n = np.array(order), len(order)
    if n < 4:
        return order
    first, second = np.triu_indices(n, 2)
    while True:
        here, there = path[first], path[second]
        after, beyond = path[first + 1], path[(second + 1) % n]
        change = matrix[here, there] + matrix[after, beyond] - matrix[here, after] - matrix[there, beyond]
        best = int(change.argmin())
        if change[best] >= -LESS:
            return [int(node) for node in path]
        path[first[best] + 1 : second[best] + 1] = path[first[best] + 1 : second[best] + 1][::-1].copy()


def _moved(orders: list[list[int]], matrix: Floats, budget: Budget) -> bool:
    """Move each field to where it lengthens a tour least; return whether a field was moved."""
    changed = False
    for source in range(len(orders)):
        for node in orders[source][1:]:
            rest = [k for k in orders[source] if k != node]
            saved = length_of(orders[source], matrix) - length_of(rest, matrix)
            others = [rest if k == source else order for k, order in enumerate(orders)]
            cost, target, place = min(_insertion(order, k, node, matrix, budget) for k, order in enumerate(others))
            if cost < saved - LESS:
                others[target] = [*others[target][:place], node, *others[target][place:]]
                orders[:] = others
                changed = True
    return changed


def _swapped(orders: list[list[int]], pair: tuple[int, int], matrix: Floats, budget: Budget) -> bool:
    """Exchange fields of two tours where this shortens both together; return whether fields were exchanged.

    Where all days are full, single fields cannot move.
    """
    changed, (one, other) = False, pair
    for a in orders[one][1:]:
        for b in orders[other][1:]:
            if a not in orders[one]:
                break
            new = _exchanged(orders[one], a, b, matrix), _exchanged(orders[other], b, a, matrix)
            lengths = [length_of(order, matrix) for order in new]
            before = length_of(orders[one], matrix) + length_of(orders[other], matrix)
            if sum(lengths) < before - LESS and max(lengths) <= budget.limit and b in orders[other]:
                orders[one], orders[other], changed = *new, True
    return changed


def _exchanged(order: list[int], old: int, new: int, matrix: Floats) -> list[int]:
    """Return a tour without the field `old`, and with the field `new` where it lengthens the tour least."""
    rest = [node for node in order if node != old]
    after = np.roll(rest, -1)
    place = int((matrix[rest, new] + matrix[new, after] - matrix[rest, after]).argmin()) + 1
    return [*rest[:place], new, *rest[place:]]


def _insertion(order: list[int], tour: int, node: int, matrix: Floats, budget: Budget) -> tuple[float, int, int]:
    """Return the kilometres that a field adds to a tour, the tour, and the position; infinite where the budget forbids it."""
    after = np.roll(order, -1)
    added = matrix[order, node] + matrix[node, after] - matrix[order, after]
    cost = float(added.min())
    full = len(order) > budget.per_day or length_of(order, matrix) + cost > budget.limit
    return (math.inf if full else cost), tour, int(added.argmin()) + 1
