"""The words of the tenants' wing: roles, statuses, scopes, metrics."""

from __future__ import annotations

from django.db import models


class TenantStatus(models.TextChoices):
    ONBOARDING = "onboarding", "Onboarding"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    OFFBOARDED = "offboarded", "Offboarded"


class Environment(models.TextChoices):
    DEV = "dev", "Development"
    TEST = "test", "Test"
    PROD = "prod", "Production"


class Role(models.TextChoices):
    """What a member may do inside one tenant."""

    ADMIN = "admin", "Tenant admin"
    DEVELOPER = "developer", "Developer"
    DATA_SCIENTIST = "data_scientist", "Data scientist"
    REVIEWER = "reviewer", "Reviewer"
    VIEWER = "viewer", "Viewer"


class PlatformRole(models.TextChoices):
    """What a person may do across all tenants."""

    NONE = "", "None"
    SERVICE_ENGINEER = "service_engineer", "Service engineer"
    SERVICE_ADMIN = "service_admin", "Service admin"


class Scope(models.TextChoices):
    """What an API key may be used for."""

    INFERENCE = "inference", "Call models"
    MANAGEMENT_READ = "management:read", "Read the management API"
    MANAGEMENT_WRITE = "management:write", "Write through the management API"


class Metric(models.TextChoices):
    REQUESTS = "requests", "Requests"
    TOKENS = "tokens", "Tokens"
    CONCURRENCY = "concurrency", "Concurrent requests"


class BudgetPeriod(models.TextChoices):
    DAY = "day", "Daily"
    WEEK = "week", "Weekly"
    MONTH = "month", "Monthly"
    QUARTER = "quarter", "Quarterly"
    YEAR = "year", "Yearly"
