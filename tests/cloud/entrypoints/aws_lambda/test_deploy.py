"""What is handed to AWS fits the code: the template's table, variables, times and rights; the image's files."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from arcade_cloud.adapters.store.dynamodb import table as dynamodb_table
from arcade_cloud.adapters.stripe.events import EVENT_TYPES
from arcade_cloud.config.settings import load, warnings
from arcade_cloud.config.variables import VARIABLES
from arcade_cloud.entrypoints.aws_lambda import handler as lambda_handler
from arcade_cloud.entrypoints.aws_lambda.handler import HTTP_S, MARGIN_S
from arcade_sandbox.aws.serverless import RULE
from arcade_shared.topics import ECHO, every_machine

ROOT = Path(__file__).parents[4]
IMAGE = "public.ecr.aws/lambda/python:3.13"


class Cloudformation(yaml.SafeLoader):
    """YAML with CloudFormation's short functions: `!Ref X` becomes {"Ref": "X"}."""


def _function(loader: Cloudformation, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {name: loader.construct_sequence(node, deep=True)}


Cloudformation.add_multi_constructor("!", _function)


@pytest.fixture(scope="module")
def template() -> Any:
    return yaml.load((ROOT / "cloud" / "deploy" / "template.yaml").read_text(), Cloudformation)


@pytest.fixture(scope="module")
def function(template: Any) -> Any:
    return template["Resources"]["Function"]["Properties"]


def test_every_variable_of_the_template_is_one_and_none_that_is_needed_is_missing(function: Any) -> None:
    given = set(function["Environment"]["Variables"])
    assert given <= {variable.name for variable in VARIABLES}
    assert {variable.name for variable in VARIABLES if variable.required} <= given
    assert {"MQTT_USERNAME", "MQTT_PASSWORD", "INGEST_SECRET"} <= given


def test_no_secret_is_shown_to_whoever_reads_the_stack(template: Any, function: Any) -> None:
    given = function["Environment"]["Variables"]
    secrets = [variable for variable in VARIABLES if variable.secret and variable.name in given]
    assert {variable.name for variable in secrets} >= {"STRIPE_API_KEY", "SIGNING_SECRET", "MQTT_PASSWORD"}
    for variable in secrets:
        value = given[variable.name]
        if "Ref" in value:
            assert template["Parameters"][value["Ref"]]["NoEcho"] is True, variable.name
        else:
            assert value["Sub"] == f"{{{{resolve:secretsmanager:${{SecretId}}:SecretString:{variable.name}}}}}"


def test_the_variables_of_the_template_start_the_cloud(function: Any) -> None:
    """With the values that the guide fills in; what it leaves empty counts as not set."""
    values = {
        "DATABASE_URL": "dynamodb://arcade-Table-1ABC?region=ap-southeast-1",
        "PUBLIC_BASE_URL": "https://abc123.execute-api.ap-southeast-1.amazonaws.com",
        "EMQX_BROKER_URL": "abc123.ala.ap-southeast-1.emqxsl.com",
        "STRIPE_PRICE_ID": "price_1Play",
        "STRIPE_API_KEY": "sk_test_51Key",
        "STRIPE_WEBHOOK_SECRET": "whsec_theWebhookSecret",
        "SIGNING_SECRET": "0123456789abcdef" * 4,
        "OPERATOR_CONTACT": "+60 3 1234 5678",
        "TIMEZONE": "UTC",
        "LANGUAGES": "en,ms,zh",
        "SITE_LOGO": "https://arcade.example/logo.svg",
        "SITE_COLOUR": "#c2185b",
        "QUANTITIES": "1,2,5",
        "TAB_LIMITS": "20.00MYR,50.00MYR",
        "CLAIM_LIMIT": "5.00MYR",
        "ALERT_QUIET_HOURS": "",
        "ALERT_URLS": "",
        "ALERT_WEBHOOK_URL": "",
    }
    environ = {
        name: values.get(name, value if isinstance(value, str) else f"a value of its own for {name}")
        for name, value in function["Environment"]["Variables"].items()
    }
    settings = load({**environ, "AWS_LAMBDA_FUNCTION_NAME": "arcade"}, None)
    assert [warning.split()[0] for warning in warnings(settings)] == ["Neither"]  # of the two settings for alerts


def test_the_table_is_the_one_that_the_command_makes(template: Any) -> None:
    table = template["Resources"]["Table"]["Properties"]

    def keys(schema: Any) -> tuple[str, ...]:
        assert [part["KeyType"] for part in schema] == ["HASH", "RANGE"]
        return tuple(part["AttributeName"] for part in schema)

    assert keys(table["KeySchema"]) == dynamodb_table._KEYS
    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    assert {name: keys(index["KeySchema"]) for name, index in indexes.items()} == dynamodb_table._INDEXES
    assert all(index["Projection"] == {"ProjectionType": "KEYS_ONLY"} for index in indexes.values())
    assert table["TimeToLiveSpecification"] == {"AttributeName": dynamodb_table._EXPIRY, "Enabled": True}
    named = {attribute["AttributeName"] for attribute in table["AttributeDefinitions"]}
    assert named == {*dynamodb_table._KEYS, *(name for pair in dynamodb_table._INDEXES.values() for name in pair)}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert template["Resources"]["Table"]["DeletionPolicy"] == "Retain"


def test_the_function_may_do_what_the_store_does_and_no_more(function: Any) -> None:
    """A transaction needs the rights of what is in it."""
    source = "".join(
        path.read_text() for path in (ROOT / "cloud/arcade_cloud/adapters/store/dynamodb").glob("*.py")
    )
    source = source.replace(Path(dynamodb_table.__file__).read_text(), "")
    asked = {
        f"dynamodb:{''.join(word.title() for word in name.split('_'))}"
        for name in re.findall(r'"((?:get|put|update|delete|batch_get|batch_write)_item|query|scan)"', source)
    }
    written = {
        "Put": "PutItem",
        "Update": "UpdateItem",
        "Delete": "DeleteItem",
        "ConditionCheck": "ConditionCheckItem",
    }
    asked |= {f"dynamodb:{right}" for name, right in written.items() if f'"{name}"' in source}
    (statement,) = function["Policies"][0]["Statement"]
    assert set(statement["Action"]) - {"dynamodb:ConditionCheckItem"} == asked - {"dynamodb:ConditionCheckItem"}


def test_the_schedule_s_event_fits_into_the_function_s_time(function: Any) -> None:
    tick = function["Events"]["Tick"]["Properties"]
    stays_s = lambda_handler._tick_of(json.loads(tick["Input"]))
    assert tick["Schedule"] == "rate(1 minute)"
    assert 0 < stays_s <= function["Timeout"] - MARGIN_S
    assert function["Timeout"] - MARGIN_S >= HTTP_S


def test_a_timer_that_fails_or_is_dropped_or_does_not_come_raises_an_alarm(template: Any) -> None:
    """Without it no order becomes final. A tick that found no room to run is no error of the function's."""
    alarms = [
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    watched = {(alarm["Namespace"], alarm["MetricName"]): alarm["TreatMissingData"] for alarm in alarms}
    assert watched == {
        ("AWS/Lambda", "Errors"): "notBreaching",
        ("AWS/Lambda", "AsyncEventsDropped"): "notBreaching",
        ("AWS/Events", "Invocations"): "breaching",
    }
    assert all("AlarmTopicArn" in str(alarm["AlarmActions"]) for alarm in alarms)


def test_the_image_runs_the_handler_that_exists() -> None:
    (command,) = re.findall(r"^CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    (handler,) = json.loads(command)
    module, _, name = handler.rpartition(".")
    assert module == lambda_handler.__name__
    assert callable(getattr(lambda_handler, name))


def test_the_image_is_built_from_aws_s_own_and_from_what_is_let_in() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"ARG BASE={IMAGE}\n" in dockerfile
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${BASE}"}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
        for source in sources.split()
    }
    assert copied == let_in
    assert all((ROOT / path).exists() for path in copied)


BUILDX = "github.com/docker/buildx v0.29.1 a32761a"
# What each tool answers where it is here and works; `docker` may be podman by another name.
DOCKER = {"docker": f'case "$*" in "buildx version") echo "{BUILDX}" ;; esac'}
PODMAN_AS_DOCKER = {"docker": 'case "$*" in "buildx version") echo "buildah 1.39.3" ;; esac', "podman": ":"}
DOCKER_STOPPED = {"docker": f'case "$*" in "buildx version") echo "{BUILDX}" ;; *) exit 1 ;; esac'}


@pytest.mark.parametrize(
    ("tools", "built_by"),
    [
        (DOCKER, "docker buildx build --platform linux/arm64 --provenance=false --sbom=false --load"),
        (PODMAN_AS_DOCKER, "podman build --platform linux/arm64 --format docker"),
        ({**DOCKER_STOPPED, "buildah": ":"}, "buildah build --platform linux/arm64 --format docker"),
        ({"podman": "exit 1", "buildah": ":"}, "buildah build --platform linux/arm64 --format docker"),
        ({}, None),
    ],
    ids=["docker", "podman as docker", "docker stopped", "buildah", "nothing"],
)
def test_the_image_is_one_plain_manifest_whoever_builds_it(
    tools: dict[str, str], built_by: str | None, tmp_path: Path
) -> None:
    """Lambda takes no index. A tool of another maker that answers to docker's name knows other flags."""
    for name in ("sh", "dirname", "grep"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    for name, answers in tools.items():
        tool = tmp_path / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/asked"\n{answers}\n')
        tool.chmod(0o755)
    environ = {"PATH": str(tmp_path), "PLATFORM": "linux/arm64", "TAG": "x:1"}
    script = ROOT / "cloud" / "deploy" / "image.sh"
    done = subprocess.run([tmp_path / "sh", script], env=environ, capture_output=True, text=True, check=False)
    if built_by is None:
        assert done.returncode == 1
        assert "none of docker" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "asked").read_text().splitlines()[-1] == f"{built_by} --tag x:1 ."


# --- the guide -----------------------------------------------------------------------------------------------

GUIDE = (ROOT / "docs" / "DEPLOY.md").read_text()


def test_the_broker_s_rule_in_the_guide_is_the_one_that_is_tried_here() -> None:
    """The stand-in for the rule engine sends what the guide's rule selects, from the same topics."""
    (sources,) = re.findall(r"^FROM (.*)$", GUIDE, re.MULTILINE)
    topics = re.findall(r'"([^"]+)"', sources)
    assert tuple(topics) == RULE
    assert set(topics) == {every_machine("ack"), every_machine("status"), every_machine("gameover"), ECHO}
    (fields,) = re.findall(r"^SELECT (.*)$", GUIDE, re.MULTILINE)
    assert [field.split()[-1] for field in fields.split(",")] == ["topic", "payload", "payload_encoding"]


def test_the_guide_subscribes_the_endpoint_to_every_event_that_is_understood() -> None:
    named = set(re.findall(r"\b(?:checkout\.session|payment_intent|charge|refund)\.[a-z_.]+", GUIDE))
    assert set(EVENT_TYPES) <= named


def test_the_guide_and_the_template_name_the_same_things(template: Any, function: Any) -> None:
    parameters = set(re.findall(r"\b([A-Z][a-z]+[A-Za-z]*)=", GUIDE))
    assert {"ImageUri", "BrokerHost", "SettingsVersion"} <= parameters <= template["Parameters"].keys()
    in_secret = set(re.findall(r'"([A-Z_]+)": ', GUIDE))
    assert in_secret == {
        name for name, value in function["Environment"]["Variables"].items() if "secretsmanager" in str(value)
    }
    assert function["Events"]["Tick"]["Properties"]["Input"] in GUIDE
    assert function["Events"]["Tick"]["Properties"]["Schedule"] in GUIDE


def test_the_guide_sends_nobody_to_an_output_that_the_stack_does_not_have(template: Any) -> None:
    named = set(re.findall(r"output ([A-Z][A-Za-z]+)", GUIDE.replace("`", "")))
    assert {"Url", "TableName", "LogGroup"} <= named <= template["Outputs"].keys()


def test_the_guide_never_makes_a_signing_key_anew() -> None:
    """Every machine's key comes from it: the secret is changed from what is there, not written a second time."""
    before, _, after = GUIDE.partition("create-secret")
    assert "openssl rand" in before
    assert "openssl rand" not in after
    between, _, _ = after.partition("put-secret-value")
    assert "get-secret-value" in between


def test_the_settings_of_an_operator_are_all_in_the_guide() -> None:
    """What the secret holds, and the lines that the guide adds, make a cloud that starts."""
    secret = {name: f"32 characters and some more for {name}" for name in re.findall(r'"([A-Z_]+)": ', GUIDE)}
    (lines,) = re.findall(r"cat >> .env.local <<END\n(.*?)END", GUIDE, re.DOTALL)
    for placeholder, real in {
        "$REGION": "ap-southeast-1",
        "$URL": "https://a.example",
        "price_…": "price_1",
    }.items():
        lines = lines.replace(placeholder, real)
    added = dict(line.split("=", 1) for line in lines.splitlines())
    load({**secret, **added, "STRIPE_API_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"}, None)
