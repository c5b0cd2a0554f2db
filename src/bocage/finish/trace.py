"""Borders of objects as rings of pixel corners, and their simplification. Compiled; it knows arrays only.

Directions are numbered 0 (east), 1 (north), 2 (west), 3 (south); an object is on the left of its border, so that shells run
counter-clockwise on a map whose north is up, and holes clockwise. Corners are (row, column) of the lattice: the corner (y, x) is
the north-west corner of the pixel (y, x).

A corner is a *node* if three or four of the edges that meet there separate objects. Between two nodes, a border separates the
same two objects. Such an arc is simplified once for each of its two sides, always in the same direction, so that the result is
the same and neighbours keep their common border.
"""

import heapq
from typing import Any

import numpy as np

from bocage.machine import compiled

DY, DX = (0, -1, 0, 1), (1, 0, -1, 0)
"""Step in row and column of each direction."""
NODE, OUTER = 1, 2
"""Flags of a corner of a ring: it is a node; the border after it separates the object from no data."""


@compiled
def _is_node(ids: Any, y: int, x: int) -> Any:
    """Return whether a corner is a node; `ids` has a margin of one pixel, in which the corner (0, 0) is at (1, 1)."""
    nw, ne, sw, se = ids[y, x], ids[y, x + 1], ids[y + 1, x], ids[y + 1, x + 1]
    return int(nw != ne) + int(ne != se) + int(se != sw) + int(sw != nw) >= 3


@compiled
def corners(ids: Any) -> Any:
    """Return which corners of a tile are vertices of a border: turns and nodes (height + 1, width + 1).

    `ids` has a margin of one pixel.
    """
    h, w = ids.shape[0] - 1, ids.shape[1] - 1
    found = np.zeros((h, w), np.uint8)
    for y in range(h):
        for x in range(w):
            nw, ne, sw, se = ids[y, x], ids[y, x + 1], ids[y + 1, x], ids[y + 1, x + 1]
            vertical = int(nw != ne) + int(se != sw)  # edges above and below the corner
            horizontal = int(ne != se) + int(sw != nw)
            if vertical + horizontal >= 3 or (vertical == 1 and horizontal == 1):
                found[y, x] = 1
    return found


@compiled
def _follow(ids: Any, y: int, x: int, d: int) -> Any:
    """Return the next pixel and direction of a border, and 1 if the object on its right changes to no data, else 0.

    `ids` has a margin of one pixel, and (y, x) is counted with it.
    """
    own, right = ids[y, x], (d + 3) % 4
    ahead_y, ahead_x = y + DY[d], x + DX[d]
    beside_y, beside_x = ahead_y + DY[right], ahead_x + DX[right]
    if ids[beside_y, beside_x] == own:
        return beside_y, beside_x, right, int(ids[y + DY[right], x + DX[right]] == 0)
    if ids[ahead_y, ahead_x] == own:
        return ahead_y, ahead_x, d, int(ids[beside_y, beside_x] == 0)
    return y, x, (d + 1) % 4, int(ids[ahead_y, ahead_x] == 0)


@compiled
def _starts(ids: Any, y: int, x: int, d: int) -> Any:
    """Return whether the border before the edge `d` of a pixel belongs to a pixel in the margin."""
    own, right = ids[y, x], (d + 3) % 4
    behind_y, behind_x = y - DY[d], x - DX[d]
    beside_y, beside_x = behind_y + DY[right], behind_x + DX[right]
    if ids[beside_y, beside_x] == own:
        by, bx = beside_y, beside_x
    elif ids[behind_y, behind_x] == own:
        by, bx = behind_y, behind_x
    else:
        return False
    return by == 0 or bx == 0 or by == ids.shape[0] - 1 or bx == ids.shape[1] - 1


@compiled
def _is_border(ids: Any, y: int, x: int, d: int) -> Any:
    """Return whether the edge `d` of a pixel is a border of its object."""
    right = (d + 3) % 4
    return ids[y, x] and ids[y + DY[right], x + DX[right]] != ids[y, x]


@compiled
def _edges(ids: Any) -> Any:
    """Return the number of edges of pixels that are borders; `ids` has a margin of one pixel."""
    count = 0
    for y in range(1, ids.shape[0] - 1):
        for x in range(1, ids.shape[1] - 1):
            for d in range(4):
                count += int(_is_border(ids, y, x, d))
    return count


@compiled
def _walk(ids: Any, begin: Any, is_open: bool, seen: Any, out: Any) -> Any:
    """Follow a border from an edge (row, column, direction), to its margin or back to the edge.

    `out` are the arrays for the corners and flags of its vertices. Returns their number, and the edge after the last one.
    """
    h, w, n = ids.shape[0] - 1, ids.shape[1] - 1, 0
    corner, flag = out
    y, x, d = begin
    while True:
        seen[y, x] |= 1 << d
        end_y, end_x = y - 1 + int(d % 3 == 0), x - 1 + int(d < 2)
        next_y, next_x, next_d, outer = _follow(ids, y, x, d)
        node = _is_node(ids, end_y, end_x)
        if node or next_d != d:
            corner[n, 0], corner[n, 1] = end_y, end_x
            flag[n] = int(node) * NODE + outer * OUTER
            n += 1
        y, x, d = next_y, next_x, next_d
        if y == 0 or x == 0 or y == h or x == w or (not is_open and (y, x, d) == begin):
            return n, y, x, d


@compiled
def rings(ids: Any, y0: int, x0: int, width: int) -> Any:
    """Trace the borders of the objects of a tile.

    Parameters
    ----------
    ids
        Numbers of the objects with a margin of one pixel; 0: no data.
    y0, x0
        First row and column of the tile.
    width
        Columns of the map.

    Returns
    -------
    corner : (N, 2)
        Row and column of the vertices of all pieces.
    flag : (N,)
    start : (P + 1,)
        First vertex of each piece.
    piece : (P, 3)
        Object, and keys of the first edge and of the edge after the last one; both are -1 for a closed ring. A key is the
        number of a pixel, times 4, plus the direction.
    """
    h, w, count = ids.shape[0] - 2, ids.shape[1] - 2, _edges(ids)
    corner, flag = np.empty((count, 2), np.int32), np.empty(count, np.uint8)
    start, piece = np.zeros(count + 1, np.int64), np.empty((count, 3), np.int64)
    seen = np.zeros((h + 2, w + 2), np.uint8)
    n = p = 0
    for is_open in (True, False):  # first the pieces that come from another tile: what is left are closed rings
        for y in range(1, h + 1):
            for x in range(1, w + 1):
                if is_open and 1 < y < h and 1 < x < w:
                    continue
                for d in range(4):
                    if seen[y, x] & (1 << d) or not _is_border(ids, y, x, d):
                        continue
                    if is_open and not _starts(ids, y, x, d):
                        continue
                    found, end_y, end_x, end_d = _walk(ids, (y, x, d), is_open, seen, (corner[n:], flag[n:]))
                    first = (np.int64(y0 + y - 1) * width + x0 + x - 1) * 4 + d
                    after = (np.int64(y0 + end_y - 1) * width + x0 + end_x - 1) * 4 + end_d
                    piece[p, 0] = ids[y, x]
                    piece[p, 1], piece[p, 2] = (first, after) if is_open else (np.int64(-1), np.int64(-1))
                    n += found
                    p += 1
                    start[p] = n
    corner[:n, 0] += y0
    corner[:n, 1] += x0
    return corner[:n], flag[:n], start[: p + 1], piece[:p]


@compiled
def _begin(corner: Any, flag: Any, first: int, size: int) -> Any:
    """Return where the arcs of a ring begin, from `first`: at its first node, or at its first corner in reading order."""
    for k in range(size):
        if flag[first + k] & NODE:
            return k
    begin = 0
    for k in range(1, size):
        a, b = corner[first + k], corner[first + begin]
        if a[0] < b[0] or (a[0] == b[0] and a[1] < b[1]):
            begin = k
    return begin


@compiled
def arcs(corner: Any, flag: Any, start: Any) -> Any:
    """Divide closed rings into arcs between nodes.

    Returns
    -------
    member : (A,)
        Vertices of all arcs, as positions in `corner`, each arc in its canonical direction, with both ends.
    bound : (M + 1,)
        First member of each arc. An arc along no data is left out: it is not simplified.
    """
    total = len(corner) * 2 + len(start)
    member = np.empty(total, np.int64)
    bound = np.zeros(total + 1, np.int64)
    n = m = 0
    for r in range(len(start) - 1):
        first, size = start[r], start[r + 1] - start[r]
        begin = _begin(corner, flag, first, size)
        k = 0
        while k < size:
            head = n
            outer = flag[first + (begin + k) % size] & OUTER
            member[n] = first + (begin + k) % size
            n += 1
            while True:
                k += 1
                i = first + (begin + k) % size
                member[n] = i
                n += 1
                if k >= size or flag[i] & NODE:
                    break
            if outer or n - head < 3:
                n = head
                continue
            if _is_reversed(corner, member, head, n):
                member[head:n] = member[head:n][::-1].copy()
            m += 1
            bound[m] = n
    return member[:n], bound[: m + 1]


@compiled
def _is_reversed(corner: Any, member: Any, head: int, end: int) -> Any:
    """Return whether the other direction of an arc is the canonical one: from the end that comes first in reading order."""
    a, b = corner[member[head]], corner[member[end - 1]]
    if a[0] == b[0] and a[1] == b[1]:
        a, b = corner[member[head + 1]], corner[member[end - 2]]
    return b[0] < a[0] or (b[0] == a[0] and b[1] < a[1])


@compiled
def _doubled(corner: Any, i: int, j: int, k: int) -> Any:
    """Return twice the signed area of a triangle of three vertices."""
    a, b, c = corner[i], corner[j], corner[k]
    return np.int64(b[1] - a[1]) * np.int64(c[0] - a[0]) - np.int64(c[1] - a[1]) * np.int64(b[0] - a[0])


@compiled
def _is_free(corner: Any, three: Any, blocked: Any, y0: int, x0: int) -> Any:
    """Return whether the triangle of three vertices, with its sides, has no other vertex of a border."""
    ys = (corner[three[0], 0] - y0, corner[three[1], 0] - y0, corner[three[2], 0] - y0)
    xs = (corner[three[0], 1] - x0, corner[three[1], 1] - x0, corner[three[2], 1] - x0)
    for y in range(min(ys), max(ys) + 1):
        left, right = np.inf, -np.inf
        for k in range(3):
            ay, ax, by, bx = ys[k], xs[k], ys[(k + 1) % 3], xs[(k + 1) % 3]
            if ay == by:
                if ay == y:
                    left, right = min(left, ax, bx), max(right, ax, bx)
            elif min(ay, by) <= y <= max(ay, by):
                x = ax + (y - ay) * (bx - ax) / (by - ay)
                left, right = min(left, x), max(right, x)
        for x in range(int(np.ceil(left - 1e-9)), int(np.floor(right + 1e-9)) + 1):
            if blocked[y, x]:
                own = False
                for k in range(3):
                    own = own or (ys[k] == y and xs[k] == x)
                if not own:
                    return False
    return True


@compiled
def simplify(corner: Any, pieces: Any, lattice: Any, limit: float) -> Any:
    """Return which vertices of all rings remain (N,), after the removal of those with the smallest triangles first.

    A vertex of an arc is removed if the triangle with its neighbours has less than half of `limit` as area (Visvalingam & Whyatt
    1993, doi:10.1179/000870493786962263) and contains no other vertex of the borders of the map as they were, except removed
    ones of its own arc: no border can then touch or cross another one, in whatever order arcs are simplified. Ends of arcs
    remain. A ring keeps three vertices. Two arcs with the same ends could fall together; only the one on the left of the line
    between them may become straight. A part of an arc does not become straight.

    Parameters
    ----------
    pieces
        Members and bounds, as :func:`arcs` returns them, and whether each arc is whole (M,).
    lattice
        Vertices of a window of the lattice that covers the arcs, which are changed and restored; row and column of its first
        corner.
    limit
        Twice the largest area.
    """
    keep = np.ones(len(corner), np.uint8)
    (member, bound, whole), (blocked, y0, x0) = pieces, lattice
    for a in range(len(bound) - 1):
        own = member[bound[a] : bound[a + 1]]
        _simplify_arc(corner, (own, whole[a]), keep, lattice, limit)
        for k in range(len(own)):
            blocked[corner[own[k], 0] - y0, corner[own[k], 1] - x0] = 1
    return keep


@compiled
def _simplify_arc(corner: Any, arc: Any, keep: Any, lattice: Any, limit: float) -> None:
    """Remove vertices of an arc from `keep` and the lattice; `arc` are its members, and whether it is whole."""
    (own, whole), (blocked, y0, x0) = arc, lattice
    m = len(own)
    ends = corner[own[0]], corner[own[m - 1]]
    closed = ends[0][0] == ends[1][0] and ends[0][1] == ends[1][1]
    aligned = ends[0][0] == ends[1][0] or ends[0][1] == ends[1][1]
    before, after = np.arange(m) - 1, np.arange(m) + 1
    area = np.zeros(m, np.int64)
    heap: Any = [(np.int64(0), np.int64(0)) for _ in range(0)]
    for k in range(1, m - 1):
        area[k] = abs(_doubled(corner, own[k - 1], own[k], own[k + 1]))
        if area[k] < limit:
            heap.append((area[k], np.int64(k)))
    heapq.heapify(heap)
    alive = m - 2
    while heap:
        smallest, k = heapq.heappop(heap)
        if not keep[own[k]] or smallest != area[k]:
            continue
        if (closed and alive <= 2) or (alive == 1 and not whole):
            break
        i, j = before[k], after[k]
        three = (own[i], own[k], own[j])
        side = _doubled(corner, three[0], three[2], three[1])
        if not closed and alive == 1 and side != 0 and (aligned or side < 0):
            break
        if not _is_free(corner, three, blocked, y0, x0):
            continue
        keep[own[k]] = 0
        blocked[corner[own[k], 0] - y0, corner[own[k], 1] - x0] = 0
        alive -= 1
        after[i], before[j] = j, i
        for near in (i, j):
            if 0 < near < m - 1:
                area[near] = abs(_doubled(corner, own[before[near]], own[near], own[after[near]]))
                if area[near] < limit:
                    heapq.heappush(heap, (area[near], np.int64(near)))


@compiled
def doubled_areas(corner: Any, start: Any) -> Any:
    """Return twice the signed area of each ring in pixels; positive for shells."""
    found = np.zeros(len(start) - 1, np.int64)
    for r in range(len(found)):
        for i in range(start[r], start[r + 1]):
            j = i + 1 if i + 1 < start[r + 1] else start[r]
            found[r] += np.int64(corner[j, 1]) * corner[i, 0] - np.int64(corner[i, 1]) * corner[j, 0]
    return found
