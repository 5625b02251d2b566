# case: bad: the keys that tokens are checked with
import json
import os
import urllib.request

import httpx
import requests

REGION = os.environ["AWS_REGION"]
JWKS = requests.get(  # expect: SNAP016
    f"https://cognito-idp.{REGION}.amazonaws.com/pool/.well-known/jwks.json", timeout=5
).json()["keys"]
with urllib.request.urlopen("https://issuer.example/keys") as answer:  # expect: SNAP016
    KEYS = json.loads(answer.read())
PUBLIC_KEYS = {key["kid"]: key for key in httpx.get(os.environ["ISSUER"]).json()}  # expect: SNAP016


# case: bad: in a function, a session, by format and by addition
import requests

BASE = "https://login.example"
session = requests.Session()


def certificates():
    return session.get(BASE + "/oauth2/v1/certs").json()


CERTS = certificates()  # expect: SNAP016
ADDRESS = "{}/.well-known/openid-configuration".format(BASE)
CONFIGURATION = requests.get(ADDRESS).json()  # expect: SNAP016


# case: bad: a token fetched
import requests

TOKEN = requests.post(  # expect: SNAP009
    "https://login.example/oauth2/token", data={"grant_type": "client_credentials"}
).json()["access_token"]


# case: bad: by a library for it
import jwt

client = jwt.PyJWKClient("https://login.example/keys")
KEYS = client.get_signing_keys()  # expect: SNAP016


# case: good: fetched by the handler, or by a library that fetches late
import jwt
import requests

client = jwt.PyJWKClient("https://login.example/keys", lifespan=300)


def handler(event, context):
    keys = requests.get("https://login.example/keys").json()
    return client.get_signing_key_from_jwt(event["token"]), keys


# case: good: data that is nobody's key
import requests

COUNTRIES = requests.get("https://example.org/countries.json").json()
MODEL = requests.get("https://models.example.org/v1/weights.bin").content


# case: good: fetched again after restore
import requests
from snapshot_restore_py import register_after_restore


def load():
    global JWKS
    JWKS = requests.get("https://login.example/jwks.json").json()


load()
register_after_restore(load)


# case: bad: a token of AppConfig, of which each may be used once
import boto3

appconfig = boto3.client("appconfigdata")
token = appconfig.start_configuration_session(  # expect: SNAP009
    ApplicationIdentifier="shop",
    EnvironmentIdentifier="prod",
    ConfigurationProfileIdentifier="flags",
)["InitialConfigurationToken"]


# case: bad: a token of AppConfig in an object, and the flags that it brought
import boto3


class Flags:
    def __init__(self):
        self.client = boto3.Session().client("appconfigdata")
        self.token = self.client.start_configuration_session(ApplicationIdentifier="shop")[
            "InitialConfigurationToken"
        ]
        answer = self.client.get_latest_configuration(ConfigurationToken=self.token)
        self.token = answer["NextPollConfigurationToken"]
        self.values = answer["Configuration"].read()


flags = Flags()  # expect: SNAP009, SNAP016


# case: bad: other tokens and places of AWS
import boto3

kinesis = boto3.client("kinesis")
ITERATOR = kinesis.get_shard_iterator(StreamName="orders")["ShardIterator"]  # expect: SNAP009
redshift = boto3.client("redshift")
PASSWORD = redshift.get_cluster_credentials(DbUser="shop")["DbPassword"]  # expect: SNAP009
cognito = boto3.client("cognito-idp")
USER = cognito.initiate_auth(AuthFlow="X")["AuthenticationResult"]  # expect: SNAP009


# case: bad: powertools' providers
from aws_lambda_powertools.utilities import parameters

secrets = parameters.SecretsProvider()
PASSWORD = secrets.get("db")  # expect: SNAP009
KEY = parameters.get_parameter("/shop/key", decrypt=True)  # expect: SNAP009
FLAGS = parameters.AppConfigProvider(environment="prod").get("flags")  # expect: SNAP016


# case: good: a provider made at init and asked by the handler
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.feature_flags import AppConfigStore, FeatureFlags

secrets = parameters.SecretsProvider()
flags = FeatureFlags(store=AppConfigStore(environment="prod", application="shop", name="flags"))


def handler(event, context):
    return len(secrets.get("db", max_age=60)), flags.evaluate(name="new", context={}, default=False)


# case: bad: other vaults
import hvac
from azure.identity import DefaultAzureCredential
from google.cloud import secretmanager

TOKEN = DefaultAzureCredential().get_token("https://vault.azure.net/.default")  # expect: SNAP009
DB = secretmanager.SecretManagerServiceClient().access_secret_version(name="db")  # expect: SNAP009
vault = hvac.Client()
OTHER = vault.secrets.kv.v2.read_secret_version(path="db")  # expect: SNAP009
