"""Who and what the demonstration is about. Plain data, no logic."""

from __future__ import annotations

from dataclasses import dataclass

from apps.tenants.types import Environment, PlatformRole, Role

DOMAIN = "lobby.example"


@dataclass(frozen=True, slots=True)
class DemoPerson:
    name: str
    platform_role: PlatformRole = PlatformRole.NONE
    shown: str = ""
    """What the start's banner says of this login; the others are not in it."""

    @property
    def email(self) -> str:
        return f"{self.name.split()[0].lower()}@{DOMAIN}"


@dataclass(frozen=True, slots=True)
class DemoKey:
    name: str
    daily_requests: int
    """On an ordinary working day."""
    streams: float
    """The share of requests that stream."""
    input_tokens: int
    output_tokens: int
    creator: str = ""
    """First name of a member; the tenant's admin where empty."""
    state: str = "active"
    """active, revoked, expired or expiring."""


@dataclass(frozen=True, slots=True)
class DemoProject:
    slug: str
    name: str
    environment: Environment
    description: str
    keys: tuple[DemoKey, ...]
    model: str = "meridian-large"
    round_the_clock: bool = False
    growth: float = 1.0
    """How much busier the last day is than the first."""
    monthly_usd: str = ""
    requests_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class DemoTenant:
    slug: str
    name: str
    cost_center: str
    time_zone: str
    brand_color: str
    residency: tuple[str, ...]
    members: tuple[tuple[str, Role], ...]
    projects: tuple[DemoProject, ...]
    monthly_usd: str
    tokens_per_minute: int
    concurrency: int
    suspended: str = ""
    """Why the tenant is suspended, if it is."""


PEOPLE = (
    DemoPerson("Ada Okafor", PlatformRole.SERVICE_ADMIN, shown="runs the platform"),
    DemoPerson("Emil Brandt", PlatformRole.SERVICE_ENGINEER),
    DemoPerson("Priya Raman", shown="tenant admin of Claims, reviewer in Operations"),
    DemoPerson("Tomas Lind", shown="developer in Claims and Retail Banking"),
    DemoPerson("Mei Tanaka"),
    DemoPerson("Rosa Delgado"),
    DemoPerson("Vera Novak", shown="viewer in Claims"),
    DemoPerson("Jonas Weber"),
    DemoPerson("Amina Diallo"),
    DemoPerson("Hugo Martin"),
    DemoPerson("Leila Haddad"),
    DemoPerson("Noah Fischer"),
    DemoPerson("Sofia Rossi"),
    DemoPerson("Kwame Mensah"),
)

TENANTS = (
    DemoTenant(
        slug="claims",
        name="Claims",
        cost_center="CC-4100",
        time_zone="Europe/Berlin",
        brand_color="#0f766e",
        residency=("eu-central-1", "eu-west-1"),
        members=(
            ("Priya", Role.ADMIN),
            ("Tomas", Role.DEVELOPER),
            ("Mei", Role.DATA_SCIENTIST),
            ("Rosa", Role.REVIEWER),
            ("Vera", Role.VIEWER),
        ),
        monthly_usd="600",
        tokens_per_minute=400_000,
        concurrency=64,
        projects=(
            DemoProject(
                "triage",
                "Claims triage",
                Environment.PROD,
                "Reads a first notice of loss and proposes the line, the severity and the next step.",
                (
                    DemoKey("Triage service", 52, 0.1, 22_800, 660),
                    DemoKey("Triage batch, nightly", 18, 0.0, 62_400, 1_440),
                    DemoKey("Triage service, before rotation", 0, 0.0, 0, 0, state="revoked"),
                ),
                growth=1.9,
                monthly_usd="360",
                requests_per_minute=600,
            ),
            DemoProject(
                "letters",
                "Letter drafting",
                Environment.PROD,
                "Drafts answers to policyholders, for a handler to check and send.",
                (DemoKey("Handlers' desktop", 34, 0.95, 16_800, 1_950, creator="Tomas"),),
                growth=1.3,
            ),
            DemoProject(
                "triage-dev",
                "Claims triage (development)",
                Environment.DEV,
                "Where the next version of triage is tried.",
                (DemoKey("Tomas' laptop", 12, 0.5, 20_400, 780, creator="Tomas", state="expiring"),),
                requests_per_minute=60,
                monthly_usd="120",
                model="meridian-mini",
            ),
            DemoProject(
                "similar-cases",
                "Similar cases",
                Environment.TEST,
                "Finds settled claims that resemble a new one.",
                (DemoKey("Indexer", 28, 0.0, 45_600, 0),),
                model="meridian-embed",
                growth=2.4,
            ),
        ),
    ),
    DemoTenant(
        slug="retail-banking",
        name="Retail Banking",
        cost_center="CC-2200",
        time_zone="Europe/London",
        brand_color="#4f46e5",
        residency=("eu-west-2",),
        members=(
            ("Jonas", Role.ADMIN),
            ("Tomas", Role.DEVELOPER),
            ("Leila", Role.DEVELOPER),
            ("Amina", Role.REVIEWER),
            ("Hugo", Role.VIEWER),
        ),
        monthly_usd="576",
        tokens_per_minute=900_000,
        concurrency=128,
        projects=(
            DemoProject(
                "assistant",
                "Customer assistant",
                Environment.PROD,
                "Answers customers in the banking app, and hands over to a person when it should.",
                (
                    DemoKey("App backend", 92, 0.97, 13_800, 930),
                    DemoKey("Web chat", 36, 0.97, 11_760, 870, creator="Leila"),
                ),
                round_the_clock=True,
                growth=1.6,
                monthly_usd="384",
                requests_per_minute=1_200,
            ),
            DemoProject(
                "complaints",
                "Complaint summaries",
                Environment.PROD,
                "One paragraph for the ombudsman's file.",
                (DemoKey("Case system", 22, 0.0, 76_800, 1_140),),
            ),
            DemoProject(
                "assistant-test",
                "Customer assistant (test)",
                Environment.TEST,
                "Regression runs before each release.",
                (DemoKey("Nightly run", 20, 0.2, 13_200, 900, creator="Leila"),),
                model="sandbox-judge",
            ),
        ),
    ),
    DemoTenant(
        slug="wealth",
        name="Wealth Management",
        cost_center="CC-3050",
        time_zone="America/New_York",
        brand_color="#b45309",
        residency=("us-east-1",),
        members=(
            ("Sofia", Role.ADMIN),
            ("Noah", Role.DEVELOPER),
            ("Mei", Role.DATA_SCIENTIST),
            ("Hugo", Role.REVIEWER),
        ),
        monthly_usd="720",
        tokens_per_minute=300_000,
        concurrency=32,
        projects=(
            DemoProject(
                "research",
                "Research digest",
                Environment.PROD,
                "Condenses the morning's research for advisers.",
                (DemoKey("Digest job", 24, 0.0, 117_600, 2_700), DemoKey("Adviser portal", 18, 0.9, 31_200, 1_620)),
                growth=1.2,
                monthly_usd="336",
            ),
            DemoProject(
                "suitability",
                "Suitability check",
                Environment.TEST,
                "A second look at whether advice fits the client. In trial.",
                (DemoKey("Trial", 8, 0.0, 37_200, 720, state="expired"),),
                model="meridian-classic",
                growth=0.3,
            ),
        ),
    ),
    DemoTenant(
        slug="operations",
        name="Operations",
        cost_center="CC-1010",
        time_zone="Asia/Singapore",
        brand_color="#be123c",
        residency=(),
        members=(("Kwame", Role.ADMIN), ("Noah", Role.DEVELOPER), ("Priya", Role.REVIEWER), ("Vera", Role.VIEWER)),
        monthly_usd="24",
        tokens_per_minute=200_000,
        concurrency=16,
        projects=(
            DemoProject(
                "mailroom",
                "Mailroom",
                Environment.PROD,
                "Sorts incoming post and pulls out names, dates and amounts.",
                (DemoKey("Sorter", 42, 0.0, 15_000, 390),),
                round_the_clock=True,
                growth=1.1,
                monthly_usd="0.80",
                requests_per_minute=300,
                model="meridian-mini",
            ),
            DemoProject(
                "runbooks",
                "Runbook helper",
                Environment.DEV,
                "Answers from the runbooks, for the night shift.",
                (DemoKey("Chat bot", 14, 1.0, 26_400, 1_230),),
                round_the_clock=True,
                model="meridian-mini",
            ),
        ),
    ),
    DemoTenant(
        slug="marketing-labs",
        name="Marketing Labs",
        cost_center="CC-7700",
        time_zone="Europe/Paris",
        brand_color="#a21caf",
        residency=(),
        members=(("Amina", Role.ADMIN), ("Hugo", Role.DEVELOPER)),
        monthly_usd="24",
        tokens_per_minute=50_000,
        concurrency=8,
        suspended="Customer data was found in prompts; waiting for the data protection review.",
        projects=(
            DemoProject(
                "copy",
                "Campaign copy",
                Environment.DEV,
                "First drafts of campaign texts.",
                (DemoKey("Copy tool", 16, 0.8, 8_400, 1_560),),
                growth=0.6,
                model="meridian-mini",
            ),
        ),
    ),
)

# The project whose key the banner prints.
PLAYGROUND_TENANT, PLAYGROUND_PROJECT = "claims", "triage-dev"
PLAYGROUND_KEY = "Printed at start"
