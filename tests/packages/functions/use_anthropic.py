import anthropic
from local import http

client = anthropic.Anthropic(api_key="of tests", base_url="http://127.0.0.1:9", max_retries=1)
ANSWER = {
    "id": "1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "green"}], "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip


def handler(event, context):
    with http(ANSWER) as port:
        own = client.with_options(base_url=f"http://127.0.0.1:{port}")
        answer = own.messages.create(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}]
        )
    return answer.content[0].text


def unique():
    return {"idempotency key": client._idempotency_key()}
