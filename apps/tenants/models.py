"""Who: tenants (lines of business), their projects, members, keys, limits, budgets, and the audit trail."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from apps.tenants.scoping import TenantScopedManager
from apps.tenants.types import BudgetPeriod, Environment, Metric, PlatformRole, Role, TenantStatus

hex_color = RegexValidator(
    r"^#[0-9a-fA-F]{6}$", "Write the colour as # and six hexadecimal digits, for example #4f46e5."
)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, platform_role=PlatformRole.SERVICE_ADMIN, **fields
        )


class User(AbstractBaseUser, PermissionsMixin):
    """A person. At the identity provider they are issuer + subject (allauth's SocialAccount); e-mail is a label."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    platform_role = models.CharField(max_length=20, choices=PlatformRole.choices, default=PlatformRole.NONE, blank=True)
    is_staff = models.BooleanField("may open the admin", default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)
    session_epoch = models.PositiveIntegerField(
        default=0, editable=False, help_text="Part of every session's hash: raising it ends the user's sessions."
    )

    objects = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_whatever_the_case")]

    def __str__(self) -> str:
        return self.name or self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # Django's hash of the password, and the epoch: both a new password and a raised epoch end other sessions.
        value = f"{self.password}:{self.session_epoch}"
        return salted_hmac("apps.tenants.User.session", value, secret=secret, algorithm="sha256").hexdigest()

    @property
    def is_platform_admin(self) -> bool:
        return self.is_active and self.platform_role == PlatformRole.SERVICE_ADMIN

    @property
    def is_platform_staff(self) -> bool:
        return self.is_active and self.platform_role != PlatformRole.NONE


class Tenant(models.Model):
    """A line of business."""

    slug = models.SlugField(unique=True, max_length=50)
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=20, choices=TenantStatus.choices, default=TenantStatus.ACTIVE)
    cost_center = models.CharField(max_length=50, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name; budgets and days follow it.")
    residency = models.JSONField(
        default=list, blank=True, help_text="Regions in which this tenant's data may be processed; empty means any."
    )
    retention_days = models.PositiveIntegerField(default=90, help_text="How long request logs are kept.")
    copies_feedback = models.BooleanField(
        "copies feedback into rating sets",
        default=False,
        help_text="Ratings of the playground may be copied, redacted, into datasets that judges are measured on.",
    )
    brand_color = models.CharField(max_length=7, blank=True, validators=[hex_color])
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="tenant.view", tenant="pk")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Project(models.Model):
    """An application of a tenant, in one environment."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="projects")
    slug = models.SlugField(max_length=50)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    environment = models.CharField(max_length=10, choices=Environment.choices, default=Environment.DEV)
    strict_parameters = models.BooleanField(
        default=False, help_text="Refuse a call with a parameter that the model cannot take, rather than drop it."
    )
    content_percent = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(100)],
        help_text="Of its requests, how many are kept with what they say, redacted, for monitors; 0: none.",
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="project.view", project="pk")

    class Meta:
        ordering = ["tenant__name", "name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="project_slug_unique_in_tenant")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="member.view")

    class Meta:
        ordering = ["tenant__name", "user__email"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="membership_once_per_tenant")]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"


class ApiKey(models.Model):
    """A credential of a project: found by ``prefix``, compared by HMAC. The secret itself is never stored."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    secret_hmac = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list, help_text="What the key may be used for.")
    allowed_models = models.JSONField(
        default=list, blank=True, help_text="Model names it may call; empty means all granted."
    )
    cidrs = models.JSONField(default=list, blank=True, help_text="Networks it may be used from; empty means any.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # Protected: a key's rights are bounded by its creator's, and none means that the command line issued it.
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    rotated_from = models.ForeignKey(
        "self", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="successors"
    )

    objects = TenantScopedManager(view="apikey.view", tenant="project__tenant_id", project="project_id")

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @property
    def status(self) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.is_usable:
            return "active"
        return "revoked" if self.revoked_at else "expired"


class RateLimit(models.Model):
    """So many of ``metric`` per window, shared by everything that the scope (tenant, project, key, user, model) covers.

    A limit without any subject but the tenant covers the tenant as a whole; ``model`` narrows it to calls of one model.
    Concurrency has no window.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="rate_limits")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE, related_name="rate_limits")
    api_key = models.ForeignKey(
        ApiKey, verbose_name="API key", null=True, blank=True, on_delete=models.CASCADE, related_name="rate_limits"
    )
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="rate_limits")
    model = models.SlugField(max_length=200, blank=True, help_text="A model's name; empty means every model.")
    metric = models.CharField(max_length=12, choices=Metric.choices)
    limit = models.PositiveBigIntegerField(validators=[MinValueValidator(1)])
    window_seconds = models.PositiveIntegerField(default=60, validators=[MinValueValidator(1)])
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="limit.view", project="project_id")

    class Meta:
        ordering = ["tenant__name", "metric"]

    def __str__(self) -> str:
        if self.metric == Metric.CONCURRENCY:
            return f"{self.limit:,} concurrent requests"
        window = {60: "minute", 3600: "hour", 86400: "day"}.get(self.window_seconds, f"{self.window_seconds} s")
        return f"{self.limit:,} {self.metric} per {window}"


class Budget(models.Model):
    """An amount of money per calendar period (in the tenant's time zone) for a tenant, a project or a key."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="budgets")
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE, related_name="budgets")
    api_key = models.ForeignKey(
        ApiKey, verbose_name="API key", null=True, blank=True, on_delete=models.CASCADE, related_name="budgets"
    )
    period = models.CharField(max_length=10, choices=BudgetPeriod.choices, default=BudgetPeriod.MONTH)
    amount_picousd = models.BigIntegerField("amount, in picodollars", validators=[MinValueValidator(0)])
    thresholds = models.JSONField(default=list, blank=True, help_text="Percentages at which owners are told.")
    hard_stop = models.BooleanField(default=True, help_text="Refuse requests that the budget cannot cover.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantScopedManager(view="budget.view", project="project_id")

    class Meta:
        ordering = ["tenant__name", "period"]

    def __str__(self) -> str:
        return f"{self.get_period_display()} budget of {self.project or self.tenant}"


class AuditEntry(models.Model):
    """One act, append-only. Each entry's hash covers its content and the hash before it (see ``audit.py``)."""

    sequence = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    actor = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    actor_label = models.CharField(max_length=254)
    action = models.CharField(max_length=100, db_index=True)
    target_type = models.CharField(max_length=50)
    target_id = models.CharField(max_length=64)
    target_label = models.CharField(max_length=254)
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    objects = TenantScopedManager(view="audit.view")

    class Meta:
        ordering = ["-sequence"]
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["tenant", "-sequence"], name="audit_tenant_sequence")]

    def __str__(self) -> str:
        return f"{self.action} {self.target_label}"


class AuditHead(models.Model):
    """One row: the newest entry of the audit trail, so that cutting off its end shows."""

    sequence = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"{self.sequence}"


class ControlPlaneState(models.Model):
    """One row. ``version`` grows with every change that the gateway must learn of, in that change's transaction."""

    version = models.PositiveBigIntegerField(default=1)

    def __str__(self) -> str:
        return f"version {self.version}"
