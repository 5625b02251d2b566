import tiktoken

ranks = {bytes([byte]): byte for byte in range(256)} | {b"te": 256, b"tea": 257}
encoding = tiktoken.Encoding(
    "teas", pat_str=r"\w+|\W+", mergeable_ranks=ranks, special_tokens={"<|end|>": 258}
)


def handler(event, context):
    tokens = encoding.encode("green tea")
    return [tokens, encoding.decode(tokens)]
