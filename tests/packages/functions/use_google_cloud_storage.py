from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from local import http

client = storage.Client(project="teas", credentials=AnonymousCredentials())


def handler(event, context):
    with http({"kind": "storage#bucket", "name": "teas", "id": "teas"}) as port:
        own = storage.Client(
            project="teas", credentials=AnonymousCredentials(),
            client_options={"api_endpoint": f"http://127.0.0.1:{port}"},
        )  # fmt: skip
        return own.get_bucket("teas").name
