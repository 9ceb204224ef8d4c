"""A line of the takings, and settings of a cloud that reports them: nothing outside is asked."""

from arcade_cloud.domain.books import Line
from support.orders import NOW_MS

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
    "TIMEZONE": "Asia/Kuala_Lumpur",
}
PLAY = Line(
    order_id="o-1",
    number=0,
    serial=1,
    day="2026-11-26",
    at_ms=NOW_MS,
    machine_id="cab-01",
    location="Main Hall",
    method="card",
    currency="myr",
    ordered=3,
    delivered=2,
    gross_minor=200,
)
