# case: good: what Python 3.12 brought
import uuid

type Order = dict[str, str]


def first[T](items: list[T]) -> T:
    return items[0]


def handler(event, context):
    order: Order = {"id": uuid.uuid4().hex, "items": f"{", ".join(["tea", "milk"])}"}
    return {"order": order["id"], "first": first(["tea"])}


# case: bad: found where newer syntax is
import uuid


class Stack[T]:
    node = uuid.uuid4().hex  # expect: SNAP014


def make[T](kind: type[T]) -> str:
    return f"{f"{uuid.uuid4()}"}"


NODE = make(int)  # expect: SNAP001


# case: bad: what Python 3.13 and 3.14 brought
import uuid


class Box[T = int]: ...


try:
    NODE = t"node {uuid.uuid4()!r:>{40}}"  # expect: SNAP001
except ValueError, TypeError:
    NODE = ""


# case: bad: a replaced part over several lines
import uuid

NODE = f"node {
    uuid.uuid4()  # a comment  # expect: SNAP001
}"
