"""Handing the conversation to another agent, as LlamaIndex's AgentWorkflow lets a model do."""

from __future__ import annotations

import re

from oxen_sandbox.chat_conversation import Call, Conversation, dictionary
from oxen_sandbox.chat_fit import Tool, best


def _agents(handoff: Tool) -> dict[str, str]:
    """Read the agents a handoff tool lists in its description, as Python prints a dictionary."""
    listed = re.search(r"\{.*\}", handoff.description, re.DOTALL)
    return dictionary(listed.group()) if listed else {}


def _handoffs(talk: Conversation) -> list[Call]:
    return [call for call in talk.calls if call.hands_off]


def given_reason(talk: Conversation) -> str:
    """Return why the conversation was handed to the agent that has it now; "" where it was not."""
    taken = _handoffs(talk)
    return str(taken[-1].arguments.get("reason", "")) if taken else ""


def agent_for(handoff: Tool | None, clause: str, talk: Conversation) -> Tool | None:
    """Return the agent whose description fits a clause, unless it had the request already."""
    if handoff is None:
        return None
    had = {call.arguments["to_agent"] for call in _handoffs(talk)}
    # An agent is known by what it does: its description counts like a tool's name.
    named = ((name, f"{name} {text}") for name, text in _agents(handoff).items())
    agents = [Tool(name, text, {}, known_as=text) for name, text in named if name not in had]
    return best(agents, clause)


def agent_told(handoff: Tool, talk: Conversation) -> str | None:
    """Return the agent the system prompt says to hand off to, unless it had the request already."""
    had = {call.arguments["to_agent"] for call in _handoffs(talk)}
    told = re.findall(
        r"hand(?:ing)?[ -]?(?:it |control )?(?:off|over)?(?: control)? to (?:the )?['\"`]?([\w-]+)",
        talk.system,
        re.IGNORECASE,
    )
    return next((name for name in told if name in _agents(handoff) and name not in had), None)
