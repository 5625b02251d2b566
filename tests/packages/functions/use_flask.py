import secrets

import serverless_wsgi
from flask import Flask, jsonify, request, session

app = Flask(__name__)
app.secret_key = "of tests"


@app.post("/orders")
def order():
    return jsonify(ordered=request.json["tea"], cups=request.args.get("cups", 1, type=int))


@app.get("/login")
def login():
    session["csrf"] = secrets.token_hex(8)
    return session["csrf"]


def call(method, path, body=None, query=None):
    event = {
        "httpMethod": method, "path": path, "body": body, "queryStringParameters": query,
        "headers": {"Content-Type": "application/json", "Host": "shop"}, "requestContext": {},
    }  # fmt: skip
    answer = serverless_wsgi.handle_request(app, event, None)
    return [answer["statusCode"], answer["body"]]


def handler(event, context):
    return call("POST", "/orders", '{"tea": "green"}', {"cups": "2"})


def unique():
    return {"a session's token": call("GET", "/login")[1]}
