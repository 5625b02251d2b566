import io

from loguru import logger

kept = io.StringIO()
logger.remove()
logger.add(kept, format="{level}:{message}:{extra[service]}", enqueue=False)
log = logger.bind(service="teas")


def handler(event, context):
    kept.truncate(kept.seek(0))
    log.info("brewed {}", "green")
    return kept.getvalue()
