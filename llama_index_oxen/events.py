"""The events of Oxen's tools on a workflow's stream, and the decision you can send back.

```python
from llama_index_oxen.events import OxenProgressEvent, OxenSpendingDecision, OxenSpendingRequest
```
"""

from llama_index.core.workflow import Event, HumanResponseEvent, InputRequiredEvent


class OxenProgressEvent(Event):
    """The progress of a generation; the fields of `oxen_inference.result.Progress`."""

    tool_name: str
    tool_id: str | None = None
    phase: str
    status: str
    elapsed: float
    generation_ids: list[str] = []
    done: int = 0
    total: int = 1
    message: str | None = None


class OxenSpendingRequest(InputRequiredEvent):
    """Asks a person before money is spent; answer with an `OxenSpendingDecision` for `call`.

    Prices are USD as decimal strings, or None where they are not known.
    """

    call: str
    tool_name: str
    tool_id: str | None = None
    model: str
    arguments: dict[str, object]
    price_low: str | None = None
    price_high: str | None = None
    description: str


class OxenSpendingDecision(HumanResponseEvent):
    """A person's answer to the `OxenSpendingRequest` with the same `call`."""

    call: str
    approved: bool
    reason: str | None = None
