"""The LangChain media tools over real HTTP: what is paid, what comes back, what is told meanwhile."""

from __future__ import annotations

import asyncio
import base64
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import ToolException
from langgraph.graph import END, START, StateGraph
from PIL import Image
from rich.console import Console
from sqlalchemy import Engine, event

from langchain_oxen import MediaProgressBars, OxenMediaTool, OxenToolkit
from langchain_oxen.progress import EVENT
from llama_index_oxen import OxenToolSpec
from oxen_inference import AsyncOxenClient, Budget, Ledger, MediaResult, OxenClient
from oxen_inference.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    InvalidInputError,
    ModelNotFoundError,
)
from oxen_inference.media.pace import Pace
from oxen_inference.result import BulkProgress
from oxen_sandbox import Fault, Sandbox

FAST = Pace(
    image=(0.05, 0.1), video=(0.05, 0.1), lookup=1.0, lookup_interval=0.1, settle=(0.1,),
    download_pause=0.01, late_file=0.0,
)  # fmt: skip
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 3000).decode()
IN_A_THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def client(oxen_sandbox: Sandbox) -> Iterator[OxenClient]:
    with OxenClient(api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url) as client:
        client.media.pace = FAST
        yield client


@pytest.fixture
def draw(client: OxenClient) -> OxenMediaTool:
    return OxenMediaTool.for_model("flux-2-dev", client=client, name="draw")


def call(tool: Any, call_id: str = "c1", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "name": tool.name, "id": call_id, "args": arguments}


def answer(tool: Any, *args: Any, config: RunnableConfig = IN_A_THREAD, **kw: Any) -> ToolMessage:
    message = tool.invoke(call(tool, *args, **kw), config)
    assert isinstance(message, ToolMessage)
    return message


class TestWhatComesBack:
    def test_text_for_the_model_and_references_for_the_program(
        self, client: OxenClient, tmp_path: Path
    ) -> None:
        draw = OxenMediaTool.for_model(
            "flux-2-dev", client=client, save_to=tmp_path, output_format="png"
        )
        message = answer(draw, prompt="an ox at dawn")
        (item,) = message.artifact["items"]
        assert message.status == "success"
        for said in ("Made 1 image", "$0.013", item["url"], item["generation_id"], item["path"]):
            assert said in message.text
        with Image.open(item["path"]) as image:
            assert image.format == "PNG"
        assert Path(item["path"]).parent == tmp_path

    async def test_async_is_the_same(self, oxen_sandbox: Sandbox) -> None:
        draw = await OxenMediaTool.afor_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
        )
        message = await draw.ainvoke(call(draw, prompt="an ox"), IN_A_THREAD)
        assert message.text.startswith("Made 1 image")
        assert message.artifact["cost"] == "0.013"

    def test_a_data_url_does_not_reach_the_artifact(self, draw: OxenMediaTool) -> None:
        message = answer(draw, prompt="an ox", input_image=[PIXEL])
        assert len(PIXEL) > 3000
        assert len(str(message.artifact)) < 2500

    def test_only_some_made(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        oxen_sandbox.inject(Fault("fail_job", message="NSFW content detected"))
        message = answer(draw, prompt="oxen", num_generations=3)
        assert "Made 2 images" in message.text
        assert "NSFW content detected" in message.text
        assert message.status == "success"


@pytest.mark.parametrize(
    ("misspelled", "meant"),
    [
        ("saveto", "save_to"),
        ("maxcost", "max_cost"),
        ("budgett", "budget"),
        ("output_dir", "save_to"),
        ("timout", "timeout"),
    ],
)
def test_a_misspelled_option_of_a_tool_is_named(
    client: OxenClient, misspelled: str, meant: str
) -> None:
    options: dict[str, Any] = {misspelled: "1", "client": client}
    for make in (
        lambda: OxenMediaTool.for_model("flux-2-dev", **options),
        lambda: asyncio.run(OxenMediaTool.afor_model("flux-2-dev", **options)),
        lambda: OxenToolkit(models=["flux-2-dev"], **options),
    ):
        with pytest.raises(InvalidInputError, match=rf"{misspelled} is n.* an option") as caught:
            make()
        assert caught.value.hint == f"Did you mean {meant}?"


@pytest.mark.parametrize("name", ["confirm_above", "key", "attempts", "retries"])
def test_an_option_of_another_call_is_not_pinned(client: OxenClient, name: str) -> None:
    model = replace(client.catalog.get("flux-2-dev"), request_schema=None)
    made: dict[str, Any] = {"client": client, name: 0}
    for make in (
        lambda: OxenMediaTool.for_model(model, **made),
        lambda: asyncio.run(OxenMediaTool.afor_model(model, **made)),
        lambda: OxenMediaTool.for_model(model, client=client).generate_many(["x"], confirm_above=0),
    ):
        with pytest.raises(InvalidInputError, match="is no option of this call"):
            make()
    draw = OxenMediaTool.for_model(model, client=client)
    assert f"{name} is no option of this call" in str(draw.invoke({"prompt": "x", name: 0}))
    assert OxenMediaTool.for_model(model, client=client, pinned={name: 0}).pinned == {name: 0}


def test_a_misspelled_parameter_of_a_tool_is_named(client: OxenClient) -> None:
    with pytest.raises(InvalidInputError, match=r"seeed.*did you mean seed\?"):
        OxenMediaTool.for_model("flux-2-dev", client=client, seeed=1)


LISTS_WITH_LIMITS: list[tuple[dict[str, Any], int]] = [
    ({"budget": "0.02"}, 1),
    ({"budget": Decimal("0.03")}, 2),
    ({"max_cost": "0.001"}, 0),
    ({"max_cost": "0.02", "budget": 1}, 3),
]


class TestManyAtOnce:
    def test_a_list_takes_the_tools_settings(
        self, client: OxenClient, oxen_sandbox: Sandbox, tmp_path: Path
    ) -> None:
        draw = OxenMediaTool.for_model(
            "flux-2-dev", client=client, save_to=tmp_path, output_format="png"
        )
        seen: list[Any] = []
        for _ in range(2):  # the second time everything is there
            made = draw.generate_many(
                ["an ox", {"prompt": "a calf", "num_generations": 2}],
                key_prefix="herd", on_progress=seen.append,
            )  # fmt: skip
            assert [len(result.paths) for result in made if isinstance(result, MediaResult)] == [
                1,
                2,
            ]
        assert {type(event) for event in seen} == {BulkProgress}
        assert len(oxen_sandbox.jobs) == 3
        assert {path.suffix for path in tmp_path.iterdir()} == {".png"}

    async def test_a_list_has_limits_of_its_own(
        self, client: OxenClient, oxen_sandbox: Sandbox
    ) -> None:
        """An image costs $0.013."""
        budget = Budget("0.02")
        inputs = ["an ox", "a calf", "a bull"]
        for options, bought in LISTS_WITH_LIMITS:
            draw = OxenMediaTool.for_model("flux-2-dev", client=client)
            before = len(oxen_sandbox.jobs)
            made = draw.generate_many(inputs, **options)
            amade = await draw.agenerate_many(inputs, **options)
            for results in (made, amade):
                refused = [each for each in results if isinstance(each, BudgetExceededError)]
                assert len(results) - len(refused) == bought, options
            assert len(oxen_sandbox.jobs) - before == 2 * bought
        draw = OxenMediaTool.for_model("flux-2-dev", client=client)
        draw.generate_many(inputs, budget=budget)
        assert f"{budget.spent:f}" == "0.013"
        own = OxenMediaTool.for_model("flux-2-dev", client=client, max_cost="0.001")
        assert all(isinstance(each, Exception) for each in own.generate_many(inputs, max_cost=1))
        with_budget = draw.with_budget(budget)
        assert isinstance(with_budget.generate_many(["an ox"])[0], BudgetExceededError)
        with pytest.raises(ConfigurationError, match="already has a budget"):
            with_budget.generate_many(["an ox"], budget="5")

    @pytest.mark.parametrize(
        ("inputs", "options", "said"),
        [
            (["y", {"promt": "x"}], {}, r"inputs\[1\]: promt is .*did you mean prompt\?"),
            (["", "y"], {}, r"inputs\[0\]: prompt cannot be empty"),
            ([3], {}, r"inputs\[0\]: an input is a prompt, or a mapping"),
            ("an ox", {}, "inputs must be a list"),
            (5, {}, "inputs must be a list or another iterable, not int"),
            (["x"], {"key_prefx": "a"}, r"key_prefx is neither .*Did you mean key_prefix\?"),
            (["x"], {"model": "flux-1-dev"}, "calls flux-2-dev only"),
            (["x"], {"max_cost": -1}, "max_cost must be"),
            (["x"], {"timeout": -1}, "timeout must be"),
            (["x"], {"params": {"seed": 1}}, "params is not an option of a tool's list"),
            (["x"], {"key": "k"}, "key is not an option .*key_prefix"),
        ],
    )
    async def test_a_list_is_refused_whole_before_anything_is_sent(
        self, client: OxenClient, oxen_sandbox: Sandbox, inputs: Any, options: Any, said: str
    ) -> None:
        for raises in (True, False):
            draw = OxenMediaTool.for_model("flux-2-dev", client=client, handle_tool_error=raises)
            with pytest.raises(InvalidInputError, match=said):
                draw.generate_many(inputs, **options)
            with pytest.raises(InvalidInputError, match=said):
                await draw.agenerate_many(inputs, **options)
        assert not oxen_sandbox.jobs

    async def test_async_is_the_same(self, oxen_sandbox: Sandbox) -> None:
        draw = await OxenMediaTool.afor_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
        )
        made = await draw.agenerate_many(["an ox", "a calf"])
        assert [type(result) for result in made] == [MediaResult, MediaResult]


class TestWhatTheModelCanActOn:
    def test_bad_arguments(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        message = answer(draw, promt="ox", guidance=99, num_generations=9)
        assert message.status == "error"
        assert "did you mean prompt" in message.text
        assert "guidance must be between 0 and 10" in message.text
        assert "between 1 and 4" in message.text
        assert oxen_sandbox.jobs == []

    def test_a_failed_generation(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        oxen_sandbox.inject(Fault("fail_job", message="The prompt was flagged."))
        message = answer(draw, prompt="ox")
        assert message.status == "error"
        assert "The prompt was flagged." in message.text
        assert message.artifact["items"][0]["status"] == "failed"

    def test_the_hubs_refusal(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        oxen_sandbox.inject(Fault("respond", status=402, path="*/queue", message="No credits left"))
        message = answer(draw, prompt="ox")
        assert message.status == "error"
        assert "No credits left" in message.text

    def test_a_budget(self, client: OxenClient, oxen_sandbox: Sandbox) -> None:
        draw = OxenMediaTool.for_model("flux-2-dev", client=client, budget=Budget("0.02"))
        assert answer(draw, "c1", prompt="ox").status == "success"
        message = answer(draw, "c2", prompt="cow")
        assert message.status == "error"
        assert "$0.007 is left" in message.text
        assert len(oxen_sandbox.jobs) == 1

    def test_without_a_call_id_it_is_text(self, draw: OxenMediaTool) -> None:
        assert draw.invoke({"guidance": 99}).startswith("Error: ")

    def test_developers_may_have_exceptions_instead(self, client: OxenClient) -> None:
        draw = OxenMediaTool.for_model(
            "flux-2-dev", client=client, max_cost="0.001", handle_tool_error=False
        )
        with pytest.raises(ToolException, match=r"the limit is \$0.001"):
            answer(draw, prompt="ox")
        with pytest.raises(ToolException, match="guidance must be between"):
            answer(draw, prompt="ox", guidance=99)

    def test_a_refused_key_is_the_developers(
        self, oxen_sandbox: Sandbox, client: OxenClient
    ) -> None:
        model = client.catalog.get("flux-2-dev")
        draw = OxenMediaTool.for_model(model, api_key="wrong", base_url=oxen_sandbox.base_url)
        with pytest.raises(AuthenticationError):
            answer(draw, prompt="ox")

    def test_an_unknown_model_names_the_closest(self, client: OxenClient) -> None:
        with pytest.raises(ModelNotFoundError, match="flux-2-dev"):
            OxenMediaTool.for_model("flux-2-devv", client=client)


def test_a_text_alone_is_the_first_argument(draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
    assert draw.invoke("an ox at dawn").startswith("Made 1 image")
    assert [job.params["prompt"] for job in oxen_sandbox.jobs] == ["an ox at dawn"]


class TestPaidOnce:
    def test_the_same_call_again(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        first, again = answer(draw, prompt="ox"), answer(draw, prompt="ox")
        assert first.artifact["items"][0]["generation_id"] in again.text
        assert len(oxen_sandbox.jobs) == 1

    def test_another_call_is_another_image(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        answer(draw, "c1", prompt="ox")
        answer(draw, "c2", prompt="ox")
        answer(draw, "c1", prompt="cow")  # a model that counts its calls from 0 in every turn
        assert len(oxen_sandbox.jobs) == 3

    def test_calls_side_by_side_are_separate_wishes(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        with ThreadPoolExecutor(4) as pool:
            ids = [f"c{n}" for n in range(4)]
            list(pool.map(lambda one: answer(draw, one, prompt="ox"), ids))
        assert len(oxen_sandbox.jobs) == 4

    @pytest.mark.parametrize("config", [IN_A_THREAD, {}], ids=["thread", "no thread"])
    def test_a_call_joins_the_job_it_did_not_wait_for(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox, config: RunnableConfig
    ) -> None:
        oxen_sandbox.settings.image_seconds = 1.0
        impatient = draw.model_copy(update={"timeout": 0.3})
        early = answer(impatient, "c1", prompt="ox", config=config)
        assert early.status == "error"
        assert "not paid for again" in early.text
        assert early.artifact["status"] == "running"
        late = answer(draw, "c2", prompt="ox", config=config)
        assert early.artifact["items"][0]["generation_id"] in late.text
        assert len(oxen_sandbox.jobs) == 1
        # Delivered: from now on the same words are a new wish. A replay of the late call is not.
        if config:
            answer(draw, "c2", prompt="ox", config=config)
            assert len(oxen_sandbox.jobs) == 1
        answer(draw, "c3", prompt="ox", config=config)
        assert len(oxen_sandbox.jobs) == 2

    async def test_async_joins_too(self, oxen_sandbox: Sandbox) -> None:
        oxen_sandbox.settings.image_seconds = 1.0
        draw = await OxenMediaTool.afor_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url, timeout=0.3
        )
        (await draw.connection.get_async_client()).media.pace = FAST
        assert (await draw.ainvoke(call(draw, "c1", prompt="ox"), IN_A_THREAD)).status == "error"
        patient = draw.model_copy(update={"timeout": None})
        await patient.ainvoke(call(draw, "c2", prompt="ox"), IN_A_THREAD)
        assert len(oxen_sandbox.jobs) == 1

    def test_a_call_joins_a_job_of_unknown_outcome(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        # Accepted, its answer lost, and hidden until the first call gave up looking.
        oxen_sandbox.inject(
            Fault("reset", when="after", method="POST", path="*/queue"),
            Fault("respond", status=503, method="GET", path="*/queue", times=None),
            Fault("respond", status=503, method="GET", path="*/generations", times=None),
        )
        unknown = answer(draw, "c1", prompt="ox")
        assert unknown.status == "error"
        assert "does not pay twice" in unknown.text
        oxen_sandbox.faults.clear()
        assert answer(draw, "c2", prompt="ox").status == "success"
        assert len(oxen_sandbox.jobs) == 1

    def test_a_failure_is_no_job_to_join(self, draw: OxenMediaTool, oxen_sandbox: Sandbox) -> None:
        oxen_sandbox.inject(Fault("fail_job"))
        assert answer(draw, "c1", prompt="ox").status == "error"
        assert answer(draw, "c2", prompt="ox").status == "success"

    def test_without_a_ledger_that_lasts_calls_still_join(self, oxen_sandbox: Sandbox) -> None:
        oxen_sandbox.settings.image_seconds = 1.0
        draw = OxenMediaTool.for_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url,
            ledger=None, timeout=0.3,
        )  # fmt: skip
        draw.connection.get_client().media.pace = FAST
        assert answer(draw, "c1", prompt="ox").status == "error"
        draw.timeout = None
        assert answer(draw, "c2", prompt="ox").status == "success"
        assert len(oxen_sandbox.jobs) == 1


class TestInputs:
    def sent(self, sandbox: Sandbox) -> dict[str, Any]:
        return sandbox.jobs[-1].params

    def test_an_earlier_result_by_id_url_or_path(
        self, client: OxenClient, oxen_sandbox: Sandbox, tmp_path: Path
    ) -> None:
        draw = OxenMediaTool.for_model("flux-2-dev", client=client, save_to=tmp_path)
        video = OxenMediaTool.for_model("google-veo-3-1-fast", client=client)
        (item,) = answer(draw, prompt="ox").artifact["items"]
        for number, name in enumerate((item["generation_id"], item["url"], item["path"])):
            message = answer(video, f"f{number}", prompt=f"video {number}", input_image=name)
            assert message.status == "success", message.text
            assert self.sent(oxen_sandbox)["input_image"].startswith(f"{oxen_sandbox.origin}/api/")

    def test_an_earlier_result_inside_an_object(
        self, client: OxenClient, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        video = OxenMediaTool.for_model("kling-video-o3-pro-reference-to-video", client=client)
        (item,) = answer(draw, prompt="ox").artifact["items"]
        hero = {"frontal_image_url": item["generation_id"], "reference_image_urls": [item["url"]]}
        message = answer(video, "f1", prompt="video", elements=[hero])
        assert message.status == "success", message.text
        (sent,) = self.sent(oxen_sandbox)["elements"]
        assert sent["frontal_image_url"].startswith("http")

    @pytest.mark.parametrize("name", ["/etc/passwd", "file:///etc/passwd", "no-such-job"])
    def test_nothing_else_is_read(
        self, client: OxenClient, oxen_sandbox: Sandbox, name: str
    ) -> None:
        video = OxenMediaTool.for_model("google-veo-3-1-fast", client=client)
        message = answer(video, prompt="video", input_image=name)
        assert message.status == "error"
        assert oxen_sandbox.jobs == []

    def test_files_of_an_allowed_folder(
        self, client: OxenClient, oxen_sandbox: Sandbox, tmp_path: Path
    ) -> None:
        Image.new("RGB", (8, 8), "red").save(tmp_path / "ox.png")
        video = OxenMediaTool.for_model("google-veo-3-1-fast", client=client, inputs_from=tmp_path)
        message = answer(video, prompt="video", input_image="ox.png")
        assert message.status == "success", message.text
        assert self.sent(oxen_sandbox)["input_image"].startswith("data:image/png;base64,")
        assert "base64,iVBOR" not in str(message.artifact)


class Recorder(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        if name == EVENT:
            self.events.append(data)


class State(TypedDict):
    said: str


class TestProgress:
    @pytest.mark.parametrize("langgraph", [True, False])
    def test_reaches_callbacks(
        self, langgraph: bool, draw: OxenMediaTool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not langgraph:
            monkeypatch.delitem(sys.modules, "langgraph.config", raising=False)
        recorder = Recorder()
        answer(draw, "c7", prompt="ox", config={**IN_A_THREAD, "callbacks": [recorder]})
        phases = [event["phase"] for event in recorder.events]
        assert phases[0] == "quoted"
        assert phases[-1] == "done"
        assert {event["tool_call_id"] for event in recorder.events} == {"c7"}

    async def test_reaches_event_streams(self, oxen_sandbox: Sandbox) -> None:
        draw = await OxenMediaTool.afor_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
        )
        chain = RunnableLambda(lambda text: {"prompt": text}) | draw
        events = [event async for event in chain.astream_events("ox", version="v2")]
        told = [event["data"] for event in events if event["event"] == "on_custom_event"]
        assert [one["phase"] for one in told][-1] == "done"

    def graph(self, draw: OxenMediaTool) -> Any:
        def node(state: State, config: RunnableConfig) -> State:
            return {"said": draw.invoke(call(draw, prompt=state["said"]), config).text}

        async def anode(state: State, config: RunnableConfig) -> State:
            return {"said": (await draw.ainvoke(call(draw, prompt=state["said"]), config)).text}

        from langchain_core.runnables import RunnableLambda

        graph = StateGraph(State)
        graph.add_node("draw", RunnableLambda(node, anode))
        graph.add_edge(START, "draw")
        graph.add_edge("draw", END)
        return graph.compile()

    def test_reaches_a_graphs_custom_stream(self, draw: OxenMediaTool) -> None:
        told = list(self.graph(draw).stream({"said": "ox"}, stream_mode="custom"))
        assert {one["type"] for one in told} == {EVENT}
        assert [one["phase"] for one in told][-1] == "done"

    async def test_reaches_a_graphs_custom_stream_from_async(self, draw: OxenMediaTool) -> None:
        graph = self.graph(draw)
        told = [one async for one in graph.astream({"said": "ox"}, stream_mode="custom")]
        assert [one["phase"] for one in told][-1] == "done"

    @pytest.mark.parametrize("terminal", [True, False])
    def test_bars_end_with_what_became_of_it(
        self, draw: OxenMediaTool, oxen_sandbox: Sandbox, terminal: bool
    ) -> None:
        screen = StringIO()
        bars = MediaProgressBars(Console(file=screen, force_terminal=terminal, width=100))
        config: RunnableConfig = {**IN_A_THREAD, "callbacks": [bars]}
        answer(draw, "c1", prompt="ox", config=config)
        assert "draw: done (" in screen.getvalue()
        oxen_sandbox.inject(Fault("fail_job"))
        answer(draw, "c2", prompt="cow", config=config)
        assert "draw: failed (" in screen.getvalue()
        oxen_sandbox.inject(Fault("fail_job"))
        with pytest.raises(ToolException):
            answer(
                draw.model_copy(update={"handle_tool_error": False}), "c3", prompt="calf",
                config=config,
            )  # fmt: skip
        assert "draw: ToolException (" in screen.getvalue()

    def test_a_bar_outlives_those_beside_it(self) -> None:
        screen = StringIO()
        bars = MediaProgressBars(Console(file=screen, force_terminal=True, width=100))
        step = {"phase": "waiting", "status": "running", "done": 0, "total": 1, "elapsed": 1.0}
        first, second = uuid4(), uuid4()
        for run_id, tool in ((first, "draw"), (second, "paint")):
            data = {"tool": tool, "message": None, **step}
            bars.on_custom_event(EVENT, data, run_id=run_id)
        bars.on_custom_event("an event of somebody else's", None, run_id=first)
        bars.on_tool_end(None, run_id=first)
        said = screen.getvalue()
        assert "draw: running (1.0 s)" in said
        assert "paint: running (1.0 s)" not in said
        bars.on_tool_end(None, run_id=second)
        assert "paint: running (1.0 s)" in screen.getvalue()


class TestAsync:
    async def test_the_loop_never_waits_for_the_ledger(self, oxen_sandbox: Sandbox) -> None:
        draw = await OxenMediaTool.afor_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
        )
        threads: list[int] = []

        def note(*_: object) -> None:
            threads.append(threading.get_ident())

        event.listen(Engine, "before_cursor_execute", note)
        try:
            names = [f"c{n}" for n in range(8)]
            calls = [draw.ainvoke(call(draw, name, prompt="ox"), IN_A_THREAD) for name in names]
            await asyncio.gather(*calls)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        assert len(threads) >= 8
        assert threading.get_ident() not in threads, "the ledger was used on the loop's thread"

    async def test_a_client_that_was_given_is_the_one_in_use(self, oxen_sandbox: Sandbox) -> None:
        async with AsyncOxenClient(
            api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
        ) as client:
            client.media.pace = FAST
            draw = await OxenMediaTool.afor_model("flux-2-dev", client=client)
            message = await draw.ainvoke(call(draw, prompt="ox"), IN_A_THREAD)
            assert message.status == "success"
        with pytest.raises(ConfigurationError, match="has been closed"):
            await draw.ainvoke(call(draw, "c2", prompt="ox"), IN_A_THREAD)

    def test_each_loop_has_a_client_of_its_own(self, oxen_sandbox: Sandbox) -> None:
        draw = OxenMediaTool.for_model(
            "flux-2-dev", api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
        )
        for number in range(2):
            message = asyncio.run(draw.ainvoke(call(draw, f"c{number}", prompt="ox"), IN_A_THREAD))
            assert message.status == "success"


class TestWordsForTheModel:
    """What only a developer can do is in the exception, and not in what the model reads."""

    def told(self, tool: OxenMediaTool, *developers: str, config: Any = IN_A_THREAD) -> str:
        message = answer(tool, prompt="an ox", config=config)
        assert message.status == "error"
        assert not [words for words in developers if words in message.text]
        return message.text

    def test_an_unknown_price_under_a_limit(self, client: OxenClient) -> None:
        tool = OxenMediaTool.for_model(
            "wan-ai-wan2-1-t2v-1-3b-diffusers", client=client, max_cost="1"
        )
        assert "is not known before" in self.told(tool, "allow_unknown_cost")
        with pytest.raises(BudgetExceededError, match="allow_unknown_cost"):
            client.media.generate(model=tool.model, prompt="an ox", max_cost="1")

    def test_an_unknown_outcome(
        self, client: OxenClient, draw: OxenMediaTool, oxen_sandbox: Sandbox
    ) -> None:
        oxen_sandbox.inject(Fault("reset", path="*/queue", method="POST", when="before"))
        said = self.told(draw, "client.", "reconcile", "Ledger")
        assert "Unknown whether Oxen accepted the request to flux-2-dev" in said
        assert "does not pay twice" in said
        assert oxen_sandbox.jobs == []

    def test_a_failed_download(
        self, client: OxenClient, oxen_sandbox: Sandbox, tmp_path: Path
    ) -> None:
        draw = OxenMediaTool.for_model("flux-2-dev", client=client, save_to=tmp_path)
        oxen_sandbox.inject(Fault("respond", status=403, path="*/files/*", times=None))
        said = self.told(draw, "resume", "attach", "same key")
        assert "exactly the same arguments" in said
        oxen_sandbox.faults.clear()
        assert answer(draw, prompt="an ox").status == "success"
        assert len(oxen_sandbox.jobs) == 1


def test_two_tools_may_be_called_by_one_id_with_the_same_arguments(
    client: OxenClient, oxen_sandbox: Sandbox
) -> None:
    alike = oxen_sandbox.models["flux-2-dev"]
    oxen_sandbox.models["flux-2-twin"] = {**alike, "id": "flux-2-twin"}
    tools = [OxenMediaTool.for_model(one, client=client) for one in ("flux-2-dev", "flux-2-twin")]
    messages = [answer(tool, "call_0", prompt="an ox") for tool in tools]
    assert [message.status for message in messages] == ["success", "success"]
    assert len(oxen_sandbox.jobs) == 2


class TestWorkingMeanwhile:
    def kit(self, client: OxenClient, *models: str, **options: Any) -> dict[str, Any]:
        tools = OxenToolkit(models=models, client=client, **options).get_tools()
        return {tool.name: tool for tool in tools}

    def test_submit_check_and_fetch(
        self, client: OxenClient, oxen_sandbox: Sandbox, tmp_path: Path
    ) -> None:
        oxen_sandbox.settings.image_seconds = 1.0
        kit = self.kit(client, "flux-2-dev", save_to=tmp_path)
        started = answer(kit["oxen_submit"], "s1", model="flux-2-dev", prompt="ox")
        (item,) = started.artifact["items"]
        ids = [item["generation_id"]]
        assert ids[0] in started.text
        assert "is not ready" in answer(kit["oxen_check"], "k1", generation_ids=ids).text
        ready = answer(kit["oxen_check"], "k2", generation_ids=ids, wait_seconds=20)
        (result,) = ready.artifact["results"]
        assert "Made 1 image" in ready.text
        assert Path(result["items"][0]["path"]).parent == tmp_path
        again = answer(kit["oxen_submit"], "s1", model="flux-2-dev", prompt="ox")
        assert "Made 1 image" in again.text
        assert len(oxen_sandbox.jobs) == 1

    async def test_async(self, oxen_sandbox: Sandbox) -> None:
        toolkit = OxenToolkit(
            models=["flux-2-dev"], api_key=oxen_sandbox.api_key, base_url=oxen_sandbox.base_url
        )
        kit = {tool.name: tool for tool in await toolkit.aget_tools()}
        submit, check, cancel = (kit[f"oxen_{name}"] for name in ("submit", "check", "cancel"))
        arguments = {"model": "flux-2-dev", "prompt": "ox", "num_generations": 2}
        started = await submit.ainvoke(call(submit, **arguments), IN_A_THREAD)
        ids = [item["generation_id"] for item in started.artifact["items"]]
        ready = await check.ainvoke(call(check, generation_ids=ids, wait_seconds=20), IN_A_THREAD)
        assert ready.text.count("Made 1 image") == 2
        told = await cancel.ainvoke(call(cancel, generation_ids=ids), IN_A_THREAD)
        assert told.text.count("Made 1 image") == 2

    def test_a_file_that_hangs_holds_a_check_no_longer_than_the_timeout(
        self, client: OxenClient, oxen_sandbox: Sandbox, tmp_path: Path
    ) -> None:
        toolkit = OxenToolkit(models=["flux-2-dev"], client=client, timeout=0.5, save_to=tmp_path)
        spec = OxenToolSpec(["flux-2-dev"], client=client, timeout=0.5, save_to=tmp_path)
        kit = {tool.name: tool for tool in toolkit.get_tools()}
        started = answer(kit["oxen_submit"], model="flux-2-dev", prompt="ox")
        ids = [item["generation_id"] for item in started.artifact["items"]]
        client.media.attach(generation_ids=ids).wait()
        oxen_sandbox.inject(Fault("hang", path="*/files/*", seconds=60, times=None))
        began = time.monotonic()
        assert "Made 1 image" in answer(kit["oxen_check"], generation_ids=ids).text
        assert "Made 1 image" in spec.check(generation_ids=ids).text
        assert time.monotonic() - began < 20
        assert not list(tmp_path.iterdir())

    def test_cancel_says_what_really_happened(
        self, client: OxenClient, oxen_sandbox: Sandbox
    ) -> None:
        oxen_sandbox.settings.image_seconds = 30
        kit = self.kit(client, "flux-2-dev")
        started = answer(kit["oxen_submit"], model="flux-2-dev", prompt="ox")
        ids = [item["generation_id"] for item in started.artifact["items"]]
        assert "cancelled" in answer(kit["oxen_cancel"], generation_ids=ids).text
        assert oxen_sandbox.jobs[0].status == "cancelled"

    def test_only_the_models_of_the_kit(self, client: OxenClient, oxen_sandbox: Sandbox) -> None:
        kit = self.kit(client, "flux-2-dev")
        message = answer(kit["oxen_submit"], model="flux-1-dev", prompt="ox")
        assert message.status == "error"
        assert "Did you mean flux-2-dev?" in message.text
        found = answer(kit["oxen_find_models"], output="image").artifact
        assert [row["id"] for row in found] == ["flux-2-dev"]
        assert oxen_sandbox.jobs == []

    def test_without_models_any_of_the_catalog(
        self, client: OxenClient, oxen_sandbox: Sandbox
    ) -> None:
        kit = self.kit(client)
        assert "generate_image_with_flux_2_dev" not in kit
        found = answer(kit["oxen_find_models"], output="image", cheapest=True)
        model_id = found.artifact[0]["id"]
        assert f"Parameters of {model_id}" in found.text
        assert answer(kit["oxen_submit"], "s1", model=model_id, prompt="ox").status == "success"
        text_model = answer(kit["oxen_submit"], "s2", model="gpt-4o", prompt="ox")
        unknown = answer(kit["oxen_submit"], "s3", model="flux-9", prompt="ox")
        assert (text_model.status, unknown.status) == ("error", "error")
        assert len(oxen_sandbox.jobs) == 1

    def test_what_parameters_say_counts(self, client: OxenClient, oxen_sandbox: Sandbox) -> None:
        submit = self.kit(client, "flux-2-dev")["oxen_submit"]
        two = answer(submit, model="flux-2-dev", parameters={"prompt": "ox", "num_generations": 2})
        assert len(two.artifact["items"]) == 2
        assert {job.params["prompt"] for job in oxen_sandbox.jobs} == {"ox"}
        both = {"model": "flux-2-dev", "prompt": "ox", "parameters": {"num_generations": 2}}
        assert answer(submit, "s2", **both, num_generations=2).status == "success"
        refused = answer(submit, "s3", **both, num_generations=3)
        assert refused.status == "error"
        assert "num_generations was given twice" in refused.text
        assert "default" not in submit.args["num_generations"]

    def test_another_model_cannot_be_smuggled_in(
        self, client: OxenClient, oxen_sandbox: Sandbox
    ) -> None:
        oxen_sandbox.models["plain"] = {
            "id": "plain", "capabilities": {"output": ["image"]},
            "pricing": {"method": "per_image", "cost_per_image": "0.001"},
        }  # fmt: skip
        submit = self.kit(client, "plain")["oxen_submit"]
        message = answer(
            submit, model="plain", prompt="ox", parameters={"model": "google-nano-banana-pro"}
        )
        assert message.status == "error"
        assert "model is not one of its parameters" in message.text
        with pytest.raises(InvalidInputError, match="model is plain, not"):
            client.media.generate(model="plain", params={"prompt": "ox", "model": "flux-2-dev"})
        assert oxen_sandbox.jobs == []

    @pytest.mark.parametrize("name", ["oxen_check", "oxen_cancel"])
    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_an_unknown_id_hides_no_other(
        self, client: OxenClient, name: str, asynchronous: bool
    ) -> None:
        kit = await asyncio.to_thread(self.kit, client, "flux-2-dev")
        started = await asyncio.to_thread(
            answer, kit["oxen_submit"], model="flux-2-dev", prompt="ox"
        )
        (item,) = started.artifact["items"]

        async def asked(*ids: str) -> ToolMessage:
            request = call(kit[name], generation_ids=list(ids))
            if asynchronous:
                return await kit[name].ainvoke(request, IN_A_THREAD)
            return await asyncio.to_thread(kit[name].invoke, request, IN_A_THREAD)

        message = await asked("nobody-s", item["generation_id"])
        assert "nobody-s: Oxen knows no generation of this id." in message.text
        assert item["generation_id"] in message.text
        unknown, known = message.artifact["results"]
        assert unknown["generation_id"] == "nobody-s"
        assert known["items"][0]["generation_id"] == item["generation_id"]
        nothing = await asked("nobody-s")
        assert nothing.status == "error"
        assert "nobody-s: Oxen knows no generation" in nothing.text

    def test_a_failure_is_an_answer_and_a_refused_key_the_developers(
        self, client: OxenClient, oxen_sandbox: Sandbox
    ) -> None:
        kit = self.kit(client, "flux-2-dev")
        oxen_sandbox.inject(Fault("fail_job", message="It was not safe."))
        started = answer(kit["oxen_submit"], model="flux-2-dev", prompt="ox")
        ids = [item["generation_id"] for item in started.artifact["items"]]
        message = answer(kit["oxen_check"], generation_ids=ids, wait_seconds=20)
        assert (message.status, "It was not safe." in message.text) == ("success", True)
        assert message.artifact["results"][0]["items"][0]["status"] == "failed"
        oxen_sandbox.inject(Fault("respond", status=401, path="*/queue/*", times=None))
        with pytest.raises(AuthenticationError):
            answer(kit["oxen_check"], generation_ids=["nobody-s"])

    def test_bad_parameters_of_a_submission(
        self, client: OxenClient, oxen_sandbox: Sandbox
    ) -> None:
        kit = self.kit(client, "flux-2-dev")
        message = answer(
            kit["oxen_submit"], model="flux-2-dev", prompt="ox", parameters={"guidance": 99}
        )
        assert message.status == "error"
        assert "guidance must be between 0 and 10" in message.text
        assert oxen_sandbox.jobs == []


def test_one_budget_for_many_tools(client: OxenClient, oxen_sandbox: Sandbox) -> None:
    studio = Budget("0.05", name="studio", ledger=Ledger())
    tools = [
        OxenMediaTool.for_model("flux-2-dev", client=client, budget=studio, name=f"draw{n}")
        for n in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        messages = list(pool.map(lambda tool: answer(tool, tool.name, prompt="ox"), tools))
    assert [m.status for m in messages].count("success") == 3
    assert len(oxen_sandbox.jobs) == 3
    assert studio.spent <= studio.limit
