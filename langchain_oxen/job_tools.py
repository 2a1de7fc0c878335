"""Tools to work while a film renders: find a model, submit, check, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from langchain_oxen import media_text
from langchain_oxen.media_tool import OxenMediaTool
from langchain_oxen.tool_base import Answer, OxenTool, ToolRequest

if TYPE_CHECKING:
    from oxen_inference.client import AsyncOxenClient, OxenClient
    from oxen_inference.media_result import MediaResult
    from oxen_inference.models import Model
    from oxen_inference.pricing import Quote
