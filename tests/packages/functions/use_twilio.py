from local import http
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client


class Local(TwilioHttpClient):
    port = 9

    def request(self, method, url, *args, **kwargs):
        return super().request(
            method,
            url.replace("https://api.twilio.com", f"http://127.0.0.1:{self.port}"),
            *args,
            **kwargs,
        )


wire = Local(timeout=5)
client = Client("AC" + "0" * 32, "token", http_client=wire)


def handler(event, context):
    with http({"sid": "SM1", "status": "queued", "body": "tea"}) as port:
        wire.port = port
        return client.messages("SM1").fetch().status
