"""The items of alerts in the DynamoDB table (pure)."""

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb.items import (
    EXISTS,
    IS_NEW,
    Item,
    Value,
    Write,
    expiry,
    key,
    key_of,
    put,
    rank,
    record_of,
    shard,
    text,
)
from arcade_cloud.domain.alerts import Alert

# Epoch seconds that no table outlives.
_NEVER: Value = {"N": "9999999999"}


def alert_put(alert: Alert, by: str) -> Write:
    """An alert that is not sent yet, if its id is new."""
    return put({**key("alert", alert.alert_id), **_alert(alert), "by": {"S": by}}, IS_NEW)


def lasting_key(kind: str, subject: str) -> Item:
    """The key of the item that names the condition of that kind and subject that lasts."""
    return key("lasting", records.lasting_name(kind, subject))


def lasting_put(alert: Alert) -> Write:
    """Name the condition as the one that lasts, if none does."""
    return put({**lasting_key(alert.kind, alert.subject), "alert_id": {"S": alert.alert_id}}, IS_NEW)


def lasting_over(alert: Alert) -> Write:
    """The condition lasts no more."""
    return {
        "Key": lasting_key(alert.kind, alert.subject),
        "ConditionExpression": "alert_id = :alert_id",
        "ExpressionAttributeValues": {":alert_id": {"S": alert.alert_id}},
    }


def alert_change(stored: Item, after: Alert) -> Write:
    """Put `after` in the place of the alert that was read as `stored`, unless that has changed since."""
    fresh = _alert(after)
    values = {name: fresh[name] for name in ("body", "of_machine", "sent_in", "forget_at")}
    if not text(stored, "waits_in").startswith("unsent#"):
        values |= {"waits_in": fresh["sent_in"], "expires_at": fresh["forget_at"]}
    return {
        "Key": key_of(stored),
        "UpdateExpression": "SET " + ", ".join(f"{name} = :{name}" for name in values),
        "ConditionExpression": "body = :was AND waits_in = :waited_in",
        "ExpressionAttributeValues": {
            **{f":{name}": value for name, value in values.items()},
            ":was": stored["body"],
            ":waited_in": stored["waits_in"],
        },
    }


def alert_update(alert: Alert) -> Write:
    """As `alert_put`, but without a condition: the step is stored whether or not the alert's id is new."""
    values = _alert(alert)
    return {
        "Key": key("alert", alert.alert_id),
        "UpdateExpression": "SET " + ", ".join(f"{name} = if_not_exists({name}, :{name})" for name in values),
        "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
    }


def alert_sent_update(alert_id: str) -> Write:
    """Mark the alert as sent. Time to live deletes it later. Alerts of older programs do not name their place."""
    return {
        "Key": key("alert", alert_id),
        "UpdateExpression": "SET waits_in = if_not_exists(sent_in, :sent), expires_at = forget_at",
        "ConditionExpression": EXISTS,
        "ExpressionAttributeValues": {":sent": {"S": shard("sent", alert_id)}},
    }


def _alert(alert: Alert) -> Item:
    """A new alert. Once it was sent, it waits in `sent_in` to be forgotten at `forget_at`."""
    at: Value = {"S": rank(alert.at_ms, alert.alert_id)}
    if alert.lasts:
        sent_in, forget_at = "lasting", _NEVER
    elif alert.is_standing:
        sent_in, forget_at = "unread", expiry(alert.at_ms, records.FORGET_STANDING_AFTER_MS)
    else:
        sent_in, forget_at = "sent", expiry(alert.at_ms)
    return {
        "waits_in": {"S": shard("unsent", alert.alert_id)},
        "waits_from": at,
        "listed_in": {"S": shard("alerts", alert.alert_id)},
        "listed_at": at,
        "of_machine": {"S": shard("standing" if alert.is_standing else "over", alert.alert_id)},
        "sent_in": {"S": shard(sent_in, alert.alert_id)},
        "forget_at": forget_at,
        "body": record_of(alert, f"alert {alert.alert_id}"),
    }
