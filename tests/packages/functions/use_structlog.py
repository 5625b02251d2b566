import logging
import uuid

import structlog

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    cache_logger_on_first_use=True,
)
log = structlog.get_logger(service="teas")


def handler(event, context):
    with structlog.testing.capture_logs() as said:
        structlog.get_logger(service="teas").info("brewed", tea="green")
    log.info("brewed", tea="green")
    return said


def unique():
    with structlog.contextvars.bound_contextvars(request=str(uuid.uuid4())):
        return {"request": structlog.contextvars.get_contextvars()["request"]}
