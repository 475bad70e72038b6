"""LangGraph with SqliteSaver: a node that interrupts, and is resumed with a command."""

from __future__ import annotations

import sqlite3
from time import perf_counter
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from serving import Opened, repeated, serve

STEPS_MAX = 1_000_000


class State(TypedDict):
    n: int


def search(state: State) -> State:
    """One tool call: stop, and take the result."""
    return {"n": int(interrupt(state["n"]))}


def opening(asked: dict[str, Any]) -> Opened:
    """The cycle: the only work that it has."""
    connection = sqlite3.connect("checkpoints.db", check_same_thread=False)
    saver = SqliteSaver(connection)
    saver.setup()  # which sets WAL
    connection.execute("PRAGMA synchronous = FULL")
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    connection.set_trace_callback(count)
    builder = StateGraph(State)
    builder.add_node("search", search)
    builder.add_edge(START, "search")
    builder.add_edge("search", "search")
    graph = builder.compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "one"}, "recursion_limit": STEPS_MAX}
    at = graph.invoke({"n": 0}, config, durability="sync")

    def once() -> float:
        nonlocal at
        result = at["__interrupt__"][0].value + 1
        began = perf_counter()
        at = graph.invoke(Command(resume=result), config, durability="sync")
        return perf_counter() - began

    return repeated(once), connection.close, lambda: commits


if __name__ == "__main__":
    serve(opening)
