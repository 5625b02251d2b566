import re

import requests
from local import http
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

session = requests.Session()
session.mount("https://", HTTPAdapter(max_retries=Retry(3, backoff_factor=0.1)))
session.headers["user-agent"] = "tea/1"
FLAGS = re.IGNORECASE


def handler(event, context):
    with http({"tea": "green"}) as port:
        answer = session.get(f"http://127.0.0.1:{port}/tea", timeout=5)
    return [answer.status_code, answer.json(), bool(re.search("GREEN", answer.text, FLAGS))]


def unique():
    upload = requests.Request("POST", "http://shop/", files={"leaf": b"green"}).prepare()
    return {"boundary of an upload": upload.headers["content-type"]}
