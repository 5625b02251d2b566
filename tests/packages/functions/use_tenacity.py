import tenacity

WAIT = tenacity.wait_random_exponential(multiplier=1, max=60)
retrying = tenacity.Retrying(
    stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_none(), reraise=True
)


def handler(event, context):
    tries = []

    def brew():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("no tea")
        return "green"

    return [retrying(brew), len(tries)]


def unique():
    state = tenacity.RetryCallState(retrying, None, (), {})
    state.attempt_number = 8
    return {"jitter": WAIT(state)}
