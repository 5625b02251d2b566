"""OpenTelemetry: the service.instance.id of every Resource, where the SDK or the user drew it at random.

Trace and span ids come from `random`. An instance id that the user chose (a host name, a task id) stays.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import provenance
from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw

_SDK: Final = "opentelemetry.sdk.resources"
_KEY: Final = "service.instance.id"


class OpenTelemetryFixer(Fixer):
    """Resources that shared one id share one again: a process is one instance."""

    def __init__(self) -> None:
        self._module: Any = None
        self._attributes: list[Any] = []

    def collects(self) -> tuple[type, ...]:
        """Resources, if the SDK is there and not only the API."""
        module: Any = sys.modules.get(_SDK)
        return (module.Resource,) if module is not None else ()

    def freeze(self, context: Context) -> None:
        """Find the ids that were drawn from the kernel (uuid4) during init."""
        self._module = sys.modules.get(_SDK)
        if self._module is None:
            raise Absent
        for resource in context.instances(self._module.Resource):
            attributes = getattr(resource._attributes, "_dict", None)
            if attributes is None:
                raise Unsupported("OpenTelemetry keeps a resource's attributes elsewhere")
            if provenance.value_is_unique(attributes.get(_KEY, "")):
                self._attributes.append(attributes)

    def thaw(self, draw: Draw) -> str | None:
        """Past the mapping's own lock against changes: for the exporters the resource is the same object."""
        renewed: dict[str, str] = {}
        for attributes in self._attributes:
            old = attributes[_KEY]
            if old not in renewed:
                renewed[old] = _uuid4(draw(16))
            attributes[_KEY] = renewed[old]
        kept = getattr(self._module, "_service_instance_id", None)
        if kept is not None:
            self._module._service_instance_id = renewed.get(kept) or _uuid4(draw(16))
        return f"{len(self._attributes)} resources"


def _uuid4(value: bytes) -> str:
    digits = (
        (int.from_bytes(value, "big") & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62)
        .to_bytes(16, "big")
        .hex()
    )
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


fixer = OpenTelemetryFixer()
