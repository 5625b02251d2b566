"""The libraries' part: which calls make something that clones must not share.

Names are fully dotted, as the interpreter resolves them; what a call returns is its name with `()` behind it.
Taken from the measured table of sources (GUARANTEES.md) and the libraries' documentation.
"""

from __future__ import annotations

from typing import Final

from .values import Kind


def _names(kind: Kind, text: str) -> dict[str, Kind]:
    """`module: name name` lines."""
    table: dict[str, Kind] = {}
    for line in text.strip().splitlines():
        module, _, names = line.strip().partition(":")
        table |= {f"{module}.{name}": kind for name in names.split()}
    return table


_SYSTEM_RANDOM: Final = (
    "random choice choices getrandbits randbytes randint randrange sample shuffle uniform"
)
_DRAWS: Final = _SYSTEM_RANDOM + (
    " betavariate binomialvariate expovariate gammavariate gauss lognormvariate normalvariate paretovariate"
    " triangular vonmisesvariate weibullvariate"
)

SOURCES: Final[dict[str, Kind]] = {
    **_names(
        Kind.UNIQUE,
        f"""
        uuid: uuid1 uuid4 uuid6 uuid7 uuid8
        secrets: token_hex token_urlsafe choice randbelow randbits
        random.SystemRandom(): {_SYSTEM_RANDOM}
        secrets.SystemRandom(): {_SYSTEM_RANDOM}
        email.utils: make_msgid
        ulid: ULID new ulid
        nanoid: generate non_secure_generate
        shortuuid: uuid random
        shortuuid.ShortUUID(): uuid random
        ksuid: ksuid Ksuid KsuidMs
        uuid6: uuid6 uuid7 uuid8
        uuid_utils: uuid1 uuid4 uuid6 uuid7
        uuid_utils.compat: uuid1 uuid4 uuid6 uuid7
        uuid_extensions: uuid7
        bson: ObjectId
        bson.objectid: ObjectId
        cuid2: cuid_wrapper
        xid: XID
        werkzeug.security: gen_salt
        django.utils.crypto: get_random_string
        """,
    ),
    **_names(
        Kind.ENTROPY,
        """
        os: urandom getrandom
        secrets: token_bytes
        ssl: RAND_bytes RAND_priv_bytes
        nacl.utils: random
        Crypto.Random: get_random_bytes
        Cryptodome.Random: get_random_bytes
        """,
    ),
    **_names(
        Kind.KEY,
        """
        cryptography.fernet.Fernet: generate_key
        cryptography.fernet.MultiFernet: generate_key
        cryptography.hazmat.primitives.ciphers.aead.AESGCM: generate_key
        cryptography.hazmat.primitives.ciphers.aead.AESGCMSIV: generate_key
        cryptography.hazmat.primitives.ciphers.aead.AESCCM: generate_key
        cryptography.hazmat.primitives.ciphers.aead.AESSIV: generate_key
        cryptography.hazmat.primitives.ciphers.aead.AESOCB3: generate_key
        cryptography.hazmat.primitives.ciphers.aead.ChaCha20Poly1305: generate_key
        cryptography.hazmat.primitives.asymmetric.rsa: generate_private_key
        cryptography.hazmat.primitives.asymmetric.ec: generate_private_key
        cryptography.hazmat.primitives.asymmetric.dsa: generate_private_key
        cryptography.hazmat.primitives.asymmetric.ed25519.Ed25519PrivateKey: generate
        cryptography.hazmat.primitives.asymmetric.ed448.Ed448PrivateKey: generate
        cryptography.hazmat.primitives.asymmetric.x25519.X25519PrivateKey: generate
        cryptography.hazmat.primitives.asymmetric.x448.X448PrivateKey: generate
        nacl.public.PrivateKey: generate
        nacl.signing.SigningKey: generate
        Crypto.PublicKey.RSA: generate
        Crypto.PublicKey.ECC: generate
        Cryptodome.PublicKey.RSA: generate
        Cryptodome.PublicKey.ECC: generate
        rsa: newkeys
        bcrypt: gensalt
        jwcrypto.jwk.JWK: generate
        authlib.jose.JsonWebKey: generate_key
        pyotp: random_base32 random_hex
        django.core.management.utils: get_random_secret_key
        """,
    ),
    **_names(
        Kind.NUMBER,
        f"""
        random: {_DRAWS}
        numpy.random: rand randn randint random random_sample random_integers bytes choice normal permutation shuffle uniform
        torch: rand randn randint randperm rand_like randn_like
        """,
    ),
    **_names(
        Kind.TIME,
        """
        time: time time_ns monotonic monotonic_ns perf_counter perf_counter_ns ctime localtime gmtime asctime strftime
        datetime.datetime: now utcnow today
        datetime.date: today
        django.utils.timezone: now localtime localdate
        pendulum: now today
        arrow: now utcnow
        pandas.Timestamp: now today utcnow
        whenever.Instant: now
        """,
    ),
    **_names(
        Kind.IDENTITY,
        """
        os: getpid getppid
        socket: gethostname getfqdn
        platform: node
        uuid: getnode
        threading: get_ident get_native_id
        """,
    ),
    **_names(
        Kind.TEMPORARY,
        """
        tempfile: mkstemp mkdtemp mktemp NamedTemporaryFile SpooledTemporaryFile TemporaryDirectory TemporaryFile
        """,
    ),
    **_names(
        Kind.LOOKUP,
        """
        socket: getaddrinfo gethostbyname gethostbyname_ex gethostbyaddr create_resolver
        dns.resolver: resolve query
        dns.resolver.Resolver(): resolve query
        aws_lambda_powertools.utilities.parameters: get_parameter get_parameters get_parameters_by_name get_app_config get_dynamodb_value
        boto3.client(ssm): get_parameter get_parameters get_parameters_by_path
        boto3.client(servicediscovery): discover_instances
        boto3.client(appconfigdata): get_latest_configuration
        boto3.client(elasticache): describe_cache_clusters
        boto3.client(rds): describe_db_instances describe_db_clusters
        boto3.client(cloudmap): discover_instances
        aws_lambda_powertools.utilities.parameters.SSMProvider(): get get_multiple
        aws_lambda_powertools.utilities.parameters.AppConfigProvider(): get
        aws_lambda_powertools.utilities.parameters.DynamoDBProvider(): get get_multiple
        aws_lambda_powertools.utilities.feature_flags.AppConfigStore(): get_configuration
        jwt.PyJWKClient(): get_signing_keys get_jwk_set fetch_data get_signing_key get_signing_key_from_jwt
        jwt.jwks_client.PyJWKClient(): get_signing_keys get_jwk_set fetch_data get_signing_key get_signing_key_from_jwt
        """,
    ),
    **_names(
        Kind.SECRET,
        """
        aws_lambda_powertools.utilities.parameters: get_secret
        boto3.client(secretsmanager): get_secret_value batch_get_secret_value
        boto3.client(kms): decrypt generate_data_key generate_data_key_without_plaintext
        boto3.client(sts): assume_role assume_role_with_web_identity get_session_token get_federation_token
        boto3.client(rds): generate_db_auth_token
        boto3.client(dsql): generate_db_connect_auth_token generate_db_connect_admin_auth_token
        boto3.client(ecr): get_authorization_token
        boto3.client(codeartifact): get_authorization_token
        boto3.client(appconfigdata): start_configuration_session
        boto3.client(kinesis): get_shard_iterator
        boto3.client(dynamodbstreams): get_shard_iterator
        boto3.client(redshift): get_cluster_credentials get_cluster_credentials_with_iam
        boto3.client(redshift-serverless): get_credentials
        boto3.client(cognito-idp): initiate_auth admin_initiate_auth
        boto3.client(cognito-identity): get_credentials_for_identity get_open_id_token
        boto3.client(sso): get_role_credentials
        boto3.client(sso-oidc): create_token
        boto3.client(ecr-public): get_authorization_token
        boto3.client(s3): create_session
        aws_lambda_powertools.utilities.parameters.SecretsProvider(): get
        azure.identity.DefaultAzureCredential(): get_token
        azure.identity.ManagedIdentityCredential(): get_token
        azure.identity.ClientSecretCredential(): get_token
        azure.keyvault.secrets.SecretClient(): get_secret
        jwt: encode
        google.auth: default
        """,
    ),
    # What connects while it is constructed. Clients that connect on first use are under CONNECTS.
    **_names(
        Kind.CONNECTION,
        """
        socket: create_connection
        psycopg: connect
        psycopg.Connection: connect
        psycopg.AsyncConnection: connect
        psycopg2: connect
        psycopg2.pool: SimpleConnectionPool ThreadedConnectionPool
        psycopg_pool: ConnectionPool
        asyncpg: connect create_pool
        pymysql: connect Connection
        pymysql.connections: Connection
        MySQLdb: connect
        mysql.connector: connect
        mariadb: connect
        pymssql: connect
        pyodbc: connect
        oracledb: connect create_pool
        cx_Oracle: connect SessionPool
        snowflake.connector: connect
        redshift_connector: connect
        pika: BlockingConnection
        kafka: KafkaProducer KafkaConsumer
        confluent_kafka: Producer Consumer
        confluent_kafka.admin: AdminClient
        aiomysql: connect create_pool
        aiopg: connect create_pool
        aio_pika: connect connect_robust
        asyncssh: connect
        asyncio: open_connection
        stomp.Connection(): connect
        nats: connect
        cassandra.cluster.Cluster(): connect
        websocket: create_connection
        websockets: connect
        ldap3: Connection
        """,
    ),
    **_names(
        Kind.FILE,
        """
        sqlite3: connect
        apsw: Connection
        logging: FileHandler
        logging.handlers: RotatingFileHandler TimedRotatingFileHandler WatchedFileHandler
        """,
    ),
    **_names(
        Kind.BACKGROUND,
        """
        multiprocessing.pool: ThreadPool
        sentry_sdk: init
        opentelemetry.sdk.trace.export: BatchSpanProcessor
        opentelemetry.sdk.metrics.export: PeriodicExportingMetricReader
        opentelemetry.sdk._logs.export: BatchLogRecordProcessor
        signal: alarm setitimer
        _thread: start_new_thread
        """,
    ),
    **_names(
        Kind.PROCESS,
        """
        subprocess: Popen
        psutil: Popen
        os: fork forkpty posix_spawn posix_spawnp spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe
        pty: fork
        asyncio: create_subprocess_exec create_subprocess_shell
        asyncio.subprocess: create_subprocess_exec create_subprocess_shell
        anyio: open_process
        trio.lowlevel: open_process
        pexpect: spawn
        pexpect.popen_spawn: PopenSpawn
        multiprocessing: Pool Manager
        multiprocessing.pool: Pool
        multiprocessing.get_context(): Pool Manager
        """,
    ),
}

HOST_NAME_OF: Final = frozenset({("os.uname()", "nodename"), ("platform.uname()", "node")})
"""Attributes that name the host; what else uname tells is the same everywhere."""

METHODS: Final[dict[str, Kind]] = {
    "get_secret_value": Kind.SECRET,
    "generate_presigned_url": Kind.SECRET,
    "generate_presigned_post": Kind.SECRET,
    "generate_db_auth_token": Kind.SECRET,
    "get_frozen_credentials": Kind.SECRET,
    "acquire_token_for_client": Kind.SECRET,
    "fetch_id_token": Kind.SECRET,
    "fetch_token": Kind.SECRET,
    "fetch_access_token": Kind.SECRET,
    "access_secret_version": Kind.SECRET,
    "read_secret_version": Kind.SECRET,
    "get_latest_configuration": Kind.LOOKUP,
    "start_configuration_session": Kind.SECRET,
}
"""Methods that say by their name alone what they fetch, whatever they are called on."""

ONLY_WITHOUT_ARGUMENTS: Final = frozenset(
    {
        "bson.ObjectId", "bson.objectid.ObjectId", "ulid.ULID", "ksuid.Ksuid", "time.localtime", "time.gmtime",
        "time.ctime", "time.asctime", "xid.XID",
    }
)  # fmt: skip
"""With an argument these convert what they are given."""

GENERATORS: Final = frozenset(
    {
        "random.Random", "numpy.random.default_rng", "numpy.random.RandomState", "numpy.random.Generator",
        "numpy.random.PCG64", "numpy.random.PCG64DXSM", "numpy.random.MT19937", "numpy.random.Philox",
        "numpy.random.SFC64", "numpy.random.SeedSequence", "faker.Faker", "faker.factory.Factory.create",
        "mimesis.Generic",
    }
)  # fmt: skip
"""Generators that seed themselves when they get no seed."""

SEEDS: Final = {
    "random.seed": "random",
    "numpy.random.seed": "numpy.random",
    "torch.manual_seed": "torch",
    "torch.random.manual_seed": "torch",
    "faker.Faker.seed": "faker",
    "tensorflow.random.set_seed": "tensorflow.random",
    "polars.set_random_seed": "polars",
}
"""What seeds a library's global generator, and where that lives."""

GENERATOR_FAMILY: Final = frozenset(
    {"spawn", "jumped", "bit_generator", "_bit_generator", "seed_seq", "unique"}
)
"""Methods and attributes of a generator that are again generators."""

STARTS: Final[dict[str, tuple[str, ...]]] = {
    "threading.Thread": ("start",),
    "threading.Timer": ("start",),
    "multiprocessing.Process": ("start",),
    "multiprocessing.context.Process": ("start",),
    "multiprocessing.get_context().Process": ("start",),
    "concurrent.futures.ThreadPoolExecutor": ("submit", "map"),
    "concurrent.futures.ProcessPoolExecutor": ("submit", "map"),
    "concurrent.futures.thread.ThreadPoolExecutor": ("submit", "map"),
    "sched.scheduler": ("run",),
    "apscheduler.schedulers.background.BackgroundScheduler": ("start",),
    "asyncio.new_event_loop": ("call_later", "call_at", "create_task", "run_in_executor"),
    "asyncio.get_event_loop": ("call_later", "call_at", "create_task", "run_in_executor"),
    "watchdog.observers.Observer": ("start",),
    "logging.handlers.QueueListener": ("start",),
    "paho.mqtt.client.Client": ("loop_start",),
}
"""Methods that set something going which outlives the call."""

PROCESSES: Final = ("multiprocessing.", "concurrent.futures.ProcessPool")
"""How the makers begin, in `STARTS`, that start processes and not threads."""
WAITED_FOR: Final = frozenset({"wait", "communicate"})
"""Methods after which a child process has ended."""
REAPED: Final = frozenset(
    {"os.wait", "os.waitpid", "os.wait3", "os.wait4", "os.waitid", "os.kill", "os.killpg"}
)
"""Functions after which the children of `os` have ended."""
SHELLS: Final = frozenset(
    {"os.system", "subprocess.run", "subprocess.call", "subprocess.check_call"}
)
"""They wait for the shell, which does not wait for what it was told to run behind an ampersand."""

RUNNERS: Final = frozenset(
    {"asyncio.run", "asyncio.wait_for", "asyncio.shield", "asyncio.ensure_future", "asyncio.create_task",
     "asyncio.run_coroutine_threadsafe", "asyncio.Runner().run", "asyncio.to_thread", "asyncio.timeouts.wait_for",
     "uvloop.run", "anyio.run", "anyio.from_thread.run", "anyio.to_thread.run_sync", "trio.run", "trio.from_thread.run",
     "trio.to_thread.run_sync", "asgiref.sync.async_to_sync", "asgiref.sync.sync_to_async", "async_timeout.wait_for",
     "curio.run"}
)  # fmt: skip
"""What they give is what their first argument does, awaited or called."""
RUNNER_METHODS: Final = frozenset({"run_until_complete", "run_in_executor"})

CONNECTS: Final[dict[str, tuple[str, ...]]] = {
    "sqlalchemy.create_engine": ("connect", "begin", "raw_connection"),
    "sqlalchemy.ext.asyncio.create_async_engine": ("connect", "begin"),
    "sqlalchemy.engine.create_engine": ("connect", "begin", "raw_connection"),
    "socket.socket": ("connect", "connect_ex", "listen"),
    "http.client.HTTPConnection": ("connect", "request"),
    "http.client.HTTPSConnection": ("connect", "request"),
    "psycopg_pool.ConnectionPool": ("open", "wait", "connection"),
    "paramiko.SSHClient": ("connect",),
    "paho.mqtt.client.Client": ("connect",),
    "smtplib.SMTP": ("connect", "starttls", "login"),
    "smtplib.SMTP_SSL": ("connect", "login"),
    "ftplib.FTP": ("connect", "login"),
    "imaplib.IMAP4_SSL": ("login",),
}  # fmt: skip
"""Methods by which a client that had no connection gets one that it keeps. urllib3, requests, httpx and botocore are
not here: they replace a dead connection without a word (measured)."""

AT_ANY_COMMAND: Final = frozenset(
    {f"{library}.{maker}" for library in ("redis", "redis.asyncio", "redis.cluster", "valkey", "valkey.asyncio", "redis.asyncio.client")
     for maker in ("Redis", "StrictRedis", "RedisCluster", "from_url", "Redis.from_url", "Valkey", "Valkey.from_url")}
    | {"pymemcache.client.base.Client", "pymemcache.Client", "pymemcache.client.base.PooledClient", "pymemcache.client.hash.HashClient",
       "bmemcached.Client", "pylibmc.Client", "memcache.Client"}
)  # fmt: skip
"""Clients of which nearly every method connects."""
QUIET: Final = frozenset(
    {"pipeline", "register_script", "lock", "from_url", "get_encoder", "get_connection_kwargs", "set_response_callback",
     "pubsub", "transaction", "get_retry", "set_retry"}
)  # fmt: skip
"""Methods of theirs that do not."""
BENEATH: Final[dict[str, frozenset[str]]] = {
    maker: frozenset(
        ["server_info", "list_database_names", "list_databases", "start_session", "command", "find", "find_one", "insert_one", "insert_many", "update_one", "update_many", "delete_one", "delete_many", "replace_one", "aggregate", "count_documents", "estimated_document_count", "distinct", "create_index", "create_indexes", "list_collection_names", "create_collection", "drop", "watch", "bulk_write", "find_one_and_update", "find_one_and_delete", "drop_database", "validate_collection", "index_information"]
    )
    for maker in ("pymongo.MongoClient", "pymongo.AsyncMongoClient", "motor.motor_asyncio.AsyncIOMotorClient", "mongoengine.connect")
} | {
    maker: frozenset(["verify_connectivity", "execute_query", "session", "get_server_info", "verify_authentication", "run"])
    for maker in ("neo4j.GraphDatabase.driver", "neo4j.AsyncGraphDatabase.driver")
}  # fmt: skip
"""Clients of which these methods connect, also those of the objects that they give."""
ENGINES: Final = frozenset(
    {"sqlalchemy.create_engine", "sqlalchemy.engine.create_engine", "sqlalchemy.ext.asyncio.create_async_engine",
     "sqlmodel.create_engine"}
)  # fmt: skip
THROUGH_ENGINES: Final = frozenset(
    {"create_all", "drop_all", "reflect", "read_sql", "read_sql_query", "read_sql_table", "to_sql", "inspect", "execute",
     "scalar", "scalars", "query", "get", "commit", "flush", "exec", "stream", "read_database", "prepare"}
)  # fmt: skip
"""Functions and methods that connect the engine which they or their object are given."""

PARTS_OF_CONNECTION: Final = frozenset(
    {"cursor", "channel", "makefile", "session", "acquire", "getconn", "dup", "transport"}
)
"""What these return is alive only as long as the connection."""

ENDS: Final = frozenset(
    {"close", "aclose", "shutdown", "terminate", "stop", "join", "disconnect", "dispose", "quit", "cancel", "kill",
     "cleanup", "closeall", "release", "unlink", "detach", "disconnect_all", "close_all", "quiesce"}
)  # fmt: skip
"""Methods after which nothing is held any more."""

LOCKS: Final = frozenset({"fcntl.flock", "fcntl.lockf", "msvcrt.locking"})
LOCK_OBJECTS: Final = frozenset({"filelock.FileLock", "filelock.SoftFileLock", "portalocker.Lock"})

WRAPPERS: Final = frozenset(
    {"csv.writer", "csv.reader", "contextlib.closing", "print_function", "sqlalchemy.orm.sessionmaker",
     "sqlalchemy.orm.scoped_session", "sqlalchemy.ext.asyncio.async_sessionmaker"}
)  # fmt: skip
"""Functions in lower case that hold on to their argument."""

STORES: Final = frozenset(
    {"append", "appendleft", "add", "insert", "extend", "update", "setdefault", "put", "put_nowait", "push", "set",
     "addHandler", "append_keys", "bind_contextvars", "set_tag", "set_attribute", "set_default", "from_mapping",
     "add_middleware", "set_secret", "register", "config", "configure", "init"}
)  # fmt: skip
"""Methods that keep what they are given."""

IDENTITY_VARIABLES: Final = frozenset(
    {"AWS_LAMBDA_LOG_STREAM_NAME", "HOSTNAME", "_X_AMZN_TRACE_ID"}
)
SECRET_VARIABLES: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    }
)
"""Under SnapStart the first three do not exist during init, and the last belongs to one restore."""
CREDENTIALS_TOKEN: Final = "os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN']"  # noqa: S105 - a variable's name
"""The last of them as the source of a value: it opens the endpoint for credentials."""

KEY_WORDS: Final = frozenset(
    {"key", "secret", "nonce", "iv", "salt", "csrf", "password", "passphrase", "signing", "pepper", "cookie", "hmac",
     "prefix", "seed"}
)  # fmt: skip
ID_WORDS: Final = frozenset(
    {"id", "ids", "uid", "uuid", "guid", "instance", "node", "worker", "name", "session"}
)
SPREAD_WORDS: Final = ID_WORDS | frozenset(
    {"token", "nonce", "key", "secret", "jitter", "backoff", "delay", "sleep", "retry", "trace", "span", "request",
     "correlation", "shard", "password", "otp", "salt", "iv", "boundary", "suffix"}
)  # fmt: skip
"""Names of things that should differ between environments."""
