"""Imports what MODULES names, so that many fixers have something to renew."""

import importlib
import os

for name in os.environ["MODULES"].split():
    importlib.import_module(name)


def handler(event, context):
    return {}
