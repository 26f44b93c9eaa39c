"""The settings of the test run: Lobby's own, read in an environment that holds nothing of the developer's."""

from tests import environment

environment.prepare()

from portal.settings import *  # noqa: E402, F403
from portal.settings import DATA_DIR, DATABASES, MIDDLEWARE  # noqa: E402

# A file: in memory, threads and processes of a test could not share it.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.db")}
else:
    DATABASES["default"]["TEST"] = {"TEMPLATE": environment.MIGRATED}

# The real hasher takes a tenth of a second by design, and the tests sign in hundreds of times.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# It only knows coroutines: the tests' client would start an event loop and a thread for each request. Whoever tests
# static files asks a running Lobby.
MIDDLEWARE = [each for each in MIDDLEWARE if each != "servestatic.middleware.ServeStaticMiddleware"]
