"""Django with Ninja: the ORM on psycopg with Django's pool, PyJWT, Django's Redis cache and Celery, on gunicorn."""

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import django
import jwt
import structlog
from celery import Celery
from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from uuid_utils.compat import uuid7

THREADS = 10
LIST_SECONDS = 60
DATABASE = urlsplit(os.environ["DATABASE_URL"])
SECRET = os.environ["JWT_SECRET"]

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="server",
    SECRET_KEY=SECRET,
    USE_TZ=True,
    MIDDLEWARE=[
        "server.duties",
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["REDIS_URL"]}},
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE.path[1:],
            "USER": DATABASE.username,
            "PASSWORD": DATABASE.password or "",
            "HOST": DATABASE.hostname,
            "PORT": DATABASE.port,
            "OPTIONS": {"pool": {"min_size": THREADS, "max_size": THREADS}, "server_side_binding": True},
        }
    },
)
django.setup()

from django.core.cache import cache  # noqa: E402  # after the settings
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models, transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from ninja import Field, Header, NinjaAPI, Schema  # noqa: E402
from ninja.errors import HttpError  # noqa: E402
from ninja.security import HttpBearer  # noqa: E402

CACHED = os.environ["CACHE"] == "on"
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(),
    ],
    cache_logger_on_first_use=True,
)
log = structlog.get_logger()
limiter = FixedWindowRateLimiter(MemoryStorage())
limit = RateLimitItemPerMinute(1_000_000_000)
jobs = Celery("orders", broker=os.environ["REDIS_URL"])
jobs.conf.task_ignore_result = True


@jobs.task(name="settle")
def settle(user_id: str, order_id: str) -> None:
    """Run by a worker."""


class Product(models.Model):
    id = models.UUIDField(primary_key=True)
    name = models.TextField()
    description = models.TextField()
    category = models.TextField()
    price_cents = models.BigIntegerField()
    currency = models.TextField()
    stock = models.IntegerField()
    version = models.IntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        app_label, managed, db_table = "shop", False, "products"


class User(models.Model):
    id = models.UUIDField(primary_key=True)
    email = models.TextField()
    email_verified_at = models.DateTimeField(null=True)
    name = models.TextField()
    role = models.TextField()
    active = models.BooleanField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        app_label, managed, db_table = "shop", False, "users"

    @property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None


class Order(models.Model):
    user_id = models.UUIDField()
    id = models.UUIDField(primary_key=True)
    status = models.TextField()
    total_cents = models.BigIntegerField()
    currency = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        app_label, managed, db_table = "shop", False, "orders"


class OrderItem(models.Model):
    pk = models.CompositePrimaryKey("user_id", "order_id", "position")
    user_id = models.UUIDField()
    order_id = models.UUIDField()
    position = models.IntegerField()
    product_id = models.UUIDField()
    name = models.TextField()
    unit_price_cents = models.BigIntegerField()
    quantity = models.IntegerField()

    class Meta:
        app_label, managed, db_table = "shop", False, "order_lines"


class Key(models.Model):
    pk = models.CompositePrimaryKey("user_id", "key")
    user_id = models.UUIDField()
    key = models.TextField()
    body_hash = models.BinaryField()
    answer = models.JSONField(null=True)

    class Meta:
        app_label, managed, db_table = "shop", False, "peer_keys"


class ProductOut(Schema):
    id: UUID
    name: str
    description: str
    category: str
    price_cents: int
    currency: str
    stock: int
    version: int
    created_at: datetime
    updated_at: datetime


class PageOut(Schema):
    items: list[ProductOut]
    next_cursor: str | None


class UserOut(Schema):
    id: UUID
    email: str
    email_verified: bool
    name: str
    role: str
    active: bool
    created_at: datetime
    updated_at: datetime


class OrderItemRequest(Schema):
    product_id: UUID
    quantity: Annotated[int, Field(ge=1, le=10_000)]


class OrderCreateRequest(Schema):
    items: Annotated[list[OrderItemRequest], Field(min_length=1, max_length=50)]


class Bearer(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> UUID | None:  # noqa: ARG002  # Ninja's signature
        try:
            claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="shop", audience="shop")
        except jwt.InvalidTokenError:
            return None
        return UUID(claims["sub"])


def duties(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A rate limit, security headers and a JSON access log."""

    def middleware(request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        who = request.META["REMOTE_ADDR"]
        admitted = limiter.hit(limit, who)
        response = get_response(request) if admitted else HttpResponse(status=429)
        reset, remaining = limiter.get_window_stats(limit, who)
        rate_limit_headers = {
            "ratelimit-limit": limit.amount,
            "ratelimit-remaining": remaining,
            "ratelimit-reset": int(reset - time.time()),
        }
        for name, value in {**HEADERS, **rate_limit_headers}.items():
            response[name] = value
        duration_ms = (time.perf_counter() - started) * 1e3
        log.info(
            "request", method=request.method, path=request.path, status=response.status_code, duration_ms=duration_ms
        )
        return response

    return middleware


def redis(key: str, load: Callable[[], Schema]) -> HttpResponse:
    body = cache.get(key) if CACHED else None
    if body is None:
        body = load().model_dump_json()
        if CACHED:
            cache.set(key, body, LIST_SECONDS)
    return HttpResponse(body, content_type="application/json")


api = NinjaAPI(docs_url=None, openapi_url=None)


@api.get("/health/ready")
def ready(request: HttpRequest) -> dict[str, str]:
    return {"status": "ok"}


@api.get("/v1/products", response=PageOut)
def list_products(
    request: HttpRequest,
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    category: Annotated[str, Field(pattern="^[a-z0-9-]{1,50}$")] | None = None,
    cursor: Annotated[str, Field(max_length=200)] | None = None,
) -> Any:
    def load() -> PageOut:
        found = Product.objects.order_by("-created_at", "-id")
        if category is not None:
            found = found.filter(category=category)
        if cursor is not None:
            moment, last = json.loads(base64.urlsafe_b64decode(cursor))
            found = found.extra(
                where=["(created_at, id) < (%s, %s)"], params=[datetime.fromisoformat(moment), UUID(last)]
            )
        rows = list(found[: limit + 1])
        here = [rows[limit - 1].created_at.isoformat(), str(rows[limit - 1].id)] if len(rows) > limit else None
        following = base64.urlsafe_b64encode(json.dumps(here).encode()).decode() if here else None
        return PageOut.model_validate({"items": rows[:limit], "next_cursor": following})

    return redis(f"products:{limit}:{category}:{cursor}", load)


@api.get("/v1/products/{uuid:product_id}", response=ProductOut)
def get_product(request: HttpRequest, product_id: UUID) -> Any:
    def load() -> ProductOut:
        try:
            return ProductOut.model_validate(Product.objects.get(id=product_id))
        except Product.DoesNotExist as error:
            raise HttpError(404, "no such product") from error

    return redis(f"product:{product_id}", load)


@api.get("/v1/users/me", response=UserOut, auth=Bearer())
def own_account(request: HttpRequest) -> Any:
    user = User.objects.filter(id=request.auth, active=True).first()
    if user is None:
        raise HttpError(401, "no such user")
    return user


@api.post("/v1/orders", auth=Bearer())
def place_order(
    request: HttpRequest, draft: OrderCreateRequest, idempotency_key: Annotated[str, Header()]
) -> HttpResponse:
    with transaction.atomic():
        order, is_new = place(request.auth, idempotency_key, draft)
    if is_new:
        settle.delay(str(request.auth), order["id"])
    return api.create_response(request, order, status=201)


def place(user_id: UUID, key: str, draft: OrderCreateRequest) -> tuple[dict[str, Any], bool]:
    body_hash = hashlib.sha256(draft.model_dump_json().encode()).digest()
    mine = Key.objects.filter(user_id=user_id, key=key)
    Key.objects.bulk_create([Key(user_id=user_id, key=key, body_hash=body_hash)], ignore_conflicts=True)
    held = mine.select_for_update().get()
    if held.answer is not None:
        if bytes(held.body_hash) != body_hash:
            raise HttpError(422, "this key came with another body")
        return held.answer, False
    lines: list[dict[str, Any]] = []
    currency = ""
    for line in draft.items:
        enough = Product.objects.filter(id=line.product_id, stock__gte=line.quantity)
        changes = {"stock": F("stock") - line.quantity, "version": F("version") + 1, "updated_at": datetime.now(UTC)}
        if not enough.update(**changes):
            raise HttpError(409, f"{line.product_id} is out of stock")
        name, price_cents, currency = Product.objects.values_list("name", "price_cents", "currency").get(
            id=line.product_id
        )
        sold = {"product_id": line.product_id, "name": name, "unit_price_cents": price_cents, "quantity": line.quantity}
        lines.append(sold)
    stored = {
        "id": uuid7(),
        "status": "pending",
        "total_cents": sum(line["unit_price_cents"] * line["quantity"] for line in lines),
        "currency": currency,
        "created_at": datetime.now(UTC),
    }
    Order(user_id=user_id, **stored).save(force_insert=True)
    OrderItem.objects.bulk_create(
        [OrderItem(user_id=user_id, order_id=stored["id"], position=n, **line) for n, line in enumerate(lines)]
    )
    answer = {**stored, "id": str(stored["id"]), "created_at": stored["created_at"].isoformat()}
    answer["items"] = [{**line, "product_id": str(line["product_id"])} for line in lines]
    mine.update(answer=answer)
    return answer, True


urlpatterns = [path("", api.urls)]
application = get_wsgi_application()
