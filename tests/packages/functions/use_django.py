import django
from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="of tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.crypto import get_random_string  # noqa: E402
from django.utils.translation import gettext_lazy  # noqa: E402

TITLE = gettext_lazy("Teas")


def users(request):
    return JsonResponse({"users": User.objects.count(), "title": str(TITLE)})


urlpatterns = [path("users", users)]
call_command("migrate", verbosity=0)
application = WSGIHandler()


def handler(event, context):
    answer = application.get_response(RequestFactory().get("/users"))
    return [answer.status_code, answer.content.decode()]


def unique():
    return {"secret": get_random_string(20), "csrf": get_token(RequestFactory().get("/users"))}
