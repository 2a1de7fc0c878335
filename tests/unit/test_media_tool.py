"""A media tool before it is called: what it is made of, what it refuses, how it travels."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from langchain_core.load import dumps
from langchain_core.utils.function_calling import convert_to_openai_tool
from sqlalchemy import create_engine

from langchain_oxen import OxenMediaTool, OxenToolkit
from langchain_oxen.tool_base import ToolRequest
from llama_index_oxen import OxenToolSpec
from oxen_inference import AsyncOxenClient, Budget, Ledger, Model, OxenClient
from oxen_inference.catalog.reading import read_model
from oxen_inference.errors import (
    ConfigurationError,
    InvalidInputError,
    LedgerError,
    MissingAPIKeyError,
)
from oxen_inference.ledger.names import is_too_long
from oxen_inference.media.pace import Pace
from oxen_inference.tools.connection import Connection
from oxen_sandbox.models import Catalog

KEY = "a-key-that-must-not-show"


def model(model_id: str = "flux-2-dev") -> Model:
    return read_model(Catalog()[model_id])


def tool(model_id: str = "flux-2-dev", **options: Any) -> OxenMediaTool:
    options = {"api_key": KEY, "base_url": "http://localhost:1/api/ai", **options}
    return OxenMediaTool.for_model(model(model_id), **options)


def test_says_what_it_makes_from_what_and_for_how_much() -> None:
    video = tool("google-veo-3-1-fast", resolution="1080p", duration=4)
    assert video.name == "generate_video_with_google_veo_3_1_fast"
    assert video.description.startswith("Makes a video with ")
    assert "Costs $0.52" in video.description
    assert "generation ids of earlier results" in video.description


def test_a_model_in_hand_needs_no_network_and_a_name_may_be_given() -> None:
    assert tool(name="draw").name == "draw"


async def test_nor_does_one_made_without_blocking() -> None:
    options = {"api_key": KEY, "base_url": "http://localhost:1/api/ai"}
    assert (await OxenMediaTool.afor_model(model(), name="draw", **options)).name == "draw"


def test_pinned_parameters_are_hidden_and_always_sent() -> None:
    drawing = tool(aspect_ratio="1:1", num_generations=2)
    assert not {"aspect_ratio", "num_generations"} & drawing.args.keys()
    sent = drawing.parameters({"prompt": "an ox"})
    assert sent == {"prompt": "an ox", "aspect_ratio": "1:1", "num_generations": 2}
    assert drawing.quote({"prompt": "an ox"}).high == 2 * tool().quote({"prompt": "an ox"}).high


def test_a_pinned_file_is_sent_inline(tmp_path: Path) -> None:
    file = tmp_path / "ox.png"
    file.write_bytes(b"ox")
    sent = tool(input_image=[file]).parameters({"prompt": "an ox"})
    assert sent["input_image"] == ["data:image/png;base64,b3g="]
    with pytest.raises(InvalidInputError, match=r"input_image: .* cannot be read"):
        tool(input_image=[tmp_path / "none.png"])
    for unsendable in (b"ox", str(file)):
        with pytest.raises(
            InvalidInputError, match=r"input_image must be a URL, not .*a pathlib\.Path"
        ):
            tool(input_image=[unsendable])


@pytest.mark.parametrize(
    ("pinned", "said"),
    [
        ({"aspect_ratio": "2:7"}, "aspect_ratio must be one of"),
        ({"num_generations": 5}, "num_generations must be between 1 and 4"),
        ({"aspekt_ratio": "1:1"}, "did you mean aspect_ratio"),
        ({"max_cost": "a lot"}, "max_cost must be an amount"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"on_interrupt": "stop"}, "on_interrupt must be"),
    ],
)
def test_bad_settings_are_refused_when_it_is_made(pinned: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        tool(**pinned)


def test_an_id_is_told_the_way_to_the_catalog() -> None:
    with pytest.raises(InvalidInputError, match=r"OxenMediaTool\.for_model\('flux-2-dev'\)"):
        OxenMediaTool(model="flux-2-dev")


@pytest.mark.parametrize("given", ["ox.png", ["ox.png"], "herd/ox", "the ox of before"])
def test_a_name_that_is_no_id_is_refused_as_it_was_given(given: Any, tmp_path: Path) -> None:
    name = given if isinstance(given, str) else given[0]
    said = tool().invoke({"prompt": "an ox", "input_image": given})
    assert said.startswith(f"Error: {name!r} is neither a URL, a data URL nor the generation id")
    said = tool(inputs_from=tmp_path).invoke({"prompt": "an ox", "input_image": given})
    assert said.startswith(f"Error: There is no file '{name}' in '{tmp_path}'.")


def test_the_folder_of_inputs_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="inputs_from must be a folder that exists"):
        tool(inputs_from=tmp_path / "none")


def test_a_text_model_is_refused_in_one_sentence() -> None:
    with pytest.raises(InvalidInputError, match=r"claude-sonnet-4-6 makes text, .*ChatOxen"):
        tool("claude-sonnet-4-6")


def test_no_key_is_an_error_before_anything_else() -> None:
    with pytest.raises(MissingAPIKeyError, match="OXEN_API_KEY"):
        OxenMediaTool.for_model("flux-2-dev")


@pytest.mark.parametrize("url", ["not a url", "ftp://hub.oxen.ai", "http://"])
def test_a_malformed_url_is_an_error_before_anything_else(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        OxenMediaTool.for_model("flux-2-dev", api_key=KEY, base_url=url)


def test_a_client_and_its_settings_are_not_given_both() -> None:
    client = OxenClient(api_key=KEY, base_url="http://localhost:1/api/ai")
    with pytest.raises(ConfigurationError, match="give either"):
        OxenMediaTool.for_model(model(), client=client, api_key=KEY)


def test_a_copy_is_the_same_tool_and_a_pickle_leaves_the_key_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = tool(aspect_ratio="1:1", max_cost="0.10")
    original.connection.get_client()
    assert copy.deepcopy(original).connection is original.connection
    assert copy.copy(original.connection) is original.connection
    stored = pickle.dumps(original)
    assert KEY.encode() not in stored
    loaded = pickle.loads(stored)
    assert convert_to_openai_tool(loaded) == convert_to_openai_tool(original)
    assert loaded.pinned == original.pinned
    monkeypatch.setenv("OXEN_API_KEY", "another-key")
    assert loaded.connection.get_client().api_key == "another-key"
    assert str(loaded.connection.get_client().base_url).startswith("http://localhost:1/api/ai")


def client_with_settings(kind: type[Any]) -> Any:
    client = kind(
        api_key=KEY,
        base_url="http://localhost:1/api/ai",
        price_caps={"flux-2-dev": "0.40"},
        max_retries=7,
        timeout=9,
        default_headers={"X-Team": "oxen", "X-Secret": "for-this-process-only"},
        default_query={"team": "oxen", "token": "for-this-process-only"},
    )
    client.media.allowed_hosts.add("files.test")
    client.media.max_download_bytes = 10
    client.media.pace = Pace(gap=3)
    return client


def shown_settings(client: OxenClient | AsyncOxenClient) -> dict[str, Any]:
    return {
        "price_caps": client.price_caps,
        "max_retries": client.max_retries,
        "timeout": client.timeout,
        "headers": dict(client._custom_headers),
        "query": dict(client._custom_query),
        "allowed_hosts": client.media.allowed_hosts,
        "max_download_bytes": client.media.max_download_bytes,
        "pace": client.media.pace,
    }


@pytest.mark.parametrize("kind", [OxenClient, AsyncOxenClient])
async def test_both_kinds_of_client_have_all_settings_of_the_one_given(kind: type[Any]) -> None:
    given = client_with_settings(kind)
    toolkit = OxenToolkit(models=[model()], client=given)
    connections = [t.connection for t in toolkit._build_tools(toolkit._connection(), [model()])]
    connections += [
        OxenMediaTool.for_model(model(), client=given).connection,
        OxenToolSpec([model()], client=given)._calls.connection,
    ]
    for connection in connections:
        for client in (connection.get_client(), await connection.get_async_client()):
            assert shown_settings(client) == shown_settings(given)
            assert client.api_key == KEY
    given.media.max_download_bytes = 20  # set later, it counts for both as well
    given.media.allowed_hosts.add("more.test")
    for client in (connection.get_client(), await connection.get_async_client()):
        assert shown_settings(client) == shown_settings(given)
    for copied in (given.with_options(max_retries=7), given.copy().copy()):
        assert shown_settings(copied) == shown_settings(given)
        copied.media.allowed_hosts.add("copys-own.test")
    assert "copys-own.test" not in given.media.allowed_hosts


@pytest.mark.parametrize("kind", [OxenClient, AsyncOxenClient])
async def test_a_pickle_keeps_the_settings_of_its_client(
    kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = client_with_settings(kind)
    expected = shown_settings(given)
    expected |= {"headers": {"X-Team": "oxen"}, "query": {"team": "oxen"}}
    monkeypatch.setenv("OXEN_API_KEY", "another-key")
    for made in (
        OxenMediaTool.for_model(model(), client=given),
        OxenToolkit(models=[model()], client=given)._connection(),
        OxenToolSpec([model()], client=given)._calls,
    ):
        stored = pickle.dumps(made)
        assert KEY.encode() not in stored
        assert b"for-this-process-only" not in stored
        loaded = pickle.loads(pickle.dumps(pickle.loads(stored)))
        connection = getattr(loaded, "connection", loaded)
        for client in (connection.get_client(), await connection.get_async_client()):
            assert shown_settings(client) == expected
            assert client.api_key == "another-key"


def test_a_pickle_names_its_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is loaded, that very ledger is used, or none: never the one of that machine."""
    monkeypatch.setenv("OXEN_API_KEY", "another-key")
    for number, ledger in enumerate((str(tmp_path / "own.sqlite3"), ...)):
        before = tool(ledger=ledger).connection.get_client().media.ledger
        assert before.durable
        travels = pickle.dumps(tool(ledger=ledger))
        monkeypatch.setenv("OXEN_STATE_DIR", str(tmp_path / f"elsewhere-{number}"))
        after = pickle.loads(travels).connection.get_client().media.ledger
        assert after.is_same(before)
        before.close()
        after.close()
        for file in tmp_path.rglob("*.sqlite3*"):
            file.unlink()
        with pytest.raises(LedgerError, match="is missing"):
            pickle.loads(travels).connection.get_client().media.ledger.entries()
        assert Ledger(before.path).durable  # that machine's own
        with pytest.raises(LedgerError, match="another machine's"):
            pickle.loads(travels).connection.get_client().media.ledger.entries()
    engine = create_engine("sqlite://")
    with pytest.raises(TypeError, match="engines hold connections"):
        pickle.dumps(tool(ledger=engine))


def test_a_pickle_keeps_its_named_budget_and_refuses_an_unnamed_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    kept = pickle.loads(pickle.dumps(tool(budget=Budget("5", name="studio", ledger=ledger))))
    assert (kept.budget.name, kept.budget.limit) == ("studio", 5)
    assert kept.connection.__reduce__()[1][1].path == ledger.path
    with pytest.raises(TypeError, match="name it"):
        pickle.dumps(tool(budget=Budget("5")))


def test_a_pickled_toolkit_leaves_the_key_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    toolkit = OxenToolkit(
        models=[model()], api_key=KEY, base_url="http://localhost:1/api/ai", ledger=ledger
    )
    stored = pickle.dumps(toolkit)
    assert KEY.encode() not in stored
    assert toolkit.api_key == KEY
    monkeypatch.setenv("OXEN_API_KEY", "another-key")
    client = pickle.loads(stored).get_tools()[0].connection.get_client()
    assert client.api_key == "another-key"
    assert str(client.base_url).startswith("http://localhost:1/api/ai")
    assert client.media.ledger.is_same(ledger)


def test_a_password_in_the_folders_url_is_not_pickled() -> None:
    options: dict[str, Any] = {"api_key": KEY, "base_url": "http://localhost:1/api/ai"}
    for folder, is_refused in (("sftp://me:hunter22@host/out", True), ("s3://bucket/out", False)):
        toolkit = OxenToolkit(models=[model()], save_to=folder, **options)
        any_model = OxenToolkit(save_to=folder, **options)
        spec_options = {"api_key": KEY, "api_base": options["base_url"]}
        spec = OxenToolSpec([model()], save_to=folder, **spec_options)
        media, submit, check, *_ = toolkit.get_tools()
        for thing in (toolkit, media, submit, check, any_model.get_tools()[0], spec):
            assert copy.copy(thing)
            assert copy.deepcopy(thing)
            if is_refused:
                with pytest.raises(TypeError, match="pickles hold no secrets") as refused:
                    pickle.dumps(thing)
                assert "hunter22" not in str(refused.value)
            else:
                assert folder.encode() in pickle.dumps(thing)


def test_the_key_shows_nowhere() -> None:
    toolkit = OxenToolkit(models=[model()], api_key=KEY, base_url="http://localhost:1")
    for thing in (tool(), toolkit, *toolkit.get_tools()):
        assert KEY not in repr(thing)
        assert KEY not in str(thing.model_dump(exclude={"models", "model"}))
        assert KEY not in dumps(thing)


def test_a_second_budget_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    studio = Budget("5", name="studio", ledger=ledger)
    drawing = tool(budget=studio)
    assert drawing.with_budget(Budget("5", name="studio", ledger=ledger)).budget.name == "studio"
    with pytest.raises(ConfigurationError, match="already has a budget"):
        drawing.with_budget(Budget("1"))


class TestKeys:
    def request(self, **fields: Any) -> ToolRequest:
        return ToolRequest(**{"arguments": {"prompt": "ox"}, "tool_call_id": "c1", **fields})

    def test_the_same_call_has_the_same_key(self) -> None:
        keys = {self.request(thread_id="t").key_for("m") for _ in range(3)}
        assert len(keys) == 1
        assert str(keys.pop()).startswith("langchain:t:c1:")

    def test_another_thread_call_argument_or_model_has_another(self) -> None:
        keys = [
            self.request(thread_id="t").key_for("m"),
            self.request(thread_id="t").key_for("n"),
            self.request(thread_id="u").key_for("m"),
            self.request(thread_id="t", tool_call_id="c2").key_for("m"),
            self.request(thread_id="t", arguments={"prompt": "cow"}).key_for("m"),
        ]
        assert len(set(keys)) == len(keys)

    @pytest.mark.parametrize("fields", [{}, {"thread_id": "t", "tool_call_id": None}])
    def test_there_is_none_outside_a_call_of_a_thread(self, fields: dict[str, Any]) -> None:
        assert self.request(**fields).key_for("m") is None


class TestToolkit:
    def made(self, *models: Any, **options: Any) -> list[str]:
        toolkit = OxenToolkit(models=models, api_key=KEY, base_url="http://localhost:1", **options)
        return [one.name for one in toolkit.get_tools()]

    def test_has_a_tool_for_each_model_and_those_to_work_meanwhile(self) -> None:
        assert self.made(model(), model("google-veo-3")) == [
            "generate_image_with_flux_2_dev",
            "generate_video_with_google_veo_3",
            "oxen_submit",
            "oxen_check",
            "oxen_cancel",
            "oxen_find_models",
        ]
        assert self.made(model(), background=False) == ["generate_image_with_flux_2_dev"]

    def test_one_id_is_one_model(self) -> None:
        toolkit = OxenToolkit(models="flux-2-dev", api_key=KEY, base_url="http://localhost:1")
        assert list(toolkit.models) == ["flux-2-dev"]

    def test_twins_need_names(self) -> None:
        with pytest.raises(ConfigurationError, match="name"):
            self.made(model(), tool(aspect_ratio="1:1"))
        assert "square" in self.made(model(), tool(aspect_ratio="1:1", name="square"))

    def test_an_amount_is_one_budget_for_all_its_tools(self) -> None:
        options: dict[str, Any] = {"api_key": KEY, "base_url": "http://localhost:1"}
        models = [model(), model("google-veo-3")]
        toolkit = OxenToolkit(models=models, budget="5", background=False, **options)
        budgets = {id(one.budget): one.budget.limit for one in toolkit.get_tools()}
        assert list(budgets.values()) == [5]
        with pytest.raises(ConfigurationError, match="an amount in USD"):
            tool(budget="lots")

    def test_its_tools_share_one_connection_and_one_conversation(self) -> None:
        toolkit = OxenToolkit(models=[model()], api_key=KEY, base_url="http://localhost:1")
        tools: list[Any] = [*toolkit.get_tools(), *toolkit.get_tools()]
        assert len({id(one.connection) for one in tools}) == 1

    def test_an_amount_is_one_budget_for_its_tools_together(self) -> None:
        toolkit = OxenToolkit(
            models=[model(), model("google-veo-3")],
            api_key=KEY, base_url="http://localhost:1", budget="0.02", background=False,
        )  # fmt: skip
        draw, video = (one.budget for one in toolkit.get_tools())  # type: ignore[attr-defined]
        assert draw is video
        assert draw.limit == Decimal("0.02")

    async def test_its_limits_are_those_of_a_tool_that_was_given(self, tmp_path: Path) -> None:
        limits: dict[str, Any] = {"budget": "0.02", "max_cost": "0.5", "save_to": tmp_path}
        kept = tmp_path / "kept"
        for own, max_cost, save_to in (
            ({}, Decimal("0.5"), tmp_path),
            ({"max_cost": "2"}, Decimal("0.5"), tmp_path),
            ({"max_cost": "0.1", "save_to": kept}, Decimal("0.1"), kept),
        ):
            toolkit = OxenToolkit(models=[tool(**own)], api_key=KEY, **limits)
            for tools in (toolkit.get_tools(), await toolkit.aget_tools()):
                draw, submit = cast("list[Any]", tools[:2])
                assert (draw.budget, draw.max_cost, draw.save_to) == (
                    toolkit.budget,
                    max_cost,
                    save_to,
                )
                assert submit.media_tools["flux-2-dev"] is draw
        toolkit = OxenToolkit(models=[tool(budget="1")], api_key=KEY, **limits)
        with pytest.raises(ConfigurationError, match="already has a budget"):
            toolkit.get_tools()


def media_facts(published_contract: Path) -> list[dict[str, Any]]:
    facts = json.loads((published_contract / "catalog-facts.json").read_text())
    made = ("image", "video", "audio")
    return [f for f in facts if set(made) & set((f["capabilities"] or {}).get("output") or ())]


def test_every_real_media_model_becomes_a_tool(published_contract: Path) -> None:
    facts = media_facts(published_contract)
    assert len(facts) > 60
    for fact in facts:
        row = {**fact, "endpoint": fact["page_endpoint"]}
        made = OxenMediaTool.for_model(read_model(row), api_key=KEY)
        function = convert_to_openai_tool(made)["function"]
        assert len(function["name"]) <= 64, fact["id"]
        assert function["name"].replace("_", "").isalnum(), fact["id"]
        jsonschema.Draft202012Validator.check_schema(function["parameters"])
        assert "$ref" not in json.dumps(function), fact["id"]
        loaded = pickle.loads(pickle.dumps(made))
        assert convert_to_openai_tool(loaded)["function"] == function, fact["id"]


def test_a_connection_says_where_it_leads_and_nothing_else() -> None:
    assert (
        repr(Connection(api_key=KEY, base_url="http://h/api/ai")) == "Connection('http://h/api/ai')"
    )


def test_the_middleware_says_which_extra_it_needs() -> None:
    script = (
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'langchain' else find(name, *rest)\n"
        "import langchain_oxen\n"
        "langchain_oxen.OxenMediaTool\n"
        "try:\n"
        "    langchain_oxen.OxenBudgetMiddleware\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "pip install 'oxen-integrations[agents]'" in done.stdout


@pytest.mark.parametrize("name", ["OxenMediaTool", "OxenToolkit", "MediaProgressBars"])
def test_importing_a_tool_does_not_import_openai(name: str) -> None:
    script = f"import sys; from langchain_oxen import {name}; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_thread_with_a_long_id_has_keys_that_a_ledger_can_hold() -> None:
    keys = {
        ToolRequest({"prompt": "an ox"}, call, thread_id=length * "t" + end).key_for("m")
        for call in ("1", "2")
        for end in "ab"
        for length in (980, 2000)
    }
    assert len(keys) == 8
    assert all(key is not None and not is_too_long(key) for key in keys)
