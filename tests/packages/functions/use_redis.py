import redis
from local import tcp

RETRY = redis.retry.Retry(redis.backoff.ExponentialWithJitterBackoff(base=1, cap=10), 3)
pool = redis.ConnectionPool(host="127.0.0.1", port=6379, socket_timeout=5, protocol=2)
client = redis.Redis(connection_pool=pool, retry=RETRY)


def answer(reading, writing):
    while line := reading.readline():
        words = [reading.readline() and reading.readline().strip() for _ in range(int(line[1:]))]
        writing.write(b"$5\r\ngreen\r\n" if words[0] == b"GET" else b"+OK\r\n")


def handler(event, context):
    with tcp(answer) as port:
        pool.reset()
        pool.connection_kwargs["port"] = port
        said = client.get("tea")
        pool.disconnect()
    return said.decode()


def unique():
    return {"jitter": RETRY._backoff.compute(3)}
