"""Things: what is plainly no JSON, as a type that is written down or as a value that is made."""

import ast
from collections.abc import Iterator

from local.takeover.body import walk
from local.takeover.source import HOPS, Function, Module, Source
from local.takeover.value import shown

TYPES = {
    *("bytearray", "bytes", "complex", "frozenset", "memoryview", "object", "set"),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta")),
    *("decimal.Decimal", "fractions.Fraction", "pathlib.Path", "pathlib.PurePath", "uuid.UUID"),
    *(
        "typing.Callable",
        "typing.FrozenSet",
        "typing.IO",
        "typing.Set",
        "collections.abc.Callable",
        "collections.abc.Set",
    ),
    *("django.http.HttpRequest", "flask.Request", "sqlalchemy.orm.Session"),
}
# Ends of dotted names of calls.
MADE = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "timezone.now", "uuid.uuid1", "uuid.uuid4")
FETCHED = ("get_object_or_404", ".query.get", ".query.get_or_404", ".query.first", ".session.get")
# Of a manager or a query: what gives no row.
PLAIN = ("count", "exists", "aggregate", "delete", "update", "values", "values_list", "scalar", "bulk_create")
ROWS = ("first", "one", "one_or_none", "all", "get", "first_or_404", "scalar_one")
# Bases of classes whose instances are JSON, or come out as it.
JSON = {"IntEnum", "IntegerChoices", "NamedTuple", "StrEnum", "TextChoices", "TypedDict"}
JSON |= {"dict", "float", "int", "list", "str", "tuple"}


def types(annotation: ast.expr | None, module: Module, source: Source) -> Iterator[str]:
    """The types in an annotation that are no JSON."""
    waiting = [annotation] if annotation else []
    while waiting:
        node = waiting.pop(0)
        match node:
            case ast.Constant(value=str(text)):
                try:
                    waiting.append(ast.parse(text, mode="eval").body)
                except (SyntaxError, ValueError):
                    continue
            case ast.Name() | ast.Attribute():
                if is_type(module.resolve(node), source):
                    yield shown(node)
            case ast.Subscript(slice=ast.Tuple(elts=[first, *_])) if module.resolve(node.value).endswith("Annotated"):
                waiting.append(first)
            case ast.Subscript():
                literal = module.resolve(node.value).endswith("Literal")
                waiting += [node.value] + ([] if literal else [node.slice])
            case _:
                waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def is_type(name: str, source: Source) -> bool:
    """Whether it is a type that is no JSON: a known one, or a class of the project's own."""
    path, _, last = source.origin(name).rpartition(".")
    if source.origin(name) in TYPES:
        return True
    if last in source.classes:
        return not _json(last, source)
    return last[:1].isupper() and not {"model", "models"}.isdisjoint(path.split("."))


def _json(name: str, source: Source, hops: int = HOPS) -> bool:
    """Whether the instances of a class of the project are JSON all the same."""
    if name in JSON or not hops or name not in source.classes:
        return name in JSON
    module, node = source.classes[name]
    return any(_json(module.resolve(base).rpartition(".")[2], source, hops - 1) for base in node.bases)


def thing(expression: ast.expr, function: Function | None, module: Module, source: Source) -> bool:
    """Whether a value is plainly no JSON."""
    match expression:
        case ast.Lambda() | ast.Set() | ast.SetComp() | ast.GeneratorExp() | ast.Constant(value=bytes()):
            return True
        case ast.Call():
            return _made(module.resolve(expression.func), source)
        case ast.Attribute(value=ast.Name(id="request"), attr="user"):
            return True
        case ast.Name() if function:
            return _bound(expression.id, function, module, source)
    return False


def _made(name: str, source: Source) -> bool:
    last = name.rpartition(".")[2]
    if ".objects." in name:
        return not {*PLAIN, "iterator"}.intersection(name.split("."))
    if ".query." in f"{name}." and last in ROWS:
        return True
    return name.endswith((*MADE, *FETCHED)) or is_type(name, source)


def _bound(name: str, function: Function, module: Module, source: Source) -> bool:
    """Whether a name of a function stands for a thing, wherever in it that is settled."""
    taken = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    for parameter in taken:
        if parameter.arg == name:
            named = {node.id for node in ast.walk(parameter.annotation or ast.Pass()) if isinstance(node, ast.Name)}
            # `User | int` may well be the number.
            plainly = named.isdisjoint({"Any", "bool", "dict", "float", "int", "list", "str"})
            return name in {"self", "request"} or (plainly and any(types(parameter.annotation, module, source)))
    values = []
    for node in walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)]) if target == name:
                values.append(thing(node.value, None, module, source))
            case ast.AnnAssign(target=ast.Name(id=target)) if target == name:
                values.append(any(types(node.annotation, module, source)))
            case ast.For(target=ast.Name(id=target)) if target == name:
                values.append(thing(node.iter, None, module, source))
    return bool(values) and all(values)
