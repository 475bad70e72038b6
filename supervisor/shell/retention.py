"""Which finished cells the journal lets go of, and when."""

from __future__ import annotations

import sqlite3
from typing import Final

DAY_NS: Final = 86_400 * 1_000_000_000
SEEN_CELLS_MAX: Final = 10_000  # whose final event somebody has acknowledged
SEEN_NS_MAX: Final = 7 * DAY_NS
UNSEEN_NS_MAX: Final = 30 * DAY_NS
KEY_NS_MAX: Final = 30 * DAY_NS  # an idempotency key outlives its cell by this
BATCH: Final = 200  # cells in one transaction, so that nobody waits long for it


def retired(sql: sqlite3.Connection, now_ns: int) -> list[str]:
    """The next cells to remove, oldest first; empty when all may stay."""
    for seen, age_ns in ((1, SEEN_NS_MAX), (0, UNSEEN_NS_MAX)):  # each in its index's order
        old = sql.execute(
            "SELECT id FROM cells WHERE state <> '' AND seen = ? AND since_ns < ? "
            "ORDER BY since_ns LIMIT ?",
            (seen, now_ns - age_ns, BATCH),
        ).fetchall()
        if old:
            return [cell for (cell,) in old]
    count = sql.execute("SELECT count(*) FROM cells WHERE state <> '' AND seen = 1").fetchone()[0]
    if count <= SEEN_CELLS_MAX:
        return []
    query = "SELECT id FROM cells WHERE state <> '' AND seen = 1 ORDER BY since_ns LIMIT ?"
    rows = sql.execute(query, (min(BATCH, count - SEEN_CELLS_MAX),)).fetchall()
    return [cell for (cell,) in rows]


def remove(sql: sqlite3.Connection, cells: list[str], now_ns: int) -> None:
    """Delete everything of these cells but their idempotency keys."""
    names = [(cell,) for cell in cells]
    sql.executemany("DELETE FROM contents WHERE cell = ?", names)
    sql.executemany("DELETE FROM events WHERE cell = ?", names)
    sql.executemany("DELETE FROM notices WHERE cell = ?", names)
    sql.executemany("DELETE FROM records WHERE scope = ?", names)
    sql.executemany("DELETE FROM cells WHERE id = ?", names)
    gone = [(now_ns, cell) for cell in cells]
    sql.executemany("UPDATE keys SET gone_ns = ? WHERE cell = ?", gone)
    sql.execute("DELETE FROM keys WHERE gone_ns < ?", (now_ns - KEY_NS_MAX,))
