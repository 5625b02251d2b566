"""The border to a parser that knows the syntax of every Python: libcst's tree in, nodes of the host's `ast` out.

Syntax that is newer than the oldest host becomes the nearest older node: see `older.lowered`, whose result for the
host's own tree is the same. Only `syntax` imports this module, and only when it must: libcst takes a third of a second
to load, and thirty times as long as `ast` to parse.
"""

from __future__ import annotations

import ast
import re
import sys
import threading
import unicodedata
import warnings
from typing import TYPE_CHECKING, Any, Final, cast

import libcst as cst
from attrs import frozen
from libcst.metadata import MetadataWrapper, PositionProvider

from .unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcst.metadata import CodeRange

_NESTING: Final = re.compile(
    r"[(\[{]|[-+~]|\*\*|\b(?:not|lambda|await|else|elif|if|for|while|with|def|class|try|match|case)\b"
)
"""All that can make the parser call itself: each occurrence may be one level more."""
_BRACKET: Final = re.compile(r"[()\[\]{}]")
_BRACKETS: Final = 200
"""As many as Python itself bears. The parser's time grows with the square of the depth."""
_RUNS: Final = re.compile(
    r"(?:\b(?:not|await)\s+|\blambda\b[^:\n]{0,40}:\s*){200}"
    r"|(?:\[[^\[\]\n]{0,40}\]|\([^()\n]{0,40}\)|\.\w{1,40}){300}"
    r"|(?:\bif\b[^\n:]{0,60}\belse\b[^\n:]{0,20}){200}"
    r"|(?:[-+~] ?){1000}"
)
"""What no person writes, and takes the parser minutes."""
_FRAMES: Final = 10_000
"""Of Python's own. A long chain of `elif` takes six a branch to be placed."""
_STACK_A_LEVEL: Final = 16 << 10
"""Bytes. A level of brackets was measured to take at most 8 KiB (libcst 1.9, x86-64)."""
_STACK: Final = 16 << 20
_STACK_LIMIT: Final = 1 << 30
"""Bytes. A stack is memory only as far as it is used."""

_BINARY: Final = {
    "Add": ast.Add, "BitAnd": ast.BitAnd, "BitOr": ast.BitOr, "BitXor": ast.BitXor, "Divide": ast.Div,
    "FloorDivide": ast.FloorDiv, "LeftShift": ast.LShift, "MatrixMultiply": ast.MatMult, "Modulo": ast.Mod,
    "Multiply": ast.Mult, "Power": ast.Pow, "RightShift": ast.RShift, "Subtract": ast.Sub,
}  # fmt: skip
_COMPARING: Final = {
    "Equal": ast.Eq, "GreaterThan": ast.Gt, "GreaterThanEqual": ast.GtE, "In": ast.In, "Is": ast.Is,
    "IsNot": ast.IsNot, "LessThan": ast.Lt, "LessThanEqual": ast.LtE, "NotEqual": ast.NotEq, "NotIn": ast.NotIn,
}  # fmt: skip
_UNARY: Final = {"BitInvert": ast.Invert, "Minus": ast.USub, "Not": ast.Not, "Plus": ast.UAdd}
_COMMENT: Final = re.compile(r"#[^\n]*")
_BRACES: Final = r"\{\{|\}\}"
_ESCAPES: Final = re.compile(
    rf"{_BRACES}|\\(?:\n|[abfnrtv'\"\\]|[0-7]{{1,3}}|x[0-9a-fA-F]{{2}}|u[0-9a-fA-F]{{4}}|U[0-9a-fA-F]{{8}}|N\{{[^}}]*\}})"
)


def tree_of(text: str) -> ast.Module:
    r"""Parse one file, whichever Python 3 it was written for.

    Args:
        text: With `\n` alone as the end of a line.

    Raises:
        Unreadable: No Python can parse it, or it is nested too deeply.
    """
    # The parser is native and recursive: where the stack ends, the process would.
    stack = _STACK + _STACK_A_LEVEL * len(_NESTING.findall(text))
    if stack > _STACK_LIMIT or _deepest(text) > _BRACKETS or _RUNS.search(text):
        raise Unreadable("it is nested too deeply")
    result: list[ast.Module | BaseException] = []

    def work() -> None:
        try:
            result.append(_parsed(text))
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            result.append(error)

    before, frames = threading.stack_size(stack & ~0xFFFF), sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(max(frames, _FRAMES))
        thread = threading.Thread(target=work, name="parser")
        thread.start()
        thread.join()
    except (RuntimeError, MemoryError) as error:
        raise Unreadable("it is nested too deeply") from error
    finally:
        threading.stack_size(before)
        sys.setrecursionlimit(frames)
    (found,) = result
    if isinstance(found, BaseException):
        raise found
    return found


def _deepest(text: str) -> int:
    """How deep brackets are nested, at most. Brackets in strings and comments count too."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth = depth + 1 if bracket in "([{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _turned(text: str) -> ast.Module:
    wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    positions = cast("Mapping[cst.CSTNode, CodeRange]", wrapper.resolve(PositionProvider))
    border = _Border(wrapper.module, positions, tuple(text.split("\n")))
    return ast.Module(body=border.statements(wrapper.module.body), type_ignores=[])


def _parsed(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # An invalid escape in what is checked is not our matter.
            warnings.simplefilter("ignore")
            return _turned(text)
    except cst.ParserSyntaxError as error:
        line = error.raw_line
        raise Unreadable("invalid syntax", line, error.raw_column + 1) from error
    except (SyntaxError, ValueError) as error:  # of a literal
        raise Unreadable(str(error)) from error
    except (RecursionError, MemoryError, KeyError) as error:  # KeyError: of a place behind the end
        raise Unreadable("it is nested too deeply") from error


@frozen
class _Border:
    """Turns nodes. Each method is a kind of node's; a kind that is not known is `Unreadable`."""

    module: cst.Module
    positions: Mapping[cst.CSTNode, CodeRange]
    lines: tuple[str, ...]

    # Places: `ast` counts columns in bytes of UTF-8

    def _at(self, node: cst.CSTNode, last: cst.CSTNode | None = None) -> dict[str, Any]:
        begin, end = self.positions[node].start, self.positions[last or node].end
        return {
            "lineno": begin.line,
            "col_offset": self._bytes(begin.line, begin.column),
            "end_lineno": end.line,
            "end_col_offset": self._bytes(end.line, end.column),
        }

    def _bytes(self, line: int, column: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return column if text.isascii() else len(text[:column].encode())

    def _until(self, node: cst.CSTNode, last: ast.AST) -> dict[str, Any]:
        """From the beginning of `node` to the end of what is turned already."""
        ends = cast("Any", last)
        return self._at(node) | {
            "end_lineno": ends.end_lineno,
            "end_col_offset": ends.end_col_offset,
        }

    def _unknown(self, node: cst.CSTNode) -> Unreadable:
        at = self.positions[node].start if node in self.positions else None
        where = (at.line, at.column + 1) if at else (1, 1)
        return Unreadable(f"syntax that is not known here ({type(node).__name__})", *where)

    # Statements

    def statements(self, nodes: Sequence[cst.CSTNode]) -> list[ast.stmt]:
        """A block's statements."""
        found: list[ast.stmt] = []
        for node in nodes:
            if isinstance(node, cst.SimpleStatementLine):
                found += [self._small(each) for each in node.body]
            else:
                found.append(self._compound(node))
        return found

    def _block(self, node: cst.BaseSuite | cst.Else | cst.Finally | None) -> list[ast.stmt]:
        match node:
            case None:
                return []
            case cst.Else(body=body) | cst.Finally(body=body):
                return self._block(body)
            case cst.SimpleStatementSuite(body=body):
                return [self._small(each) for each in body]
        assert isinstance(node, cst.IndentedBlock)  # noqa: S101 - there is no other
        return self.statements(node.body)

    def _small(self, node: cst.BaseSmallStatement) -> ast.stmt:
        at = self._at(node)
        value = self.value
        match node:
            case cst.Expr(value=inner):
                return ast.Expr(value(inner), **at)
            case cst.Assign(targets=targets, value=inner):
                return ast.Assign([self._target(t.target) for t in targets], value(inner), **at)
            case cst.AnnAssign(target=target, annotation=annotation, value=inner):
                simple = isinstance(target, cst.Name) and not target.lpar
                return ast.AnnAssign(
                    self._target(target), value(annotation.annotation), self._maybe(inner), int(simple), **at
                )  # fmt: skip
            case cst.AugAssign(target=target, operator=operator, value=inner):
                kind = _BINARY[type(operator).__name__.removesuffix("Assign")]
                return ast.AugAssign(self._target(target), kind(), value(inner), **at)
            case cst.Return(value=inner):
                return ast.Return(self._maybe(inner), **at)
            case cst.Raise(exc=exc, cause=cause):
                return ast.Raise(self._maybe(exc), self._maybe(cause.item if cause else None), **at)
            case cst.Assert(test=test, msg=msg):
                return ast.Assert(value(test), self._maybe(msg), **at)
            case cst.Del(target=target):
                deleted: list[cst.CSTNode] = [target]
                if isinstance(target, cst.Tuple) and not target.lpar:
                    deleted = [each.value for each in target.elements]
                return ast.Delete([self._target(each, ast.Del) for each in deleted], **at)
            case cst.Pass():
                return ast.Pass(**at)
            case cst.Break():
                return ast.Break(**at)
            case cst.Continue():
                return ast.Continue(**at)
            case cst.Import(names=names) | cst.LazyImport(names=names):
                return ast.Import([self._alias(each) for each in names], **at)
            case (
                cst.ImportFrom(module=module, names=names, relative=dots)
                | cst.LazyImportFrom(module=module, names=names, relative=dots)
            ):
                found = (
                    [ast.alias("*", None, **self._at(names))]
                    if isinstance(names, cst.ImportStar)
                    else [self._alias(each) for each in names]
                )
                return ast.ImportFrom(_dotted(module) if module else None, found, len(dots), **at)
            case cst.Global(names=names):
                return ast.Global([_name(each.name.value) for each in names], **at)
            case cst.Nonlocal(names=names):
                return ast.Nonlocal([_name(each.name.value) for each in names], **at)
            case cst.TypeAlias(name=name, value=inner):
                return ast.Assign([self._target(name)], value(inner), **at)
        raise self._unknown(node)

    def _alias(self, node: cst.ImportAlias) -> ast.alias:
        name = cast("cst.Name", node.asname.name).value if node.asname else None
        return ast.alias(_dotted(node.name), _name(name) if name else None, **self._at(node))

    def _compound(self, node: cst.CSTNode) -> ast.stmt:
        value = self.value
        match node:
            case cst.FunctionDef():
                return self._function(node)
            case cst.ClassDef(name=name, bases=bases, keywords=keywords, decorators=decorators):
                body = self._block(node.body)
                arguments, named = self._arguments([*bases, *keywords])
                return ast.ClassDef(
                    _name(name.value), arguments, named, body, [value(d.decorator) for d in decorators],
                    **_no_type_params(ast.ClassDef), **self._until(node, body[-1]),
                )  # fmt: skip
            case cst.If(test=test, body=suite, orelse=other):
                body = self._block(suite)
                orelse = (
                    [self._compound(other)] if isinstance(other, cst.If) else self._block(other)
                )
                return ast.If(value(test), body, orelse, **self._until(node, (orelse or body)[-1]))
            case cst.For(target=target, iter=source, body=suite, orelse=other):
                body, orelse = self._block(suite), self._block(other)
                kind = ast.AsyncFor if node.asynchronous else ast.For
                return kind(
                    self._target(target), value(source), body, orelse, **self._until(node, (orelse or body)[-1])
                )  # fmt: skip
            case cst.While(test=test, body=suite, orelse=other):
                body, orelse = self._block(suite), self._block(other)
                return ast.While(
                    value(test), body, orelse, **self._until(node, (orelse or body)[-1])
                )
            case cst.With(items=items, body=suite):
                body = self._block(suite)
                found = [
                    ast.withitem(
                        value(item.item), self._target(item.asname.name) if item.asname else None
                    )
                    for item in items
                ]
                with_ = ast.AsyncWith if node.asynchronous else ast.With
                return with_(found, body, **self._until(node, body[-1]))
            case cst.Try() | cst.TryStar():
                return self._try(node)
            case cst.Match(subject=subject, cases=cases):
                turned = [self._case(case) for case in cases]
                return ast.Match(value(subject), turned, **self._until(node, turned[-1].body[-1]))
        raise self._unknown(node)

    def _function(self, node: cst.FunctionDef) -> ast.stmt:
        body = self._block(node.body)
        kind = ast.AsyncFunctionDef if node.asynchronous else ast.FunctionDef
        return kind(
            _name(node.name.value),
            self._parameters(node.params),
            body,
            [self.value(each.decorator) for each in node.decorators],
            self._maybe(node.returns.annotation if node.returns else None),
            **_no_type_params(kind),
            **self._until(node, body[-1]),
        )

    def _parameters(self, node: cst.Parameters) -> ast.arguments:
        star = node.star_arg
        return ast.arguments(
            posonlyargs=[self._parameter(each) for each in node.posonly_params],
            args=[self._parameter(each) for each in node.params],
            vararg=self._parameter(star) if isinstance(star, cst.Param) else None,
            kwonlyargs=[self._parameter(each) for each in node.kwonly_params],
            kw_defaults=[self._maybe(each.default) for each in node.kwonly_params],
            kwarg=self._parameter(node.star_kwarg) if node.star_kwarg else None,
            defaults=[
                self.value(each.default)
                for each in (*node.posonly_params, *node.params)
                if each.default is not None
            ],
        )

    def _parameter(self, node: cst.Param) -> ast.arg:
        annotation = self._maybe(node.annotation.annotation if node.annotation else None)
        at = self._at(node.name)
        if annotation is not None:
            at = self._at(node.name, cast("cst.Annotation", node.annotation))
        return ast.arg(_name(node.name.value), annotation, **at)

    def _try(self, node: cst.Try | cst.TryStar) -> ast.stmt:
        body = self._block(node.body)
        handlers = []
        for handler in node.handlers:
            inside = self._block(handler.body)
            name = cast("cst.Name", handler.name.name).value if handler.name else None
            handlers.append(
                ast.ExceptHandler(
                    self._maybe(handler.type),
                    _name(name) if name else None,
                    inside,
                    **self._until(handler, inside[-1]),
                )
            )
        orelse, final = self._block(node.orelse), self._block(node.finalbody)
        kind = ast.TryStar if isinstance(node, cst.TryStar) else ast.Try
        last: ast.AST = (final or orelse or handlers or body)[-1]
        return kind(body, handlers, orelse, final, **self._until(node, last))

    # Patterns

    def _case(self, node: cst.MatchCase) -> ast.match_case:
        return ast.match_case(
            self._pattern(node.pattern), self._maybe(node.guard), self._block(node.body)
        )

    def _pattern(self, node: cst.CSTNode) -> ast.pattern:
        at = self._at(node)
        match node:
            case cst.MatchValue(value=inner):
                return ast.MatchValue(self.value(inner), **at)
            case cst.MatchSingleton(value=name):
                return ast.MatchSingleton(
                    {"None": None, "True": True, "False": False}[name.value], **at
                )
            case cst.MatchList(patterns=patterns) | cst.MatchTuple(patterns=patterns):
                found = [
                    self._pattern(
                        each.value if isinstance(each, cst.MatchSequenceElement) else each
                    )
                    for each in patterns
                ]
                return ast.MatchSequence(found, **self._sequence_at(node))
            case cst.MatchStar(name=star):
                return ast.MatchStar(_name(star.value) if star else None, **at)
            case cst.MatchMapping(elements=elements, rest=rest):
                return ast.MatchMapping(
                    [self.value(each.key) for each in elements],
                    [self._pattern(each.pattern) for each in elements],
                    _name(rest.value) if rest else None,
                    **at,
                )
            case cst.MatchClass(cls=cls, patterns=patterns, kwds=named):
                return ast.MatchClass(
                    self.value(cls),
                    [self._pattern(each.value) for each in patterns],
                    [_name(each.key.value) for each in named],
                    [self._pattern(each.pattern) for each in named],
                    **at,
                )
            case cst.MatchAs(pattern=inner, name=bound):
                return ast.MatchAs(
                    self._pattern(inner) if inner else None,
                    _name(bound.value) if bound else None,
                    **at,
                )
            case cst.MatchOr(patterns=choices):
                return ast.MatchOr([self._pattern(each.pattern) for each in choices], **at)
        raise self._unknown(node)

    # Expressions

    def _maybe(self, node: cst.BaseExpression | None) -> ast.expr | None:
        return None if node is None else self.value(node)

    def value(self, node: cst.CSTNode) -> ast.expr:
        """An expression that is read."""
        at = self._at(node)
        value = self.value
        match node:
            case cst.Name(value=name):
                if name in {"None", "True", "False"}:
                    return ast.Constant({"None": None, "True": True, "False": False}[name], **at)
                return ast.Name(_name(name), ast.Load(), **at)
            case cst.Attribute(value=base, attr=attr):
                return ast.Attribute(value(base), _name(attr.value), ast.Load(), **at)
            case cst.Call():
                return self._call(node)
            case cst.SimpleString() | cst.ConcatenatedString():
                return self._string(node)
            case cst.FormattedString() | cst.TemplatedString():
                return self._string(node)
            case cst.Integer(value=text) | cst.Float(value=text) | cst.Imaginary(value=text):
                return ast.Constant(ast.literal_eval(text), **at)
            case cst.Ellipsis():
                return ast.Constant(..., **at)
            case cst.Subscript(value=base, slice=parts):
                return ast.Subscript(value(base), self._slices(parts), ast.Load(), **at)
            case cst.Tuple(elements=elements):
                return ast.Tuple(
                    [value(each) for each in elements], ast.Load(), **self._sequence_at(node)
                )
            case cst.List(elements=elements):
                return ast.List([value(each) for each in elements], ast.Load(), **at)
            case cst.Set(elements=elements):
                return ast.Set([value(each) for each in elements], **at)
            case cst.Element(value=inner):
                return value(inner)
            case cst.StarredElement(value=inner):
                return ast.Starred(value(inner), ast.Load(), **self._at(node))
            case cst.Dict(elements=pairs):
                keys = [value(e.key) if isinstance(e, cst.DictElement) else None for e in pairs]
                return ast.Dict(keys, [value(each.value) for each in pairs], **at)
            case cst.BinaryOperation(left=left, operator=operator, right=right):
                return ast.BinOp(
                    value(left), _BINARY[type(operator).__name__](), value(right), **at
                )
            case cst.BooleanOperation():
                return self._boolean(node)
            case cst.UnaryOperation(operator=operator, expression=inner):
                return ast.UnaryOp(_UNARY[type(operator).__name__](), value(inner), **at)
            case cst.Comparison(left=left, comparisons=others):
                return ast.Compare(
                    value(left),
                    [_COMPARING[type(each.operator).__name__]() for each in others],
                    [value(each.comparator) for each in others],
                    **at,
                )
            case cst.IfExp(test=test, body=body, orelse=orelse):
                return ast.IfExp(value(test), value(body), value(orelse), **at)
            case cst.Lambda(params=params, body=body):
                return ast.Lambda(self._parameters(params), value(body), **at)
            case cst.NamedExpr(target=target, value=inner):
                return ast.NamedExpr(self._target(target), value(inner), **at)
            case cst.Await(expression=inner):
                return ast.Await(value(inner), **at)
            case cst.Yield(value=cst.From(item=inner)):
                return ast.YieldFrom(value(inner), **at)
            case cst.Yield(value=produced):
                return ast.Yield(self._maybe(cast("cst.BaseExpression | None", produced)), **at)
            case cst.ListComp(elt=elt, for_in=for_in):
                return ast.ListComp(value(elt), self._generators(for_in), **at)
            case cst.SetComp(elt=elt, for_in=for_in):
                return ast.SetComp(value(elt), self._generators(for_in), **at)
            case cst.GeneratorExp(elt=elt, for_in=for_in):
                return ast.GeneratorExp(
                    value(elt), self._generators(for_in), **self._sequence_at(node)
                )
            case cst.DictComp(key=key, value=inner, for_in=for_in):
                return ast.DictComp(value(key), value(inner), self._generators(for_in), **at)
            case cst.StarredDictComp(value=inner, for_in=for_in):
                # {**each for each in those}: what it holds came out of each.
                each = ast.Starred(value(inner), ast.Load(), **at)
                return ast.SetComp(each, self._generators(for_in), **at)
        raise self._unknown(node)

    def _sequence_at(self, node: cst.CSTNode) -> dict[str, Any]:
        """With its own brackets, as `ast` counts the place of tuples and generators."""
        if isinstance(node, cst.Tuple | cst.GeneratorExp | cst.MatchTuple) and node.lpar:
            return self._at(node.lpar[-1], node.rpar[0])
        return self._at(node)

    def _target(self, node: cst.CSTNode, context: type[ast.expr_context] = ast.Store) -> Any:
        """An expression that is assigned or deleted: of the kind that its place takes."""
        turned = self.value(node)
        waiting = [turned]
        while waiting:
            each = waiting.pop()
            if isinstance(
                each, ast.Name | ast.Attribute | ast.Subscript | ast.Tuple | ast.List | ast.Starred
            ):
                each.ctx = context()
            if isinstance(each, ast.Tuple | ast.List):
                waiting += each.elts
            elif isinstance(each, ast.Starred):
                waiting.append(each.value)
        return turned

    def _call(self, node: cst.Call) -> ast.Call:
        arguments, keywords = self._arguments(node.args)
        if len(node.args) == 1 and isinstance(arguments and arguments[0], ast.GeneratorExp):
            self._within_brackets(node, cast("ast.GeneratorExp", arguments[0]))
        return ast.Call(self.value(node.func), arguments, keywords, **self._at(node))

    def _within_brackets(self, node: cst.Call, argument: ast.GeneratorExp) -> None:
        """A generator that is a call's only argument takes the call's brackets for its own."""
        if node.args[0].value.lpar or node.args[0].star:
            return
        before = self.positions[node.func.rpar[-1] if node.func.rpar else node.func].end
        space = self.module.code_for_node(node.whitespace_after_func)
        if "\n" not in space:
            argument.lineno = before.line
            argument.col_offset = self._bytes(before.line, before.column + len(space))
        end = self.positions[node].end
        argument.end_lineno = end.line
        argument.end_col_offset = self._bytes(end.line, end.column)

    def _arguments(self, nodes: Sequence[cst.Arg]) -> tuple[list[ast.expr], list[ast.keyword]]:
        arguments: list[ast.expr] = []
        keywords: list[ast.keyword] = []
        for node in nodes:
            inner = self.value(node.value)
            if node.star == "**" or node.keyword is not None:
                name = _name(node.keyword.value) if node.keyword else None
                keywords.append(ast.keyword(name, inner, **self._at(node)))
            elif node.star:
                arguments.append(ast.Starred(inner, ast.Load(), **self._at(node)))
            else:
                if any(keyword.arg for keyword in keywords):
                    at = self.positions[node].start
                    raise Unreadable(
                        "positional argument follows keyword argument", at.line, at.column + 1
                    )
                arguments.append(inner)
        return arguments, keywords

    def _slices(self, parts: Sequence[cst.SubscriptElement]) -> ast.expr:
        turned = [self._slice(each.slice) for each in parts]
        last = parts[-1].comma
        if (
            len(turned) == 1
            and not isinstance(last, cst.Comma)
            and not isinstance(turned[0], ast.Starred)
        ):
            return turned[0]
        end: cst.CSTNode = (
            last if isinstance(last, cst.Comma) and last in self.positions else parts[-1].slice
        )
        return ast.Tuple(turned, ast.Load(), **self._at(parts[0].slice, end))

    def _slice(self, node: cst.BaseSlice) -> ast.expr:
        match node:
            case cst.Slice(lower=lower, upper=upper, step=step):
                return ast.Slice(
                    self._maybe(lower), self._maybe(upper), self._maybe(step), **self._at(node)
                )
            case cst.Index(value=inner, star=star):
                turned = self.value(inner)
                return ast.Starred(turned, ast.Load(), **self._at(node)) if star else turned
        raise self._unknown(node)

    def _boolean(self, node: cst.BooleanOperation) -> ast.BoolOp:
        """`a and b and c` is one operation of three."""
        kind = type(node.operator)
        operands: list[ast.expr] = []
        left: cst.BaseExpression = node
        while isinstance(left, cst.BooleanOperation) and isinstance(left.operator, kind):
            operands.append(self.value(left.right))
            if left is not node and left.lpar:
                operands.pop()
                break
            left = left.left
        operands.append(self.value(left))
        operator = ast.And() if kind is cst.And else ast.Or()
        return ast.BoolOp(operator, operands[::-1], **self._at(node))

    def _generators(self, node: cst.CompFor | None) -> list[ast.comprehension]:
        found = []
        while node is not None:
            found.append(
                ast.comprehension(
                    self._target(node.target),
                    self.value(node.iter),
                    [self.value(each.test) for each in node.ifs],
                    int(node.asynchronous is not None),
                )
            )
            node = node.inner_for_in
        return found

    # Strings

    def _string(self, node: cst.CSTNode) -> ast.expr:
        """A string of one or several literals; with `f` or `t` before one of them a `JoinedStr`."""
        at = self._at(node)
        literals: list[cst.CSTNode] = []
        waiting = [node]
        while waiting:
            each = waiting.pop()
            if isinstance(each, cst.ConcatenatedString):
                waiting += [each.right, each.left]
            else:
                literals.append(each)
        if not all(isinstance(each, cst.SimpleString) for each in literals):
            parts: list[ast.expr] = []
            for each in literals:
                if isinstance(each, cst.SimpleString):
                    parts.append(ast.Constant(each.evaluated_value, **self._at(each)))
                else:
                    parts += self._parts(each, cast("Any", each).start)
            return ast.JoinedStr(_merged(parts), **at)
        values = [cast("cst.SimpleString", each).evaluated_value for each in literals]
        if len({type(each) for each in values}) > 1:
            raise Unreadable(
                "cannot mix bytes and nonbytes literals", at["lineno"], at["col_offset"] + 1
            )
        kind = "u" if cast("cst.SimpleString", literals[0]).prefix == "u" else None
        joined = values[0][:0].join(values)  # type: ignore[arg-type]
        return ast.Constant(joined, kind, **at)

    def _parts(self, node: cst.CSTNode, start: str) -> list[ast.expr]:
        """The parts of an f-string or t-string, or of a format after a colon."""
        raw = "r" in start.lower()
        found: list[ast.expr] = []
        for part in cast("Any", node).parts:
            match part:
                case cst.FormattedStringText(value=text) | cst.TemplatedStringText(value=text):
                    found.append(ast.Constant(_unescaped(text, raw=raw), **self._at(part)))
                case cst.FormattedStringExpression() | cst.TemplatedStringExpression():
                    found += self._replaced(part, start)
                case _:
                    raise self._unknown(part)
        return found

    def _replaced(
        self, node: cst.FormattedStringExpression | cst.TemplatedStringExpression, start: str
    ) -> list[ast.expr]:
        """`{expression=!r:format}`."""
        found: list[ast.expr] = []
        conversion = ord(node.conversion) if node.conversion else -1
        if node.equal is not None:
            code = self.module.code_for_node
            # Comments may stand behind the expression, and not in what is shown.
            space = _COMMENT.sub("", code(node.equal))
            shown = code(node.whitespace_before_expression) + code(node.expression) + space
            found.append(ast.Constant(shown, **self._at(node)))
            if conversion == -1 and node.format_spec is None:
                conversion = ord("r")
        form = None
        if node.format_spec is not None:
            holder = cst.FormattedString(parts=cast("Any", node.format_spec))
            parts = _merged(self._parts(holder, start))
            form = ast.JoinedStr(parts, **self._at(node))
        found.append(
            ast.FormattedValue(self.value(node.expression), conversion, form, **self._at(node))
        )
        return found


def _no_type_params(kind: type[ast.AST]) -> dict[str, Any]:
    return {"type_params": []} if "type_params" in kind._fields else {}


def _name(text: str) -> str:
    """A name as Python compares it (PEP 3131)."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _dotted(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{_name(node.attr.value)}"
    return _name(cast("cst.Name", node).value)


def _unescaped(text: str, *, raw: bool) -> str:
    """The text between two replaced parts, as it will read."""

    def one(match: re.Match[str]) -> str:
        found = match[0]
        if found in {"{{", "}}"}:
            return found[0]
        return str(ast.literal_eval(f'"{found}"')) if found != '\\"' else '"'

    return re.sub(_BRACES, one, text) if raw else _ESCAPES.sub(one, text)


def _merged(parts: list[ast.expr]) -> list[ast.expr]:
    """Constants side by side are one, and empty ones none."""
    found: list[ast.expr] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            last.value = cast("str", last.value) + cast("str", part.value)
            last.end_lineno, last.end_col_offset = part.end_lineno, part.end_col_offset
        else:
            found.append(part)
    return [each for each in found if not isinstance(each, ast.Constant) or each.value]
