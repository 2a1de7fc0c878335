"""`Oxen` under the path that LlamaHub's packages have. The media tools are in `llama_index_oxen`."""

from llama_index_oxen.llm import Oxen

__all__ = ["Oxen"]
