import httpx
from local import http

client = httpx.Client(timeout=5, headers={"user-agent": "tea/1"}, follow_redirects=True)


def handler(event, context):
    with http({"tea": "green"}) as port:
        answer = client.get(f"http://127.0.0.1:{port}/tea", params={"cups": 2})
    return [answer.status_code, answer.json()]


def unique():
    upload = client.build_request("POST", "http://shop/", files={"leaf": b"green"})
    return {"boundary of an upload": upload.headers["content-type"]}
