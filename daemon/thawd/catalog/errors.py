"""Why the catalog refuses."""

from __future__ import annotations

from thawd.errors import CatalogError


class FunctionNotFound(CatalogError):
    """There is no such function, or no such version of it (`version` set)."""

    def __init__(self, function_name: str, version: str | None = None) -> None:
        what = (
            f"version {version} of function {function_name}"
            if version
            else f"function {function_name}"
        )
        super().__init__(f"There is no {what}")
        self.function_name = function_name
        self.version = version


class FunctionExists(CatalogError):
    """A function of this name exists already."""

    def __init__(self, function_name: str) -> None:
        super().__init__(f"Function {function_name} exists already")
        self.function_name = function_name


class StaleRevision(CatalogError):
    """The caller's RevisionId is not the latest: somebody else changed the function meanwhile."""

    def __init__(self, function_name: str) -> None:
        super().__init__(
            f"Function {function_name} has been changed since the given revision",
            hint="Read it again, then repeat",
        )


class CodeMismatch(CatalogError):
    """The caller's CodeSha256 is not that of `$LATEST`."""

    def __init__(self, given: str, current: str) -> None:
        super().__init__(f"CodeSha256 {given} is not that of $LATEST, {current}")
        self.given = given
        self.current = current


class StateConflict(CatalogError):
    """A version cannot go from its state to the one asked for."""

    def __init__(self, function_name: str, version: str, state: str, wanted: str) -> None:
        super().__init__(
            f"Version {version} of function {function_name} is {state} and cannot become {wanted}"
        )
        self.state = state
        self.wanted = wanted
