from local import http
from opensearchpy import OpenSearch

client = OpenSearch([{"host": "127.0.0.1", "port": 9}], timeout=5)


def handler(event, context):
    with http({"hits": {"hits": [{"_source": {"tea": "green"}}]}}) as port:
        own = OpenSearch([{"host": "127.0.0.1", "port": port}], timeout=5)
        found = own.search(index="teas", body={"query": {"match_all": {}}})
    return [hit["_source"] for hit in found["hits"]["hits"]]
