"""Settings: one code base, two profiles. Every backend is chosen here, once, by a URL in the environment.

The embedded profile (nothing set) needs no server. Production sets ``LOBBY_ENV=production`` with ``DATABASE_URL``,
``REDIS_URL`` and real secrets; a weak or missing one is refused before anything starts. See docs/configuration.md.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured

from portal import logs
from portal.env import Env, database_config, load_dotenv, mail_config, ollama_url
from portal.secrets import embedded_secret, require_strong

BASE_DIR = Path(__file__).resolve().parent.parent
load_dotenv(Path(os.environ.get("LOBBY_ENV_FILE") or BASE_DIR / ".env"))
env = Env()

LOBBY_VERSION = "0.1.0"
LOBBY_ENV = env.str("LOBBY_ENV", "embedded")
if LOBBY_ENV not in {"embedded", "production"}:
    raise ImproperlyConfigured(f"LOBBY_ENV={LOBBY_ENV!r} is neither 'embedded' nor 'production'.")
PRODUCTION = LOBBY_ENV == "production"

DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / ".data"))).resolve()
HOST = env.str("HOST", "127.0.0.1")
PORT = env.int("PORT", 8000, minimum=1, maximum=65535)
DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("DEMO", default=not PRODUCTION)
if PRODUCTION and DEMO:
    raise ImproperlyConfigured("DEMO is on while LOBBY_ENV=production: its logins are no secret. Unset DEMO.")

# Secrets. The embedded profile makes its own on the first start and keeps them in DATA_DIR, for the owner alone.
if PRODUCTION:
    SECRET_KEY = require_strong("SECRET_KEY", env.str("SECRET_KEY"))
    API_KEY_PEPPER = require_strong("API_KEY_PEPPER", env.str("API_KEY_PEPPER"))
    CREDENTIALS_KEY = require_strong("CREDENTIALS_KEY", env.str("CREDENTIALS_KEY"))
    if len({SECRET_KEY, API_KEY_PEPPER, CREDENTIALS_KEY}) < 3:
        raise ImproperlyConfigured("SECRET_KEY, API_KEY_PEPPER and CREDENTIALS_KEY must differ from one another.")
    if DEBUG:
        raise ImproperlyConfigured("DEBUG is on while LOBBY_ENV=production. Unset DEBUG.")
else:
    SECRET_KEY = env.str("SECRET_KEY", "") or embedded_secret(DATA_DIR, "secret_key")
    API_KEY_PEPPER = env.str("API_KEY_PEPPER", "") or embedded_secret(DATA_DIR, "api_key_pepper")
    CREDENTIALS_KEY = env.str("CREDENTIALS_KEY", "") or embedded_secret(DATA_DIR, "credentials_key")
# Keys that still open stored credentials, until `manage.py credentials rotate` has moved them all to the present one.
CREDENTIALS_KEY_PREVIOUS = env.list("CREDENTIALS_KEY_PREVIOUS")

_own_names = ["localhost", "127.0.0.1", "[::1]", socket.gethostname() if HOST in {"0.0.0.0", "::"} else HOST]  # noqa: S104
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", [] if PRODUCTION else _own_names)
if PRODUCTION and (not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS):
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS must name the portal's host names (comma separated, no '*') in production."
    )
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "apps.tenants.admin_site.UnfoldConfig",
    "unfold.contrib.filters",
    # Looks for no admin.py by itself: whoever serves the admin does (portal/urls.py).
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "csp",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "apps.tenants.oidc",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "django_celery_results",
    "django_celery_beat",
    "portal.apps.PortalConfig",
    "apps.tenants",
    "apps.models",
    "apps.prompts",
    "apps.gateway",
    "apps.evaluation",
    "apps.playground",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.middleware.HtmxMessagesMiddleware",
    "portal.middleware.DomainErrorMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "csp.middleware.CSPMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context_processors.lobby",
            ],
            "builtins": ["portal.templatetags.lobby"],
        },
    }
]

DATABASE_URL = env.url(
    "DATABASE_URL", f"sqlite:///{quote(str(DATA_DIR / 'lobby.db'))}", schemes=("sqlite", "postgres", "postgresql")
)
if PRODUCTION and not DATABASE_URL.startswith("postgres"):
    raise ImproperlyConfigured(
        "DATABASE_URL names no PostgreSQL: production needs postgres://user:password@host:5432/name."
    )
DATABASES = {"default": database_config(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The web server.
WEB_GRACE_SECONDS = env.int("WEB_GRACE_SECONDS", 30 if PRODUCTION else 10, minimum=1)
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES")

# Logs go to standard error: JSON for machines in production, short lines for people on the embedded profile.
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO" if PRODUCTION else "WARNING", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.choice("LOG_FORMAT", "json" if PRODUCTION else "text", ("json", "text"))
LOGGING = logs.configuration(as_json=LOG_FORMAT == "json", level=LOG_LEVEL)

REDIS_URL = env.url("REDIS_URL", schemes=("redis", "rediss", "unix"))
WEB_WORKERS = env.int("WEB_WORKERS", 1, minimum=1)
if WEB_WORKERS > 1 and not REDIS_URL:
    raise ImproperlyConfigured(
        f"WEB_WORKERS={WEB_WORKERS} needs REDIS_URL: limits and budgets are counted in one process without it."
    )
if PRODUCTION and not REDIS_URL:
    raise ImproperlyConfigured("REDIS_URL is not set. Production counts limits and budgets in Redis.")

if REDIS_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
    # The layer waits for messages by blocking reads of five seconds, which the Redis client would end after as many.
    _layer_hosts = [{"address": REDIS_URL, "socket_timeout": 30.0}]
    CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": _layer_hosts}}
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Celery: JSON only; a row in the database, not the broker, is the truth about a job.
CELERY_BROKER_URL = env.url("CELERY_BROKER_URL", schemes=("redis", "rediss", "amqp", "amqps", "filesystem"))
if not CELERY_BROKER_URL:
    CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost"
if CELERY_BROKER_URL.startswith("filesystem"):
    _queue = DATA_DIR / "queue"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_queue / "messages"),
        "data_folder_out": str(_queue / "messages"),
        "control_folder": str(_queue / "control"),
        "store_processed": False,
        "polling_interval": 0.2,
    }
CELERY_RESULT_BACKEND = "django-db"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TRACK_STARTED = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    "registry.discover": {"task": "registry.discover", "schedule": 60.0, "options": {"expires": 50.0}},
    "gateway.retain": {"task": "gateway.retain", "schedule": 3600.0, "options": {"expires": 3000.0}},
    "evaluation.decide_gates": {"task": "evaluation.decide_gates", "schedule": 5.0, "options": {"expires": 5.0}},
    "evaluation.wake": {"task": "evaluation.wake", "schedule": 3.0, "options": {"expires": 3.0}},
    "evaluation.log": {"task": "evaluation.log", "schedule": 20.0, "options": {"expires": 20.0}},
    "evaluation.monitor": {"task": "evaluation.monitor", "schedule": 5.0, "options": {"expires": 5.0}},
    "evaluation.alert": {"task": "evaluation.alert", "schedule": 5.0, "options": {"expires": 5.0}},
    "evaluation.retain": {"task": "evaluation.retain", "schedule": 3600.0, "options": {"expires": 3000.0}},
    "playground.retain": {"task": "playground.retain", "schedule": 3600.0, "options": {"expires": 3000.0}},
    "evaluation.sweep": {"task": "evaluation.sweep", "schedule": 60.0, "options": {"expires": 50.0}},
}
# Beat sleeps for so long at most, and a worker with beat inside does not stop before it wakes.
CELERY_BEAT_MAX_LOOP_INTERVAL = 5 if PRODUCTION else 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# Where workers reach the gateway, as any caller does.
_here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(HOST, f"[{HOST}]" if ":" in HOST else HOST)  # noqa: S104
GATEWAY_URL = env.url("GATEWAY_URL", f"http://{_here}:{PORT}", schemes=("http", "https")).rstrip("/")
# A worker that is not heard of for so long has lost its part of a run to others.
EVALUATION_LEASE_SECONDS = env.int("EVALUATION_LEASE_SECONDS", 20, minimum=1, maximum=600)

MLFLOW_TRACKING_URI = env.url("MLFLOW_TRACKING_URI", schemes=("http", "https"))
# The largest file that can be uploaded to a dataset, and so the largest body that a page or the API takes.
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", 2 * 1024**3, minimum=1024)
ARCHIVE_URL = env.url("ARCHIVE_URL", f"file://{quote(str(DATA_DIR / 'archive'))}", schemes=("file", "s3"))

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_ADAPTER = "apps.tenants.adapters.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "apps.tenants.adapters.SocialAccountAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {}
OIDC_ISSUER = env.url("OIDC_ISSUER", schemes=("http", "https"))
# Tokens shown to /v1 must be meant for Lobby: by default those of its own client.
OIDC_AUDIENCE = env.str("OIDC_AUDIENCE", env.str("OIDC_CLIENT_ID", ""))
# For an identity provider that never says email_verified, and that only the organisation's own people are in.
OIDC_TRUST_EMAIL = env.bool("OIDC_TRUST_EMAIL", default=False)
if OIDC_ISSUER:
    if PRODUCTION and not OIDC_ISSUER.startswith("https://"):
        raise ImproperlyConfigured("OIDC_ISSUER must be an https:// URL in production.")
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "APPS": [
            {
                "provider_id": "sso",
                "name": env.str("OIDC_NAME", "Single sign-on"),
                "client_id": env.str("OIDC_CLIENT_ID"),
                "secret": env.str("OIDC_CLIENT_SECRET"),
                "settings": {"server_url": OIDC_ISSUER, "uid_field": "sub"},
            }
        ],
    }
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "apps.tenants.lockout.login_name"
AXES_LOCKOUT_TEMPLATE = "account/locked.html"
AXES_VERBOSE = False

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
if env.has("EMAIL_URL"):
    globals().update(mail_config(env.url("EMAIL_URL", schemes=("smtp", "smtps"))))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", "lobby@localhost")

LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "portal.locale_formats"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
SERVESTATIC_USE_FINDERS = not PRODUCTION
SERVESTATIC_AUTOREFRESH = DEBUG

# Headers and cookies.
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
if PRODUCTION:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    },
}

# The management API. Views name their own shapes; what is here holds for all of them. See docs/api.md.
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.tenants.rest.authentication.ApiKeyAuthentication",
        "apps.tenants.rest.authentication.SessionActorAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.tenants.rest.authentication.ManagementPermission"],
    "DEFAULT_THROTTLE_CLASSES": ["apps.tenants.rest.throttling.ActorThrottle"],
    "DEFAULT_PARSER_CLASSES": ["apps.tenants.rest.parsers.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "apps.tenants.rest.negotiation.AlwaysJson",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.tenants.rest.errors.handle",
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# Per key or person; and failed keys per address, after which that address waits for the next minute.
API_REQUESTS_PER_MINUTE = env.int("API_REQUESTS_PER_MINUTE", 1200, minimum=1)
API_FAILED_KEYS_PER_MINUTE = env.int("API_FAILED_KEYS_PER_MINUTE", 30, minimum=1)
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Lobby management API",
    "DESCRIPTION": "Everything that the portal's pages do, for programs. Inference is at /v1.",
    "VERSION": LOBBY_VERSION,
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": r"/api",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    "ENUM_NAME_OVERRIDES": {
        "TenantStatus": "apps.tenants.types.TenantStatus.choices",
        "Role": "apps.tenants.types.Role.choices",
        "PlatformRole": "apps.tenants.types.PlatformRole.choices",
        "Scope": "apps.tenants.types.Scope.choices",
        "Environment": "apps.tenants.types.Environment.choices",
        "Metric": "apps.tenants.types.Metric.choices",
        "BudgetPeriod": "apps.tenants.types.BudgetPeriod.choices",
        "ProviderKind": "apps.models.types.ProviderKind.choices",
        "ModelKind": "apps.models.types.ModelKind.choices",
        "Lifecycle": "apps.models.types.Lifecycle.choices",
        "CredentialSource": "apps.models.types.CredentialSource.choices",
        "Capability": "apps.models.types.Capability.choices",
        "Outcome": "apps.gateway.types.Outcome.choices",
        "UsageStatus": "apps.gateway.types.UsageStatus.choices",
        "RunStatus": "apps.evaluation.types.RunStatus.choices",
        "GateStatus": "apps.evaluation.types.GateStatus.choices",
        "GateVerdict": "apps.evaluation.types.Verdict.choices",
        "MetricRole": "apps.evaluation.types.MetricRole.choices",
        "RatingKind": "apps.playground.types.RatingKind.choices",
        "ActorKind": ["user", "api_key"],
        "NewTenantStatus": ["onboarding", "active"],
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.tenants.rest.schema.close_inputs",
    ],
    "PREPROCESSING_HOOKS": ["apps.tenants.rest.schema.only_the_api"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": STATIC_URL + "img/favicon.svg",
    # Closed at first: open, over a hundred operations hide which areas there are.
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "displayRequestDuration": True,
        "filter": True,
        "docExpansion": "none",
    },
    "REDOC_DIST": "SIDECAR",
}
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Lobby admin",
    "SITE_HEADER": "Lobby",
    "SITE_SUBHEADER": "Platform administration",
    "SITE_SYMBOL": "door_open",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": STATIC_URL + "img/favicon.svg"}],
    "SITE_URL": "/",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "STYLES": ["apps.tenants.admin_site.style"],
    "COLORS": {
        # The portal's greys and its accent (static/css/tokens.css).
        "base": {
            "50": "#f8f8fa",
            "100": "#f1f1f4",
            "200": "#e7e7ec",
            "300": "#d3d3db",
            "400": "#8d8d9a",
            "500": "#686875",
            "600": "#50505c",
            "700": "#3a3a43",
            "800": "#25252b",
            "900": "#121215",
            "950": "#0b0b0d",
        },
        "primary": {
            "50": "#eef0fe",
            "100": "#e0e4fd",
            "200": "#c6ccfb",
            "300": "#a3adf7",
            "400": "#7c8af2",
            "500": "#5a6bec",
            "600": "#3a4fe0",
            "700": "#3447cf",
            "800": "#293698",
            "900": "#262f78",
            "950": "#171c47",
        },
    },
    "COMMAND": {"search_models": True},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "apps.tenants.admin_site.sidebar",
    },
}

# The gateway.
SPOOL_DIR = DATA_DIR / "spool"
SPOOL_MAX_BYTES = env.int("SPOOL_MAX_BYTES", 2 * 1024**3, minimum=1024**2)
# A circuit breaker opens after so many failures in a row (0: never, and no cooldowns), for so many seconds.
BREAKER_FAILURES = env.int("BREAKER_FAILURES", 5)
BREAKER_SECONDS = env.int("BREAKER_SECONDS", 5, minimum=1, maximum=600)
# How often an endpoint that nobody uses is tried by a bare connection; 0: never.
HEALTH_PROBE_SECONDS = env.int("HEALTH_PROBE_SECONDS", 30)
# Where a trusted proxy tells the country of the person who calls, for example CF-IPCountry.
COUNTRY_HEADER = env.str("COUNTRY_HEADER", "")
GATEWAY_MAX_BODY_BYTES = env.int("GATEWAY_MAX_BODY_BYTES", 20 * 1024**2, minimum=1024)
GATEWAY_MAX_IN_FLIGHT = env.int("GATEWAY_MAX_IN_FLIGHT", 4096, minimum=1)
# While Redis is away: refuse with 503, or let each process admit a share of every limit and budget on its own.
COUNTERS_ON_FAILURE = env.choice("COUNTERS_ON_FAILURE", "refuse", ("refuse", "lease"))
COUNTERS_LEASE_SHARE = env.float("COUNTERS_LEASE_SHARE", 0.1)
if not 0 < COUNTERS_LEASE_SHARE <= 1:
    raise ImproperlyConfigured(f"COUNTERS_LEASE_SHARE={COUNTERS_LEASE_SHARE} has to be above 0 and at most 1.")
# On SIGTERM readiness goes off for this long before the server stops accepting, so that a balancer can notice.
DRAIN_SECONDS = env.int("DRAIN_SECONDS", 5 if PRODUCTION else 0)
_shown_host = "localhost" if HOST in {"127.0.0.1", "0.0.0.0", "::1", "::"} else f"[{HOST}]" if ":" in HOST else HOST  # noqa: S104
PORTAL_URL = env.url("PORTAL_URL", f"http://{_shown_host}:{PORT}", schemes=("http", "https")).rstrip("/")
GATEWAY_PUBLIC_URL = env.url("GATEWAY_PUBLIC_URL", f"{PORTAL_URL}/v1", schemes=("http", "https"))

# The registry: upstream servers that the operator's environment names, and private addresses that providers may have.
OPENAI_BASE_URL = env.url("OPENAI_BASE_URL", "https://api.openai.com/v1", schemes=("http", "https"))
ANTHROPIC_BASE_URL = env.url("ANTHROPIC_BASE_URL", "https://api.anthropic.com", schemes=("http", "https"))
AZURE_OPENAI_ENDPOINT = env.url("AZURE_OPENAI_ENDPOINT", "", schemes=("http", "https"))
AZURE_OPENAI_API_VERSION = env.str("AZURE_OPENAI_API_VERSION", "")
GEMINI_BASE_URL = env.url(
    "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com/v1beta/openai", schemes=("http", "https")
)
AWS_REGION = env.str("AWS_REGION", env.str("AWS_DEFAULT_REGION", ""))
AWS_ENDPOINT_URL_BEDROCK_RUNTIME = env.url("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "", schemes=("http", "https"))
OLLAMA_BASE_URL = env.str("OLLAMA_HOST", "" if PRODUCTION else "127.0.0.1:11434")
if OLLAMA_BASE_URL:
    OLLAMA_BASE_URL = ollama_url("OLLAMA_HOST", OLLAMA_BASE_URL)
# vLLM's own default port, 8000, is Lobby's: it is looked for there only when Lobby listens elsewhere.
VLLM_BASE_URL = env.url(
    "VLLM_BASE_URL", "" if PRODUCTION or PORT == 8000 else "http://127.0.0.1:8000/v1", schemes=("http", "https")
)
LOBBY_ALLOWED_PRIVATE_HOSTS = env.list(
    "LOBBY_ALLOWED_PRIVATE_HOSTS", [] if PRODUCTION else ["localhost", "127.0.0.0/8", "::1"]
)
# Secrets that providers may name in AWS Secrets Manager begin with this.
PROVIDER_SECRETS_PREFIX = env.str("LOBBY_PROVIDER_SECRETS_PREFIX", "lobby/")
# How often what AWS keeps (a secret, a role's session) is asked for again.
CREDENTIALS_REFRESH_SECONDS = env.int("CREDENTIALS_REFRESH_SECONDS", 60, minimum=1)
# Discovered models: callable by every active tenant at once, or proposed, for a service admin to approve and grant.
DISCOVERED_MODELS_OPEN = env.bool("LOBBY_DISCOVERED_MODELS_OPEN", default=not PRODUCTION)
SANDBOX_ENABLED = env.bool("LOBBY_SANDBOX", default=not PRODUCTION)
if DEMO and not SANDBOX_ENABLED:
    raise ImproperlyConfigured("DEMO needs the sandbox, which LOBBY_SANDBOX switches off. Set DEMO=false as well.")
