"""Tools and schemas in every form LangChain takes, as what Oxen takes.

LangChain's own conversion empties classes that contain themselves, and drops schemas whose root is
no object.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Annotated, Any, ForwardRef, Literal, Union, get_args, get_origin, get_type_hints

from langchain_core.tools import BaseTool, Tool, create_schema_from_function
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, Field, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from typing_extensions import NotRequired, ReadOnly, Required, is_typeddict

from langchain_oxen.tool_forms import is_json_schema, openai_tools
from oxen_inference.chat.schemas import NO_SCHEMA_HINT, class_schema, invalid_schema, object_schema
from oxen_inference.chat.strict_schemas import strict_schema

ToolLike = dict[str, Any] | type | Callable[..., Any] | BaseTool
UNTITLED = "answer"
"""The name of a schema that has none."""


@dataclass(frozen=True, slots=True)
class Function:
    """A tool or a schema, with an object at the root of its parameters."""

    name: str
    description: str | None
    parameters: dict[str, Any]
    is_wrapped: bool = False
    """Whether the object only holds the value, which is none itself."""

    def to_tool(self, strict: bool | None = None) -> dict[str, Any]:
        """Return the tool as Oxen takes it."""
        function: dict[str, Any] = {"name": self.name}
        if self.description is not None:
            function["description"] = self.description
        function["parameters"] = self._parameters(strict)
        if strict is not None:
            function["strict"] = strict
        return {"type": "function", "function": function}

    def to_response_format(self, strict: bool | None = None) -> dict[str, Any]:
        """Return the ``response_format`` that asks for such an object."""
        inner: dict[str, Any] = {"name": self.name, "schema": self._parameters(strict)}
        if self.description:
            inner["description"] = self.description
        if strict is not None:
            inner["strict"] = strict
        return {"type": "json_schema", "json_schema": inner}

    def to_json_schema(self) -> dict[str, Any]:
        """Return the schema with its name, as LangSmith shows it."""
        about = {"description": self.description} if self.description else {}
        return {"title": self.name, **about, **self.parameters}

    def _parameters(self, strict: bool | None) -> dict[str, Any]:
        return strict_schema(self.parameters, owner=self.name) if strict else self.parameters


def to_tools(tools: Iterable[ToolLike], strict: bool | None = None) -> list[dict[str, Any]]:
    """Return tools as Oxen takes them.

    Raises `InvalidInputError` for one that is none, or whose arguments are no object.
    """
    return [converted for tool in tools for converted in _to_tools(tool, strict)]


def _to_tools(tool: ToolLike, strict: bool | None) -> list[dict[str, Any]]:
    if isinstance(tool, Mapping) and not is_json_schema(tool):
        marks = {k: v for k, v in tool.items() if k == "cache_control"}
        return [{**_with_strict(each, strict), **marks} for each in openai_tools(tool)]
    if isinstance(tool, Tool) and not tool.args_schema:
        return [_with_strict(convert_to_openai_tool(tool), strict)]  # its one argument has no name
    function = describe(tool)
    if function.is_wrapped and not _is_schema(tool):
        raise invalid_schema(f"The arguments of the tool {function.name} are not an object.")
    converted = function.to_tool(strict)
    extras = getattr(tool, "extras", None) if isinstance(tool, BaseTool) else None
    if isinstance(extras, dict) and (mark := extras.get("cache_control")):
        converted["cache_control"] = mark
    return [converted]


def describe(schema: Any) -> Function:
    """Return what a schema or a tool is called and takes.

    Raises `InvalidInputError` for what is neither.
    """
    description: str | None
    if isinstance(schema, Mapping):
        if is_json_schema(schema):
            return _function(str(schema.get("title") or UNTITLED), None, schema)
        function, *others = [tool.get("function") for tool in openai_tools(schema)]
        if others or not isinstance(function, dict):
            raise invalid_schema(f"{schema!r} is no schema.", hint=NO_SCHEMA_HINT)
        parameters = function.get("parameters") or {}
        name, description = function.get("name"), function.get("description")
        return _function(str(name or UNTITLED), description, parameters)
    if isinstance(schema, BaseTool):
        arguments = schema.tool_call_schema
        if isinstance(arguments, dict):
            return _function(schema.name, schema.description, arguments)
        parameters = class_schema(arguments)
        return _function(schema.name, schema.description, parameters, generated=True)
    if is_typeddict(schema):
        model = _TypedDictModels().model_of(schema)
        return _function(schema.__name__, "", class_schema(model), generated=True)
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        config: Any = getattr(schema, "model_config", None) or {}
        parameters = class_schema(schema)
        name = config.get("title") or parameters.get("title") or schema.__name__
        return _function(name, "", parameters, generated=True)
    is_no_object = isinstance(schema, type) and issubclass(schema, (Enum, *_SIMPLE))
    if not callable(schema) or get_origin(schema) is not None or is_no_object:
        raise invalid_schema(f"{schema!r} is no schema.", hint=NO_SCHEMA_HINT)
    return _of_function(schema)


_SIMPLE = (str, int, float, bool, bytes, list, dict, set, frozenset)


def _of_function(given: Callable[..., Any]) -> Function:
    """Return what a function takes, or a method, a partial, a class or an object that is called."""
    function: Any = given
    bound: set[str] = set()
    while isinstance(function, partial):
        positional = list(inspect.signature(function.func).parameters)[: len(function.args)]
        bound |= {*positional, *function.keywords}
        function = function.func
    name = str(getattr(function, "__name__", type(function).__name__))
    if not isinstance(function, type) and not inspect.isroutine(function):
        function = getattr(function, "__wrapped__", function.__call__)  # the former: of a cache
    try:
        arguments: Any = create_schema_from_function(
            name,
            function,
            filter_args=tuple(bound),
            parse_docstring=True,
            error_on_invalid_docstring=False,
            include_injected=False,
        )
    except (TypeError, ValueError, NameError, PydanticUserError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise invalid_schema(
            f"The parameters of {given!r} cannot be read: {reason}.",
            hint="Give a function with annotations of its parameters, or a pydantic class.",
        ) from error
    return _function(name, arguments.__doc__ or "", class_schema(arguments), generated=True)


def _function(
    name: str, description: str | None, schema: Mapping[str, Any], *, generated: bool = False
) -> Function:
    """`description`: where None or empty, that of the schema is taken."""
    parameters, is_wrapped = object_schema(schema, generated=generated)
    parameters.pop("title", None)
    own = parameters.pop("description", None)
    return Function(name, description or own or description, parameters, is_wrapped)


def _with_strict(tool: dict[str, Any], strict: bool | None) -> dict[str, Any]:
    """Return a tool in OpenAI's form with its strictness, if it does not state one."""
    function = tool.get("function")
    if strict is None or not isinstance(function, dict) or "strict" in function:
        return tool
    function = {**function, "strict": strict}
    if strict:
        parameters, _ = object_schema(function.get("parameters") or {})
        function["parameters"] = strict_schema(parameters, owner=str(function.get("name")))
    return {**tool, "function": function}


def _is_schema(schema: Any) -> bool:
    """Whether this describes an answer, which may be of any kind, and no tool."""
    if isinstance(schema, Mapping):
        return is_json_schema(schema)
    return isinstance(schema, type) and (is_basemodel_subclass(schema) or is_typeddict(schema))


# TypedDicts

_SECTIONS = re.compile(r"^\s*(Returns|Raises|Yields|Examples?|Notes?):\s*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


class _TypedDictModels:
    """Pydantic models of TypedDict classes, which may contain each other and themselves.

    ``Annotated[str, "ox", "the name"]`` gives a field a default (``...``: none) and a description.
    """

    def __init__(self) -> None:
        self._references: dict[Any, str] = {}
        self._models: dict[str, Any] = {}

    def model_of(self, typed_dict: Any) -> type[BaseModel]:
        reference = self._reference(typed_dict)
        for model in self._models.values():
            model.model_rebuild(_types_namespace=self._models, raise_errors=False)
        found: type[BaseModel] = self._models[reference]
        return found

    def _reference(self, typed_dict: Any) -> str:
        reference = self._references.get(typed_dict)
        if reference is None:
            reference = self._references[typed_dict] = f"TypedDict{len(self._references)}"
            self._models[reference] = self._make(typed_dict)
        return reference

    def _make(self, typed_dict: Any) -> type[BaseModel]:
        try:
            names = {typed_dict.__name__: typed_dict}
            hints = get_type_hints(typed_dict, localns=names, include_extras=True)
        except NameError:
            hints = dict(typed_dict.__annotations__)
        description, of_fields = _read_docstring(typed_dict.__dict__.get("__doc__"))
        fields: dict[str, Any] = {}
        for name, hint in hints.items():
            is_required = name in typed_dict.__required_keys__
            fields[f"field_{len(fields)}"] = self._field(name, hint, is_required, of_fields)
        model: type[BaseModel] = create_model(typed_dict.__name__, **fields)
        model.__doc__ = description
        return model

    def _field(
        self, name: str, hint: Any, is_required: bool, descriptions: Mapping[str, str]
    ) -> tuple[Any, Any]:
        options: dict[str, Any] = {"alias": name, "title": ""}
        if (text := descriptions.get(name)) is not None:
            options["description"] = text
        kind, extras = _without_qualifiers(hint), list[Any]()
        if get_origin(kind) is Annotated:
            kind, *extras = get_args(kind)
            kind = _without_qualifiers(kind)
        constraints = [e for e in extras if isinstance(e, FieldInfo) or _is_annotation(e)]
        plain = [e for e in extras if e not in constraints]
        if len(plain) == 1 and isinstance(plain[0], str) and is_required:
            plain = [..., plain[0]]  # a description by itself
        if len(plain) > 1 and isinstance(plain[1], str):
            options.setdefault("description", plain[1])
        kind = self._with_references(kind)
        if constraints:
            kind = Annotated[(kind, *constraints)]
        if plain and plain[0] is not ...:
            return kind, Field(plain[0], **options)
        if is_required:
            return kind, Field(**options)
        return kind, Field(default_factory=lambda: None, **options)  # no default in the schema

    def _with_references(self, kind: Any) -> Any:
        if is_typeddict(kind):
            return ForwardRef(self._reference(kind))
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is None or origin is Literal or not arguments:
            return kind
        if origin is Annotated:
            return Annotated[(self._with_references(arguments[0]), *arguments[1:])]
        inner = tuple(
            [self._with_references(each) for each in a] if isinstance(a, list) else self._with_references(a)
            for a in arguments
        )  # fmt: skip
        return Union[inner] if _is_union(origin) else origin[inner]  # noqa: UP007 - of a tuple


def _is_annotation(extra: Any) -> bool:
    """Whether this is a constraint that pydantic knows, and no default value."""
    return type(extra).__module__.split(".")[0] in ("annotated_types", "pydantic")


def _is_union(origin: Any) -> bool:
    return origin is Union or getattr(origin, "__name__", "") == "UnionType"


def _without_qualifiers(hint: Any) -> Any:
    while get_origin(hint) in (Required, NotRequired, ReadOnly):
        hint = get_args(hint)[0]
    return hint


def _read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Return the description in a docstring, and those of the fields in its ``Args:``."""
    description, found, rest = inspect.cleandoc(text or "").partition("Args:\n")
    fields: dict[str, str] = {}
    last = None
    for line in _SECTIONS.split(rest)[0].splitlines() if found else ():
        if match := _ARGUMENT.match(line.strip()):
            last = match[1]
            fields[last] = match[2].strip()
        elif last and line.strip():
            fields[last] += f" {line.strip()}"
    return description.strip(), fields
