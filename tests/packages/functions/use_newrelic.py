import os

os.environ.setdefault("NEW_RELIC_LICENSE_KEY", "0" * 40)
os.environ.setdefault("NEW_RELIC_APP_NAME", "teas")
os.environ.setdefault("NEW_RELIC_SERVERLESS_MODE_ENABLED", "true")
os.environ.setdefault("NEW_RELIC_ACCOUNT_ID", "1")
os.environ.setdefault("NEW_RELIC_TRUSTED_ACCOUNT_KEY", "1")
os.environ.setdefault("NEW_RELIC_LOG", "stderr")

import newrelic.agent

newrelic.agent.initialize()
application = newrelic.agent.register_application()


@newrelic.agent.background_task(application=application, name="brew")
def brew(tea):
    newrelic.agent.add_custom_attribute("tea", tea)
    transaction = newrelic.agent.current_transaction()
    return transaction.guid, transaction.trace_id


def handler(event, context):
    return all(brew("green"))


def unique():
    guid, trace = brew("green")
    return {"transaction": guid, "trace": trace}
