import yaml

settings = yaml.safe_load("teas: [green, black]\ncups: 2\nsince: 2026-01-01\n")


def handler(event, context):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [yaml.safe_dump(settings), yaml.load("a: 1", Loader=loader)]
