"""Replicas of an agent: LangGraph keeps the thread in PostgreSQL, and the ledger what it paid for.

python examples/scale/langgraph_replicas.py THREAD PROMPT

OXEN_LEDGER_URL names the PostgreSQL database of both. A replica that dies in the middle of a tool call
leaves its thread to another: run the same command there. It goes on, and joins the paid job.

With OXEN_API_KEY set it buys on Oxen, 20 dollars at most. To pay nothing, run
`python -m oxen_sandbox` and export the two variables that it prints.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langchain_oxen import OxenMediaTool
from oxen_inference import Budget, Ledger


def agent(checkpointer: PostgresSaver, ledger: Ledger) -> Any:
    """A graph that makes one image of what the human asks for."""
    budget = Budget("20.00", name="replicas", ledger=ledger)  # one limit for all of them
    draw = OxenMediaTool.for_model("flux-2-dev", name="draw", budget=budget, ledger=ledger)

    def plan(state: MessagesState) -> dict[str, Any]:
        # Your chat model goes here, such as ChatOxen(...).bind_tools([draw]).
        last = state["messages"][-1]
        if isinstance(last, ToolMessage):
            return {"messages": [AIMessage(f"Done: {last.content}")]}
        call = {
            "name": "draw",
            "args": {"prompt": last.content},
            "id": "call-1",
            "type": "tool_call",
        }
        return {"messages": [AIMessage("", tool_calls=[call])]}

    graph = StateGraph(MessagesState)
    graph.add_node("plan", plan)
    graph.add_node("draw", ToolNode([draw]))
    graph.add_edge(START, "plan")
    graph.add_conditional_edges(
        "plan", lambda state: "draw" if state["messages"][-1].tool_calls else END
    )
    graph.add_edge("draw", "plan")
    return graph.compile(checkpointer=checkpointer)


def main() -> int:
    thread, prompt = sys.argv[1:]
    ledger = Ledger()
    ledger.setup()
    with PostgresSaver.from_conn_string(os.environ["OXEN_LEDGER_URL"]) as checkpointer:
        checkpointer.setup()
        graph = agent(checkpointer, ledger)
        config: Any = {"configurable": {"thread_id": thread}}
        is_begun = bool(graph.get_state(config).next)
        start = None if is_begun else {"messages": [HumanMessage(prompt)]}
        for step in graph.stream(start, config, stream_mode="updates", durability="sync"):
            print(*step, flush=True)
        print(graph.get_state(config).values["messages"][-1].content, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
