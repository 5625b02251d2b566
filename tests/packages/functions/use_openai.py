import openai
from local import http

client = openai.OpenAI(api_key="of tests", base_url="http://127.0.0.1:9/v1", max_retries=1)
ANSWER = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "green"}}],
}  # fmt: skip


def handler(event, context):
    with http(ANSWER) as port:
        own = client.with_options(base_url=f"http://127.0.0.1:{port}/v1")
        answer = own.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    return answer.choices[0].message.content


def unique():
    return {"idempotency key": client._idempotency_key()}
