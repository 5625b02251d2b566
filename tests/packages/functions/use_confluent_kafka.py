from confluent_kafka import Producer
from confluent_kafka.serialization import StringSerializer
from local import CLOSED

producer = Producer(
    {"bootstrap.servers": f"127.0.0.1:{CLOSED}", "message.timeout.ms": 200, "log_level": 0}
)
text = StringSerializer()


def handler(event, context):
    said = []
    producer.produce("teas", text("green"), on_delivery=lambda error, _: said.append(error.name()))
    producer.flush(10)
    return said
