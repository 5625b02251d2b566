"""Routes by path template: `/functions/{name}/versions`."""

from __future__ import annotations

from urllib.parse import unquote

from attrs import define, field

from .message import Handler, Request, RequestRefused, Response


@define(eq=False)
class _Node:
    """One place in the tree of path segments."""

    literals: dict[str, _Node] = field(factory=dict)
    wildcard: _Node | None = None
    handlers: dict[str, tuple[Handler, tuple[str, ...]]] = field(factory=dict)


@define(eq=False)
class Router:
    """A handler that passes each request on to the one for its path and method.

    A path is split at its slashes first and percent-decoded after, so that `%2F` and `%3A` stay inside a segment. A
    slash at the end makes no difference (older AWS SDKs send one). Literal segments win over `{name}`. HEAD is answered
    by the handler of GET.
    """

    _root: _Node = field(factory=_Node)

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Route `method` on `template` to `handler`, which finds the matched segments in `request.params`.

        Raises `ValueError` if the route is taken.
        """
        node, names = self._root, []
        for segment in _segments(template):
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                if node.wildcard is None:
                    node.wildcard = _Node()
                node = node.wildcard
            else:
                node = node.literals.setdefault(segment, _Node())
        if method in node.handlers:
            raise ValueError(f"{method} {template} is routed twice")
        node.handlers[method] = (handler, tuple(names))

    async def __call__(self, request: Request) -> Response:
        """Answer by the request's route. Raises `RequestRefused` 404, 405 (with `Allow`) or 400."""
        values: list[str] = []
        try:
            node = _find(self._root, _segments(request.raw_path), 0, values)
        except UnicodeDecodeError:
            raise RequestRefused(400, "The path is not percent-encoded UTF-8") from None
        if node is None:
            raise RequestRefused(404)
        found = node.handlers.get(request.method)
        if found is None and request.method == "HEAD":
            found = node.handlers.get("GET")
        if found is None:
            allowed = {*node.handlers, *({"HEAD"} if "GET" in node.handlers else ())}
            raise RequestRefused(405, headers=[("Allow", ", ".join(sorted(allowed)))])
        handler, names = found
        request.params = dict(zip(names, values, strict=True))
        return await handler(request)


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/")


def _find(node: _Node, segments: list[str], at: int, values: list[str]) -> _Node | None:
    """The node of a path, with what its wildcards matched appended to `values`."""
    if at == len(segments):
        return node if node.handlers else None
    segment = segments[at]
    if "%" in segment:
        segment = unquote(segment, errors="strict")
    literal = node.literals.get(segment)
    if literal is not None and (found := _find(literal, segments, at + 1, values)):
        return found
    if node.wildcard is not None and segment:
        values.append(segment)
        if found := _find(node.wildcard, segments, at + 1, values):
            return found
        values.pop()
    return None
