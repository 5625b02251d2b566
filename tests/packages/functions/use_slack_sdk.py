from local import http
from slack_sdk import WebClient
from slack_sdk.signature import SignatureVerifier

client = WebClient(token="xoxb-of-tests", timeout=5)
verifier = SignatureVerifier("of tests")


def handler(event, context):
    with http({"ok": True, "channel": "C1", "ts": "1"}) as port:
        client.base_url = f"http://127.0.0.1:{port}/"
        answer = client.chat_postMessage(channel="#teas", text="green")
    return [answer["ok"], verifier.generate_signature(timestamp="1", body="tea")]
