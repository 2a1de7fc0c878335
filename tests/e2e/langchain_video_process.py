"""An agent that makes a video, in a process of its own that may be killed: ``start`` or ``resume``."""

from __future__ import annotations

import sys
from pathlib import Path

from langchain.agents import create_agent
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_oxen import OxenBudgetMiddleware, OxenMediaTool
from tests.support.scripted_chat import ScriptedChat, tool_messages

CONFIG = {"configurable": {"thread_id": "the-thread"}}


def main(what: str, folder: Path) -> None:
    video = OxenMediaTool.for_model(
        "wan-v2-7-text-to-video", name="video", save_to=folder / "videos"
    )
    calls = [("call_1", "video", {"prompt": "an ox at dawn", "duration": 5})]
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.sqlite3")) as checkpointer:
        agent = create_agent(
            ScriptedChat(turns=[calls, "Here it is."], cost="0.01"),
            [video],
            middleware=[OxenBudgetMiddleware("1.00")],
            checkpointer=checkpointer,
        )
        state = agent.invoke(
            {"messages": [("user", "make a video")]} if what == "start" else None, CONFIG
        )
    (message,) = tool_messages(state)
    print(message.artifact["items"][0]["path"], state["messages"][-1].text, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
