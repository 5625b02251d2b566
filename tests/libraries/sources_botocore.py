"""botocore: the jitter of its retries comes from `random`."""

from botocore.retries.standard import ExponentialBackoff, RetryContext

backoff = ExponentialBackoff()


def sources():
    return {
        "retry jitter": lambda: backoff.delay_amount(
            RetryContext(attempt_number=3, operation_model=None)
        ),
    }
