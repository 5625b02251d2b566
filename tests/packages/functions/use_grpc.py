from concurrent import futures

import grpc
from local import CLOSED

channel = grpc.insecure_channel(f"127.0.0.1:{CLOSED}")
stub = channel.unary_unary("/teas.Shop/Order")


class Shop(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"hot " + request)


def handler(event, context):
    try:
        stub(b"green", timeout=0.2)
    except grpc.RpcError as error:
        failed = error.code().name
    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Shop()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as own:
        said = own.unary_unary("/teas.Shop/Order")(b"green", timeout=5)
    server.stop(None).wait()
    return [failed in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}, said.decode()]
