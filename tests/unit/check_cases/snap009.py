# case: bad: a secret
import boto3

PASSWORD = boto3.client("secretsmanager").get_secret_value(SecretId="db")  # expect: SNAP009
# case: bad: session credentials, which a client then holds
import boto3

sts = boto3.Session().client("sts")
creds = sts.assume_role(RoleArn="arn", RoleSessionName="x")["Credentials"]  # expect: SNAP009
s3 = boto3.client("s3", aws_access_key_id=creds["AccessKeyId"])
# case: bad: a presigned URL, a decrypted parameter, credentials from the environment
import os

import boto3

URL = boto3.client("s3").generate_presigned_url("get_object", Params={})  # expect: SNAP009
TOKEN = boto3.client("ssm").get_parameter(Name="t", WithDecryption=True)["x"]  # expect: SNAP009
KEY = os.environ["AWS_SECRET_ACCESS_KEY"]  # expect: SNAP009
# case: bad: in a settings object, with Powertools
from aws_lambda_powertools.utilities import parameters


class Settings:
    def __init__(self):
        self.password = parameters.get_secret("db")


settings = Settings()  # expect: SNAP009
# case: bad: the environment's own credentials, through the SDK and by hand
import json
import os
from urllib.request import Request, urlopen

import boto3
import requests

frozen = boto3.Session().get_credentials().get_frozen_credentials()  # expect: SNAP009


def fetch():
    token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    request = Request(
        os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": token}
    )
    with urlopen(request) as answer:
        return json.load(answer)


own = fetch()  # expect: SNAP009
headers = {"Authorization": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}  # expect: SNAP009
other = requests.get("http://localhost/", headers=headers).json()
# case: good: fetched in the handler
from aws_lambda_powertools.utilities import parameters


def handler(event, context):
    return len(parameters.get_secret("db", max_age=60))


# case: good: fetched again after restore
import boto3
from snapshot_restore_py import register_after_restore

secrets = boto3.client("secretsmanager")


@register_after_restore
def fetch():
    global PASSWORD
    PASSWORD = secrets.get_secret_value(SecretId="db")["SecretString"]


PASSWORD = secrets.get_secret_value(SecretId="db")["SecretString"]
# case: good: the environment's own credentials, fetched in the handler
import json
import os
from urllib.request import Request, urlopen


def handler(event, context):
    token = os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    request = Request(
        os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": token}
    )
    with urlopen(request) as answer:
        return json.load(answer)["AccessKeyId"]


# case: good: what a service answers that was asked with a secret
import boto3
import requests

secrets = boto3.client("secretsmanager")
PRICES = requests.get(
    "http://prices/", headers={"X-Key": secrets.get_secret_value(SecretId="prices")["SecretString"]}
).json()
# case: good: other settings, and only the length kept
import os

import boto3

TABLE = os.environ["TABLE"]
client = boto3.client("secretsmanager")
HAS_SECRET = len(client.get_secret_value(SecretId="db")["SecretString"]) > 0
