import urllib3
from local import http
from urllib3.filepost import encode_multipart_formdata

pool = urllib3.PoolManager(num_pools=2, retries=urllib3.Retry(2), timeout=urllib3.Timeout(5))


def handler(event, context):
    with http({"tea": "green"}) as port:
        answer = pool.request("POST", f"http://127.0.0.1:{port}/", json={"cups": 2})
    return [answer.status, answer.json()]


def unique():
    return {"boundary of an upload": encode_multipart_formdata({"leaf": "green"})[1]}
