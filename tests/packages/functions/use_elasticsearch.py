from elasticsearch import Elasticsearch
from local import http

client = Elasticsearch("http://127.0.0.1:9", request_timeout=5, max_retries=1)


def handler(event, context):
    hit = {"hits": {"total": {"value": 1}, "hits": [{"_source": {"tea": "green"}}]}}
    product = [("X-Elastic-Product", "Elasticsearch")]
    with http(hit, "application/vnd.elasticsearch+json;compatible-with=9", product) as port:
        own = Elasticsearch(f"http://127.0.0.1:{port}", request_timeout=5)
        found = own.search(index="teas", query={"match_all": {}})
    return [hit["_source"] for hit in found["hits"]["hits"]]
